r"""One commit as it lies on the card: a header, and squeezed behind it what was committed.

    byte 0   4  magic b"\x93SJ1"
         4   4  CRC-32 of all that follows, up to the end of the payload
         8   4  length of the payload
        12   4  boot: which start of the daemon numbered the records
        16   8  number of the first record; where there is none, of the next one
        24   8  number of the last record; where there is none, one less than the first
        32   4  how many records
        36   4  how many of them are events
        40      payload, packed by zlib: one line of JSON (the notes), the records, the states

Numbers are little endian. A commit is one block: it is there as a whole, or its CRC does not fit
and it is not there at all. Blocks lie one behind the other in a file of zeros (segment.py).
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from cloud_sync.spans import Spans

MAGIC: Final = b"\x93SJ1"
HEADER: Final = struct.Struct("<4sII4sQQII")

MAX_PAYLOAD_BYTES: Final = 16 << 20
"""No block is ever this large; what says so is damaged."""

EVENTS: Final = (b"alert,", b"loss,")
"""How the lines of events begin. They leave first, and nothing ever makes room at their cost."""


AT_ONCE: Final = b"alert,"
"""How the lines begin that leave though nobody knows whether their time is right; they say so."""


class BadBlock(Exception):
    """These bytes are no block, or a damaged one."""


class Stamp(NamedTuple):
    """What is known about the times of records."""

    kernel: str = ""
    """Which start of the machine: its clock since then never steps."""
    offset_us: int = 0
    """What was added to that clock, in microseconds, to get the records' times."""
    settled: bool = True
    """Whether those times are right. If not they will be put right once it is known how."""


