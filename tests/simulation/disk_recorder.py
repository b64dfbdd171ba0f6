"""A disk that remembers each write and each flush, and when it was: a file in FUSE, kept in memory.

A loop device on that file is the disk. What the kernel writes to it arrives here in the order in
which it leaves the kernel, and a write that nobody has flushed may be lost, torn or overtaken when
the power goes: `power_cut.py` does that afterwards, from the log.
"""

import errno
import os
import signal
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.simulation.disk_device import (
    MNT_DETACH,
    CannotSimulate,
    die_with_parent,
    memory_file,
    unmount,
)

NAME = "disk"
START_TIMEOUT_S = 10.0
POLL_S = 0.005
FLUSH: Final = -1

_HEAD = struct.Struct("=dqq")


class Entry(NamedTuple):
    """Something that reached the disk."""

    at_s: float
    """CLOCK_MONOTONIC, before it was done."""

    offset: int
    """In bytes; FLUSH if it is one: what was written before is safe from here on."""

    data: bytes = b""


class Recording:
    """What a disk was, and what happened to it."""

    def __init__(self, before: bytes) -> None:
        self.before = before
        self._log = memory_file()

    @property
    def entries(self) -> Sequence[Entry]:
        with open(os.dup(self._log), "rb") as file:  # noqa: PTH123 - a descriptor
            file.seek(0)
            text = file.read()
        entries, at = [], 0
        while at < len(text):
            at_s, offset, size = _HEAD.unpack_from(text, at)
            at += _HEAD.size
            entries.append(Entry(at_s, offset, text[at : at + size]))
            at += size
        return entries

    def close(self) -> None:
        os.close(self._log)

    @contextmanager
    def disk(self, folder: Path) -> Iterator[int]:
        """Serve the disk in a new folder, by a process of its own; yields an open file."""
        folder.mkdir()
        server = os.fork()
        if server == 0:
            _serve(folder, self.before, self._log)
        try:
            file = _opened(folder / NAME)
            try:
                yield file
            finally:
                os.close(file)
            unmount(folder)
        except BaseException:
            os.kill(server, signal.SIGKILL)
            unmount(folder, flags=MNT_DETACH)
            raise
        finally:
            os.waitpid(server, 0)


def _serve(folder: Path, before: bytes, log: int) -> None:
    """Never returns: this process is the disk."""
    status = 1
    try:
        die_with_parent()
        fuse = _fuse()

        class Disk(fuse.Operations):  # type: ignore[misc]
            use_ns = True

            def __init__(self) -> None:
                self.image = memory_file(before)

            def getattr(self, path, fh=None):
                if path == "/":
                    return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
                if path == f"/{NAME}":
                    mode = stat.S_IFREG | 0o600
                    return {"st_mode": mode, "st_nlink": 1, "st_size": len(before)}
                raise fuse.FuseOSError(errno.ENOENT)

            def read(self, path, size, offset, fh):
                return os.pread(self.image, size, offset)

            def write(self, path, data, offset, fh):
                record(offset, data)
                return os.pwrite(self.image, data, offset)

            def fsync(self, path, datasync, fh):
                record(FLUSH, b"")
                return 0

        def record(offset: int, data: bytes) -> None:
            os.write(log, _HEAD.pack(time.monotonic(), offset, len(data)) + data)

        # One thread: what is logged is in the order in which it was done.
        fuse.FUSE(Disk(), str(folder), foreground=True, nothreads=True)
        status = 0
    finally:
        os._exit(status)


def _fuse():
    try:
        import mfusepy  # noqa: PLC0415 - needs a library of the system, and says so by an OSError
    except (ImportError, OSError) as problem:
        raise CannotSimulate(
            f"FUSE cannot be used ({problem}): sudo apt-get install fuse3; pip install mfusepy"
        ) from problem
    return mfusepy


def check_fuse() -> None:
    """Raise CannotSimulate unless FUSE is to be had."""
    _fuse()
    if not Path("/dev/fuse").exists():
        raise CannotSimulate("there is no /dev/fuse: modprobe fuse, outside of a container")


def _opened(path: Path) -> int:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR)
        time.sleep(POLL_S)
    raise CannotSimulate(f"FUSE does not serve {path}; see what it says above")
