"""Reads a journal, beside the daemon that writes to it or without: locks and changes nothing.

It is a picture of the moment of opening: what is committed later is not in it, and a file that the
daemon removes or thins meanwhile is missing or thin.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.journal.block import AT_ONCE, time_us
from agent.journal.files import Files
from agent.journal.manifest import Manifest, NewerVersion
from agent.journal.segment import segments_in

TRIES: Final = 5
"""Each fails only if the daemon removes a file between two lines of this program."""

LOCK: Final = "lock"


class Unreadable(Exception):
    """It is no journal that this program and this user can read: says why, and what to do."""


class Record(NamedTuple):
    """One record, as the cloud gets it."""

    number: int
    line: bytes
    """Its time is put right if it was settled; that of an event never changes (wire.corrected)."""
    at_us: int
    """When it was, as far as is known, in microseconds since 1970."""
    is_settled: bool
    """Whether that is known."""


def opened(folder: Path) -> Files:
    """Return the files to read from. Raises Unreadable."""
    paths(folder)
    try:
        for _ in range(TRIES):
            try:
                return Files(folder, segment_bytes=0, writable=False)
            except FileNotFoundError:
                continue
        return Files(folder, segment_bytes=0, writable=False)
    except NewerVersion as problem:
        raise Unreadable(
            f"{folder} was written by a newer Satomori (version {problem}): use its `satomori`"
        ) from problem
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise Unreadable(
            f"the journal {folder} holds what this version cannot understand: {problem!r}"
        ) from problem
    except OSError as problem:
        raise Unreadable(_advice(folder, problem)) from problem


def paths(folder: Path) -> list[Path]:
    """Return the journal's files, the oldest first. Raises Unreadable."""
    try:
        # A glob takes a folder that must not be read for an empty one.
        next(folder.iterdir(), None)
    except OSError as problem:
        raise Unreadable(_advice(folder, problem)) from problem
    return segments_in(folder)


def _advice(folder: Path, problem: OSError) -> str:
    if isinstance(problem, FileNotFoundError):
        advice = "has the daemon ever run with this configuration, and is [journal] path right?"
    elif isinstance(problem, NotADirectoryError):
        advice = "a journal is a folder: is [journal] path right?"
    elif isinstance(problem, PermissionError):
        advice = "run this as root, or as the user of the daemon"
    else:
        advice = "the card may fail: see `dmesg`, and copy what can be copied"
    return f"the journal {folder} cannot be read ({problem.strerror}): {advice}"


def records(
    files: Files,
    after: int = 0,
    *,
    events: bool = False,
    on_unreadable: Callable[[int, int], None] = lambda _first, _last: None,
) -> Iterator[Record]:
    """Yield all that are numbered above `after`, in order; with `events`, at least all events.

    `on_unreadable` gets the first and the last number of a block that is damaged.
    """
    for segment, head in files.heads(after, files.manifest.next, events=events):
        if events and not head.events:
            continue
        block = files.block(segment, head)
        if block is None:
            on_unreadable(head.first, head.last)
            continue
        for number, line, stamp in block.numbered():
            if number > after:
                yield _record(files.manifest, number, line, is_settled=stamp.settled)


def _record(manifest: Manifest, number: int, line: bytes, *, is_settled: bool) -> Record:
    if is_settled:
        return Record(number, line, time_us(line), is_settled=True)
    settlement = manifest.settlement_of(number)
    if settlement is None:
        return Record(number, line, time_us(line), is_settled=False)
    settled = settlement.settled(line)
    return Record(
        number, line if line.startswith(AT_ONCE) else settled, time_us(settled), is_settled=True
    )


def newest_record(files: Files) -> Record | None:
    """Return the last record that can be read; None if there is none."""
    firsts = [file.first for file in files.manifest.filed]
    for first in (files.manifest.next - 1, *reversed(firsts)):
        newest = None
        for newest in records(files, first - 1):  # noqa: B007  # the last one is what is wanted
            pass
        if newest is not None:
            return newest
    return None


def is_in_use(folder: Path) -> bool:
    """Whether a daemon works on the journal, as far as the kernel's list of locks tells.

    Trying the lock would tell as well, and turn away a daemon that starts at that moment.
    """
    try:
        lock = (folder / LOCK).stat()
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    device = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    return any(" FLOCK " in line and f" {device} " in line for line in locks.splitlines())