@dataclass(frozen=True, slots=True)
class Block:
    """What entered the journal together."""

    boot: str
    """8 digits of 0-9 and a-f."""

    next: int
    """The number of the first record, or of the next one if there is none."""

    lines: Sequence[bytes] = ()
    """One record each, of line protocol with its newline, in the order of their numbers."""

    numbers: Spans = field(default_factory=Spans)
    """Of the lines."""

    stamps: Sequence[tuple[int, Stamp]] = ()
    """How many lines in a row have which stamp."""

    notes: Mapping[str, Any] = field(default_factory=dict)
    """Plain data for JSON; whose keys the journal knows."""

    states: Mapping[str, bytes] = field(default_factory=dict)
    """Whole new states, by name."""

    def encode(self) -> bytes:
        """Return the bytes for the card."""
        notes = {
            "numbers": str(self.numbers),
            "stamps": [[count, *stamp] for count, stamp in self.stamps],
            "states": {name: len(body) for name, body in self.states.items()},
            **self.notes,
        }
        text = json.dumps(notes, ensure_ascii=False, separators=(",", ":")).encode()
        payload = zlib.compress(b"\n".join((text, b"".join((*self.lines, *self.states.values())))))
        span = list(self.numbers)
        first, last = (span[0][0], span[-1][1]) if span else (self.next, self.next - 1)
        header = HEADER.pack(
            MAGIC,
            0,
            len(payload),
            bytes.fromhex(self.boot),
            first,
            last,
            len(self.lines),
            count_events(self.lines),
        )
        crc = zlib.crc32(payload, zlib.crc32(header[8:]))
        return header[:4] + crc.to_bytes(4, "little") + header[8:] + payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `encode` was called on. Raises BadBlock."""
        head = Head.read(data, 0)
        try:
            return cls._read(head, zlib.decompress(data[HEADER.size : head.size]))
        except (zlib.error, ValueError, KeyError, TypeError, IndexError) as problem:
            raise BadBlock(f"a block that cannot be read: {problem!r}") from problem

    @classmethod
    def _read(cls, head: "Head", payload: bytes) -> Self:
        text, _, rest = payload.partition(b"\n")
        notes = json.loads(text)
        sizes, stamps = notes.pop("states"), notes.pop("stamps")
        numbers = Spans.parse(notes.pop("numbers"))
        end = len(rest) - sum(sizes.values())
        lines = lines_of(rest[:end])
        if not len(lines) == len(numbers) == head.records:
            raise ValueError(f"{len(lines)} lines with {len(numbers)} numbers")
        states = {}
        for name, size in sizes.items():
            states[name] = rest[end : end + size]
            end += size
        of_lines = [(count, Stamp(*stamp)) for count, *stamp in stamps]
        if sum(count for count, _ in of_lines) != len(lines):
            raise ValueError("not every line has a stamp")
        return cls(head.boot, head.first, lines, numbers, of_lines, notes, states)

    @classmethod
    def of(cls, boot: str, numbered: Sequence[tuple[int, bytes, Stamp]]) -> Self:
        """Return a block of these records, of which there is at least one."""
        numbers = Spans((number, number) for number, _, _ in numbered)
        lines = [line for _, line, _ in numbered]
        stamps = joined((1, stamp) for _, _, stamp in numbered)
        return cls(boot, numbered[0][0], lines, numbers, stamps)

    def numbered(self) -> Iterator[tuple[int, bytes, Stamp]]:
        """Yield number, line and stamp of each record."""
        stamps = (stamp for count, stamp in self.stamps for _ in range(count))
        return zip(each_number(self.numbers), self.lines, stamps, strict=True)


class Head(NamedTuple):
    """What the header of a block says, and where the block is."""

    at: int
    """Its first byte in the file."""
    size: int
    """Bytes, header and payload."""
    boot: str
    first: int
    last: int
    records: int
    events: int

    @classmethod
    def read(cls, data: bytes, at: int) -> Self:
        """Return the header of a sound block at `at`. Raises BadBlock."""
        if data[at : at + 4] != MAGIC or len(data) < at + HEADER.size:
            raise BadBlock("no block begins here")
        _, crc, length, boot, first, last, records, events = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if length > MAX_PAYLOAD_BYTES or end > len(data):
            raise BadBlock(f"a block of {length} bytes that is cut off")
        if zlib.crc32(memoryview(data)[at + 8 : end]) != crc:
            raise BadBlock("a block whose CRC does not fit")
        return cls(at, end - at, boot.hex(), first, last, records, events)


class Scan(NamedTuple):
    """What was found in the bytes of a file."""

    heads: list[Head]
    """All sound blocks, in order, each numbered above the one before."""
    damaged: list[tuple[int, int]]
    """From which byte to which no sound block lies, though one does behind it."""
    end: int
    """Behind the last sound block."""


def scan(data: bytes) -> Scan:
    """Look for all blocks in a file. Nothing in it can make this fail."""
    heads: list[Head] = []
    damaged: list[tuple[int, int]] = []
    at = end = 0
    while True:
        try:
            head = Head.read(data, at)
        except BadBlock:
            at = data.find(MAGIC, at + 1)
            if at < 0:
                return Scan(heads, damaged, end)
            continue
        # A block that was written again elsewhere, after a fault, counts once.
        if not heads or head.first > heads[-1].last:
            if at > end:
                damaged.append((end, at))
            heads.append(head)
        at = end = at + head.size


def lines_of(text: bytes) -> list[bytes]:
    """Return the lines, each with its newline. What has none at the end is no line."""
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def time_us(line: bytes) -> int:
    """Return when a record is from, in microseconds since 1970."""
    return int(line[line.rindex(b" ") + 1 :]) // 1000


def is_event(line: bytes) -> bool:
    return line.startswith(EVENTS)


def count_events(lines: Iterable[bytes]) -> int:
    """Return how many of these records are events."""
    return sum(line.startswith(EVENTS) for line in lines)


def joined(stamps: Iterable[tuple[int, Stamp]]) -> list[tuple[int, Stamp]]:
    """Return the same stamps, with each run of equal ones as one."""
    found: list[tuple[int, Stamp]] = []
    for count, stamp in stamps:
        if found and found[-1][1] == stamp:
            found[-1] = (found[-1][0] + count, stamp)
        else:
            found.append((count, stamp))
    return found


def each_number(numbers: Spans) -> Iterator[int]:
    """Yield every number of the set."""
    return (number for first, last in numbers for number in range(first, last + 1))
