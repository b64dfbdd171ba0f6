"""How long does somebody lie on the floor, and how often is somebody called for nothing?

Recordings of people who live alone are played to each detector of silence. At random moments at
which the resident was at home (known in hindsight) the recording stops: from then on no sensor
speaks. The delay is from that moment to the alarm. On the recording as it is each alarm is false.

    at home     everywhere but in gaps of 20 minutes or more with the outer door within five minutes
                before and after: an outing
    lived in    between gaps of 24 hours or more (a journey, a dead radio); pieces shorter than two
                days are visits, and count for nothing. The first seven days lived in are for
                learning: neither delays nor false alarms count in them
    not returned  alarms while the gateway takes the home for empty; counted apart

All detectors are told the same signs of life (as `rules.activity`: motion that begins, what opens,
closes or is pressed) and the same presence (`rules.presence`). A home whose name is given with
--sparse is shown, but not pooled: its recording misses most of what happened.

Run as `python tests/benchmarks/watch.py --homes FOLDER [--json] [--sparse mit1]`. FOLDER holds
NAME.csv.gz with the columns at, sensor, room, kind, value; `at` is local time.
"""

import argparse
import csv
import gzip
import json
import math
import random
import re
import sys
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rules.presence import Presence, PresenceSensors, PresenceState  # noqa: E402
from rules.routine import CAUTIOUS, STANDARD, Coverage, Profile, Routine  # noqa: E402

MOMENTS = 1000
"""At which each home falls silent."""

WARM_UP = timedelta(days=7)
UNINHABITED = timedelta(hours=24)
VISIT = timedelta(days=2)
OUTING = timedelta(minutes=20)
NEAR_DOOR = timedelta(minutes=5)
AWAY_AFTER = timedelta(minutes=10)
SOONEST = timedelta(hours=1)
"""No detector alarms sooner."""

DOOR_PLACE = re.compile(r"entrance|outside|foyer|front ?door|main ?door|genkan|玄関", re.IGNORECASE)
NO_DOOR = re.compile(r"closet|cup ?board|cabinet|drawer|light|lamp", re.IGNORECASE)
ON_WATT = 5.0
DOOR, INSIDE = "door", "inside"


@dataclass(frozen=True, slots=True)
class Sign:
    """Somebody moved."""

    at: datetime
    sensor: str
    """DOOR or INSIDE."""


@dataclass
class Home:
    """A recording, and what is known of it in hindsight."""

    name: str
    signs: list[Sign]
    coverage: Coverage
    judged: list[tuple[datetime, datetime]] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)

    @property
    def days(self) -> float:
        return sum((end - begin) / timedelta(days=1) for begin, end in self.judged)

    def is_judged(self, at: datetime) -> bool:
        return any(begin <= at < end for begin, end in self.judged)


class Detector(Protocol):
    """What says when a home has been still for too long."""

    def moved(self, at: datetime) -> None: ...
    def left(self, at: datetime) -> None: ...
    def due(self, since: datetime) -> datetime: ...
    def away_due(self, since: datetime) -> datetime: ...


class Fixed:
    """The same limit for everybody, at all hours, or only while it is not night."""

    def __init__(self, hours: float, night: tuple[int, int] | None = None) -> None:
        self.limit, self.night = timedelta(hours=hours), night

    def moved(self, at: datetime) -> None:
        pass

    def left(self, at: datetime) -> None:
        pass

    def due(self, since: datetime) -> datetime:
        """Return it; the night between does not count as silence."""
        if self.night is None:
            return since + self.limit
        evening_hour, morning_hour = self.night
        morning = since.replace(hour=morning_hour, minute=0, second=0, microsecond=0)
        if since.hour >= morning_hour:
            morning += timedelta(days=1)
        night = timedelta(hours=(morning_hour - evening_hour) % 24)
        if since >= morning - night:
            return morning + self.limit
        due = since + self.limit
        return due if due <= morning - night else due + night

    def away_due(self, since: datetime) -> datetime:
        return since + timedelta(hours=24)


