"""How many readings a second the rules judge, and what more rules cost.

- homes: a recording (homeassist1) through the engine with 50 rules as an ordinary home has them:
  learned ones over all sensors, doors, silence and faults of each sensor. Beside it the same with
  one rule, and with the state written each 1,000 readings.
- slope: 10, 100, 1,000 and 10,000 rules, each watching a sensor of its own, and readings of ten
  sensors: a reading must cost only the rules that watch its sensor, and passing time only the
  timers that come due. The ratio is to 10 rules.
- snapshot: how large the written state is, and how long it takes.

Run as `python tests/benchmarks/replay.py [--homes FOLDER] [--json]`. One core, no other process.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from drivers.reading import Quantity, Reading  # noqa: E402
from rules.conditions.above import Above  # noqa: E402
from rules.conditions.inactive import Inactive  # noqa: E402
from rules.conditions.left_open import LeftOpen  # noqa: E402
from rules.conditions.not_returned import NotReturned  # noqa: E402
from rules.conditions.not_risen import NotRisen  # noqa: E402
from rules.conditions.opened import Opened  # noqa: E402
from rules.conditions.overdue import Overdue  # noqa: E402
from rules.conditions.routine import Routine  # noqa: E402
from rules.conditions.silent import Silent  # noqa: E402
from rules.engine import Engine, Rule  # noqa: E402
from rules.presence import Presence, PresenceSensors  # noqa: E402
from tests.benchmarks._homes import Home, load  # noqa: E402

RULES = 50
RUNS = 3
"""Of which the fastest counts: what else the machine does only ever makes one slower."""

SLOPE = (10, 100, 1_000, 10_000)
SLOPE_READINGS = 100_000
HOUR = timedelta(hours=1)


def rules_of(home: Home) -> list[Rule]:
    """Return 50 rules: four over the whole home, and for each sensor what fits it."""
    sensors = sorted(home.presence.doors | home.presence.interior)
    everything, doors = tuple(sensors), tuple(sorted(home.presence.doors))
    contacts = sorted({r.sensor for r in home.readings if r.quantity is Quantity.CONTACT_OPEN})
    rules = [
        Rule("still", Routine(UTC, home.presence.doors), everything),
        Rule("still for 12 h", Inactive(), everything, None, 12 * HOUR, None, Presence.HOME),
        Rule("not returned", NotReturned(), doors),
        Rule("not risen", NotRisen(UTC), everything),
    ]
    for number in range(RULES):
        sensor, contact = sensors[number % len(sensors)], contacts[number % len(contacts)]
        rules += [
            Rule(f"overdue {number}", Overdue(), (sensor,)),
            Rule(f"silent {number}", Silent(), (sensor,), None, 24 * HOUR),
            Rule(f"open {number}", Opened(), (contact,), None, HOUR),
            Rule(f"left open {number}", LeftOpen(), (contact,)),
        ]
    return rules[:RULES]


def best(work: Callable[[], Any]) -> float:
    """Return the shortest time of some runs, in seconds."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def live(
    rules: Sequence[Rule],
    readings: Sequence[Reading],
    presence: PresenceSensors | None = None,
    *,
    snapshot_each: int = 0,
) -> Engine:
    engine = Engine(rules, presence)
    for number, reading in enumerate(readings, 1):
        engine.observe(reading)
        if snapshot_each and number % snapshot_each == 0:
            json.dumps(engine.snapshot())
    return engine


def of_home(home: Home) -> dict[str, Any]:
    rules, readings, presence = rules_of(home), home.readings, home.presence
    seconds = best(lambda: live(rules, readings, presence))
    one_s = best(lambda: live(rules[:1], readings, presence))
    written_s = best(lambda: live(rules, readings, presence, snapshot_each=1_000))
    engine = live(rules, readings, presence)
    state = json.dumps(engine.snapshot())
    days = (readings[-1].at - readings[0].at) / timedelta(days=1)
    return {
        "readings": len(readings),
        "days": round(days),
        "rules": len(rules),
        "readings_per_s": round(len(readings) / seconds),
        "one_rule_readings_per_s": round(len(readings) / one_s),
        "written_each_1000_readings_per_s": round(len(readings) / written_s),
        "year_s": round(seconds * 365 / days, 2),
        "state_bytes": len(state),
    }


def slope() -> list[dict[str, Any]]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for count in SLOPE:
        rules = [
            Rule(
                f"rule {number}",
                Above(30) if number % 2 else Silent(),
                (f"sensor {number}",),
                Quantity.TEMPERATURE_CELSIUS if number % 2 else None,
                timedelta(0) if number % 2 else 24 * HOUR,
            )
            for number in range(count)
        ]
        readings = [
            Reading(
                f"sensor {number % 10}",
                Quantity.TEMPERATURE_CELSIUS,
                20.0 + number % 7,
                begin + timedelta(milliseconds=100 * number),
            )
            for number in range(SLOPE_READINGS)
        ]
        engines = [Engine(rules) for _ in range(RUNS)]
        for engine in engines:
            engine.advance(begin)
        waiting = iter(engines)

        def pass_all(readings: Sequence[Reading] = readings, waiting: Any = waiting) -> None:
            engine = next(waiting)
            for reading in readings:
                engine.observe(reading)

        seconds = best(pass_all)
        began = time.perf_counter()
        state = json.dumps(engines[0].snapshot())
        found.append(
            {
                "rules": count,
                "us_per_reading": round(seconds / SLOPE_READINGS * 1e6, 2),
                "state_bytes": len(state),
                "snapshot_ms": round((time.perf_counter() - began) * 1e3, 1),
            }
        )
    for each in found:
        each["ratio"] = round(each["us_per_reading"] / found[0]["us_per_reading"], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--homes", type=Path, default=ROOT.parent / "shared" / "data" / "homes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {"slope": slope()}
    recording = options.homes / "homeassist1.csv.gz"
    if recording.exists():
        report["homeassist1"] = of_home(load(recording, 0))
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{'rules':>8}{'µs a reading':>14}{'ratio':>8}{'state':>12}{'written in':>12}")
    for each in report["slope"]:
        print(
            f"{each['rules']:>8,}{each['us_per_reading']:>14}{each['ratio']:>8}"
            f"{each['state_bytes']:>10,} B{each['snapshot_ms']:>9} ms"
        )
    if "homeassist1" not in report:
        print(f"no {recording}: nothing measured on a home")
        return
    home = report["homeassist1"]
    print(
        f"\nhomeassist1, {home['readings']:,} readings of {home['days']} days, {home['rules']} "
        f"rules: {home['readings_per_s']:,} readings/s\n"
        f"  with one rule {home['one_rule_readings_per_s']:,}/s; with the state written each "
        f"1,000 readings {home['written_each_1000_readings_per_s']:,}/s\n"
        f"  a year of this home takes {home['year_s']} s; the state has {home['state_bytes']:,} B"
    )


if __name__ == "__main__":
    main()
