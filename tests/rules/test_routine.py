"""What a home teaches, told in days of a made-up home in which somebody sleeps, rises and sits."""

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.routine import (
    CAUTIOUS,
    FALLBACK,
    FLOOR,
    STANDARD,
    Coverage,
    HomeRoutine,
)

TOKYO = ZoneInfo("Asia/Tokyo")
START = datetime(2026, 1, 5, tzinfo=TOKYO)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def at(day, hour):
    return START + timedelta(days=day, hours=hour)


def live(routine, days, *, first=0, rises=7.0, nap=1.5):
    """Sleep from 22:00 until `rises`, then move every ten minutes but for a nap from 13:00 on."""
    for day in range(first, first + days):
        now, end = at(day, rises), at(day, 22)
        while now <= end:
            if not at(day, 13) < now < at(day, 13 + nap):
                routine.moved(now)
            now += 10 * MINUTE


def home(days=28, coverage=Coverage.WELL, profile=STANDARD, **habits):
    routine = HomeRoutine(TOKYO, coverage, profile)
    live(routine, days, **habits)
    return routine


def test_until_seven_days_are_known_the_fallback_stands():
    for days in range(8):
        assert home(days).limit(at(days, 10)) == FALLBACK
    assert home(9).limit(at(8, 10)) < FALLBACK


def test_who_is_never_still_at_ten_is_asked_about_soon():
    assert home().limit(at(27, 9.5)) == FLOOR


def test_a_usual_nap_alarms_nobody():
    assert at(28, 14.5) < home().due(at(28, 13)) < at(28, 17)


def test_who_does_not_get_up_is_asked_about_in_the_morning():
    due = home().due(at(27, 22))
    assert at(28, 7) < due <= at(28, 9)


def test_who_gets_up_an_hour_late_alarms_nobody():
    assert home().due(at(27, 22)) >= at(28, 8)


def test_who_gets_up_late_now_and_then_is_given_the_time():
    routine = home(14)
    live(routine, 1, first=14, rises=8.5)
    live(routine, 6, first=15)
    once = routine.due(at(21, 22))
    assert once == at(22, 8)
    live(routine, 1, first=21, rises=8.5)
    live(routine, 6, first=22)
    assert routine.due(at(28, 22)) == at(29, 9.5)


def test_who_sleeps_longer_than_the_most_is_not_called_each_morning():
    routine = home(28, rises=10)
    assert routine.due(at(27, 22)) == at(28, 11)


def test_a_silence_that_never_begins_at_this_time_of_day_is_too_long_sooner():
    routine = home()
    assert routine.due(at(28, 7.5)) < at(28, 12)
    assert routine.due(at(28, 12.5)) > at(28, 14.5)


def test_after_28_days_a_day_is_forgotten():
    routine = home(1, nap=5)
    live(routine, 27, first=1)
    late = routine.limit(at(28, 13))
    live(routine, 8, first=28)
    assert routine.limit(at(36, 13)) < late
    assert routine.days == 28


def rare(days, profile=STANDARD):
    """Return what a home teaches in which somebody moves every three hours, day and night."""
    routine = HomeRoutine(TOKYO, Coverage.WELL, profile)
    for n in range(8 * days + 1):
        routine.moved(at(0, 3 * n))
    return routine


def test_few_days_are_given_more_time():
    limits = [rare(days).limit(at(days, 0)) for days in (7, 14, 28)]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == 3


def test_the_cautious_profile_waits_longer():
    for hour in range(24):
        since = at(27, hour)
        assert home(profile=CAUTIOUS).limit(since) >= home().limit(since)
    assert rare(28, CAUTIOUS).limit(at(28, 0)) > rare(28).limit(at(28, 0))


@pytest.mark.parametrize("coverage", Coverage)
def test_nobody_waits_longer_than_the_coverage_allows(coverage):
    routine = home(coverage=coverage, rises=8, profile=CAUTIOUS)
    for hour in range(24):
        assert FLOOR <= routine.limit(at(28, hour)) <= CAUTIOUS.most[coverage]


