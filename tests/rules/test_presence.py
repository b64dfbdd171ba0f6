"""Whether somebody is at home, as a door and the sensors inside tell it."""

from datetime import UTC, datetime, timedelta

import pytest

from drivers.reading import Quantity, Reading
from rules.alert import Severity
from rules.conditions.inactive import Inactive
from rules.engine import Engine, Rule
from rules.hours import Hours
from rules.presence import Presence, PresenceSensors, PresenceState

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
SENSORS = PresenceSensors(frozenset({"front door"}), frozenset({"kitchen", "fridge"}))
CONTACT, MOTION = Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED


def minute(n):
    return START + timedelta(minutes=n)


def after(*readings, until, sensors=SENSORS):
    """Return the presence at minute `until` after readings (minute, sensor, quantity, value)."""
    engine = Engine([], sensors)
    for at, sensor, quantity, value in readings:
        engine.observe(Reading(sensor, quantity, value, minute(at)))
    engine.advance(minute(until))
    return engine.presence


LEFT = [
    (0, "front door", CONTACT, 0.0),
    (1, "kitchen", MOTION, 1.0),
    (2, "kitchen", MOTION, 0.0),
    (5, "front door", CONTACT, 1.0),
    (6, "front door", CONTACT, 0.0),
]


def test_before_anything_was_heard_nobody_knows():
    assert after(until=1000) is Presence.UNKNOWN


def test_who_moves_inside_is_at_home():
    assert after(*LEFT[:2], until=1000) is Presence.HOME


@pytest.mark.parametrize(
    ("until", "presence"), [(15, Presence.HOME), (16, Presence.AWAY), (2000, Presence.AWAY)]
)
def test_ten_still_minutes_after_the_door_spoke_last_the_home_is_empty(until, presence):
    assert after(*LEFT, until=until) is presence


def test_how_long_it_must_be_still_is_a_setting():
    patient = PresenceSensors(SENSORS.doors, SENSORS.interior, timedelta(hours=1))
    assert after(*LEFT, until=65, sensors=patient) is Presence.HOME
    assert after(*LEFT, until=66, sensors=patient) is Presence.AWAY


def test_who_moves_inside_after_the_door_has_not_left():
    assert after(*LEFT, (7, "kitchen", MOTION, 1.0), until=1000) is Presence.HOME


def test_a_fridge_that_is_opened_shows_somebody_inside():
    fridge = [(0, "fridge", CONTACT, 0.0), (40, "fridge", CONTACT, 1.0)]
    assert after(*LEFT, *fridge[1:], until=41) is Presence.AWAY
    assert after(fridge[0], *LEFT, fridge[1], until=41) is Presence.HOME


def test_who_comes_home_is_at_home_once_something_inside_speaks():
    back = [(60, "front door", CONTACT, 1.0), (61, "front door", CONTACT, 0.0)]
    assert after(*LEFT, *back, until=62) is Presence.AWAY
    assert after(*LEFT, *back, (62, "kitchen", MOTION, 1.0), until=62) is Presence.HOME


def test_motion_that_ends_shows_nobody():
    assert after(*LEFT, (7, "kitchen", MOTION, 0.0), until=1000) is Presence.AWAY


def test_a_door_that_repeats_itself_says_that_nobody_went_through():
    assert after(*LEFT[:2], *[(n, "front door", CONTACT, 0.0) for n in (9, 10)], until=99) is (
        Presence.HOME
    )


def test_other_sensors_and_batteries_say_nothing_about_presence():
    stray = [(7, "shed", MOTION, 1.0), (8, "kitchen", Quantity.BATTERY_PERCENT, 50.0)]
    assert after(*LEFT, *stray, until=1000) is Presence.AWAY


def test_where_no_sensor_is_named_nobody_ever_knows():
    assert after(*LEFT, until=1000, sensors=None) is Presence.UNKNOWN


def test_it_is_away_since_the_ten_minutes_were_over_not_since_somebody_looked():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.advanced(minute(500), SENSORS) == PresenceState(
        Presence.AWAY, minute(10), absent_from=minute(10 + 36 * 60)
    )


def test_before_the_ten_minutes_are_over_nothing_changes():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.advanced(minute(9.99), SENSORS) is state


def test_who_stays_at_home_is_at_home_since_the_first_sign():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.spoken("kitchen", SENSORS, minute(5)) == PresenceState(Presence.HOME, minute(0))


def test_who_is_away_stays_away_since_then_though_the_door_speaks_again():
    state = PresenceState(Presence.AWAY, minute(0)).spoken("front door", SENSORS, minute(60))
    assert state.advanced(minute(90), SENSORS) == PresenceState(Presence.AWAY, minute(0))


def test_on_a_clock_that_was_wrong_everything_moves_together():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.shifted(timedelta(minutes=3)) == PresenceState(
        Presence.HOME, minute(3), minute(13)
    )
    assert PresenceState().shifted(timedelta(days=-1)) == PresenceState()


def test_a_time_in_which_nobody_listened_puts_off_being_away_and_nothing_else():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.unheard(timedelta(hours=1)) == PresenceState(Presence.HOME, minute(0), minute(70))
    away = PresenceState(Presence.AWAY, minute(0))
    assert away.unheard(timedelta(hours=1)) == away


# ---- asleep, absent, paused

NIGHT = PresenceSensors(
    SENSORS.doors,
    SENSORS.interior,
    buttons=frozenset({"button"}),
    sleep=Hours.parse("21:00-06:00", UTC),
)
HOURS = 60
PRESS, LONG = 1.0, 4.0


