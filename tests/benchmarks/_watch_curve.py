"""What other margins of "routine" would have done, chosen on some homes and counted on another.

Each home is left out once: of all trials the one is taken that notices soonest (median) among those
that gave the *other* homes at most so many false alarms, and only the home that was left out is
counted. The picture shows every trial pooled over all homes, which is what one would like to
believe, and these honest figures beside it.
"""

import html
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

from rules.conditions import routine
from rules.routine import CAUTIOUS, STANDARD, Coverage, Margin
from tests.benchmarks import watch
from tests.benchmarks._homes import Home

TARGETS = (1.0, 0.25)
"""False alarms in 30 days, of one detector with standard and one with cautious settings."""

MINUTES_STILL, MINUTES_BEGUN = (0, 30, 90), (30, 60, 150)
PARTS = (0.2, 0.4, 0.6)
MOST_HOURS = (9.5, 11)

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 420, 70, 60
MOST_ALARMS, HOURS = 5.0, (3.0, 13.0)
OURS, OTHERS, HONEST, AIM = "#0b6e4f", "#8a8a8a", "#c1440e", "#dfeee8"


def trials() -> dict[str, routine.Margins]:
    """Return profiles, by a name that says what they are."""
    found = {"standard": STANDARD, "cautious": CAUTIOUS}
    for still, begun, part, most in product(MINUTES_STILL, MINUTES_BEGUN, PARTS, MOST_HOURS):
        name = f"{still} min, {begun} min, {part:.0%}, {most:g} h"
        found[name] = replace(
            STANDARD,
            still=Margin(timedelta(minutes=still), part),
            begun=Margin(timedelta(minutes=begun), part),
            most={**STANDARD.most, Coverage.WELL: timedelta(hours=most)},
        )
    return found


def draw(path: Path, homes: Sequence[Home], report: dict[str, Any]) -> dict[str, Any]:
    """Try all, write the picture, and return the figures."""
    profiles, results = trials(), dict[str, dict[str, watch.Result]]()
    for name, profile in profiles.items():
        routine.PROFILES[name] = profile  # type: ignore[index]
        make = watch.learned(name)  # type: ignore[arg-type]
        results[name] = {home.name: watch.judge(home, make) for home in homes}
    found = {
        "trials": {name: watch.pool(each).numbers() for name, each in results.items()},
        "left_out": {str(target): left_out(results, homes, target) for target in TARGETS},
    }
    path.write_text(picture(found, report), encoding="utf-8")
    return found


def left_out(
    results: dict[str, dict[str, watch.Result]], homes: Sequence[Home], target: float
) -> dict[str, Any]:
    """Return what came of each home by settings that were chosen on the others."""
    pooled, chosen = watch.Result(), {}
    for home in homes:

        def others(name: str, without: str = home.name) -> dict[str, Any]:
            each = {n: r for n, r in results[name].items() if n != without}
            return watch.pool(each).numbers()

        known = {name: others(name) for name in results}
        fewest = min(numbers["false_alarms_per_30d"] for numbers in known.values())
        good = [
            name
            for name, numbers in known.items()
            if numbers["false_alarms_per_30d"] <= max(target, fewest)
        ]
        chosen[home.name] = min(good, key=lambda name: known[name]["median_h"])
        pooled.add(results[chosen[home.name]][home.name])
    return pooled.numbers() | {"chosen": chosen}


def show(curve: dict[str, Any]) -> None:
    print("\nChosen on the other homes, counted on the one that was left out:")
    for target, numbers in curve["left_out"].items():
        low, high = numbers["interval_95"]
        print(
            f"  at most {target} on the others: {numbers['false_alarms_per_30d']:.2f} false / 30 d "
            f"({low:.2f}-{high:.2f}), median {numbers['median_h']:.1f} h, "
            f"p95 {numbers['p95_h']:.1f} h, mean {numbers['mean_h']:.1f} h"
        )
        for home, name in numbers["chosen"].items():
            print(f"    {home}: {name}")


def picture(found: dict[str, Any], report: dict[str, Any]) -> str:
    """Return an SVG: false alarms against the median of the delay."""
    marks = [_aim(), *_axes()]
    marks += [_dot(numbers, OURS, radius=2.5, opacity=0.35) for numbers in found["trials"].values()]
    for name, numbers in report.items():
        ours = name.startswith("routine")
        marks.append(_dot(numbers, OURS if ours else OTHERS, radius=6, label=name))
    for place, (target, numbers) in enumerate(found["left_out"].items(), 1):
        label = f"left one out, at most {target}"
        marks.append(_dot(numbers, HONEST, radius=6, label=label, drop=4 + 14 * place))
    body = "\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>False alarms and delay of detectors of stillness</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _x(alarms: float) -> float:
    return LEFT + min(alarms, MOST_ALARMS) / MOST_ALARMS * (WIDTH - LEFT - 20)


def _y(hours: float) -> float:
    low, high = HOURS
    part = (min(max(hours, low), high) - low) / (high - low)
    return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - 20)


def _aim() -> str:
    top, bottom = _y(5.0), _y(HOURS[0])
    return (
        f'<rect x="{_x(0)}" y="{top:.1f}" width="{_x(1) - _x(0):.1f}" '
        f'height="{bottom - top:.1f}" fill="{AIM}"/>'
        f'<text x="{_x(0) + 6}" y="{bottom - 8:.1f}" fill="{OURS}">the aim</text>'
    )


def _axes() -> list[str]:
    low, high = HOURS
    left, right, floor = _x(0), _x(MOST_ALARMS), _y(low)
    marks = [
        f'<path d="M{left} 20V{floor}H{right}" fill="none" stroke="black"/>',
        (
            f'<text x="{(left + right) / 2}" y="{HEIGHT - 18}" text-anchor="middle">'
            f"false alarms in 30 days of living there ({MOST_ALARMS:g} and more at the edge)</text>"
        ),
        (
            f'<text transform="translate(20 {(20 + floor) / 2}) rotate(-90)" text-anchor="middle">'
            f"median delay, hours ({high:g} and more at the top)</text>"
        ),
    ]
    for alarms in range(int(MOST_ALARMS) + 1):
        x = _x(alarms)
        marks.append(f'<text x="{x}" y="{floor + 18}" text-anchor="middle">{alarms}</text>')
    for hours in range(int(low), int(high) + 1, 2):
        y = _y(hours)
        marks.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{hours}</text>')
        marks.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#eeeeee"/>')
    return marks


def _dot(
    numbers: dict[str, Any],
    colour: str,
    *,
    radius: float,
    opacity: float = 1.0,
    label: str = "",
    drop: int = -4,
) -> str:
    x, y = _x(numbers["false_alarms_per_30d"]), _y(numbers["median_h"])
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" opacity="{opacity}"/>'
    if not label:
        return dot
    at_edge = x > WIDTH - 150
    anchor, beside = ("end", x - 10) if at_edge else ("start", x + 10)
    return dot + (
        f'<text x="{beside:.1f}" y="{y + drop:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{html.escape(label)}</text>"
    )
