"""One file of the journal: blocks one behind the other, written in place into zeros.

In place, because on ext4 a file that grows costs five times as many bytes on the card as one that
does not: block bitmap, inode and directory go through ext4's own journal with every sync. So the
file grows in large steps of zeros, and a commit overwrites some of them, followed by one fdatasync.

A file is never written to again once the next one was begun, but for being thinned as a whole
(room.py); then a new file takes its name.
"""

import errno
import os
from pathlib import Path
from typing import Final, Self
from weakref import finalize

from agent.journal.block import Head, Scan, scan

SUFFIX: Final = ".blocks"
UNFINISHED: Final = ".new"
"""A file that was not complete when the power went. It is removed."""

STEP_BYTES: Final = 256 << 10
"""By how much a file grows at a time."""

PAGE_BYTES: Final = 4096

LONGEST_BYTES: Final = 64 << 20
"""No file of ours is longer; of one that is, only the beginning is looked at."""


class Segment:
    """An open file. Reading and writing are independent of each other, and so of threads."""

    def __init__(self, path: Path, handle: int, found: Scan, size: int) -> None:
        self.path, self.size = path, size
        self.first = first_of(path)
        """The number that its records begin with, or would, if it has none."""
        self.heads: list[Head] = found.heads
        """Of the sound blocks, in order."""
        self.damaged = found.damaged
        self.end = found.end
        """Where the next block goes."""
        self._handle = handle
        # It is closed when nobody can read from it any more, whichever thread that is in.
        finalize(self, os.close, handle)

    @classmethod
    def open(cls, path: Path, *, writable: bool = False) -> Self:
        """Open an existing file and look at every block. Raises OSError."""
        handle = _opened(path, writable=writable)
        try:
            data = _read_all(handle)
        except OSError:
            os.close(handle)
            raise
        return cls(path, handle, scan(data), len(data))

    @classmethod
    def create(cls, folder: Path, first: int, block: bytes) -> Self:
        """Make the file whose records begin at `first`, with this block. Raises OSError.

        It is there as a whole, or not at all.
        """
        path = folder / f"{first:020d}{SUFFIX}"
        data = block.ljust(-(-len(block) // STEP_BYTES) * STEP_BYTES, b"\0")
        write_whole(path, data)
        return cls(path, _opened(path, writable=True), scan(data), len(data))

    def append(self, blocks: bytes) -> None:
        """Write behind the last block, and sync. Raises OSError; then it does not count."""
        while self.end + len(blocks) > self.size:
            _write_all(self._handle, bytes(STEP_BYTES), self.size)
            self.size += STEP_BYTES
        _write_all(self._handle, blocks, self.end)
        os.fdatasync(self._handle)
        self.heads += (head._replace(at=self.end + head.at) for head in scan(blocks).heads)
        self.end += len(blocks)

    def clean_end(self) -> bool:
        """Overwrite with zeros what lies behind the last block; returns whether there was anything.

        It is what is left of a commit that was under way when the power went.
        """
        rest = self.read_span(self.end, self.size).rstrip(b"\0")
        if rest:
            _write_all(self._handle, bytes(len(rest)), self.end)
            os.fdatasync(self._handle)
        return bool(rest)

    def read(self, head: Head) -> bytes:
        """Return the bytes of one block. Raises OSError."""
        return os.pread(self._handle, head.size, head.at)

    def read_span(self, start: int, end: int) -> bytes:
        """Return some bytes of the file; zeros for what the card does not give any more."""
        return _read(self._handle, start, end - start)

    def cut(self) -> None:
        """Give back the zeros behind the last block. Raises OSError."""
        os.ftruncate(self._handle, self.end)
        self.size = self.end


def _opened(path: Path, *, writable: bool) -> int:
    return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)


def _read_all(handle: int) -> bytes:
    """Raises OSError for what is no file."""
    return _read(handle, 0, min(os.fstat(handle).st_size, LONGEST_BYTES))


def _read(handle: int, start: int, size: int) -> bytes:
    try:
        return os.pread(handle, size, start)
    except OSError as problem:
        if problem.errno != errno.EIO:
            raise
    # A dying card: what it still gives is kept.
    if size <= PAGE_BYTES:
        return bytes(size)
    pages = range(start, start + size, PAGE_BYTES)
    return b"".join(_read(handle, at, min(PAGE_BYTES, start + size - at)) for at in pages)


def segments_in(folder: Path) -> list[Path]:
    """Return the paths of our files, the oldest first. Others are none of our business."""
    names = folder.glob(f"{'[0-9]' * 20}{SUFFIX}")
    return sorted(path for path in names if path.is_file() and not path.is_symlink())


def first_of(path: Path) -> int:
    """Return the first number in a file, by its name. Raises ValueError for a stranger."""
    return int(path.name.removesuffix(SUFFIX))


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in its place so that a power cut leaves the old one or the new. Raises OSError."""
    unfinished = path.with_name(path.name + UNFINISHED)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(handle, data, 0)
        os.fsync(handle)
    except OSError:
        # On a full disk it would only be in the way.
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    unfinished.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in it survive a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, at)
        rest, at = rest[written:], at + written