def test_a_home_that_is_hardly_seen_waits_for_a_day():
    assert home(coverage=Coverage.HARDLY).limit(at(28, 10)) == timedelta(hours=24)


@pytest.mark.parametrize(
    ("motion", "contacts", "coverage"),
    [
        (0, 1, Coverage.HARDLY),
        (1, 0, Coverage.PART),
        (1, 1, Coverage.PART),
        (2, 0, Coverage.WELL),
        (1, 2, Coverage.WELL),
        (0, 4, Coverage.WELL),
    ],
)
def test_two_sensors_of_motion_cover_a_home_and_a_fridge_does_not(motion, contacts, coverage):
    assert Coverage.of(motion, contacts) is coverage


def test_days_without_a_sign_teach_nothing():
    gap = home(14)
    live(gap, 14, first=30)
    assert gap.limit(at(44, 10)) == FLOOR
    assert gap.limit(at(44, 22)) == home().limit(at(28, 22))


def test_a_day_of_which_nobody_listened_to_the_morning_teaches_the_evening_only():
    routine = home(14)
    routine.moved(at(14, 7))
    routine.unheard(at(14, 7.1), at(14, 15))
    routine.moved(at(14, 15.5))
    live(routine, 1, first=15)
    assert routine.limit(at(16, 9)) == FLOOR


def test_an_outing_teaches_no_silence():
    routine = home(14)
    routine.moved(at(14, 7))
    routine.left(at(14, 9))
    routine.moved(at(14, 20))
    live(routine, 1, first=15)
    assert routine.limit(at(16, 9)) == FLOOR


def test_a_silence_that_was_an_emergency_is_not_learned():
    routine, calm = home(14), home(14)
    routine.moved(at(14, 7))
    routine.ignore()
    routine.moved(at(14, 20))
    live(routine, 1, first=15)
    live(calm, 1, first=15)
    assert routine.limit(at(16, 9)) == calm.limit(at(16, 9)) == FLOOR


def test_an_emergency_stays_one_over_a_restart():
    routine = home(14)
    routine.moved(at(14, 7))
    routine.ignore()
    routine.unheard(at(14, 8), at(14, 8.1))
    routine.moved(at(14, 20))
    live(routine, 1, first=15)
    assert routine.limit(at(16, 9)) == FLOOR


def test_a_silence_that_was_none_is_learned():
    routine = home(14)
    routine.moved(at(14, 7))
    routine.moved(at(14, 12))
    live(routine, 1, first=15)
    assert routine.due(at(16, 7)) > at(16, 12)


def test_it_can_be_explained():
    told = home().explain(at(28, 13), at(28, 14))
    assert told.still == HOUR
    assert timedelta(hours=1.5) <= told.usual <= timedelta(hours=1.6)
    assert told.limit == home().limit(at(28, 13))
    assert told.days == 27
    assert home(3).explain(at(3, 13), at(3, 14)).usual is None


def test_a_time_of_day_at_which_nobody_is_ever_home_is_not_usual():
    routine = HomeRoutine(TOKYO, Coverage.WELL)
    for day in range(14):
        live(routine, 1, first=day, rises=18)
        routine.left(at(day + 1, 1))
    assert routine.explain(at(14, 10), at(14, 12)).usual is None
    assert routine.limit(at(14, 3)) == STANDARD.most[Coverage.WELL]


def test_the_same_moments_in_another_zone_of_the_caller_are_the_same():
    routine, other = home(12), HomeRoutine(TOKYO, Coverage.WELL)
    live(Caller(other), 12)
    since = at(12, 13)
    assert other.due(since.astimezone(UTC)) == routine.due(since)


