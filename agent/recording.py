"""Reads recordings: files of frames or of readings, plain or gzipped, one line at a time.

    .jsonl   frames (a capture of `satomori listen`) or readings (`satomori decode`, `satomori
             journal export`), also mixed; or line protocol (`satomori journal export --format
             line-protocol`), of which alerts and losses are left out
    .csv     readings: at,sensor,quantity,value
             or what research homes publish: at,sensor,kind,value (see KINDS)

Columns and keys beside these are allowed. A line that cannot be read costs itself only.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final, TypeAlias

from agent import site
from cloud_sync.wire import EPOCH, MICROSECOND, parse_line
from drivers.capture import frame_from_json, numbered_lines
from drivers.reading import Quantity, Reading
from gateway_config.model import GatewayConfig

COLUMNS = frozenset({"at", "sensor", "quantity", "value"})

KINDS: Final[Mapping[str, Quantity]] = {
    "motion": Quantity.MOTION_DETECTED,
    "contact": Quantity.CONTACT_OPEN,
    # A bed, a seat, a mat, a flush: somebody is there.
    "pressure": Quantity.MOTION_DETECTED,
    "flush": Quantity.MOTION_DETECTED,
    "power": Quantity.SWITCHED_ON,
}
"""What a kind of sensor in a research home measures."""

ON_WATT: Final = 5.0
"""Above which an appliance is on, where its power is given and not whether it is on."""

BATTERY: Final = ".BatteryLevel"
"""What the name of a sensor ends with in a row of kind "status" that gives percent."""

YEARS = range(1970, 2200)
"""Of recordings. Rules reckon ahead, for which the last years of the calendar leave no room."""

QUANTITIES: Final = frozenset(Quantity)

Complain: TypeAlias = Callable[[int, Exception], None]
"""Told of each line that is left out: its number, and why."""


class BadRecording(Exception):
    """The file as a whole is of no use: it says why, and what would do."""


class Recordings:
    """Reads the recordings of one site; frames are decoded and sampled as its daemon would."""

    def __init__(self, config: GatewayConfig) -> None:
        self.intake = site.intake(config)
        self._zone = config.gateway.timezone
        # `satomori decode` knows no names and calls a sensor by its address.
        self._names = {" ".join(s.device.source[1:]): s.name for s in config.sensor}
        self._names |= {s.name: s.name for s in config.sensor}

    def knows(self, sensor: str) -> bool:
        """Whether the configuration has it."""
        return sensor in self._names

    def readings(self, path: Path, complain: Complain) -> Iterator[Reading]:
        """Yield what is in the file, in its order; numbers are finite, times are UTC.

        Raises OSError, csv.Error, BadCapture or BadRecording if the file as a whole is of no use.
        """
        lines = numbered_lines(path)
        is_csv = path.name.removesuffix(".gz").endswith(".csv")
        of_line = self._csv_reader(lines) if is_csv else self._of_line
        for number, line in lines:
            try:
                readings = of_line(line)
            except (ValueError, TypeError, OverflowError, RecursionError, csv.Error) as problem:
                complain(number, problem)
            else:
                yield from readings

    def _csv_reader(self, lines: Iterator[tuple[int, str]]) -> Callable[[str], list[Reading]]:
        """Take the line of column names, and return what reads those below it.

        Each line by itself, so that a quotation mark too many costs one line and not the rest.
        """
        _, header = next(lines, (0, ""))
        columns = _cells(header.removeprefix("\ufeff"))  # Excel begins UTF-8 with a mark
        is_home = "kind" in columns and "quantity" not in columns
        if missing := COLUMNS - {"quantity" if c == "kind" and is_home else c for c in columns}:
            raise BadRecording(f"the CSV file has no column {', '.join(sorted(missing))}")
        of_row = self._of_home if is_home else self._of_row
        return lambda line: of_row(dict(zip(columns, _cells(line), strict=False)))

    def _of_row(self, row: dict[str, Any]) -> list[Reading]:
        return [self._reading(row)]

    def _of_home(self, row: dict[str, Any]) -> list[Reading]:
        kind, sensor = row.get("kind"), str(row.get("sensor"))
        if kind == "status" and sensor.endswith(BATTERY):
            row = row | {"sensor": sensor.removesuffix(BATTERY)}
            return [self._reading(row | {"quantity": Quantity.BATTERY_PERCENT})]
        if not isinstance(kind, str) or kind not in KINDS:
            return []
        reading = self._reading(row | {"quantity": KINDS[kind]})
        if reading.quantity is Quantity.SWITCHED_ON and reading.value != 1:
            is_on = float(reading.value > ON_WATT)
            reading = Reading(reading.sensor, reading.quantity, is_on, reading.at)
        return [reading]

    def _of_line(self, line: str) -> list[Reading]:
        # A line of line protocol begins with a name, and JSON never does.
        return self._of_line_protocol(line) if line[0].isalpha() else self._of_json(line)

    def _of_line_protocol(self, line: str) -> list[Reading]:
        point = parse_line(line.strip().encode())
        at = EPOCH + point.time_ns // 1000 * MICROSECOND
        _check_year(at)
        fields = [(n, v) for n, v in point.fields.items() if n in QUANTITIES]
        if not fields:
            return []
        if "sensor" not in point.tags:
            raise ValueError("it has no sensor")
        sensor = self._named(point.tags["sensor"])
        return [Reading(sensor, Quantity(name), value, at) for name, value in fields]

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
        at = moment(str(row["at"]), self._zone)
        value = float(row["value"])
        if not math.isfinite(value):
            raise ValueError(f"not a finite number: {row['value']!r}")
        return Reading(self._named(str(row["sensor"])), Quantity(row["quantity"]), value, at)

    def _named(self, sensor: str) -> str:
        return self._names.get(sensor, sensor)


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
