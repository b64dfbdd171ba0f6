"""A disk as it is when the power comes back: what was flushed, and what became of the rest.

What the kernel has written and not flushed is in the memory of the disk. When the power goes, all
of it may have reached the medium, or none, or any part of it in any order, torn between sectors.
"""

import os
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, Literal

from tests.simulation.disk_recorder import FLUSH, Entry

SECTOR_BYTES = 512
PAGE_BYTES = 4096

SUPERBLOCK_PAGE = 0
"""Is never torn: ext4 would not mount then, until e2fsck restores it from one of its copies. On a
disk as small as these there is none."""

NOTHING = bytes(PAGE_BYTES)

Fate = Literal["kept", "lost", "mixed"]

FATES: Final[Sequence[Fate]] = ("kept", "lost", "mixed")
"""Of what was not flushed. Mixed: each page of it by chance, some torn."""

TORN = 0.1
"""How likely a page is torn, if fates are mixed."""


class CutDisk:
    """Rebuilds a disk at one instant after the other, in rising order."""

    def __init__(self, before: bytes, entries: Sequence[Entry]) -> None:
        self._flushed = bytearray(before)
        self._size = len(before)
        self._entries = entries
        self._at = 0
        self._waiting: list[Entry] = []
        self._pages = {
            offset
            for offset in range(0, len(before), PAGE_BYTES)
            if before[offset : offset + PAGE_BYTES] != NOTHING
        }

    def at(self, cut: int, fate: Fate, rnd: Random) -> int:
        """Return a file with the disk after the first `cut` entries, and then no power."""
        assert cut >= self._at, "in rising order"
        for entry in self._entries[self._at : cut]:
            self._happen(entry)
        self._at = cut
        image = os.memfd_create("satomori-cut")
        os.ftruncate(image, self._size)
        for offset in self._pages:
            os.pwrite(image, self._flushed[offset : offset + PAGE_BYTES], offset)
        for offset, data in survivors(self._waiting, fate, rnd):
            os.pwrite(image, data, offset)
        return image

    def _happen(self, entry: Entry) -> None:
        if entry.offset != FLUSH:
            self._waiting.append(entry)
            return
        for _, offset, data in self._waiting:
            self._flushed[offset : offset + len(data)] = data
            first = offset - offset % PAGE_BYTES
            self._pages.update(range(first, offset + len(data), PAGE_BYTES))
        self._waiting.clear()


def survivors(unflushed: Sequence[Entry], fate: Fate, rnd: Random) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of what is found on the medium afterwards."""
    if fate == "lost":
        return
    likely = 1.0 if fate == "kept" else rnd.choice((0.1, 0.5, 0.9))
    for _, offset, data in unflushed:
        for at in range(0, len(data), PAGE_BYTES):
            page = data[at : at + PAGE_BYTES]
            if fate == "mixed" and rnd.random() < TORN and offset + at != SUPERBLOCK_PAGE:
                yield from _torn(offset + at, page, rnd)
            elif rnd.random() < likely:
                yield offset + at, page


def _torn(offset: int, page: bytes, rnd: Random) -> Iterator[tuple[int, bytes]]:
    """Yield some sectors of a page: the first ones, or any."""
    sectors = range(0, len(page), SECTOR_BYTES)
    in_order = rnd.random() < 0.5
    first = sectors[: rnd.randrange(len(sectors))]
    for at in first if in_order else rnd.sample(sectors, len(first)):
        yield offset + at, page[at : at + SECTOR_BYTES]
