"""Reads the two lists of a story: what happens (`timeline`), and what people are told (`alerts`).

Each entry is refused by itself, in words for those who write it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import cast

from agent.rule_tests.story import (
    MAX_DAYS,
    Calendar,
    ClockSet,
    Expected,
    Measured,
    Passes,
    Restart,
    Step,
)
from drivers.reading import Quantity, Reading
from gateway_config.duration import parse_duration
from gateway_config.mistakes import both, did_you_mean, shown, there_are
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase

WORDS = ("the gateway starts", "time passes", "restart", "power cut until", "clock set forward by")

FORMS = 'write ["08:20", sensor, quantity, number], or ["08:20", what] where what is: ' + ", ".join(
    [*(f'"{word}"' for word in WORDS[:3]), '"power cut until", time', f'"{WORDS[4]}", "2 h"']
)

EACH_DAY_FORM = (
    "write { days = [1, 8], timeline = [ … ] }, with the first and the last day and lines "
    'such as ["08:20", sensor, quantity, number]'
)

ALERT_FORMS = (
    'write ["08:20", "firing"], ["08:20", "quiet", sensor] or '
    '{ at = "08:20", phase = "firing", rule = "…" }'
)

TOLD = (Phase.FIRING, Phase.QUIET)
FIELDS = tuple(field.name for field in fields(AlertEvent))


class BadEntry(ValueError):
    """An entry cannot be used: what is wrong with it, and what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint


@dataclass(frozen=True)
class Known:
    """What a story may speak of."""

    calendar: Calendar
    sensors: Mapping[str, frozenset[Quantity]] | None
    """What each can measure; None: nothing says which there are."""
    rules: tuple[str, ...]
    """The names of those that are tested."""


def step_of(line: object, known: Known) -> Step:
    """Return what happens. Raises BadEntry."""
    match line:
        case [at, str(sensor), str(quantity), value]:
            return Measured(_reading(at, sensor, quantity, value, known))
        case [at, "the gateway starts" | "time passes"]:
            return Passes(time_of(at, known))
        case [at, "restart"]:
            return Restart(time_of(at, known))
        case [at, "power cut until", then]:
            return Restart(time_of(at, known), time_of(then, known))
        case [at, "clock set forward by", duration]:
            return ClockSet(time_of(at, known), _duration(duration))
        case [_, str(word), *_]:
            raise BadEntry("nobody knows what happens", both(did_you_mean(word, WORDS), FORMS))
        case _:
            raise BadEntry("is nothing that happens", FORMS)


def each_day(table: Mapping[object, object]) -> Iterator[list[object]]:
    """Yield the lines of every day from the first to the last. Raises BadEntry."""
    match table:
        case {"days": [int(first), int(last)], "timeline": [*lines]} if (
            len(table) == 2 and 1 <= first <= last <= MAX_DAYS
        ):
            pass
        case _:
            raise BadEntry("is not what happens each day", EACH_DAY_FORM)
    for day in range(first, last + 1):
        for line in lines:
            match line:
                case [str(at), *what] if not at.startswith("day"):
                    yield [f"day {day} {at}", *what]
                case _:
                    raise BadEntry(f"{shown(line)} is no line of a day", EACH_DAY_FORM)


def time_of(written: object, known: Known) -> datetime:
    """Return the time (UTC). Raises BadEntry."""
    if not isinstance(written, str):
        raise BadEntry(f"{shown(written)} is not a time in quotes", 'write "08:20"')
    try:
        return known.calendar.moment(written)
    except ValueError as error:
        raise BadEntry(f"{shown(written)} {error}") from None


def _reading(at: object, sensor: str, quantity: str, value: object, known: Known) -> Reading:
    if quantity not in list(Quantity):
        meant = both(did_you_mean(quantity, Quantity), there_are(sorted(Quantity)))
        raise BadEntry(f"{shown(quantity)} is no quantity", meant)
    if known.sensors is not None:
        _check_sensor(sensor, known.sensors)
        if quantity not in known.sensors[sensor]:
            measures = there_are(sorted(known.sensors[sensor]))
            raise BadEntry(f"{shown(sensor)} never measures {quantity}", measures)
    return Reading(sensor, Quantity(quantity), _number(value), time_of(at, known))


def _check_sensor(sensor: str, sensors: Mapping[str, object]) -> None:
    if sensor not in sensors:
        meant = both(did_you_mean(sensor, sensors), there_are(map(shown, sensors)))
        raise BadEntry(f"the configuration has no sensor {shown(sensor)}", meant)


def _number(value: object) -> float:
    # An integer of many digits is no float.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    hint = "for a door 1 is open, for motion 1 is that somebody moves"
    raise BadEntry(f"{shown(value)} is not a number below 10^15", hint)


def _duration(written: object) -> timedelta:
    try:
        duration = parse_duration(written if isinstance(written, str) else "")
    except (ValueError, OverflowError):
        raise BadEntry(f'{shown(written)} is not a duration such as "90 s" or "2 h"') from None
    if duration > timedelta(days=MAX_DAYS):
        raise BadEntry(f"{shown(written)} is more than {MAX_DAYS} days")
    return duration


def alert_of(entry: object, known: Known) -> Expected:
    """Return the alert that is expected. Raises BadEntry."""
    named: Mapping[str, object]
    match entry:
        case [at, phase]:
            named = {"at": at, "phase": phase}
        case [at, phase, sensor]:
            named = {"at": at, "phase": phase, "sensor": sensor}
        case {"at": _, "phase": _}:
            named = cast("Mapping[str, object]", entry)
        case _:
            raise BadEntry("is no alert", ALERT_FORMS)
    return Expected({name: _field(name, value, known) for name, value in named.items()})


def _field(name: str, value: object, known: Known) -> object:
    if name not in FIELDS:
        meant = both(did_you_mean(name, FIELDS), there_are(FIELDS))
        raise BadEntry(f"an alert has no {shown(name)}", meant)
    match name:
        case "at" | "since":
            found: object = time_of(value, known)
        case "phase":
            found = _one_of("phase", value, TOLD)
        case "severity":
            found = _one_of("severity", value, tuple(Severity))
        case "rule":
            found = _one_of("rule that is tested here", value, known.rules)
        case "sensor":
            found = _alert_sensor(value, known)
        case "value":
            found = _number(value)
        case _:
            found = _plain(name, value)
    return found


def _one_of(what: str, value: object, words: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in words:
        return value
    meant = did_you_mean(value, words) if isinstance(value, str) else ""
    raise BadEntry(f"{shown(value)} is no {what}", both(meant, there_are(map(shown, words))))


def _alert_sensor(value: object, known: Known) -> str:
    if not isinstance(value, str):
        raise BadEntry(f"{shown(value)} is no sensor")
    if value in known.rules and (known.sensors is None or value not in known.sensors):
        hint = f'write {{ at = "…", phase = "…", rule = {shown(value)} }}'
        raise BadEntry(f"{shown(value)} is a rule, where a sensor stands", hint)
    # A rule over several sensors together tells of "" as long as none has spoken.
    if value and known.sensors is not None:
        _check_sensor(value, known.sensors)
    return value


def _plain(name: str, value: object) -> object:
    """Return a value that is compared as it is: text, a number, or numbers by their names."""
    if isinstance(value, dict):
        return {key: _number(number) for key, number in value.items()}
    if isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise BadEntry(f"{name} = {shown(value)} is neither text nor a number", "")