def home_after(*readings, until):
    """Return the engine; the day begins at 08:00."""
    engine = Engine([], NIGHT)
    for at, sensor, quantity, value in readings:
        engine.observe(Reading(sensor, quantity, value, minute(at)))
    engine.advance(minute(until))
    return engine


def moves(*minutes):
    return [
        m for n in minutes for m in ((n, "kitchen", MOTION, 1.0), (n + 1, "kitchen", MOTION, 0.0))
    ]


def leaves(n):
    return [(n, "front door", CONTACT, 1.0), (n + 1, "front door", CONTACT, 0.0)]


LEAVES_AT_9 = [(0, "front door", CONTACT, 0.0), *moves(10), *leaves(1 * HOURS)]


@pytest.mark.parametrize(
    ("last_sign", "until", "presence"),
    [
        (5 * HOURS, 12 * HOURS, Presence.HOME),
        (5 * HOURS, 13 * HOURS, Presence.ASLEEP),
        (14 * HOURS, 14 * HOURS + 44, Presence.HOME),
        (14 * HOURS, 14 * HOURS + 45, Presence.ASLEEP),
        (14 * HOURS, 30 * HOURS, Presence.ASLEEP),
    ],
)
def test_who_is_still_in_the_hours_of_sleep_is_asleep(last_sign, until, presence):
    assert (
        home_after(*moves(10), (last_sign, "kitchen", MOTION, 1.0), until=until).presence
        is presence
    )


def test_a_sign_in_the_night_is_somebody_awake_who_sleeps_again():
    readings = [*moves(10), *moves(18 * HOURS)]
    assert home_after(*readings, until=18 * HOURS + 1).presence is Presence.HOME
    assert home_after(*readings, until=19 * HOURS).presence is Presence.ASLEEP


def test_a_rule_for_home_judges_sleepers_and_one_for_sleepers_nobody_else():
    assert Presence.HOME.covers(Presence.ASLEEP)
    assert Presence.HOME.covers(Presence.UNKNOWN)
    assert not Presence.HOME.covers(Presence.ABSENT)
    assert Presence.AWAY.covers(Presence.ABSENT)
    assert not Presence.ASLEEP.covers(Presence.HOME)
    assert not Presence.ABSENT.covers(Presence.AWAY)


def test_who_is_away_for_36_hours_is_absent():
    assert home_after(*LEAVES_AT_9, until=37 * HOURS).presence is Presence.AWAY
    assert home_after(*LEAVES_AT_9, until=37 * HOURS + 11).presence is Presence.ABSENT


@pytest.mark.parametrize(
    ("stayed", "presence"),
    [(30, Presence.ABSENT), (2 * HOURS, Presence.ABSENT), (4 * HOURS, Presence.AWAY)],
)
def test_a_visit_does_not_end_being_absent_but_coming_home_does(stayed, presence):
    came = 50 * HOURS
    visit = [*leaves(came), *moves(*range(came + 2, came + stayed, 20)), *leaves(came + stayed)]
    engine = home_after(*LEAVES_AT_9, *visit, until=came + stayed)
    assert engine.presence is Presence.HOME, "to be on the safe side"
    engine.advance(minute(came + stayed + 20))
    assert engine.presence is presence


def test_the_button_says_that_it_is_the_resident_who_is_back():
    came = 50 * HOURS
    back = [*leaves(came), (came + 3, "button", Quantity.BUTTON_EVENT, PRESS), *leaves(came + 30)]
    assert home_after(*LEAVES_AT_9, *back, until=came + 5).presence is Presence.HOME
    assert home_after(*LEAVES_AT_9, *back, until=came + 50).presence is Presence.AWAY


def left_open(sensor="kitchen", **options):
    rule = Rule("still", Inactive(), (sensor,), hold_for=timedelta(hours=1), **options)
    engine = Engine([rule], NIGHT)
    engine.observe(Reading("kitchen", MOTION, 1.0, minute(0)))
    engine.observe(Reading("button", Quantity.BUTTON_EVENT, LONG, minute(10)))
    return engine


def test_a_long_press_is_a_pause_of_two_hours_after_which_waiting_begins_anew():
    engine = left_open()
    assert engine.paused_until == minute(130)
    events = engine.advance(minute(1000))
    assert [(event.phase, event.at) for event in events] == [("firing", minute(190))]
    assert engine.paused_until is None


def test_one_press_ends_the_pause():
    engine = left_open()
    engine.observe(Reading("button", Quantity.BUTTON_EVENT, PRESS, minute(20)))
    assert engine.paused_until is None
    assert [event.at for event in engine.advance(minute(1000))] == [minute(80)]


def test_a_pause_survives_a_restart_and_ends_when_it_was_to_end():
    engine = left_open()
    rules = [watch.rule for watch in engine._watches]
    engine = Engine.restore(rules, engine.snapshot(), NIGHT, listening_from=minute(100))
    assert engine.paused_until == minute(130)
    assert [event.at for event in engine.advance(minute(1000))] == [minute(190)]


@pytest.mark.parametrize("rule", [{"severity": Severity.FAULT}, {"sensor": "shed"}])
def test_a_pause_stops_neither_the_care_for_equipment_nor_what_is_outside(rule):
    assert [event.at for event in left_open(**rule).advance(minute(100))] == [minute(60)]
