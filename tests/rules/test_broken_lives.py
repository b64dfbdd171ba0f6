"""Everything at once, at any moment: signs of life, clocks that are set, restarts, power cuts,
another configuration, numbers that cannot be. Nobody is told twice that it begins, nor that it ends
when it never began, and what is remembered stays small."""

import json
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from drivers.reading import Quantity, Reading
from rules.conditions.all_silent import AllSilent
from rules.conditions.frost import Frost
from rules.conditions.inactive import Inactive
from rules.conditions.left_open import LeftOpen
from rules.conditions.long_stay import LongStay
from rules.conditions.night_exit import NightExit
from rules.conditions.not_home_from_field import NotHomeFromField
from rules.conditions.not_returned import NotReturned
from rules.conditions.not_risen import NotRisen
from rules.conditions.routine import Routine
from rules.engine import Engine, Rule
from rules.hours import Hours
from rules.lifecycle import Phase
from rules.presence import PresenceSensors

ZONE = ZoneInfo("Europe/Berlin")
"""Where clocks change in summer and winter."""

PRESENCE = PresenceSensors(
    frozenset({"door"}),
    frozenset({"kitchen", "bath"}),
    buttons=frozenset({"button"}),
    sleep=Hours.parse("21:00-06:00", ZONE),
)
INSIDE = ("kitchen", "bath")
PEOPLE = ("door", *INSIDE, "button")
TOLD_AGAIN = {"frost", "night"}
"""What is told a second time on purpose, while it fires."""

STEPS = 600
HOURS = timedelta(hours=1)


def rules(profile="standard"):
    dead = {"unless": ("radio",)}
    return [
        Rule("radio", AllSilent(), (*INSIDE, "meter"), hold_for=timedelta(minutes=30)),
        Rule("still", Routine(ZONE, frozenset({"door"}), profile), PEOPLE, **dead),
        Rule("still for 12 h", Inactive(), PEOPLE, hold_for=12 * HOURS, **dead),
        Rule("out", NotReturned(), PEOPLE, **dead),
        Rule("field", NotHomeFromField(ZONE, 50, 10), ("kitchen", "door")),
        Rule("risen", NotRisen(ZONE), INSIDE, **dead),
        Rule("night", NightExit(ZONE, ("door",)), ("door", *INSIDE)),
        Rule("stay", LongStay(("bath",)), ("door", *INSIDE)),
        Rule("open", LeftOpen(), ("door",)),
        Rule("frost", Frost(50, 10), ("meter",)),
    ]


def spoken(rnd, states, at):
    """Yield what one sensor says."""
    sensor = rnd.choice(["door", *INSIDE, *INSIDE, "button", "meter", "meter"])
    if sensor == "button":
        yield Reading(sensor, Quantity.BUTTON_EVENT, rnd.choice([1, 4]), at)
    elif sensor == "meter":
        celsius, percent = rnd.choice([-5, 0, 3, 9, 20, 200]), rnd.choice([0, 30, 80, 100, 300])
        yield Reading(sensor, Quantity.TEMPERATURE_CELSIUS, celsius, at)
        yield Reading(sensor, Quantity.HUMIDITY_PERCENT, percent, at)
    else:
        states[sensor] = 1 - states.get(sensor, 0)
        door = sensor == "door"
        quantity = Quantity.CONTACT_OPEN if door else Quantity.MOTION_DETECTED
        yield Reading(sensor, quantity, states[sensor], at)


@pytest.mark.parametrize("seed", range(6))
def test_a_broken_life_tells_each_thing_once(seed):
    rnd, states, firing, told = random.Random(seed), {}, set(), 0
    at = datetime(2026, rnd.choice([3, 10]), 20, tzinfo=UTC)
    engine = Engine(rules(), PRESENCE)
    for _ in range(STEPS):
        at += timedelta(seconds=rnd.choice([1, 5, 60, 600, 3600, 3 * 3600, 9 * 3600]))
        events = engine.advance(at)
        chance = rnd.random()
        if chance < 0.03:
            by = rnd.choice([-30, -5, -1, 1, 7, 24 * 400]) * HOURS
            engine.shift(by)
            at += by
        elif chance < 0.06:
            state = json.loads(json.dumps(engine.snapshot()))
            gap = rnd.choice([0, 0.01, 1, 10, 100, -3]) * HOURS
            profile = rnd.choice(["standard", "cautious"])
            engine = Engine.restore(rules(profile), state, PRESENCE, listening_from=at + gap)
            at = engine.now
        else:
            for reading in spoken(rnd, states, at):
                events += engine.observe(reading)
        for event in events:
            if event.phase is Phase.FIRING:
                assert event.rule not in firing or event.rule in TOLD_AGAIN
                firing.add(event.rule)
            else:
                assert event.rule in firing
                firing.discard(event.rule)
        told += len(events)
    assert told > 20
    assert len(json.dumps(engine.snapshot())) < 60_000
