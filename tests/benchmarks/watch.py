"""How long does somebody lie on the floor, and how often is somebody called for nothing?

Recordings of people who live alone (tests/benchmarks/_homes.py) are played to the engine of the
daemon, with the product's own conditions at their defaults. At random moments at which the resident
was at home (known in hindsight) the recording stops: from then on no sensor speaks. The delay is
from that moment to the first alert. On the recording as it is each alert is false.

    false         alerts about somebody inside, while the home was lived in, after seven days
    not returned  the same for alerts that somebody who went out has not come back; counted apart
    elsewhere     alerts of both kinds while it was not lived in: a journey, a dead radio, visits

All detectors stand beside the same rule "not_returned", and are told of the same presence. A home
named with --sparse is shown, but not pooled: its recording misses most of what happened.

Run as `python tests/benchmarks/watch.py --homes FOLDER [--json] [--sparse mit1] [--curve FILE]`.
--curve tries other margins, leaves out one home after the other, and draws the picture.
"""

import argparse
import copy
import json
import math
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from drivers.reading import Quantity, Reading  # noqa: E402
from rules.activity import PEOPLE, is_activity  # noqa: E402
from rules.condition import Memory  # noqa: E402
from rules.conditions import routine  # noqa: E402
from rules.conditions.inactive import Inactive  # noqa: E402
from rules.conditions.not_returned import NotReturned  # noqa: E402
from rules.engine import Engine, Rule  # noqa: E402
from rules.hours import Hours  # noqa: E402
from rules.lifecycle import Phase, Verdict  # noqa: E402
from rules.presence import Presence  # noqa: E402
from tests.benchmarks._homes import WARM_UP, Home, load  # noqa: E402

MOMENTS = 1000
"""At which each home falls silent."""

LONG = timedelta(days=4)
"""By then every detector has noticed."""

STILL, NOT_RETURNED = "still", "not returned"
"""The names of the rules."""

Make = Callable[[Home], Rule]


def learned(profile: routine.Profile) -> Make:
    def make(home: Home) -> Rule:
        condition = routine.Routine(UTC, home.presence.doors, profile)
        return Rule(STILL, condition, sensors_of(home))

    return make


def fixed(hours: float, night: str = "") -> Make:
    """The same limit for everybody, at all hours or only in some."""

    def make(home: Home) -> Rule:
        within = Hours.parse(night, UTC) if night else None
        hold, presence = timedelta(hours=hours), Presence.HOME if home.presence.doors else None
        return Rule(STILL, Inactive(), sensors_of(home), None, hold, within, presence)

    return make


def sensors_of(home: Home) -> tuple[str, ...]:
    return tuple(sorted(home.presence.doors | home.presence.interior))


@dataclass(frozen=True)
class Cuddihy:
    """Cuddihy et al. 2007: for each half hour the 97th percentile of how long silences last.

    Of 60 days, of every silence the half hours that it touches; 30 % longer, and by 40 % of the
    percentile's mean over the day for hours of which little is known. Own reading of the paper.
    """

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    def remember(self, dumped: Any = None) -> Memory:
        return _Cuddihy()


