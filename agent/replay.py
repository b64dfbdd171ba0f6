"""The command behind `satomori replay`: what would have been alerted, from a recording.

Takes frames (a capture of `satomori listen`) or readings (JSON Lines of `satomori decode`, or CSV
with the columns at,sensor,quantity,value), plain or gzipped, and prints one alert event a line. The
same input always gives the same output: event time is the only time.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TextIO

from agent import site
from drivers.capture import BadCapture, frame_from_json, numbered_lines
from drivers.reading import Quantity, Reading
from gateway_config.model import GatewayConfig
from rules.alert import AlertEvent
from rules.engine import Engine

MAX_TOLD = 20
"""Unreadable lines that are told one by one; all are counted."""

COLUMNS = frozenset({"at", "sensor", "quantity", "value"})

YEARS = range(1970, 2200)
"""Of recordings. Rules reckon ahead, for which the last years of the calendar leave no room."""


class BadRecording(Exception):
    """The file as a whole cannot be replayed: it says why, and what would do."""


@dataclass
class Replay:
    """One run of a recording through a site's rules."""

    config: GatewayConfig
    err: TextIO
    readings: int = 0
    unreadable: int = 0
    unknown: set[str] = field(default_factory=set)
    """Sensors in the recording that the configuration does not know."""

    def __post_init__(self) -> None:
        self.engine = Engine(self.config.rule, site.presence_sensors(self.config))
        self.intake = site.intake(self.config)
        # `satomori decode` knows no names and calls a sensor by its address.
        self._names = {" ".join(s.device.source[1:]): s.name for s in self.config.sensor}
        self._names |= {s.name: s.name for s in self.config.sensor}

    def events(self, path: Path, until: datetime | None) -> Iterator[AlertEvent]:
        """Yield what is alerted, up to `until` (None: up to the last reading).

        Raises OSError, csv.Error, BadCapture or BadRecording if the file as a whole is of no use.
        """
        for reading in self._readings(path):
            if until is not None and reading.at > until:
                continue
            if reading.sensor not in self._names:
                self.unknown.add(reading.sensor)
            self.readings += 1
            yield from self.engine.observe(reading)
        if until is not None:
            yield from self.engine.advance(until)

    def _readings(self, path: Path) -> Iterator[Reading]:
        lines = numbered_lines(path)
        is_csv = path.name.removesuffix(".gz").endswith(".csv")
        of_line = self._csv_reader(lines) if is_csv else self._of_json
        for number, line in lines:
            try:
                readings = of_line(line)
            except (ValueError, TypeError, OverflowError, RecursionError, csv.Error) as problem:
                self._complain(number, problem)
            else:
                yield from readings

    def _csv_reader(self, lines: Iterator[tuple[int, str]]) -> Callable[[str], list[Reading]]:
        """Take the line of column names, and return what reads those below it.

        Each line by itself, so that a quotation mark too many costs one line and not the rest.
        """
        _, header = next(lines, (0, ""))
        columns = _cells(header.removeprefix("\ufeff"))  # Excel begins UTF-8 with a mark
        if missing := COLUMNS - set(columns):
            raise BadRecording(f"the CSV file has no column {', '.join(sorted(missing))}")
        return lambda line: [self._reading(dict(zip(columns, _cells(line), strict=False)))]

    def _of_json(self, line: str) -> list[Reading]:
        body = json.loads(line)
        if not isinstance(body, dict):
            raise TypeError("not a JSON object")
        if "transport" not in body:
            return [self._reading(body)]
        frame = frame_from_json(line)
        _check_year(frame.at)
        return [
            Reading(measured.sensor, quantity, value, measured.at)
            for measured in self.intake.measured(frame)
            for quantity, value in measured.values.items()
        ]

    def _reading(self, row: dict[str, Any]) -> Reading:
        if missing := COLUMNS - row.keys():
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
        at = moment(str(row["at"]), self.config.gateway.timezone)
        value = float(row["value"])
        if not math.isfinite(value):
            raise ValueError(f"not a finite number: {row['value']!r}")
        sensor = str(row["sensor"])
        return Reading(self._names.get(sensor, sensor), Quantity(row["quantity"]), value, at)

    def _complain(self, number: int, problem: Exception) -> None:
        self.unreadable += 1
        if self.unreadable <= MAX_TOLD:
            print(f"line {number}: left out, because of: {problem}", file=self.err)


def replay(
    config: GatewayConfig, path: Path, until: datetime | None, out: TextIO, err: TextIO
) -> int:
    """Print the alert events as JSON Lines; returns the exit code."""
    run = Replay(config, err)
    try:
        for event in run.events(path, until):
            print(event_to_json(event), file=out)
    except BrokenPipeError:
        raise
    except (OSError, csv.Error, BadCapture, BadRecording) as problem:
        print(f"{path} cannot be replayed: {problem}", file=err)
        return 2
    if run.unknown:
        names = ", ".join(map(repr, sorted(run.unknown)[:MAX_TOLD]))
        print(f"not in the configuration: {names}", file=err)
    if run.intake.strangers:
        print(f"{run.intake.strangers} frames of no sensor in the configuration", file=err)
    if run.intake.damaged:
        print(f"{sum(run.intake.damaged.values())} damaged frames", file=err)
    print(
        f"{run.readings} readings judged, {run.engine.late} of them too late; "
        f"{run.unreadable} lines left out",
        file=err,
    )
    return 0


def event_to_json(event: AlertEvent) -> str:
    """Return one line; times are UTC."""
    body = {
        "at": event.at.astimezone(UTC).isoformat(),
        "rule": event.rule,
        "sensor": event.sensor,
        "phase": event.phase,
        "severity": event.severity,
        "since": event.since.astimezone(UTC).isoformat(),
        "value": event.value,
    }
    return json.dumps(body, ensure_ascii=False)


def moment(text: str, zone: tzinfo) -> datetime:
    """Return the time in UTC; one without an offset is meant in `zone`. Raises ValueError."""
    at = datetime.fromisoformat(text)
    _check_year(at)
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _check_year(at: datetime) -> None:
    if at.year not in YEARS:
        raise ValueError(f"the year {at.year} is not from {YEARS[0]} to {YEARS[-1]}")


def _cells(line: str) -> list[str]:
    return next(csv.reader([line], strict=True))
