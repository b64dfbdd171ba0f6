"""What is accepted and not yet on the card: a file in memory that outlives the daemon.

Writing each reading to the card wears it out; keeping readings in the daemon loses them when it is
killed. So they also go into a file on a tmpfs, which costs a microsecond, wears nothing out, and is
still there when systemd starts the daemon again. Only a power cut takes it away.

    #satomori-tail 1 <boot> <number of the first line>
    #stamp <kernel> <offset in µs> <1 = settled, 0 = not>
    air,gateway=… one record a line
    #number <of the next line, where some were given up>
"""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.journal.block import Stamp, lines_of, time_us

MAGIC = "#satomori-tail 1"

MAX_BYTES = 32 << 20
"""What is behind is kept in the daemon only, until the card takes something."""

log = logging.getLogger(__name__)


class Left(NamedTuple):
    """What a daemon that was killed left behind."""

    boot: str
    first: int
    """What is numbered below was on the card."""
    numbered: list[tuple[int, bytes, Stamp]]
    """Number, line and stamp of each record."""


class Tail:
    """One file. It never fails: without it, a kill loses what a power cut would."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._size = 0

    def left(self) -> Left | None:
        """Return what is in the file; None if there is nothing to be had from it."""
        try:
            handle = _opened(self._path, os.O_RDONLY)
            with os.fdopen(handle, "rb") as file:
                return _parsed(file.read(2 * MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as problem:
            log.warning(
                "%s, with what was not yet on the card, is of no use: %s", self._path, problem
            )
            return None

    def begin(
        self, boot: str, following: int, numbered: Iterable[tuple[int, bytes, Stamp]]
    ) -> None:
        """Start over with these records: all that is not on the card.

        `following` is the number of the record that comes next.
        """
        self.close()
        text = list(_text(boot, following, list(numbered)))
        unfinished = self._path.with_name(self._path.name + ".new")
        try:
            self._handle = _opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.ftruncate(self._handle, 0)
            self._size = 0
            self._write(b"".join(text))
            unfinished.rename(self._path)
        except OSError as problem:
            log.warning("a kill of the daemon will lose the newest readings: %s", problem)
            self.close()

    def append(self, text: bytes) -> None:
        """Add lines."""
        if self._handle is None or self._size > MAX_BYTES:
            return
        try:
            self._write(text)
        except OSError as problem:
            log.warning("a kill of the daemon will lose the newest readings: %s", problem)
            self.close()

    def stamp(self, stamp: Stamp) -> None:
        """Note that the lines behind have this stamp."""
        self.append(_stamp_line(stamp))

    def remove(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, text: bytes) -> None:
        if self._handle is None:
            return
        written = os.write(self._handle, text)
        self._size += written
        if written < len(text):
            # What came behind would be taken for the end of the line that is cut off.
            raise OSError(errno.ENOSPC, "there is no room for all of it", str(self._path))


def _text(
    boot: str, following: int, numbered: Sequence[tuple[int, bytes, Stamp]]
) -> Iterator[bytes]:
    expected = numbered[0][0] if numbered else following
    yield f"{MAGIC} {boot} {expected}\n".encode()
    before: Stamp | None = None
    for number, line, stamp in numbered:
        if stamp != before:
            yield _stamp_line(stamp)
        if number != expected:
            yield b"#number %d\n" % number
        yield line
        before, expected = stamp, number + 1
    if following != expected:
        yield b"#number %d\n" % following


def _stamp_line(stamp: Stamp) -> bytes:
    return f"#stamp {stamp.kernel or '-'} {stamp.offset_us} {int(stamp.settled)}\n".encode()


def _opened(path: Path, flags: int) -> int:
    """Open a file of ours. Raises OSError for one that somebody else put there."""
    # A pipe that nobody reads from must not keep the daemon waiting.
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    status = os.fstat(handle)
    is_ours = status.st_uid == os.getuid() and status.st_nlink == 1
    if not is_ours or not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise PermissionError(f"{path} belongs to somebody else: remove it")
    return handle


def _parsed(text: bytes) -> Left:
    """Raises ValueError for what is no such file."""
    header, *lines = lines_of(text) or [b""]
    magic, boot, first = header.decode("ascii").rsplit(" ", 2)
    if magic != MAGIC:
        raise ValueError(f"it begins {header[:40]!r}")
    number, left = int(first), Left(boot, int(first), [])
    stamp: Stamp | None = None
    try:
        for line in lines:
            if line.startswith(b"#stamp "):
                _, kernel, offset_us, settled = line.decode("ascii").split()
                stamp = Stamp("" if kernel == "-" else kernel, int(offset_us), settled == "1")
            elif line.startswith(b"#number "):
                number = max(number, int(line.removeprefix(b"#number ")))
            else:
                _check(line, stamp)
                left.numbered.append((number, line, stamp or Stamp()))
                number += 1
    except ValueError as problem:
        log.warning("the tail is of use up to record %d: %s", number - 1, problem)
    return left


def _check(line: bytes, stamp: Stamp | None) -> None:
    """Raises ValueError for what is no record."""
    if stamp is None:
        raise ValueError("a line without a stamp")
    time_us(line)
    if line.count(b" ") < 2 or line.startswith(b"#"):
        raise ValueError(f"no record: {line[:40]!r}")
