"""What a record looks like, from the journal through MQTT to InfluxDB: one line of line protocol.

The line is made once, when the record enters the journal, and the same bytes are stored in
InfluxDB: nothing on the way decodes and encodes again, and what lies on the card is what will be
stored. A batch is a header in a comment line, which every reader of line protocol skips, and the
lines:

    #satomori 1 boot=5f3a9c01 seq=118-120 floor=117
    air,gateway=g12,place=bedroom,sensor=meter temperature_celsius=21.5 1764000000000000000
    …

Or the same lines as columns, in a fifth of the bytes of gzip: columns.py. docs/wire.md describes it
all for others; tests/vectors/wire/ pins it.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload, Batch
from cloud_sync.columns import Find, UnknownSeries, is_columns, unpack
from cloud_sync.spans import MAX_NUMBER, Spans
from drivers.reading import Quantity, Reading
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase

__all__ = [
    "ALERT",
    "EPOCH",
    "FAMILY",
    "LOSS",
    "MAX_CONFIRMED_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "MICROSECOND",
    "BadPayload",
    "Batch",
    "Encoding",
    "LineWriter",
    "Point",
    "TextEncoding",
    "UnknownSeries",
    "corrected",
    "decode_batch",
    "decode_confirmed",
    "encode_batch",
    "encode_confirmed",
    "parse_line",
    "records",
    "written_by",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

MAX_HEADER_BYTES = 1 << 16
"""Room for thousands of gaps. What is longer would take seconds to sort."""

MAX_CONFIRMED_BYTES = 1 << 17
"""Room for 256 spans of 8 boots, however large the numbers."""

TextEncoding: TypeAlias = Literal["gzip", "line-protocol"]
"""Header and lines, packed or not: what `encode_batch` makes."""

Encoding: TypeAlias = Literal["columns", "gzip", "line-protocol"]
"""All hold the same lines; "line-protocol" is what Telegraf and others can read without us."""

FAMILY: Mapping[Quantity, str] = {
    Quantity.TEMPERATURE_CELSIUS: "air",
    Quantity.HUMIDITY_PERCENT: "air",
    Quantity.SOIL_TEMPERATURE_CELSIUS: "soil",
    Quantity.SOIL_MOISTURE_PERCENT: "soil",
    Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM: "soil",
    Quantity.SOIL_PH: "soil",
    Quantity.CONTACT_OPEN: "contact",
    Quantity.MOTION_DETECTED: "motion",
    Quantity.BUTTON_EVENT: "button",
    Quantity.GLOBE_TEMPERATURE_CELSIUS: "air",
    Quantity.WIND_SPEED_METRE_PER_S: "air",
    Quantity.RAIN_TOTAL_MILLIMETRE: "air",
    Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE: "air",
    Quantity.ILLUMINANCE_LUX: "air",
    Quantity.LEAF_WET: "air",
    Quantity.WATER_LEVEL_MILLIMETRE: "water",
    Quantity.WATER_TEMPERATURE_CELSIUS: "water",
    Quantity.WATER_FLOW_LITRE_PER_MINUTE: "water",
    Quantity.WATER_DETECTED: "water",
    Quantity.MAINS_POWER_ON: "power",
    Quantity.SWITCHED_ON: "power",
    Quantity.TRAP_SPRUNG: "trap",
    Quantity.BATTERY_PERCENT: "battery",
    Quantity.BATTERY_VOLT: "battery",
}
"""The InfluxDB measurement that each stored quantity is a field of."""

ALERT = "alert"
"""The InfluxDB measurement of alert events."""

EVIDENCE = "evidence_"
"""What the fields of an alert begin with that say why."""

LOSS = "loss"
"""The InfluxDB measurement that says what is missing, and why."""

_ESCAPED = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\="})
_BOOT = re.compile(r"[0-9a-f]{8}")
_FLOAT = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Point:
    """One line, taken apart."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float]
    time_ns: int
    """Nanoseconds since 1970, UTC."""


