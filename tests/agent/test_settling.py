"""How times are put right, and how far off they may still be, with anchors and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import DRIFT
from agent.journal.block import Stamp
from agent.journal.manifest import Kernel, Manifest, Settlement, Stretch
from agent.settling import MADE_US, settlements
from tests.agent.machines import HOUR_US, SECOND_US, TRUE_US

DAY_US = 24 * HOUR_US


def kernel(*anchors, last_us=0, offset_us=0):
    return Kernel(0, last_us, offset_us, list(anchors))


def stretch(name, begin_us, end_us, *, believed_us=0):
    """Return records from one moment of a start to another, with the times that were believed."""
    stamp = Stamp(name, believed_us, settled=False)
    return Stretch(1, 9, stamp, begin_us + believed_us, end_us + believed_us)


def settled(kernels, *stretches, now="now"):
    manifest = Manifest(kernels=kernels, unsettled=list(stretches))
    return settlements(manifest, now)


def time_of(settlement, time_us):
    """Return the settled time of a record, and its uncertainty in seconds."""
    line = settlement.settled(b"air,gateway=g value=1 %d000\n" % time_us)
    return int(line.split()[-1]) // 1000


def test_nothing_is_settled_before_the_time_is_known():
    assert settled({"now": kernel()}, stretch("now", 0, 100)) == []
    assert settled({}, stretch("now", 0, 100)) == []


def test_before_the_first_anchor_it_is_as_far_off_as_the_crystal_may_drift():
    kernels = {"now": kernel((DAY_US, TRUE_US))}
    (found,) = settled(kernels, stretch("now", 0, DAY_US, believed_us=55))
    assert time_of(found, 55 + HOUR_US) == TRUE_US + HOUR_US
    assert (found.drift_ppb, found.uncertainty_s) == (0, 9)  # 8.64 s


def test_a_few_hours_away_it_is_right_to_a_second_and_says_nothing():
    kernels = {"now": kernel((2 * HOUR_US, TRUE_US))}
    (found,) = settled(kernels, stretch("now", 0, HOUR_US))
    assert found.uncertainty_s == 0


def test_between_two_anchors_the_truth_is_near_the_line_between_them():
    drift_us = int(2 * DAY_US * 30e-6)
    kernels = {"now": kernel((0, TRUE_US), (2 * DAY_US, TRUE_US + drift_us))}
    (found,) = settled(kernels, stretch("now", 3 * HOUR_US, 2 * DAY_US, believed_us=TRUE_US))
    half = time_of(found, TRUE_US + DAY_US)
    assert half == pytest.approx(TRUE_US + DAY_US + drift_us / 2, abs=1_000)
    # Half a day too fast and half a day too slow would end there, too.
    assert 4 <= found.uncertainty_s <= 9


def test_a_crystal_that_went_as_wrong_as_it_can_leaves_no_doubt():
    drift_us = int(2 * DAY_US * DRIFT)
    kernels = {"now": kernel((0, TRUE_US), (2 * DAY_US, TRUE_US + drift_us))}
    (found,) = settled(kernels, stretch("now", HOUR_US, DAY_US))
    assert found.uncertainty_s == 0


def test_the_doubt_of_a_stretch_is_that_of_its_worst_moment():
    length_us = 10 * DAY_US
    kernels = {"now": kernel((0, TRUE_US), (length_us, TRUE_US + int(length_us * DRIFT / 2)))}
    (found,) = settled(kernels, stretch("now", 1, length_us - 1))
    # A quarter of the way at 100 ppm instead of 50, and then slowly enough to end there.
    assert found.uncertainty_s == 33  # 32.4 s


def test_behind_the_last_anchor_of_an_earlier_start_the_doubt_grows():
    kernels = {
        "then": kernel((0, TRUE_US), last_us=DAY_US),
        "now": kernel((0, TRUE_US + 2 * DAY_US)),
    }
    (found,) = settled(kernels, stretch("then", HOUR_US, DAY_US))
    assert time_of(found, DAY_US) == TRUE_US + DAY_US
    assert found.uncertainty_s == 9


def test_a_start_that_nobody_knew_lies_between_the_others():
    kernels = {
        "before": kernel((0, TRUE_US), last_us=HOUR_US),
        "unknown": kernel(last_us=HOUR_US),
        "now": kernel((0, TRUE_US + 6 * HOUR_US)),
    }
    (found,) = settled(kernels, stretch("unknown", 0, HOUR_US))
    # It ran for an hour within the five from the end of the one to the begin of the other.
    assert abs(time_of(found, 0) - (TRUE_US + 3 * HOUR_US)) < SECOND_US
    assert found.uncertainty_s == pytest.approx(2 * 3_600, abs=3)


@pytest.mark.parametrize("side", ["before", "behind"])
def test_the_doubt_about_its_neighbours_is_also_its_own(side):
    """The neighbour's clock was known ten days away only: 86.4 s."""
    far_us = 10 * DAY_US
    before = kernel((0, TRUE_US), last_us=far_us if side == "before" else 0)
    end_us = TRUE_US + before.last_us
    at_us = far_us if side == "behind" else 0
    now = kernel((at_us, end_us + 60 * SECOND_US))
    kernels = {"before": before, "unknown": kernel(last_us=60 * SECOND_US), "now": now}
    (found,) = settled(kernels, stretch("unknown", 0, 60 * SECOND_US))
    assert found.uncertainty_s == pytest.approx(43.2, abs=1.5)
    worst_us = end_us + int((-86.4 if side == "before" else 86.4) * SECOND_US)
    assert abs(time_of(found, 0) - worst_us) <= (found.uncertainty_s + 1) * SECOND_US


