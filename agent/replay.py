"""The command behind `satomori replay`: what would have been alerted, from a recording.

Takes frames (a capture of `satomori listen`) or readings (JSON Lines of `satomori decode`, or CSV
with the columns at,sensor,quantity,value), plain or gzipped, and prints one alert event a line. The
same input always gives the same output: event time is the only time.
"""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import IO, Any, TextIO

from agent import site
from drivers.capture import BadCapture, frame_from_json
from drivers.reading import Quantity, Reading
from gateway_config.model import GatewayConfig
from rules.alert import AlertEvent
from rules.engine import Engine

MAX_TOLD = 20
"""Unreadable lines that are told one by one; all are counted."""


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
        self._intake = site.intake(self.config)
        self._names = {sensor.name for sensor in self.config.sensor}

    def events(self, path: Path, until: datetime | None) -> Iterator[AlertEvent]:
        """Yield what is alerted, up to `until` (None: up to the last reading)."""
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
        with closing(_opened(path)) as file:
            is_csv = path.name.removesuffix(".gz").endswith(".csv")
            yield from self._from_csv(file) if is_csv else self._from_lines(file)

    def _from_csv(self, file: IO[str]) -> Iterator[Reading]:
        rows = csv.DictReader(file)
        if missing := {"at", "sensor", "quantity", "value"} - set(rows.fieldnames or ()):
            raise BadRecording(f"the CSV file has no column {', '.join(sorted(missing))}")
        for row in rows:
            try:
                yield self._reading(row)
            except (ValueError, TypeError) as problem:
                self._complain(rows.line_num, problem)

    def _from_lines(self, lines: Iterable[str]) -> Iterator[Reading]:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield from self._of_line(line)
                except (BadCapture, ValueError, KeyError, TypeError, RecursionError) as problem:
                    self._complain(number, problem)

    def _of_line(self, line: str) -> list[Reading]:
        body = json.loads(line)
        if not isinstance(body, dict):
            raise TypeError("not a JSON object")
        if "transport" not in body:
            return [self._reading(body)]
        return [
            Reading(measured.sensor, quantity, value, measured.at)
            for measured in self._intake.measured(frame_from_json(line))
            for quantity, value in measured.values.items()
        ]

    def _reading(self, row: dict[str, Any]) -> Reading:
        at = moment(str(row["at"]), self.config.gateway.timezone)
        value = float(row["value"])
        if not abs(value) < float("inf"):
            raise ValueError(f"not a finite number: {row['value']!r}")
        return Reading(str(row["sensor"]), Quantity(row["quantity"]), value, at)

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
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, BadRecording) as problem:
        print(f"{path} cannot be replayed: {problem}", file=err)
        return 2
    if run.unknown:
        print(f"not in the configuration: {', '.join(sorted(run.unknown)[:MAX_TOLD])}", file=err)
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
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
