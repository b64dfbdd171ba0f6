"""Blast judges the day as the table of the plant protection offices does, however it is heard."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.blast import AIR, LEAF, POSSIBLE, RAIN, SUN, WIND, Blast
from rules.engine import Engine, Rule
from rules.formulas.blast import BlastCode, HourlyWeather, judge
from rules.hour_sums import HourSums, wall_hours

TOKYO = ZoneInfo("Asia/Tokyo")
END = datetime(2026, 7, 6, 15, tzinfo=TOKYO).astimezone(UTC)
"""When the day is judged that the tests are about."""
HOUR = timedelta(hours=1)

TABLE = [
    (15, 17),
    (16, 15),
    (17, 14),
    (18, 13),
    (19, 12),
    (20, 11),
    (21, 11),
    (22, 10),
    (23, 10),
    (24, 10),
    (25, 10),
]


def told(readings, condition, until=END + HOUR):
    """Return what is told of readings (in order) from ten days before the end on."""
    engine = Engine([Rule("blast", condition, ("field",))])
    events = engine.advance(END - timedelta(days=10))
    for reading in readings:
        events += engine.observe(reading)
    return events + engine.advance(until)


def field(quantity, value, at):
    return Reading("field", quantity, float(value), at)


def weather_readings(celsius, rain, wind, sun, five_day_celsius):
    """Yield a reading each 10 min: four days of one temperature, and then these 24 hours."""
    begin, step = END - timedelta(days=5), timedelta(minutes=10)
    total = 100.0
    for n in range(5 * 144):
        at, place = begin + n * step, n // 6 - 96
        if place < 0:
            yield field(AIR, five_day_celsius, at + step / 2)
            continue
        total += rain[place] / 6
        for quantity, value in (
            (AIR, celsius[place]),
            (WIND, wind[place]),
            (RAIN, total),
            (SUN, 800 * sun[place]),
        ):
            yield field(quantity, value, at + step / 2)


def code_told(events):
    return dict(events[0].evidence)["code"] if events else None


@pytest.mark.parametrize(("celsius", "needed"), TABLE)
@pytest.mark.parametrize("short", [0, 1])
def test_each_row_of_the_needed_hours(celsius, needed, short):
    begin = END - timedelta(days=5)
    air = [field(AIR, 22, begin + n * 2 * HOUR) for n in range(48)]
    air += [field(AIR, celsius, END - timedelta(days=1) + n * 2 * HOUR) for n in range(12)]
    dry = END - HOUR
    leaf = [
        field(LEAF, 0, begin),
        field(LEAF, 0, END - timedelta(hours=24)),
        field(LEAF, 1, dry - (needed - short) * HOUR),
        field(LEAF, 0, dry),
    ]
    readings = sorted([*air, *leaf], key=lambda reading: reading.at)
    events = told(readings, Blast(TOKYO, near_codes=(4,)))
    if not short:
        assert code_told(events) == 0
        assert dict(events[0].evidence)["needed_hours"] == needed
        assert dict(events[0].evidence)["wet_hours"] == needed
    else:
        assert code_told(events) == (4 if needed > 10 else None)


hourly = st.lists(st.integers(0, 2), min_size=24, max_size=24)


@given(
    st.integers(13, 27),
    st.lists(st.sampled_from([0, 0, 0, 0, 0, 0.5, 3]), min_size=24, max_size=24),
    hourly,
    st.lists(st.sampled_from([0, 0, 0, 1]), min_size=24, max_size=24),
    st.integers(18, 27),
)
def test_the_code_is_that_of_the_formula_for_the_hours_that_were_measured(
    celsius, rain, wind, sun, five_day_celsius
):
    # Winds of 0, 1 or 2 m/s never dry leaves: what two readings have between them does not matter.
    readings = [*weather_readings([celsius] * 24, rain, wind, [0] * 24, five_day_celsius)]
    weather = HourlyWeather([float(celsius)] * 24, wind, rain, [0.0] * 24)
    expected = judge(weather, (4 * five_day_celsius + celsius) / 5)
    near = {"●": 0, "1": 1, "2": 2, "3": 3, "4": 4}.get(expected.value)
    events = told(readings, Blast(TOKYO, near_codes=(1, 2, 3, 4)))
    assert code_told(events) == near
    # More sun never makes leaves wetter.
    sunny = told(
        [*weather_readings([celsius] * 24, rain, wind, sun, five_day_celsius)], Blast(TOKYO)
    )
    assert not sunny or expected is BlastCode.FAVOURABLE or not any(rain)


def test_who_measures_no_wind_and_no_sun_is_taken_to_be_calm_and_dull():
    rain = [0, 0, 0, 0, 0, 1, *[0] * 18]
    readings = [*weather_readings([21] * 24, rain, [4] * 24, [1] * 24, 21)]
    assert told(readings, Blast(TOKYO)) == []
    alone = [reading for reading in readings if reading.quantity in (AIR, RAIN)]
    assert code_told(told(alone, Blast(TOKYO))) == 0


@pytest.mark.parametrize("quantity", [AIR, RAIN, WIND, SUN])
def test_three_hours_that_are_missing_at_the_end_make_the_day_undecided(quantity):
    rain = [0, 0, 0, 0, 0, 1, *[0] * 18]
    readings = [*weather_readings([21] * 24, rain, [0] * 24, [0] * 24, 21)]
    cut = [r for r in readings if r.quantity is not quantity or r.at < END - 3 * HOUR]
    assert code_told(told(readings, Blast(TOKYO))) == 0
    assert told(cut, Blast(TOKYO)) == []


def test_what_cannot_be_is_not_believed():
    memory = Blast(TOKYO).remember()
    memory.resume(END, None)
    for quantity, (low, _) in POSSIBLE.items():
        memory.judge(field(quantity, low - 1, END), None)
    assert memory.dump()[1] == {}


def test_memory_stays_small():
    engine = Engine([Rule("blast", Blast(TOKYO), ("field",))])
    for n in range(30_000):
        at = END + n * timedelta(minutes=3)
        for quantity in (AIR, RAIN, WIND, SUN, LEAF):
            value = n / 10 if quantity is RAIN else n % 2
            engine.observe(field(quantity, value, at))
    assert len(json.dumps(engine.snapshot())) < 20_000


@given(st.integers(0, 6 * 144 - 1), st.integers(1, 600))
def test_a_restart_at_any_moment_changes_nothing(place, minutes):
    rain = [0, 0, 0, 0, 0, 1, *[0] * 18]
    readings = [*weather_readings([21] * 24, rain, [1] * 24, [0] * 24, 21)]
    rules = [Rule("blast", Blast(TOKYO), ("field",))]
    engine = Engine(rules)
    events = engine.advance(END - timedelta(days=10))
    for n, reading in enumerate(readings):
        if n == place:
            engine = Engine.restore(rules, json.loads(json.dumps(engine.snapshot())))
        events += engine.observe(reading)
    while engine.now < END + HOUR:
        events += engine.advance(engine.now + timedelta(minutes=minutes))
    assert events[:1] == told(readings, Blast(TOKYO))


@pytest.mark.parametrize("hours", [-49, -24, -1, 1, 24, 49])
def test_a_clock_that_is_set_leaves_it_waiting_for_the_next_afternoon(hours):
    memory = Blast(TOKYO).remember()
    memory.resume(END - HOUR, None)
    memory.judge(field(AIR, 20, END - HOUR), None)
    memory.shift(hours * HOUR)
    due = memory.due.astimezone(TOKYO)
    assert (due.hour, due.minute) == (15, 0)
    assert due - (END - HOUR + hours * HOUR) <= timedelta(days=1)


@pytest.mark.parametrize(
    "garbage", ["text", [1], {"a": 1}, 5, [None] * 6, [["x"]] * 6, [{}, {}, [], {}, None, "x"]]
)
def test_garbage_is_refused_as_such(garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Blast(TOKYO).remember(garbage)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"near_codes": (5,)}, "5 is not from 1 to 4"),
        ({"first_day": "6-1"}, "no month and day"),
        ({"last_day": "02-30"}, "no month and day"),
        ({"last_day": "05-31"}, "before first_day"),
        ({"over_after": timedelta(days=31)}, "over_after"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Blast(TOKYO, **settings)


def test_a_full_hour_belongs_to_what_follows():
    assert wall_hours(END, TOKYO) % 24 == 15
    sums = HourSums()
    sums.line(14.75, 10.0, 16.0, 15.0)
    assert sums.mean(14) is None
    assert sums.mean(15) == pytest.approx(13.0)
    sums.drop(15.0, 2.0)
    assert sums.amount(15) == pytest.approx(15.0)
    assert sums.forget(16) == [(15, pytest.approx(15.0))]
    assert sums.dump() == []


def test_half_hour_zones_have_full_hours_too():
    kolkata = ZoneInfo("Asia/Kolkata")
    at = datetime(2026, 7, 6, 15, tzinfo=kolkata)
    assert wall_hours(at.astimezone(UTC), kolkata) % 24 == 15


def test_it_watches_what_it_can_judge():
    assert {quantity for group in Blast.needs for quantity in group} < Blast.watches
    assert Quantity.HUMIDITY_PERCENT not in Blast.watches
