"""How well is a frosty night foretold, and how early?

Hourly recordings of weather stations are lived through, and each night is forecast by what was
known then: every fit uses earlier nights of the same station only.

    at sunset, +2 h, +6 h   forecasts of the night's minimum, of nights in which it was then below
                            10 °C and not yet 0 °C: mean absolute error; and, said to be frost if
                            the forecast is 0 °C or less, how many of the frosts were said (POD)
                            and how many of those said were wrong (FAR); Brier's score
    the rule                condition "frost" at its defaults, through the engine of the daemon: how
                            many of the frosts were told before the first freezing hour (POD), how
                            early (median), and how many of those told did not come (FAR); of the
                            same nights, by what they were at sunset

    persistence             the minimum of last night; its probability by the spread of its errors
    FAO                     the two-stage fit on T and dew point, of all earlier nights, from 40 on

Stations are humid where the mean dew point of the evenings is within 7 °C of the temperature.

Run as `python tests/benchmarks/frost.py --stations FOLDER [--json] [--picture FILE]`. FOLDER holds
NAME_hourly.csv.gz with `at` in local standard time, `temperature_celsius`, and `dew_point_celsius`
or `vapour_pressure_hpa`; a station that is not in PLACES needs --place NAME=LAT,LON,UTC_HOURS.
"""

import argparse
import csv
import gzip
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from statistics import NormalDist, mean, median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from drivers.reading import Quantity, Reading  # noqa: E402
from rules.conditions.frost import HEARD, Frost  # noqa: E402
from rules.engine import Engine, Rule  # noqa: E402
from rules.formulas.frost import NightSums  # noqa: E402
from rules.formulas.humid_air import (  # noqa: E402
    relative_humidity_percent,
    saturated_at_celsius,
)
from rules.frost_site import FALL_HOURS, MILD_CELSIUS, Evening, SiteNights  # noqa: E402
from rules.lifecycle import Phase  # noqa: E402

PLACES = {
    "huairou": (40.36, 116.63, 8),
    "shunyi": (40.13, 116.65, 8),
    "crc_w_301_weather": (41.62, -83.23, -5),
    "owc_w_321_weather": (41.38, -82.51, -5),
}
"""Latitude, longitude (degrees) and the hours from UTC of their local time."""

ISSUED_HOURS = (0, 2, 6)
HOUR = timedelta(hours=1)
COLD_CELSIUS = 10.0
HUMID_CELSIUS = 7.0
FAO_FROM_NIGHTS = 40
FEWEST_NIGHTS = 30
"""Of so many the spread of persistence is known."""

FEWEST_SHOWN = 10
"""A mean of fewer nights is not drawn."""


@dataclass(frozen=True)
class Hour:
    at: datetime
    celsius: float
    dew_point_celsius: float


@dataclass(frozen=True)
class Night:
    """One that was heard."""

    sunset: datetime
    sunrise: datetime
    hours: list[Hour]
    """From sunset to sunrise."""

    @property
    def minimum_celsius(self) -> float:
        return min(hour.celsius for hour in self.hours)

    @property
    def first_frost(self) -> datetime | None:
        return next((hour.at for hour in self.hours if hour.celsius <= 0), None)

    def at(self, hours_after_sunset: int) -> Hour | None:
        """Return the first word of that hour, if nothing was frozen by then."""
        begin = self.sunset + hours_after_sunset * HOUR
        heard = [hour for hour in self.hours if begin <= hour.at < begin + HOUR]
        if not heard or any(h.celsius <= 0 for h in self.hours if h.at <= heard[0].at):
            return None
        return heard[0]

    def evening(self, hours_after_sunset: int, now: Hour) -> Evening:
        """Return what a forecast may know at that hour."""
        begin = self.sunset + (hours_after_sunset - FALL_HOURS) * HOUR
        before = next((h.celsius for h in self.hours if begin <= h.at < begin + HOUR), None)
        fall = None if before is None else before - now.celsius
        length = (self.sunrise - self.sunset) / HOUR
        return Evening(now.celsius, now.dew_point_celsius, fall, length)


