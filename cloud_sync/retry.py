"""Looks at what was set aside, and writes it to a store again.

What the store takes now leaves the folder; what it refuses stays, with the new reason. Killed at
any moment this loses nothing: a file is only replaced, as a whole, after the store has what is
missing in it, and a line that is written twice is written once. The ingester may go on adding to
the folder meanwhile: what is tried was moved out of its way before.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import islice
from pathlib import Path

from cloud_sync.ingester.writer import Patience, Piece, Writer
from cloud_sync.set_aside import Oddity, from_json, locked, sync_folder, to_json
from cloud_sync.store import Refused, Rejected, Store, StoreError, TooLarge
from cloud_sync.wire import written_by

CHUNK_LINES = 1_000
"""Written together."""

RETRIED = ".retry.jsonl"
"""The end of the name of a file that the ingester adds nothing to."""

RETRY_LOCK, UNFINISHED = ".retry-lock", ".retry-unfinished"


@dataclass
class Heap:
    """Lines of one gateway that were set aside for one reason."""

    gateway: str
    reason: str
    count: int
    since: datetime
    until: datetime
    example: bytes


@dataclass
class Outcome:
    """What became of the lines that were tried."""

    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By the new reason."""
    left: int = 0
    """Not tried: payloads in which no lines could be read, and what cannot be read itself."""


def heaps(folder: Path) -> tuple[list[Heap], int]:
    """Return what is in the folder, the largest heap first, and how many lines are unreadable.

    Raises OSError.
    """
    found: dict[tuple[str, str], Heap] = {}
    unreadable = 0
    for file in sorted(folder.glob("*.jsonl")):
        for text in _lines(file):
            try:
                at, oddity = from_json(text)
            except ValueError:
                unreadable += 1
                continue
            key = oddity.gateway, oddity.reason
            heap = found.setdefault(key, Heap(*key, 0, at, at, oddity.line))
            heap.count += 1
            heap.since, heap.until = min(heap.since, at), max(heap.until, at)
    return sorted(found.values(), key=lambda heap: -heap.count), unreadable


def retry(folder: Path, store: Store, outcome: Outcome) -> None:
    """Write the lines again, and count in `outcome` what became of them.

    Raises StoreError when the store takes nothing just now, or another retry is at work, and
    OSError for trouble with the folder; what was not tried by then stays as it was.
    """
    with _alone(folder):
        _claim(folder)
        for file in sorted(folder.glob(f"*{RETRIED}")):
            _retry_file(file, store, outcome)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / RETRY_LOCK).open("ab") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another retry is at work in {folder}: wait for its end") from None
        yield


def _claim(folder: Path) -> None:
    """Move all files out of the ingester's way. A name is taken twice only after a kill."""
    with locked(folder):
        for file in sorted(folder.glob("*.jsonl")):
            if not file.name.endswith(RETRIED):
                numbered = (file.with_name(f"{file.stem}.{n}{RETRIED}") for n in range(1_000_000))
                file.rename(next(name for name in numbered if not name.exists()))
        sync_folder(folder)


def _retry_file(file: Path, store: Store, outcome: Outcome) -> None:
    """Put in its place a file with those lines only that have to stay. Raises StoreError."""
    trouble: StoreError | None = None
    unfinished = file.parent / UNFINISHED
    lines = _lines(file)
    with unfinished.open("wb") as rest:
        while chunk := list(islice(lines, CHUNK_LINES)):
            if trouble is None:
                try:
                    chunk = _retried(chunk, store, outcome)
                except _GivenUp as given_up:
                    trouble = given_up.problem
            rest.writelines(chunk)
        rest.flush()
        os.fsync(rest.fileno())
    if unfinished.stat().st_size:
        unfinished.replace(file)
    else:
        file.unlink()
        unfinished.unlink()
    sync_folder(file.parent)
    if trouble is not None:
        raise trouble


def _retried(chunk: Sequence[bytes], store: Store, outcome: Outcome) -> list[bytes]:
    """Write these lines; returns those that have to stay, as they are from now on."""
    stay: list[bytes] = []
    tried: list[tuple[datetime, Oddity]] = []
    for text in chunk:
        try:
            at, oddity = from_json(text)
        except ValueError:
            stay.append(text)
            continue
        # Without a boot it is the beginning of a payload; not tagged by its sender, it is forged.
        if oddity.boot and written_by(oddity.gateway, oddity.line + b"\n"):
            tried.append((at, oddity))
        else:
            stay.append(text)
    refused = _written([oddity for _, oddity in tried], store)
    stay += [
        to_json(at, oddity._replace(reason=refused[oddity.fingerprint])).encode()
        for at, oddity in tried
        if oddity.fingerprint in refused
    ]
    outcome.left += len(chunk) - len(tried)
    outcome.refused.update(refused.values())
    outcome.stored += len(tried) - len(refused)
    return stay


def _written(oddities: Sequence[Oddity], store: Store) -> dict[bytes, str]:
    """Write their lines; returns the reasons of those that the store refuses, by fingerprint."""
    refused = _Refused()
    pieces = [Piece(oddity.gateway, oddity.boot, oddity.line + b"\n") for oddity in oddities]
    Writer(_OneTry(store), refused, Patience()).write(pieces, lambda _: None)
    return refused.reasons


class _GivenUp(Exception):
    """The store takes nothing just now."""

    def __init__(self, problem: StoreError) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _OneTry:
    """A store at which nobody waits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, lines: bytes) -> None:
        try:
            self._store.write(lines)
        except (Rejected, TooLarge):
            raise
        except StoreError as problem:
            raise _GivenUp(problem) from problem


class _Refused:
    """Remembers what is to be set aside again."""

    def __init__(self) -> None:
        self.reasons: dict[bytes, str] = {}

    def add(self, oddities: Iterable[Oddity]) -> None:
        self.reasons.update({oddity.fingerprint: oddity.reason for oddity in oddities})


def _lines(file: Path) -> Iterator[bytes]:
    """Yield the lines, each with an end."""
    with file.open("rb") as opened:
        for line in opened:
            if line.strip():
                yield line if line.endswith(b"\n") else line + b"\n"