class _Cuddihy(Memory):
    SHARE, UNIFORM, VARIABLE, KEPT_DAYS = 0.97, 0.3, 0.4, 60
    UNTIL_KNOWN = timedelta(hours=12)
    SOONEST = timedelta(hours=1)
    NEVER_USUAL = timedelta(hours=16)
    follows_presence = True

    def __init__(self) -> None:
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.seen: dict[int, deque[tuple[datetime, float]]] = defaultdict(deque)
        self.limits: tuple[datetime, list[float]] | None = None
        self.out = False
        self.due: datetime | None = None

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        if self.out or not is_activity(reading, previous):
            return Verdict.UNDECIDED
        self._moved(reading.at)
        return Verdict.CLEAR

    def tell(self, presence: Presence, at: datetime) -> Verdict:
        if presence.is_away is self.out:
            return Verdict.UNDECIDED
        if presence.is_away:
            self.out, self.due = True, None
            return Verdict.UNDECIDED
        self._moved(at)
        return Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:
        self._moved(at)

    def advance(self, at: datetime) -> Verdict:
        assert self.last is not None
        self.due = self._due(self.last)
        if self.due > at:
            return Verdict.UNDECIDED
        self.due = None
        return Verdict.BREACHED

    def _moved(self, at: datetime) -> None:
        if self.last is not None and not self.out and at - self.last < self.NEVER_USUAL:
            begin, length = self.last, (at - self.last) / timedelta(hours=1)
            slots = int(length * 2) + 1
            for n in range(slots if length >= 1 / 12 else 0):
                slot = begin + n * timedelta(minutes=30)
                self.seen[slot.hour * 2 + slot.minute // 30].append((at, length))
        self.first, self.last, self.out = self.first or at, at, False
        self.due = at + self.SOONEST

    def _due(self, since: datetime) -> datetime:
        if self.first is None or since - self.first < WARM_UP:
            return since + self.UNTIL_KNOWN
        if self.limits is None or since - self.limits[0] > timedelta(days=1):
            self.limits = since, self._learn(since)
        at = since
        while True:
            at += timedelta(minutes=10)
            allowed = self.limits[1][at.hour * 2 + at.minute // 30]
            if at - since >= max(self.SOONEST, timedelta(hours=allowed)):
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


DETECTORS: dict[str, Make] = {
    "routine, standard": learned("standard"),
    "routine, cautious": learned("cautious"),
    "fixed 24 h": fixed(24),
    "fixed 12 h": fixed(12),
    "fixed 10 h": fixed(10),
    "8 h of day 06-22": fixed(8, "06:00-22:00"),
    "Cuddihy 2007": lambda home: Rule(STILL, Cuddihy(), sensors_of(home)),
}


@dataclass
class Result:
    """Of one detector, in one home or in several."""

    days: float = 0.0
    false_alarms: list[datetime] = field(default_factory=list)
    not_returned: list[datetime] = field(default_factory=list)
    elsewhere: list[datetime] = field(default_factory=list)
    delays_h: list[float] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.days += other.days
        self.false_alarms += other.false_alarms
        self.not_returned += other.not_returned
        self.elsewhere += other.elsewhere
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
            "elsewhere": len(self.elsewhere),
            "median_h": round(at_share(self.delays_h, 0.5), 2),
            "p95_h": round(at_share(self.delays_h, 0.95), 2),
            "mean_h": round(sum(self.delays_h) / (len(self.delays_h) or math.nan), 2),
        }


def judge(home: Home, make: Make) -> Result:
    """Play a home once; what comes of silence is lived through by copies of the engine."""
    rules = [make(home)]
    if home.presence.doors:
        rules.append(Rule(NOT_RETURNED, NotReturned(), tuple(sorted(home.presence.doors))))
    engine, result = Engine(rules, home.presence), Result(home.days)
    moments = deque(home.moments)
    for number, reading in enumerate(home.readings):
        count(engine.observe(reading), home, result)
        following = home.readings[number + 1].at if number + 1 < len(home.readings) else None
        fallen = []
        while moments and (following is None or moments[0] < following):
            fallen.append(moments.popleft())
        if fallen:
            alarm = noticed(engine, fallen[0])
            result.delays_h += [max(timedelta(0), alarm - at) / timedelta(hours=1) for at in fallen]
    return result


def count(events: Sequence[Any], home: Home, result: Result) -> None:
    for event in events:
        if event.phase is not Phase.FIRING:
            continue
        if not home.is_judged(event.at):
            result.elsewhere.append(event.at)
        elif event.rule == NOT_RETURNED:
            result.not_returned.append(event.at)
        else:
            result.false_alarms.append(event.at)


def noticed(engine: Engine, moment: datetime) -> datetime:
    """Return when there is an alert if nothing is heard any more; `moment` if there is one now."""
    silent = copy.deepcopy(engine)
    if any(watch.alert.phase is Phase.FIRING for watch in silent.open):
        return moment
    fired = [event.at for event in silent.advance(moment + LONG) if event.phase is Phase.FIRING]
    return min(fired, default=moment + LONG)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--homes", type=Path, default=ROOT.parent / "shared" / "data" / "homes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sparse", nargs="*", default=["mit1"])
    parser.add_argument("--moments", type=int, default=MOMENTS)
    parser.add_argument("--list", action="store_true", help="show when the false alarms were")
    parser.add_argument("--curve", type=Path, help="try other margins, and draw them as SVG here")
    options = parser.parse_args()
    homes = [load(path, options.moments) for path in sorted(options.homes.glob("*.csv.gz"))]
    if not homes:
        print(f"no recordings in {options.homes}: nothing measured")
        return
    report: dict[str, Any] = {}
    for name, make in DETECTORS.items():
        each = {home.name: judge(home, make) for home in homes}
        pooled = pool(each, options.sparse)
        report[name] = pooled.numbers() | {"homes": {n: r.numbers() for n, r in each.items()}}
        if not options.json:
            show(name, pooled, each, options.list, options.sparse)
    if options.curve:
        from tests.benchmarks import _watch_curve  # noqa: PLC0415

        kept = [home for home in homes if home.name not in options.sparse and home.days]
        report["curve"] = _watch_curve.draw(options.curve, kept, report)
        if not options.json:
            _watch_curve.show(report["curve"])
    if options.json:
        print(json.dumps(without_nan(report), indent=1))


def pool(each: dict[str, Result], sparse: Sequence[str] = ()) -> Result:
    pooled = Result()
    for name, result in each.items():
        if name not in sparse and result.days:
            pooled.add(result)
    return pooled


def show(
    name: str, pooled: Result, each: dict[str, Result], listed: bool, sparse: Sequence[str]
) -> None:
    print(
        f"\n{name:22}{'days':>6}{'false':>7}{'/30 d':>7}{'95 %':>14}{'away':>6}{'else':>6}", end=""
    )
    print(f"{'median':>8}{'p95':>7}{'mean':>7} h")
    for home, result in [*each.items(), ("pooled", pooled)]:
        n = result.numbers()
        low, high = n["interval_95"]
        label = f"  {home}" + (" (sparse)" if home in sparse else "")
        print(
            f"{label:22}{n['days']:>6.0f}{n['false_alarms']:>7}{n['false_alarms_per_30d']:>7.2f}"
            f"{f'{low:.2f}-{high:.2f}':>14}{n['not_returned_per_30d']:>6.2f}{n['elsewhere']:>6}"
            f"{n['median_h']:>8.1f}{n['p95_h']:>7.1f}{n['mean_h']:>7.1f}"
        )
        if listed and home != "pooled" and result.false_alarms:
            print("".join(f"    {at:%m-%d %H:%M}" for at in result.false_alarms))


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
