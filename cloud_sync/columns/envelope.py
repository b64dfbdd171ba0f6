"""The bytes around the columns of a batch: which records, of which table, and what did not fit.

bytes    what
1        version 1, and flags
4        boot
4        id of the series table, if there are columns
varints  the spans of the numbers, and the floor
varint   how many bytes of raw lines, if there are columns too
…        raw lines
…        columns: bits, to the end
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload
from cloud_sync.columns.bits import unzigzag, zigzag
from cloud_sync.columns.deflate import deflated, inflated
from cloud_sync.spans import MAX_NUMBER, Spans

VERSION_1: Final = 0xC0
"""The first byte, with four flags in its lowest bits."""
HAS_COLUMNS: Final = 1
HAS_RAW: Final = 2
IS_DEFLATED: Final = 4
"""The raw lines are."""
IS_NEXT: Final = 8
"""The numbers have no gaps and begin above the floor: all before is confirmed."""

MAX_SPANS: Final = 1 << 16
MAX_VARINT_BYTES: Final = 10

PRESET: Final = (
    b"loss,gateway=,reason=memorydamagedthinnedbudgetpower_cut,site= "
    b"from_seconds=1,readings=,until_seconds=1\n"
    b"happened_seconds=1,time_uncertain=0\n"
    b"alert,gateway=,phase=quiet,place=,rule=,sensor=,severity=noticefaultwarning,site= firing=0,"
    b"since_seconds=1,time_uncertain=1,value=\n"
    b"alert,gateway=,phase=firing,place=,rule=,sensor=,severity=danger,site= firing=1,"
    b"since_seconds=1"
)
"""The dictionary for deflating raw lines: what most of them say."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, opened."""

    boot: str
    sequence: Spans
    """Of all lines."""
    floor: int
    raw: bytes
    """Lines as they are, each ended by a newline."""
    table_id: int | None
    """None if there are no columns."""
    bits: bytes
    """The columns."""


def is_columns(payload: bytes) -> bool:
    """Whether a payload begins as those of version 1 do."""
    return payload != b"" and payload[0] & ~15 == VERSION_1


def seal(envelope: Envelope) -> bytes:
    """Return the payload."""
    raw, flags = envelope.raw, HAS_RAW * bool(envelope.raw)
    packed = deflated(raw, PRESET)
    if len(packed) < len(raw):
        raw, flags = packed, flags | IS_DEFLATED
    table = b""
    if envelope.table_id is not None:
        table, flags = envelope.table_id.to_bytes(4, "big"), flags | HAS_COLUMNS
        if raw:
            raw = _varint(len(raw)) + raw
    spans = list(envelope.sequence)
    is_next = len(spans) == 1 and spans[0][0] == envelope.floor + 1
    numbering = _numbering(spans, envelope.floor, is_next=is_next)
    first = bytes([VERSION_1 | flags | IS_NEXT * is_next]) + bytes.fromhex(envelope.boot)
    return first + table + numbering + raw + envelope.bits


def opened(payload: bytes) -> Envelope:
    """Return what `seal` was given. Raises BadPayload."""
    if not is_columns(payload) or len(payload) > MAX_PAYLOAD_BYTES:
        raise BadPayload(f"no batch of columns of version 1: {payload[:20]!r}")
    octets = _Octets(payload)
    flags = octets.take(1)[0]
    boot = octets.take(4).hex()
    table_id = int.from_bytes(octets.take(4), "big") if flags & HAS_COLUMNS else None
    sequence, floor = _read_numbering(octets, is_next=bool(flags & IS_NEXT))
    raw = b""
    if flags & HAS_RAW:
        raw = octets.take(octets.varint()) if flags & HAS_COLUMNS else octets.rest()
    if flags & IS_DEFLATED:
        raw = inflated(
            raw,
            MAX_PAYLOAD_BYTES,
            PRESET,
            damaged="columns: damaged lines",
            cut_off="columns: lines cut off",
        )
    return Envelope(boot, sequence, floor, raw, table_id, octets.rest())


def _numbering(spans: Sequence[tuple[int, int]], floor: int, *, is_next: bool) -> bytes:
    first, last = spans[0]
    numbers = [first, last - first]
    if not is_next:
        numbers += [zigzag(first - 1 - floor), len(spans) - 1]
    for (_, before), (start, last) in pairwise(spans):
        numbers += [start - before - 2, last - start]
    return b"".join(map(_varint, numbers))


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


class _Octets:
    """Reads bytes from the beginning of a payload. Raises BadPayload where some are missing."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._payload):
            raise BadPayload("columns: cut off")
        return self._payload[start : self._at]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
            octet = self.take(1)[0]
            number |= (octet & 0x7F) << shift
            if octet < 0x80:
                return number
        raise BadPayload("columns: a number without an end")

    def rest(self) -> bytes:
        return self.take(len(self._payload) - self._at)


def _read_numbering(octets: _Octets, *, is_next: bool) -> tuple[Spans, int]:
    first = octets.varint()
    last = first + octets.varint()
    floor = first - 1 - (0 if is_next else unzigzag(octets.varint()))
    more = 0 if is_next else octets.varint()
    if more >= MAX_SPANS or not 0 <= floor <= MAX_NUMBER:
        raise BadPayload(f"columns: {more + 1} spans, floor {floor}")
    sequence = Spans()
    try:
        sequence.add(first, last)
        for _ in range(more):
            start = last + 2 + octets.varint()
            last = start + octets.varint()
            sequence.add(start, last)
    except ValueError as problem:
        raise BadPayload(f"columns: {problem}") from problem
    return sequence, floor