class Caller:
    """Tells everything in UTC."""

    def __init__(self, routine):
        self.routine = routine

    def moved(self, when):
        self.routine.moved(when.astimezone(UTC))


def test_a_day_on_which_the_clocks_change_is_a_day():
    zone = ZoneInfo("Europe/Berlin")
    routine = HomeRoutine(zone, Coverage.WELL)
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    for n in range(24 * 45):
        routine.moved(begin + n * HOUR)
    assert routine.days == 28
    assert routine.limit(begin + timedelta(days=46)) < 4 * HOUR


def test_time_does_not_move_backward():
    routine = home(10)
    before = routine.dump()
    routine.moved(at(9, 3))
    assert routine.dump() == before


def test_a_clock_that_was_wrong_moves_the_silence_and_not_the_days():
    routine = home(10)
    before = routine.dump()
    routine.shift(-2 * HOUR)
    assert routine.dump()["closed"] == before["closed"]
    routine.moved(at(9, 21))
    assert routine.dump()["since"] == at(9, 21).isoformat()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["moved", "moved", "moved", "moved", "left", "ignore", "unheard", "shift"]),
        st.integers(0, 40 * 60),
    ),
    max_size=120,
)


def told(routine, now, step):
    """Tell the routine one thing that happens `minutes` later, and return the time."""
    what, minutes = step
    later = now + minutes * MINUTE
    match what:
        case "moved":
            routine.moved(later)
        case "left":
            routine.left(later)
        case "ignore":
            routine.ignore()
            return now
        case "unheard":
            routine.unheard(now, later)
        case "shift":
            routine.shift(timedelta(minutes=minutes % 7))
            return now + timedelta(minutes=minutes % 7)
    return later


@given(STEPS, st.integers(0, 120), st.integers(0, 28))
def test_dumped_and_loaded_at_any_moment_it_goes_on_the_same(steps, cut, known):
    routine, now = home(known), at(known, 0)
    other = copy.deepcopy(routine)
    for number, step in enumerate(steps):
        if number == cut:
            dumped = json.loads(json.dumps(other.dump()))
            other = HomeRoutine.load(dumped, TOKYO, Coverage.WELL)
        told(other, now, step)
        now = told(routine, now, step)
        assert other.due(now) == routine.due(now)
    assert other.dump() == routine.dump()


@given(STEPS, st.sampled_from(list(Coverage)))
def test_whatever_happens_the_limit_and_the_memory_have_bounds(steps, coverage):
    routine, now = home(20, coverage), at(20, 0)
    for step in steps:
        now = told(routine, now, step)
        assert FLOOR <= routine.limit(now) <= max(FALLBACK, STANDARD.most[coverage])
    assert len(json.dumps(routine.dump())) < 18_000


@given(STEPS)
def test_asking_changes_nothing(steps):
    routine, quiet, now = home(10), home(10), at(10, 0)
    for step in steps:
        told(quiet, now, step)
        now = told(routine, now, step)
        routine.due(now)
        routine.explain(now, now + HOUR)
    assert routine.dump() == quiet.dump()


@given(STEPS, st.integers(-12, 14))
def test_in_every_zone_a_day_is_a_day(steps, hours):
    routine = HomeRoutine(timezone(hours * HOUR), Coverage.WELL)
    now = at(0, 0)
    for step in steps:
        now = told(routine, now, step)
    assert routine.days <= 28
    assert FLOOR <= routine.limit(now) <= FALLBACK


@pytest.mark.parametrize(
    "damage", [{"closed": ["00"]}, {"since": "x"}, {"today": 3}, {"count": None}]
)
def test_what_is_no_dump_is_refused(damage):
    with pytest.raises(ValueError):
        HomeRoutine.load(home(9).dump() | damage, TOKYO, Coverage.WELL)


def test_an_empty_dump_is_refused():
    with pytest.raises(ValueError, match="no dump of a routine"):
        HomeRoutine.load({}, TOKYO, Coverage.WELL)
