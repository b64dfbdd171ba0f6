"""The whole path under faults, briefly; and proof that a broken promise would be noticed.

The long run is `python -m tests.simulation.whole_path --scenarios 200`.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.fakes.servers import MissingServer, binary
from tests.simulation.whole_path import explained, run_scenario
from tests.simulation.whole_path_check import (
    Evidence,
    Row,
    Said,
    missing,
    row_of_influx,
    rows_of_lines,
    violations,
)
from tests.simulation.whole_path_story import FAULTS, MOST, TROUBLE_S, story

SEEDS = (1, 3, 101)
"""Short ones, which between them kill every part and spoil the link."""

WARM = Said("meter", "temperature_celsius", 21.5, 1_000.0)
OPEN = Said("door", "contact_open", 1.0, 1_001.0)
SHUT = Said("door", "contact_open", 0.0, 1_005.0)


def row(said, off_s=0.0, measurement="air"):
    values = {"gateway": "g", "sensor": said.sensor, said.field: said.value}
    return Row(measurement, round((said.at_s + off_s) * 1e9), frozenset(values.items()))


def evidence(said, stored, journal=None, aside=()):
    return Evidence(said, stored if journal is None else journal, stored, aside)


ALL = [WARM, OPEN, SHUT]
ROWS = [row(each, 0.1) for each in ALL]


def test_what_is_stored_once_at_its_time_violates_nothing():
    assert violations(evidence(ALL, ROWS), 0.5) == []
    assert missing(ALL, ROWS) == 0


def test_a_record_that_is_lost_is_found():
    assert missing(ALL, ROWS[:-1]) == 1
    (found,) = violations(evidence(ALL, ROWS[:-1]), 0.5)
    assert found.startswith("lost: door contact_open=0")


def test_what_was_said_just_before_a_kill_is_not_owed_but_may_be_there():
    said = [WARM, OPEN, replace(SHUT, owed=False)]
    assert violations(evidence(said, ROWS[:-1]), 0.5) == []
    assert violations(evidence(said, ROWS), 0.5) == []


def test_a_record_that_is_stored_twice_is_found():
    (found,) = violations(evidence(ALL, [*ROWS, row(WARM, 0.2)]), 0.5)
    assert found.startswith("stored 2 times: meter")


def test_a_wrong_time_is_found():
    rows = [row(WARM, 3_600.0), *ROWS[1:]]
    (found,) = violations(evidence(ALL, rows), 0.5)
    assert found.startswith("+3600.000 s off: meter")


def test_what_nobody_said_is_found():
    invented = row(Said("meter", "temperature_celsius", 99.0, 1_000.0))
    (found,) = violations(evidence(ALL, [*ROWS, invented]), 0.5)
    assert found.startswith("stored, but never said: air")


def test_a_door_of_another_moment_stands_for_no_other():
    again = replace(OPEN, at_s=OPEN.at_s + 10)
    found = violations(evidence([*ALL, again], ROWS), 0.5)
    assert found == ["lost: door contact_open=1, said at 1011.000"]


def test_journal_and_store_must_be_the_same():
    assert violations(evidence(ALL, ROWS, ROWS[:-1]), 0.5) == [
        f"stored, but not in the journal: {ROWS[-1]}"
    ]
    alert = row(Said("door", "firing", 1.0, 1_001.0), measurement="alert")
    assert violations(evidence(ALL, ROWS, [*ROWS, alert]), 0.5) == [
        f"in the journal, but not stored: {alert}"
    ]
    (found,) = violations(evidence(ALL, ROWS, [*ROWS, ROWS[0]]), 0.5)
    assert "same place" in found


def test_what_was_set_aside_is_found():
    assert violations(evidence(ALL, ROWS, aside=["a line"]), 0.5) == ["set aside: a line"]


def test_a_line_and_its_row_are_the_same():
    line = b"air,gateway=g,sensor=front\\ door temperature_celsius=21.5 1000000000000\n"
    found = {"time": 10**12, "gateway": "g", "sensor": "front door", "temperature_celsius": 21.5}
    assert rows_of_lines([line])[0] == row_of_influx("air", {**found, "place": None})


def test_a_story_follows_from_its_seed_and_no_part_breaks_while_it_is_broken():
    assert story(1) == story(1) != story(2)
    seen = set()
    for seed in range(300):
        steps = story(seed)
        assert 1 <= len(steps) <= MOST
        assert all(0 <= step.at_s <= TROUBLE_S for step in steps)
        for part in FAULTS:
            own = [step for step in steps if step.part == part]
            assert all(a.at_s + a.for_s < b.at_s for a, b in pairwise(own))
        seen |= {(step.part, step.fault) for step in steps}
    assert seen == {(part, fault) for part, faults in FAULTS.items() for fault in faults}


@pytest.mark.servers
@pytest.mark.timeout(240)
def test_everything_heard_is_stored_once_at_its_time_whatever_breaks():
    for program in ("mosquitto", "influxd", "nginx"):
        try:
            binary(program)
        except MissingServer as missing_server:
            pytest.skip(str(missing_server))
    with ProcessPoolExecutor(len(SEEDS)) as pool:
        outcomes = list(pool.map(run_scenario, SEEDS))
    broken = [explained(outcome) for outcome in outcomes if outcome.violations]
    assert not broken, "\n\n".join(broken)
    assert all(outcome.stored > 20 for outcome in outcomes)