@dataclass(frozen=True)
class LineWriter:
    """Writes the records of one gateway as lines."""

    gateway: str
    site: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    """Sensor to the place it is in; sensors without a place may be missing."""

    _heads: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def readings(self, sensor: str, values: Mapping[Quantity, float], at: datetime) -> list[bytes]:
        """Return a line for each family among what `sensor` measured at `at`."""
        families: dict[str, str] = {}
        for quantity, value in values.items():
            family, text = FAMILY[quantity], f"{quantity.value}={_number(value)}"
            families[family] = f"{families[family]},{text}" if family in families else text
        time = _nanoseconds(at)
        return [
            f"{self._head(family, sensor)} {fields} {time}\n".encode()
            for family, fields in families.items()
        ]

    def event(self, event: AlertEvent, *, time_uncertain: bool = False) -> bytes:
        """Return the line for an alert event; say so if nobody knows whether its time is right."""
        tags = _tags(
            gateway=self.gateway,  # First: the ingester knows a gateway's lines by it.
            condition=event.condition,
            phase=event.phase.value,
            place=self.places.get(event.sensor, ""),
            quantity=event.quantity or "",
            rule=event.rule,
            sensor=event.sensor,
            severity=event.severity.value,
            site=self.site,
        )
        firing = int(event.phase is Phase.FIRING)
        value = "" if event.value is None else f",value={_number(event.value)}"
        since_s = _number((event.since - EPOCH).total_seconds())
        doubt = ",time_uncertain=1" if time_uncertain else ""
        why = "".join(f"{EVIDENCE}{name}={_number(figure)}," for name, figure in event.evidence)
        fields = f"{why}firing={firing},since_seconds={since_s}{doubt}{value}"
        return f"{ALERT},{tags} {fields} {_nanoseconds(event.at)}\n".encode()

    def loss(
        self, reason: str, readings: int, span: tuple[datetime, datetime], at: datetime
    ) -> bytes:
        """Return the line that says at `at` that readings of that span of time are gone for good.

        `readings` is how many; 0 if nobody can know.
        """
        tags = _tags(gateway=self.gateway, reason=reason, site=self.site)
        begin, end = (_number((moment - EPOCH).total_seconds()) for moment in span)
        fields = f"from_seconds={begin},readings={readings},until_seconds={end}"
        return f"{LOSS},{tags} {fields} {_nanoseconds(at)}\n".encode()

    def _head(self, family: str, sensor: str) -> str:
        head = self._heads.get((family, sensor))
        if head is None:
            place = self.places.get(sensor, "")
            tags = _tags(gateway=self.gateway, place=place, sensor=sensor, site=self.site)
            head = self._heads[family, sensor] = f"{family},{tags}"
        return head


def corrected(line: bytes, settled: bytes) -> bytes:
    """Return what says the true time of an alert event that was sent with a doubtful one.

    It is the same point of InfluxDB with more fields; `settled` is the line with its true time, and
    with by how much that may be wrong.
    """
    head, _, time = line.rsplit(b" ", 2)
    _, fields, true_time = settled.rsplit(b" ", 2)
    happened_s = _number(int(true_time) // 1000 / 1e6)
    _, comma, doubt = fields.partition(b",time_uncertain_seconds=")
    known = b",time_uncertain_seconds=" + doubt if comma else b""
    says = b"happened_seconds=%s,time_uncertain=0%s" % (happened_s.encode(), known)
    return b"%s %s %s" % (head, says, time)


def _tags(**tags: str) -> str:
    # A backslash at the end of a value would escape the separator behind it, and line protocol
    # has no way to write it: it becomes a slash, as a newline becomes a space.
    cleaned = {k: v.replace("\\", "/").replace("\n", " ") for k, v in tags.items()}
    return ",".join(f"{k}={v.translate(_ESCAPED)}" for k, v in cleaned.items() if v)


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"not a finite number: {value!r}")
    return repr(float(value)).removesuffix(".0")


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND * 1000


def encode_batch(batch: Batch, encoding: TextEncoding = "gzip") -> bytes:
    """Return the MQTT payload, as text; `columns.pack` makes the compact one."""
    header = f"#satomori 1 boot={batch.boot} seq={batch.sequence} floor={batch.floor}\n"
    payload = header.encode() + batch.lines
    # mtime=0: the same batch sent twice is the same bytes.
    return gzip.compress(payload, 6, mtime=0) if encoding == "gzip" else payload


def decode_batch(payload: bytes, find: Find | None = None) -> Batch:
    """Return the batch, in whichever encoding.

    `find` returns the series table of an id, if it is known. Raises BadPayload; UnknownSeries if
    the payload holds columns and their table is not known.
    """
    if is_columns(payload):
        return unpack(payload, find or (lambda _: None))
    header, _, lines = _unpacked(payload).partition(b"\n")
    try:
        named = _header(header)
        boot, floor, sequence = (
            _boot(named["boot"]),
            _floor(named["floor"]),
            Spans.parse(named["seq"]),
        )
    except (ValueError, KeyError) as problem:
        raise BadPayload(f"not a batch: {problem}; it begins {payload[:60]!r}") from problem
    count = lines.count(b"\n")
    if count != len(sequence) or not lines.endswith(b"\n"):
        raise BadPayload(f"{count} lines for the sequence {named['seq'][:80]}")
    return Batch(boot, sequence, floor, lines)


def _header(header: bytes) -> dict[str, str]:
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {len(header)} bytes")
    magic, version, *words = header.decode("ascii").split(" ")
    if (magic, version) != ("#satomori", "1"):
        raise ValueError("no header of version 1")
    return dict(word.split("=", 1) for word in words)


def _boot(text: str) -> str:
    if not _BOOT.fullmatch(text):
        raise ValueError(f"no boot of 8 hexadecimal digits: {text[:20]!r}")
    return text