@dataclass
class Skill:
    """Of one method, issued at one hour."""

    errors: list[float] = field(default_factory=list)
    hits: int = 0
    misses: int = 0
    false: int = 0
    squares: list[float] = field(default_factory=list)

    def add(self, forecast: float, sd: float, minimum: float) -> None:
        self.errors.append(abs(forecast - minimum))
        is_frost, is_said = minimum <= 0, forecast <= 0
        self.hits += is_frost and is_said
        self.misses += is_frost and not is_said
        self.false += is_said and not is_frost
        probability = NormalDist(forecast, max(sd, 0.1)).cdf(0)
        self.squares.append((probability - is_frost) ** 2)

    def numbers(self) -> dict[str, Any]:
        return {
            "nights": len(self.errors),
            "mae_celsius": rounded(mean(self.errors) if self.errors else math.nan),
            "pod": rounded(share(self.hits, self.hits + self.misses)),
            "far": rounded(share(self.false, self.hits + self.false)),
            "brier": rounded(mean(self.squares) if self.squares else math.nan),
        }

    def merge(self, other: "Skill") -> None:
        self.errors += other.errors
        self.squares += other.squares
        self.hits += other.hits
        self.misses += other.misses
        self.false += other.false


@dataclass
class Policy:
    """What came of the rule."""

    frosts: int = 0
    foretold: int = 0
    told: int = 0
    wrong: int = 0
    leads_h: list[float] = field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        return {
            "frosts": self.frosts,
            "told": self.told,
            "pod": rounded(share(self.foretold, self.frosts)),
            "far": rounded(share(self.wrong, self.told)),
            "median_lead_h": rounded(median(self.leads_h) if self.leads_h else math.nan),
        }

    def merge(self, other: "Policy") -> None:
        self.frosts += other.frosts
        self.foretold += other.foretold
        self.told += other.told
        self.wrong += other.wrong
        self.leads_h += other.leads_h


@dataclass
class Station:
    name: str
    condition: Frost
    hours: list[Hour]
    nights: list[Night]
    skills: dict[tuple[str, int], Skill] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    @property
    def is_humid(self) -> bool:
        evenings = [night.hours[0] for night in self.nights if night.hours[0].celsius < 15]
        if not evenings:
            return False
        return mean(hour.celsius - hour.dew_point_celsius for hour in evenings) < HUMID_CELSIUS


def load(path: Path, place: tuple[float, float, float]) -> Station:
    latitude, longitude, utc_hours = place
    zone = timezone(timedelta(hours=utc_hours))
    hours = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["at"]).replace(tzinfo=zone).astimezone(UTC)
            try:
                celsius = float(row["temperature_celsius"])
                dew_point = (
                    float(row["dew_point_celsius"])
                    if "dew_point_celsius" in row
                    else saturated_at_celsius(float(row["vapour_pressure_hpa"]))
                )
            except ValueError:
                continue  # not measured
            hours.append(Hour(at, celsius, min(dew_point, celsius)))
    hours.sort(key=lambda hour: hour.at)
    # Always in season: what is asked is how well it foretells, not when that is wanted.
    condition = Frost(latitude, longitude, first_day="01-01", last_day="12-31")
    name = path.name.removesuffix("_hourly.csv.gz")
    return Station(name, condition, hours, list(nights_of(hours, condition)))


