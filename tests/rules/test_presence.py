"""Whether somebody is at home, as a door and the sensors inside tell it."""

from datetime import UTC, datetime, timedelta

import pytest

from drivers.reading import Quantity, Reading
from rules.engine import Engine
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
    ("until", "presence"), [(15, Presence.HOME), (16, Presence.AWAY), (9999, Presence.AWAY)]
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
    assert state.advanced(minute(500)) == PresenceState(Presence.AWAY, minute(10))


def test_before_the_ten_minutes_are_over_nothing_changes():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.advanced(minute(9.99)) is state


def test_who_stays_at_home_is_at_home_since_the_first_sign():
    state = PresenceState(Presence.HOME, minute(0), away_from=minute(10))
    assert state.spoken("kitchen", SENSORS, minute(5)) == PresenceState(Presence.HOME, minute(0))


def test_who_is_away_stays_away_since_then_though_the_door_speaks_again():
    state = PresenceState(Presence.AWAY, minute(0)).spoken("front door", SENSORS, minute(60))
    assert state.advanced(minute(90)) == PresenceState(Presence.AWAY, minute(0))


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
    assert away.unheard(timedelta(hours=1)) is away