def _floor(text: str) -> int:
    floor = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1
    if not 0 <= floor <= MAX_NUMBER:
        raise ValueError("no floor of 0 or more")
    return floor


def _unpacked(payload: bytes) -> bytes:
    if payload[:2] != b"\x1f\x8b":
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise BadPayload(f"a payload of more than {MAX_PAYLOAD_BYTES} bytes")
        return payload
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(payload, MAX_PAYLOAD_BYTES)
    except zlib.error as problem:
        raise BadPayload(f"damaged gzip: {problem}") from problem
    if not unpacker.eof:
        raise BadPayload(f"gzip that is cut off, or of more than {MAX_PAYLOAD_BYTES} bytes")
    return unpacked


def written_by(gateway: str, lines: bytes) -> bool:
    """Whether every line is tagged with this gateway, in the place where `LineWriter` puts it."""
    is_theirs = _head_of(gateway).match
    return all(map(is_theirs, lines.split(b"\n")[:-1]))


@lru_cache(maxsize=4096)
def _head_of(gateway: str) -> re.Pattern[bytes]:
    return re.compile(rb"[a-z_]+," + re.escape(_tags(gateway=gateway).encode()) + rb"[, ]")


def encode_confirmed(boots: Mapping[str, Spans]) -> bytes:
    """Return the payload that tells a gateway which of its records InfluxDB holds, by boot."""
    return " ".join(["1", *(f"{boot}={numbers}" for boot, numbers in boots.items())]).encode()


def decode_confirmed(payload: bytes) -> dict[str, Spans]:
    """Return what `encode_confirmed` was given. Raises BadPayload."""
    try:
        said = _said(payload)
        # What is no boot is something that a later ingester adds.
        return {boot: Spans.parse(text) for boot, text in said.items() if _BOOT.fullmatch(boot)}
    except ValueError as problem:
        raise BadPayload(f"not a confirmation ({problem}): {payload[:80]!r}") from problem


def _said(payload: bytes) -> dict[str, str]:
    if len(payload) > MAX_CONFIRMED_BYTES:
        raise ValueError(f"{len(payload)} bytes")
    version, *words = payload.decode("ascii").split(" ")
    if version != "1":
        raise ValueError("not of version 1")
    return dict(word.split("=", 1) for word in words)


def parse_line(line: bytes) -> Point:
    """Take one of our lines apart. Raises BadPayload; line protocol of others may be refused."""
    try:
        head, fields, time = _split(line.decode().rstrip("\n"), " ")
        measurement, *tags = _split(head, ",")
        numbers = {k: _float(v) for k, v in _pairs(_split(fields, ",")).items()}
        return Point(_unescaped(measurement), _pairs(tags), numbers, _time_ns(time))
    except ValueError as problem:
        raise BadPayload(f"not a line of ours ({problem}): {line[:120]!r}") from problem


def _pairs(parts: list[str]) -> dict[str, str]:
    pairs = [(_unescaped(k), _unescaped(v)) for k, v in (_split(part, "=") for part in parts)]
    if len(dict(pairs)) != len(pairs):
        raise ValueError("the same key twice")
    return dict(pairs)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(f"not a finite number: {text[:40]!r}")
    return value


def _time_ns(text: str) -> int:
    time_ns = int(text)
    if abs(time_ns) > MAX_NUMBER:
        raise ValueError(f"not a time in nanoseconds: {text!r}")
    return time_ns


def _split(text: str, at: str) -> list[str]:
    if "\\" not in text:
        return text.split(at)
    parts, start, skip = [], 0, False
    for index, char in enumerate(text):
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char == at:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _unescaped(text: str) -> str:
    return text.replace(r"\,", ",").replace(r"\ ", " ").replace(r"\=", "=")


def records(point: Point) -> Iterable[Reading | AlertEvent]:
    """Return the records that a line was made of. Raises BadPayload for a point of others."""
    tags, fields = point.tags, point.fields
    try:
        at = EPOCH + timedelta(microseconds=point.time_ns // 1000)
        if point.measurement != ALERT:
            sensor = tags["sensor"]
            return [Reading(sensor, Quantity(name), v, at) for name, v in fields.items()]
        since = EPOCH + timedelta(seconds=fields["since_seconds"])
        phase, severity = Phase(tags["phase"]), Severity(tags["severity"])
        quantity = Quantity(tags["quantity"]) if "quantity" in tags else None
        evidence = tuple(
            (name.removeprefix(EVIDENCE), figure)
            for name, figure in sorted(fields.items())
            if name.startswith(EVIDENCE)
        )
        return [
            AlertEvent(
                tags["rule"],
                tags.get("sensor", ""),
                phase,
                at,
                since,
                severity,
                fields.get("value"),
                tags.get("condition", ""),
                quantity,
                evidence,
            )
        ]
    except (KeyError, ValueError, OverflowError) as problem:
        raise BadPayload(f"no record of ours ({problem}): {point!r}") from problem