def nights_of(hours: Sequence[Hour], condition: Frost) -> Iterable[Night]:
    by_day: dict[Any, list[Hour]] = {}
    for hour in hours:
        by_day.setdefault(condition.evening_of(hour.at), []).append(hour)
    for day, some in by_day.items():
        night = condition.night_of(day)
        if night is None:
            continue
        begin, end = night
        dark = [hour for hour in some if begin <= hour.at < end]
        whole = {(hour.at - begin) // HOUR for hour in dark}
        if len(whole) >= HEARD * ((end - begin) // HOUR):
            yield Night(begin, end, dark)


def forecast_all(station: Station) -> None:
    """Judge each method at each hour, walking forward."""
    for hours in ISSUED_HOURS:
        own, sums = SiteNights(hours), NightSums()
        last: float | None = None
        misses: list[float] = []
        for night in station.nights:
            minimum, evening = night.minimum_celsius, night.at(hours)
            if evening is not None and evening.celsius < COLD_CELSIUS:
                t, td = evening.celsius, evening.dew_point_celsius
                ours = own.forecast(night.evening(hours, evening))
                expected, spread = ours.minimum_celsius, ours.residual_sd_celsius
                skill_of(station, "ours", hours).add(expected, spread, minimum)
                if sums.nights >= FAO_FROM_NIGHTS:
                    fao = sums.fit()
                    expected = fao.minimum_celsius(t, td)
                    skill_of(station, "FAO", hours).add(expected, fao.residual_sd_celsius, minimum)
                if last is not None and len(misses) >= FEWEST_NIGHTS:
                    spread = math.sqrt(mean(miss * miss for miss in misses))
                    skill_of(station, "persistence", hours).add(last, spread, minimum)
            if evening is not None and evening.celsius <= MILD_CELSIUS:
                own = own.with_night(night.evening(hours, evening), minimum)
                sums = sums.with_night(evening.celsius, evening.dew_point_celsius, minimum)
            if last is not None:
                misses.append(minimum - last)
            last = minimum


def skill_of(station: Station, method: str, hours: int) -> Skill:
    return station.skills.setdefault((method, hours), Skill())


def live(station: Station) -> None:
    """Let the rule live through all of it, and count by nights."""
    rule = Rule("frost", station.condition, ("air",))
    engine, told = Engine([rule]), list[datetime]()
    for hour in station.hours:
        humidity = relative_humidity_percent(hour.celsius, hour.dew_point_celsius)
        for quantity, value in (
            (Quantity.TEMPERATURE_CELSIUS, hour.celsius),
            (Quantity.HUMIDITY_PERCENT, min(max(humidity, 0.1), 100.0)),
        ):
            events = engine.observe(Reading("air", quantity, value, hour.at))
            told += [event.at for event in events if event.phase is Phase.FIRING]
    for night in station.nights:
        end = night.hours[-1].at
        warned = next((at for at in told if night.sunset <= at <= end), None)
        frost, evening = night.first_frost, night.at(0)
        if evening is None or evening.celsius >= COLD_CELSIUS:
            continue
        policy = station.policy
        policy.frosts += frost is not None
        if warned is None:
            continue
        # What is told when it freezes is no forecast.
        if frost is not None and warned >= frost:
            continue
        policy.told += 1
        if frost is None:
            policy.wrong += 1
        else:
            policy.foretold += 1
            policy.leads_h.append((frost - warned) / HOUR)


def report_of(stations: Sequence[Station]) -> dict[str, Any]:
    report: dict[str, Any] = {"stations": {}}
    for kind in ("humid", "dry"):
        pooled, policy, names = dict[tuple[str, int], Skill](), Policy(), []
        for station in stations:
            if station.is_humid is not (kind == "humid"):
                continue
            names.append(station.name)
            policy.merge(station.policy)
            for key, skill in station.skills.items():
                pooled.setdefault(key, Skill()).merge(skill)
        report[kind] = {"stations": names, "rule": policy.numbers(), **by_name(pooled)}
    for station in stations:
        report["stations"][station.name] = {
            "is_humid": station.is_humid,
            "nights": len(station.nights),
            "rule": station.policy.numbers(),
            **by_name(station.skills),
        }
    return report


def by_name(skills: dict[tuple[str, int], Skill]) -> dict[str, Any]:
    methods = ("ours", "FAO", "persistence")
    return {
        f"{method} +{hours} h": skills[method, hours].numbers()
        for hours in ISSUED_HOURS
        for method in methods
        if (method, hours) in skills
    }


def show(report: dict[str, Any]) -> None:
    for kind in ("humid", "dry"):
        part = report[kind]
        print(f"\n{kind}: {', '.join(part['stations']) or 'no station'}")
        print(f"  {'issued':22}{'nights':>7}{'MAE °C':>7}{'POD':>7}{'FAR':>7}{'Brier':>7}")
        for name, n in part.items():
            if name not in ("stations", "rule"):
                figures = (n["mae_celsius"], n["pod"], n["far"], n["brier"])
                print(f"  {name:22}{n['nights']:>7}" + "".join(f"{f!s:>7}" for f in figures))
        n = part["rule"]
        print(
            f"  the rule, hourly: {n['frosts']} frosts, POD {n['pod']}, FAR {n['far']} of "
            f"{n['told']} told, median lead {n['median_lead_h']} h"
        )


def picture(report: dict[str, Any]) -> str:
    """Return an SVG: the mean absolute error by hour, humid and dry, of the three methods."""
    colours = {"ours": "#0b6e4f", "FAO": "#c1440e", "persistence": "#8a8a8a"}
    width, height, floor, scale = 640, 300, 250, 55
    marks = []
    for n, kind in enumerate(("humid", "dry")):
        left = 70 + n * 290
        marks.append(f'<text x="{left + 100}" y="24" text-anchor="middle">{kind} sites</text>')
        marks.append(f'<path d="M{left} {floor}h230" stroke="black"/>')
        for place, hours in enumerate(ISSUED_HOURS):
            for m, (method, colour) in enumerate(colours.items()):
                numbers = report[kind].get(f"{method} +{hours} h")
                if numbers and numbers["nights"] >= FEWEST_SHOWN:
                    tall = numbers["mae_celsius"] * scale
                    x = left + 8 + place * 76 + m * 21
                    marks.append(
                        f'<rect x="{x}" y="{floor - tall:.1f}" width="18" height="{tall:.1f}" '
                        f'fill="{colour}"/><text x="{x + 9}" y="{floor - tall - 4:.1f}" '
                        f'text-anchor="middle" font-size="10">{numbers["mae_celsius"]:.1f}</text>'
                    )
            marks.append(
                f'<text x="{left + 39 + place * 76}" y="{floor + 18}" text-anchor="middle">'
                f"+{hours} h</text>"
            )
    for m, (method, colour) in enumerate(colours.items()):
        marks.append(f'<text x="{80 + m * 120}" y="288" fill="{colour}">{method}</text>')
    marks.append(
        f'<text transform="translate(24 {floor / 2 + 20}) rotate(-90)" text-anchor="middle">'
        "error of the minimum, °C</text>"
    )
    body = "\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>Error of the forecast of the night's minimum</title>\n"
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stations", type=Path, default=ROOT.parent / "shared/data/fields")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--place", action="append", default=[], metavar="NAME=LAT,LON,HOURS")
    options = parser.parse_args()
    places = dict(PLACES)
    for written in options.place:
        name, _, numbers = written.partition("=")
        latitude, longitude, hours = map(float, numbers.split(","))
        places[name] = (latitude, longitude, hours)
    stations = []
    for path in sorted(options.stations.glob("*_hourly.csv.gz")):
        name = path.name.removesuffix("_hourly.csv.gz")
        if name not in places:
            print(f"{name}: where is it? Give --place {name}=LAT,LON,HOURS", file=sys.stderr)
            continue
        station = load(path, places[name])
        forecast_all(station)
        live(station)
        stations.append(station)
    if not stations:
        print(f"no stations in {options.stations}: nothing measured")
        return
    report = report_of(stations)
    if options.picture:
        options.picture.write_text(picture(report), encoding="utf-8")
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)


if __name__ == "__main__":
    main()
