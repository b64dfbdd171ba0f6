"""Which formula heat takes, and that it never mixes what was not measured together."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.heat import AIR, GLOBE, HUMIDITY, SUN, WIND, Heat, wbgt_celsius
from rules.formulas.wbgt import indoor_wbgt_celsius, outdoor_wbgt_celsius

START = datetime(2026, 7, 5, tzinfo=UTC)


def test_a_room_without_sun():
    assert wbgt_celsius({AIR: 32, HUMIDITY: 70}) == pytest.approx(29.0, abs=0.05)


def test_a_globe_counts_for_three_tenths():
    room = wbgt_celsius({AIR: 32, HUMIDITY: 70})
    assert wbgt_celsius({AIR: 32, HUMIDITY: 70, GLOBE: 42}) == pytest.approx(room + 3)


def test_outdoors_in_kilowatts_and_with_the_wind_if_it_is_known():
    measured = {AIR: 32, HUMIDITY: 60, SUN: 800, GLOBE: 50}
    assert wbgt_celsius(measured) == outdoor_wbgt_celsius(32, 60, 0.8, 0)
    assert wbgt_celsius({**measured, SUN: -4}) == outdoor_wbgt_celsius(32, 60, 0, 0)
    assert wbgt_celsius({**measured, WIND: 3}) == outdoor_wbgt_celsius(32, 60, 0.8, 3)


@pytest.mark.parametrize("measured", [{AIR: 99, HUMIDITY: 50}, {AIR: 30, HUMIDITY: 101}])
def test_what_cannot_be_is_not_judged(measured):
    assert wbgt_celsius(measured) is None


frames = st.lists(
    st.tuples(st.integers(10, 40), st.integers(10, 100), st.integers(0, 900)), min_size=2
)


@given(frames, st.permutations([AIR, HUMIDITY, SUN]))
def test_the_end_of_each_word_is_judged_by_that_word_alone(frames, order):
    memory = Heat().remember()
    for n, frame in enumerate(frames):
        values = dict(zip([AIR, HUMIDITY, SUN], frame, strict=True))
        at = START + n * timedelta(minutes=5)
        for quantity in order:
            memory.judge(Reading("field", quantity, float(values[quantity]), at), None)
        wbgt = outdoor_wbgt_celsius(frame[0], frame[1], frame[2] / 1000, 0)
        assert memory.evidence(at)["wbgt_celsius"] == round(wbgt, 1)


@given(frames, st.permutations([AIR, HUMIDITY]))
def test_half_a_word_is_never_judged(frames, order):
    memory = Heat().remember()
    for n, (celsius, percent, _) in enumerate(frames):
        at = START + n * timedelta(minutes=5)
        values = {AIR: float(celsius), HUMIDITY: float(percent)}
        first, second = (Reading("room", quantity, values[quantity], at) for quantity in order)
        assert memory.judge(first, None) == "undecided"
        memory.judge(second, None)
        wbgt = indoor_wbgt_celsius(celsius, percent)
        assert memory.evidence(at)["wbgt_celsius"] == round(wbgt, 1)


def test_old_values_are_no_evidence():
    memory = Heat().remember()
    memory.judge(Reading("room", Quantity.HUMIDITY_PERCENT, 60.0, START), None)
    assert memory.evidence(START + timedelta(hours=2)) == {}