class Cuddihy(Fixed):
    """Cuddihy et al. 2007: for each half hour the 97th percentile of how long silences last.

    Of 60 days, of every silence the half hours that it touches; 30 % longer, and by 40 % of the
    percentile's mean over the day for hours of which little is known. Own reading of the paper.
    """

    SHARE, UNIFORM, VARIABLE, KEPT_DAYS = 0.97, 0.3, 0.4, 60

    def __init__(self) -> None:
        super().__init__(12)
        self.last: datetime | None = None
        self.seen: dict[int, deque[tuple[datetime, float]]] = defaultdict(deque)
        self.first: datetime | None = None
        self.limits: tuple[datetime, list[float]] | None = None
        self.out = False

    def moved(self, at: datetime) -> None:
        if self.last is not None and not self.out and at - self.last < timedelta(hours=16):
            begin, length = self.last, (at - self.last) / timedelta(hours=1)
            slots = int(length * 2) + 1
            for n in range(slots if length >= 1 / 12 else 0):
                slot = begin + n * timedelta(minutes=30)
                self.seen[slot.hour * 2 + slot.minute // 30].append((at, length))
        self.first, self.last, self.out = self.first or at, at, False

    def left(self, at: datetime) -> None:
        self.out = True

    def due(self, since: datetime) -> datetime:
        if self.first is None or since - self.first < WARM_UP:
            return since + self.limit
        if self.limits is None or since - self.limits[0] > timedelta(days=1):
            self.limits = since, self._learn(since)
        at = since
        while True:
            at += timedelta(minutes=10)
            allowed = self.limits[1][at.hour * 2 + at.minute // 30]
            if at - since >= max(SOONEST, timedelta(hours=allowed)):
                return at

    def _learn(self, now: datetime) -> list[float]:
        raw = []
        for slot in range(48):
            seen = self.seen[slot]
            while seen and now - seen[0][0] > timedelta(days=self.KEPT_DAYS):
                seen.popleft()
            raw.append(at_share([length for _, length in seen], self.SHARE) if seen else 0.0)
        top = max(raw) or 12.0
        # The shorter a silence usually is, the less is known of long ones: the variable buffer.
        return [
            min(r * (1 + self.UNIFORM) + self.VARIABLE * r * (1 - r / top), 12.0) if r else 12.0
            for r in raw
        ]


class Watcher:
    """One home watched by one detector. The place where an engine may stand instead.

    `hear` takes in a sign of life; `alarm` answers when there would be an alarm, and of which kind,
    if nothing was heard after that.
    """

    SENSORS = PresenceSensors(frozenset({DOOR}), frozenset({INSIDE}), AWAY_AFTER)

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.presence = PresenceState()
        self.last: datetime | None = None

    def hear(self, sign: Sign) -> None:
        before = self.presence
        self.presence = before.advanced(sign.at)
        if self.presence is not before and self.presence.since is not None:
            self.detector.left(self.presence.since)
        self.presence = self.presence.spoken(sign.sensor, self.SENSORS, sign.at)
        if self.presence.presence is not Presence.AWAY:
            self.detector.moved(sign.at)
        self.last = sign.at

    def alarm(self) -> tuple[datetime, bool]:
        """Return when, and whether it says that somebody has not come back."""
        state = self.presence
        if state.presence is not Presence.AWAY and state.away_from is not None:
            state = state.advanced(state.away_from)
        if state.presence is Presence.AWAY and state.since is not None:
            return self.detector.away_due(state.since), True
        assert self.last is not None
        return self.detector.due(self.last), False


Make = Callable[[Home], Detector]


def routine(profile: Profile) -> Make:
    return lambda home: Routine(UTC, home.coverage, profile)


DETECTORS: dict[str, Make] = {
    "routine, standard": routine(STANDARD),
    "routine, cautious": routine(CAUTIOUS),
    "fixed 24 h": lambda _: Fixed(24),
    "fixed 12 h": lambda _: Fixed(12),
    "fixed 10 h": lambda _: Fixed(10),
    "8 h of day 06-22": lambda _: Fixed(8, night=(22, 6)),
    "Cuddihy 2007": lambda _: Cuddihy(),
}


@dataclass
class Result:
    """Of one detector, in one home or in several."""

    days: float = 0.0
    false_alarms: list[datetime] = field(default_factory=list)
    not_returned: list[datetime] = field(default_factory=list)
    delays_h: list[float] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.days += other.days
        self.false_alarms += other.false_alarms
        self.not_returned += other.not_returned
        self.delays_h += other.delays_h

    def numbers(self) -> dict[str, Any]:
        low, high = poisson_interval(len(self.false_alarms))
        month = 30 / self.days if self.days else math.nan
        return {
            "days": round(self.days, 1),
            "false_alarms": len(self.false_alarms),
            "false_alarms_per_30d": round(len(self.false_alarms) * month, 3),
            "interval_95": [round(low * month, 3), round(high * month, 3)],
            "not_returned_per_30d": round(len(self.not_returned) * month, 3),
            "median_h": round(at_share(self.delays_h, 0.5), 2),
            "p95_h": round(at_share(self.delays_h, 0.95), 2),
            "mean_h": round(sum(self.delays_h) / (len(self.delays_h) or math.nan), 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--homes", type=Path, default=ROOT.parent / "shared" / "data" / "homes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sparse", nargs="*", default=["mit1"])
    parser.add_argument("--moments", type=int, default=MOMENTS)
    parser.add_argument("--list", action="store_true", help="show when the false alarms were")
    options = parser.parse_args()
    homes = [load(path, options.moments) for path in sorted(options.homes.glob("*.csv.gz"))]
    if not homes:
        print(f"no recordings in {options.homes}: nothing measured")
        return
    report: dict[str, Any] = {}
    for name, make in DETECTORS.items():
        pooled, each = Result(), {}
        for home in homes:
            result = judge(home, make(home))
            each[home.name] = result
            if home.name not in options.sparse and result.days:
                pooled.add(result)
        report[name] = pooled.numbers() | {"homes": {n: r.numbers() for n, r in each.items()}}
        if not options.json:
            show(name, pooled, each, options.list, options.sparse)
    if options.json:
        print(json.dumps(without_nan(report), indent=1))


def show(
    name: str, pooled: Result, each: dict[str, Result], listed: bool, sparse: Sequence[str]
) -> None:
    print(f"\n{name:22}{'days':>6}{'false':>7}{'/30 d':>7}{'95 %':>14}{'away':>6}", end="")
    print(f"{'median':>8}{'p95':>7}{'mean':>7} h")
    for home, result in [*each.items(), ("pooled", pooled)]:
        n = result.numbers()
        low, high = n["interval_95"]
        label = f"  {home}" + (" (sparse)" if home in sparse else "")
        print(
            f"{label:22}{n['days']:>6.0f}{n['false_alarms']:>7}{n['false_alarms_per_30d']:>7.2f}"
            f"{f'{low:.2f}-{high:.2f}':>14}{n['not_returned_per_30d']:>6.2f}"
            f"{n['median_h']:>8.1f}{n['p95_h']:>7.1f}{n['mean_h']:>7.1f}"
        )
        if listed and home != "pooled" and result.false_alarms:
            print("".join(f"    {at:%m-%d %H:%M}" for at in result.false_alarms))


def judge(home: Home, detector: Detector) -> Result:
    """Play a home once: what would come of silence is asked without waiting for it."""
    watcher, result = Watcher(detector), Result(home.days)
    moments = iter([*home.moments, None])
    moment = next(moments)
    for number, sign in enumerate(home.signs):
        watcher.hear(sign)
        after = home.signs[number + 1].at if number + 1 < len(home.signs) else None
        asked = moment is not None and (after is None or moment < after)
        if not asked and (after is None or after - sign.at < SOONEST):
            continue
        alarm, is_away = watcher.alarm()
        while moment is not None and (after is None or moment < after):
            result.delays_h.append(max(timedelta(0), alarm - moment) / timedelta(hours=1))
            moment = next(moments)
        if after is not None and alarm < after and home.is_judged(alarm):
            false = result.not_returned if is_away else result.false_alarms
            # One call for one absence: a door that is heard while away asks for no second one.
            if not is_away or alarm not in false:
                false.append(alarm)
    return result


def load(path: Path, moments: int) -> Home:
    name = path.name.removesuffix(".csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["at"])
    motion = {r["sensor"] for r in rows if r["kind"] == "motion"}
    others = {r["sensor"] for r in rows if r["kind"] not in ("motion", "status") and not is_door(r)}
    home = Home(name, list(signs_of(rows)), Coverage.of(len(motion), len(others)))
    home.judged = lived_in(home.signs)
    home.moments = at_home(home, random.Random(f"{name} 1"), moments)
    return home


def signs_of(rows: Sequence[dict[str, str]]) -> Iterator[Sign]:
    states: dict[str, float] = {}
    values = defaultdict(set)
    for row in rows:
        values[row["sensor"]].add(row["value"])
    for row in rows:
        if row["kind"] == "status":
            continue
        value = float(row["value"])
        if row["kind"] == "power" and value != 1:
            value = float(value > ON_WATT)
        before = states.get(row["sensor"])
        states[row["sensor"]] = value
        # What only ever says that it was opened was opened again.
        if value == before and len(values[row["sensor"]]) > 1:
            continue
        if value if row["kind"] == "motion" else before is not None or value:
            at = datetime.fromisoformat(row["at"]).replace(tzinfo=UTC)
            yield Sign(at, DOOR if is_door(row) else INSIDE)


def is_door(row: dict[str, str]) -> bool:
    text = f"{row['sensor']} {row['room']}"
    return bool(row["kind"] == "contact" and DOOR_PLACE.search(text) and not NO_DOOR.search(text))


def lived_in(signs: Sequence[Sign]) -> list[tuple[datetime, datetime]]:
    """Return when a home was lived in, without the days of learning."""
    pieces, begin, last = [], signs[0].at, signs[0].at
    for sign in signs:
        if sign.at - last >= UNINHABITED:
            pieces.append((begin, last))
            begin = sign.at
        last = sign.at
    pieces.append((begin, last))
    left, judged = WARM_UP, []
    for begin, end in pieces:
        if end - begin >= VISIT:
            skipped = min(left, end - begin)
            left -= skipped
            if begin + skipped < end:
                judged.append((begin + skipped, end))
    return judged


def at_home(home: Home, rng: random.Random, count: int) -> list[datetime]:
    """Return random moments at which the resident was at home, in order."""
    lengths = [(end - begin).total_seconds() for begin, end in home.judged]
    outings = list(outings_of(home.signs))
    begins = [begin for begin, _ in outings]
    moments: list[datetime] = []
    while lengths and len(moments) < count:
        begin, end = rng.choices(home.judged, lengths)[0]
        moment = begin + rng.random() * (end - begin)
        index = bisect_right(begins, moment) - 1
        if index < 0 or moment >= outings[index][1]:
            moments.append(moment)
    return sorted(moments)


def outings_of(signs: Sequence[Sign]) -> Iterator[tuple[datetime, datetime]]:
    doors = [sign.at for sign in signs if sign.sensor == DOOR]

    def passed(begin: datetime, end: datetime) -> bool:
        index = bisect_left(doors, begin)
        return index < len(doors) and doors[index] <= end

    for one, other in pairwise(signs):
        begin, end = one.at, other.at
        if (
            end - begin >= OUTING
            and passed(begin - NEAR_DOOR, begin)
            and passed(end, end + NEAR_DOOR)
        ):
            yield begin, end


def without_nan(value: Any) -> Any:
    """Return the same for JSON, which knows no number that is none."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def at_share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def poisson_interval(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate of which `count` were seen."""

    def at_most(mean: float, most: int) -> float:
        return sum(
            math.exp(-mean + n * math.log(mean) - math.lgamma(n + 1)) for n in range(most + 1)
        )

    def solve(most: int, share: float) -> float:
        low, high = 1e-9, count * 3.0 + 20
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(middle, most) > share else (low, middle)
        return low

    return (solve(count - 1, 0.975) if count else 0.0), solve(count, 0.025)


if __name__ == "__main__":
    main()
