"""What the lines of a gateway have in common, told once: the series table.

A series is what stands before the numbers of a line: measurement, tags and the names of the fields.
The gateway learns them from the lines that it packs, and publishes the table whenever it has grown,
retained, before the first batch that needs it. A batch names the table by the CRC-32 of its text.

    air,gateway=g12,place=bedroom,sensor=meter temperature_celsius,humidity_percent
    …
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Self

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload
from cloud_sync.columns.deflate import deflated, inflated

MAX_SERIES: Final = 4_096
"""When more are needed, a new table is begun: a gateway has a few for each sensor."""

MAX_TABLE_BYTES: Final = MAX_PAYLOAD_BYTES // 2
"""Of its text."""

TABLE_VERSION_1: Final = 0xD8
"""The first byte of the message."""


class Series(NamedTuple):
    """What a line says beside its numbers and its time. Text is Latin-1: one character a byte."""

    head: str
    """Measurement and tags."""
    names: tuple[str, ...]
    """Of the fields, at least one."""

    def __str__(self) -> str:
        return f"{self.head} {','.join(self.names)}"


class SeriesTable:
    """Series in the order in which they were learnt. Only ever grows, until it begins anew."""

    def __init__(self) -> None:
        self._id = 0
        self._begin()

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Return the table that a retained message holds. Raises BadPayload."""
        if payload[:1] != bytes([TABLE_VERSION_1]):
            raise BadPayload(f"not a series table of version 1: {payload[:20]!r}")
        text = inflated(
            payload[1:],
            MAX_TABLE_BYTES,
            damaged="a damaged series table",
            cut_off="a series table that is cut off",
        )
        *lines, rest = text.decode("latin-1").split("\n")
        table = cls()
        table.learn(map(_parsed, lines))
        if rest or len(table.series) != len(lines):
            raise BadPayload("a series table with a line cut off, twice, or beyond the limit")
        return table

    @property
    def id(self) -> int:
        """CRC-32 of the text: another table is another number."""
        return self._id

    def payload(self) -> bytes:
        """Return the message to publish, retained."""
        text = "".join(f"{series}\n" for series in self.series).encode("latin-1")
        return bytes([TABLE_VERSION_1]) + deflated(text)

    def find(self, series: Series) -> int | None:
        """Return the place of a series, from 0; None if it is not in the table."""
        return self._places.get(series)

    def learn(self, series: Iterable[Series]) -> None:
        """Add those that are missing, as far as the limits allow."""
        for one in series:
            line = f"{one}\n"
            is_new = one not in self._places and len(self.series) < MAX_SERIES
            if is_new and self._bytes + len(line) <= MAX_TABLE_BYTES:
                self._places[one] = len(self.series)
                self.series.append(one)
                self.heads.append(f"{one.head} {one.names[0]}=")
                self.joints.append(_joints(one.names))
                self.tags.append(one.head.partition(",")[2])
                self.bytes_before.append(self.bytes_before[-1] + len(line) + 2 * len(one.names) + 2)
                self._bytes += len(line)
                self._id = zlib.crc32(line.encode("latin-1"), self._id)

    def make_room(self, series: Iterable[Series]) -> None:
        """Begin anew if these would not fit in."""
        missing = [str(one) for one in series if one not in self._places]
        size = self._bytes + sum(map(len, missing)) + len(missing)
        if len(self.series) + len(missing) > MAX_SERIES or size > MAX_TABLE_BYTES:
            self._begin()

    def _begin(self) -> None:
        self.series: list[Series] = []
        self.heads: list[str] = []
        """What stands before the first number of a line."""
        self.joints: list[tuple[str, ...]] = []
        """What stands between its numbers."""
        self.tags: list[str] = []
        """Lines of one sensor have the same."""
        self.bytes_before: list[int] = [0]
        """How long a line of each series before this one is at least, together."""
        self._places: dict[Series, int] = {}
        self._bytes = 0
        self._id = zlib.crc32(b"")


@lru_cache(maxsize=1024)
def _joints(names: Sequence[str]) -> tuple[str, ...]:
    # Most sensors have the same fields, and there are many tables: one text for all of them.
    return tuple([f",{name}=" for name in names[1:]])


def _parsed(line: str) -> Series:
    head, _, names = line.rpartition(" ")
    return Series(head, tuple(names.split(",")))