def test_several_unknown_starts_share_the_room():
    kernels = {
        "before": kernel((0, TRUE_US), last_us=0),
        "a": kernel(last_us=HOUR_US),
        "b": kernel(last_us=2 * HOUR_US),
        "now": kernel((0, TRUE_US + 5 * HOUR_US)),
    }
    a, b = settled(kernels, stretch("a", 0, HOUR_US), stretch("b", 0, 2 * HOUR_US))
    assert abs(time_of(a, 0) - (TRUE_US + HOUR_US)) < SECOND_US
    assert abs(time_of(b, 0) - (TRUE_US + 2 * HOUR_US)) < SECOND_US
    assert {round(found.uncertainty_s / 3_600) for found in (a, b)} == {1}


@pytest.mark.parametrize("believed_us", [0, TRUE_US + 50 * DAY_US, TRUE_US - HOUR_US])
def test_of_the_first_start_of_all_the_machines_own_belief_counts_if_it_can_be_true(believed_us):
    kernels = {
        "first": kernel(last_us=HOUR_US, offset_us=believed_us),
        "now": kernel((0, TRUE_US + 6 * HOUR_US)),
    }
    (found,) = settled(kernels, stretch("first", 0, HOUR_US))
    not_before_us = believed_us if MADE_US <= believed_us < TRUE_US else MADE_US
    begin_us = time_of(found, 0)
    assert begin_us - found.uncertainty_s * SECOND_US <= not_before_us + SECOND_US
    assert begin_us + found.uncertainty_s * SECOND_US >= TRUE_US + 5 * HOUR_US - SECOND_US


def test_starts_behind_the_last_known_one_wait():
    kernels = {"now": kernel((0, TRUE_US)), "later": kernel(last_us=HOUR_US)}
    assert settled(kernels, stretch("later", 0, HOUR_US)) == []


def test_a_start_that_was_forgotten_waits():
    assert settled({"now": kernel((0, TRUE_US))}, stretch("forgotten", 0, HOUR_US)) == []


def test_records_within_a_second_are_not_torn_apart_by_rounding():
    kernels = {"now": kernel((0, TRUE_US), (7, TRUE_US + 1))}
    (found,) = settled(kernels, stretch("now", 2, 5))
    assert found.drift_ppb == 0


def test_the_order_of_records_stays():
    found = Settlement(1, 9, TRUE_US, 5, -100_000, 0)
    times = [time_of(found, TRUE_US + n * 333_333) for n in range(10_000)]
    assert times == sorted(set(times))


LEGS = st.lists(
    st.tuples(st.integers(1, 4 * 3_600), st.floats(-99, 99), st.booleans()), min_size=2, max_size=40
)
"""So many seconds at so many ppm, with or without an anchor at the end."""


@given(LEGS, st.integers(0, 39), st.integers(1, 39))
def test_the_truth_is_never_further_off_than_is_said(legs, begin, length):
    """A crystal that goes right or wrong as it likes, and records from some leg to another."""
    at_us = true_us = 0
    moments, anchors = [], []
    for seconds, ppm, is_anchor in legs:
        true_us += seconds * SECOND_US
        at_us += round(seconds * SECOND_US * (1 + ppm / 1e6))
        moments.append((at_us, true_us))
        if is_anchor:
            anchors.append((at_us, TRUE_US + true_us - at_us))
    begin = min(begin, len(moments) - 1)
    end = next_anchor(moments, anchors, begin, begin + length)
    if not anchors:
        return
    of_stretch = moments[begin : end + 1]
    kernels = {"now": kernel(*anchors)}
    (found,) = settled(kernels, stretch("now", of_stretch[0][0], of_stretch[-1][0]))
    for moment_us, true_us in of_stretch:
        off_us = abs(time_of(found, moment_us) - (TRUE_US + true_us))
        assert off_us <= max(found.uncertainty_s, 1) * SECOND_US + 1_000


def next_anchor(moments, anchors, begin, end):
    """A stretch never goes on behind an anchor: the time is known then."""
    first = (at for at, _ in anchors if at > moments[begin][0])
    limit = next(first, None)
    last = min(end, len(moments) - 1)
    return next((n for n in range(begin, last) if moments[n][0] == limit), last)
