"""Stories of alerts, told as timelines in tests/vectors/rules/<condition>.toml, and lived here.

The comment on top of each file says how it is read; nothing in it needs a programmer.
"""

import copy
import json
import tomllib
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import get_type_hints
from zoneinfo import ZoneInfo

import pytest

import rules.conditions
from drivers.reading import Quantity, Reading
from gateway_config.duration import parse_duration
from gateway_config.kinds import find, kinds
from rules.alert import Severity
from rules.engine import Engine, Rule
from rules.hours import Hours
from rules.presence import Presence, PresenceSensors

FOLDER = Path(__file__).parents[1] / "vectors" / "rules"
CONDITIONS = kinds(rules.conditions)
ZONE = ZoneInfo("Asia/Tokyo")
DAY_1 = date(2026, 1, 5)
PLACE = {"zone": ZONE, "latitude_degrees": 34.18, "longitude_degrees": 131.47}

TOPICS = {
    "fires",
    "short",
    "hold",
    "margin",
    "clears",
    "late",
    "restart",
    "power cut",
    "hours",
    "home and away",
    "several sensors",
}
"""What every condition has a story about; a margin only if it has one."""


def moment(text):
    """Return the time of "08:20", "08:20:05" or "day 2 08:20"."""
    *day, clock = text.removeprefix("day ").split(" ")
    on = DAY_1 + timedelta(days=int(day[0]) - 1 if day else 0)
    return datetime.combine(on, time.fromisoformat(clock), ZONE).astimezone(UTC)


def condition_of(kind, table):
    cls = find(rules.conditions, kind)
    types = get_type_hints(cls)
    own = {field.name for field in fields(cls)}
    values = {name: value for name, value in PLACE.items() if name in own}
    for name, written in table.items():
        if name in own:
            value = tuple(written) if isinstance(written, list) else written
            values[name] = parse_duration(value) if types[name] is timedelta else value
    return cls(**values)


def rule_of(kind, table):
    return Rule(
        name=table["name"],
        condition=condition_of(kind, table),
        sensors=tuple(table.get("sensors", ())),
        quantity=Quantity(table["quantity"]) if "quantity" in table else None,
        hold_for=parse_duration(table.get("hold", "0 s")),
        hours=Hours.parse(table["hours"], ZONE) if "hours" in table else None,
        presence=Presence(table["presence"]) if "presence" in table else None,
        severity=Severity(table.get("severity", "warning")),
    )


def presence_of(table):
    doors, interior = frozenset(table["doors"]), frozenset(table["interior"])
    return PresenceSensors(doors, interior, parse_duration(table["away_after"]))


class Life:
    """One engine living through one story."""

    def __init__(self, kind, file, story):
        parts = [rule_of(part["condition"], part) for part in file.get("part", [])]
        self.rules = [*parts, rule_of(kind, file["rule"] | story.get("rule", {}))]
        self.presence = presence_of(file["presence"])
        self.engine = Engine(self.rules, self.presence)
        self.events = []

    def live(self, line):
        match line:
            case [at, str(sensor), str(quantity), int(value) | float(value)]:
                reading = Reading(sensor, Quantity(quantity), value, moment(at))
                self.events += self.engine.observe(reading)
            case [at, "the gateway starts" | "time passes"]:
                self.pass_until(moment(at))
            case [at, "restart"]:
                self.pass_until(moment(at))
                self.restart()
            case [at, "power cut until", then]:
                self.pass_until(moment(at))
                self.restart(listening_from=moment(then))
            case [at, "clock set forward by", duration]:
                self.pass_until(moment(at))
                self.engine.shift(parse_duration(duration))
            case _:
                raise ValueError(f"nobody knows how to live through {line}")

    def pass_until(self, at):
        self.events += self.engine.advance(at)

    def pass_minute_by_minute(self, at):
        while self.engine.now is not None and self.engine.now < at - timedelta(minutes=1):
            self.pass_until(self.engine.now + timedelta(minutes=1))

    def restart(self, listening_from=None):
        written = json.loads(json.dumps(self.engine.snapshot()))
        self.engine = Engine.restore(
            self.rules, written, self.presence, listening_from=listening_from
        )


def as_told(life, line):
    life.live(line)


def with_the_time_told_every_minute(life, line):
    life.pass_minute_by_minute(moment(line[0]))
    life.live(line)


def with_a_restart_after_every_line(life, line):
    life.live(line)
    life.restart()


def on_a_copy_after_every_line(life, line):
    life.live(line)
    original, life.engine = life.engine, copy.deepcopy(life.engine)
    original.advance(moment("day 9 00:00"))


WAYS = [
    as_told,
    with_the_time_told_every_minute,
    with_a_restart_after_every_line,
    on_a_copy_after_every_line,
]


def stories():
    for path in sorted(FOLDER.glob("*.toml")):
        file = tomllib.loads(path.read_text(encoding="utf-8"))
        for story in file["story"]:
            yield pytest.param(path.stem, file, story, id=f"{path.stem}: {story['says']}")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("kind", "file", "story"), [*stories()])
def test_people_are_told_what_the_story_says_and_nothing_else(kind, file, story, way):
    life = Life(kind, file, story)
    for line in chain(story["timeline"], [[story["until"], "time passes"]]):
        way(life, line)
    several = any(len(alert) > 2 for alert in story["alerts"])
    told = [[event.at, event.phase, event.sensor][: 2 + several] for event in life.events]
    assert told == [[moment(at), *rest] for at, *rest in story["alerts"]]


@pytest.mark.parametrize("kind", CONDITIONS)
def test_every_condition_has_a_story_about_everything_that_can_happen(kind):
    file = tomllib.loads((FOLDER / f"{kind}.toml").read_text(encoding="utf-8"))
    expected = set(TOPICS)
    if "margin" not in {field.name for field in fields(find(rules.conditions, kind))}:
        expected.remove("margin")
    assert {story["about"] for story in file["story"]} == expected


def test_no_story_is_about_a_condition_that_does_not_exist():
    assert [path.stem for path in sorted(FOLDER.glob("*.toml"))] == CONDITIONS
