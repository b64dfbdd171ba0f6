"""Recordings of people who live alone, as readings, and what is known of them in hindsight.

NAME.csv.gz   columns at, sensor, room, kind, value; `at` is local time without a zone

kind          motion, contact, and what else a person switches or loads (power, pressure, flush),
              which is told as a contact; `status` is about equipment and is left out
at home       everywhere but in gaps of 20 minutes or more with the outer door within five
              minutes before and after: an outing
lived in      between gaps of 24 hours or more (a journey, a dead radio); pieces shorter than two
              days are visits, and count for nothing
"""

import csv
import gzip
import random
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from drivers.reading import Quantity, Reading
from rules.activity import is_activity
from rules.presence import PresenceSensors

WARM_UP = timedelta(days=7)
"""Lived in; for learning: neither delays nor false alarms count in them."""

UNINHABITED = timedelta(hours=24)
VISIT = timedelta(days=2)
OUTING = timedelta(minutes=20)
NEAR_DOOR = timedelta(minutes=5)

DOOR_PLACE = re.compile(r"entrance|outside|foyer|front ?door|main ?door|genkan|玄関", re.IGNORECASE)
NO_DOOR = re.compile(r"closet|cup ?board|cabinet|drawer|light|lamp", re.IGNORECASE)
ON_WATT = 5.0


@dataclass(frozen=True)
class Home:
    """A recording, and what is known of it in hindsight."""

    name: str
    readings: list[Reading]
    presence: PresenceSensors
    judged: list[tuple[datetime, datetime]]
    """When it was lived in, without the first seven days."""
    moments: list[datetime]
    """At random, while the resident was at home; in order."""

    @property
    def days(self) -> float:
        return sum((end - begin) / timedelta(days=1) for begin, end in self.judged)

    def is_judged(self, at: datetime) -> bool:
        return any(begin <= at < end for begin, end in self.judged)


def load(path: Path, moments: int) -> Home:
    """Return the home, and so many moments; always the same ones."""
    name = path.name.removesuffix(".csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["at"])
    rows = [row for row in rows if row["kind"] != "status"]
    doors = frozenset(row["sensor"] for row in rows if is_door(row))
    interior = frozenset(row["sensor"] for row in rows) - doors
    readings = list(readings_of(rows))
    signs = list(signs_of(readings))
    judged = lived_in([sign.at for sign in signs])
    rng = random.Random(f"{name} 1")
    at_home = at_home_in(judged, list(outings_of(signs, doors)), rng, moments)
    return Home(name, readings, PresenceSensors(doors, interior), judged, at_home)


def readings_of(rows: Sequence[dict[str, str]]) -> Iterator[Reading]:
    """Yield what a gateway would have heard."""
    values = defaultdict(set)
    for row in rows:
        values[row["sensor"]].add(row["value"])
    for row in rows:
        at = datetime.fromisoformat(row["at"]).replace(tzinfo=UTC)
        value = float(row["value"])
        if row["kind"] == "power" and value != 1:
            value = float(value > ON_WATT)
        quantity = Quantity.MOTION_DETECTED if row["kind"] == "motion" else Quantity.CONTACT_OPEN
        if len(values[row["sensor"]]) == 1:
            # What only ever says that it was opened was closed in between.
            yield Reading(row["sensor"], quantity, 0.0, at)
        yield Reading(row["sensor"], quantity, value, at)


def signs_of(readings: Sequence[Reading]) -> Iterator[Reading]:
    """Yield those that show that somebody is there."""
    last: dict[str, float] = {}
    for reading in readings:
        if is_activity(reading, last.get(reading.sensor)):
            yield reading
        last[reading.sensor] = reading.value


def is_door(row: dict[str, str]) -> bool:
    text = f"{row['sensor']} {row['room']}"
    return bool(row["kind"] == "contact" and DOOR_PLACE.search(text) and not NO_DOOR.search(text))


def lived_in(signs: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Return when a home was lived in, without the days of learning."""
    pieces, begin, last = [], signs[0], signs[0]
    for sign in signs:
        if sign - last >= UNINHABITED:
            pieces.append((begin, last))
            begin = sign
        last = sign
    pieces.append((begin, last))
    left, judged = WARM_UP, []
    for begin, end in pieces:
        if end - begin >= VISIT:
            skipped = min(left, end - begin)
            left -= skipped
            if begin + skipped < end:
                judged.append((begin + skipped, end))
    return judged


def at_home_in(
    judged: Sequence[tuple[datetime, datetime]],
    outings: Sequence[tuple[datetime, datetime]],
    rng: random.Random,
    count: int,
) -> list[datetime]:
    """Return random moments at which the resident was at home, in order."""
    lengths = [(end - begin).total_seconds() for begin, end in judged]
    begins = [begin for begin, _ in outings]
    moments: list[datetime] = []
    while lengths and len(moments) < count:
        begin, end = rng.choices(judged, lengths)[0]
        moment = begin + rng.random() * (end - begin)
        index = bisect_right(begins, moment) - 1
        if index < 0 or moment >= outings[index][1]:
            moments.append(moment)
    return sorted(moments)


def outings_of(
    signs: Sequence[Reading], doors: frozenset[str]
) -> Iterator[tuple[datetime, datetime]]:
    """Yield when nobody was at home."""
    passages = [sign.at for sign in signs if sign.sensor in doors]

    def passed(begin: datetime, end: datetime) -> bool:
        index = bisect_left(passages, begin)
        return index < len(passages) and passages[index] <= end

    for one, other in pairwise(signs):
        begin, end = one.at, other.at
        if (
            end - begin >= OUTING
            and passed(begin - NEAR_DOOR, begin)
            and passed(end, end + NEAR_DOOR)
        ):
            yield begin, end
