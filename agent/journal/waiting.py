"""What is accepted and not yet committed: in memory, and in the tail for the case of a kill."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from agent.journal.block import Block, Stamp, is_event, joined
from agent.journal.tail import Left, Tail
from cloud_sync.spans import Spans

COMMIT_BYTES = 256 << 10
"""More than this is written in several commits."""

MAX_WAITING = 50_000
"""Records kept in memory while the card takes nothing (about 10 MB); then readings go."""


class Waiting:
    """Numbers records and keeps them until they are on the card.

    Its methods may be called from the thread that commits, too.
    """

    def __init__(self, tail: Path | None) -> None:
        self._tail = Tail(tail) if tail else None
        self._lock = Lock()
        self._boot = ""
        self._next = 1
        self.bytes = 0
        """How much it is."""
        self._lines: list[bytes] = []
        self._numbers = Spans()
        self._stamps: list[tuple[int, Stamp]] = []

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def newest(self) -> int:
        """The number of the newest record that was taken."""
        return self._next - 1

    def left(self) -> Left | None:
        """Return what a daemon that was killed had accepted."""
        return self._tail.left() if self._tail else None

    def begin(self, boot: str, number: int) -> None:
        """Number from here on."""
        self._boot, self._next = boot, number
        self.renew_tail()

    def append(self, lines: Sequence[bytes], stamp: Stamp) -> list[bytes]:
        """Take records. Returns readings that had to make room, the oldest."""
        with self._lock:
            if not self._stamps or self._stamps[-1][1] != stamp:
                self._stamps.append((0, stamp))
                if self._tail:
                    self._tail.stamp(stamp)
            self._stamps[-1] = (self._stamps[-1][0] + len(lines), stamp)
            self._lines += lines
            self._numbers.add(self._next, self._next + len(lines) - 1)
            self._next += len(lines)
            text = b"".join(lines)
            self.bytes += len(text)
            if self._tail:
                self._tail.append(text)
            return self._made_room()

    def take(self, notes: Mapping[str, Any], states: Mapping[str, bytes]) -> Block:
        """Return the oldest of it as a commit; with notes and states only if nothing else waits.

        So nothing is written down as done before the records that it is about.
        """
        with self._lock:
            count = fitting(self._lines, COMMIT_BYTES)
            stamps, self._stamps = split_stamps(self._stamps, count)
            numbers, self._numbers = split_spans(self._numbers, count)
            lines, self._lines = self._lines[:count], self._lines[count:]
            self.bytes -= sum(map(len, lines))
            first = next(iter(numbers))[0] if numbers else self._next
            if self._lines:
                notes, states = {}, {}
            return Block(self._boot, first, lines, numbers, stamps, notes, states)

    def give_back(self, block: Block) -> list[bytes]:
        """Take back what `take` returned. Returns readings that had to make room, the oldest."""
        with self._lock:
            self._lines = [*block.lines, *self._lines]
            self.bytes += sum(map(len, block.lines))
            self._stamps = [*block.stamps, *self._stamps]
            self._numbers.update(block.numbers)
            return self._made_room()

    def renew_tail(self) -> None:
        """Let the tail hold what waits now, and nothing else."""
        with self._lock:
            if self._tail is None:
                return
            self._tail.begin(self._boot, self._next, self._everything.numbered())

    @property
    def _everything(self) -> Block:
        return Block(self._boot, self._next, self._lines, self._numbers, self._stamps)

    def close(self) -> None:
        """Let go of the tail; it stays if there is something in it."""
        if self._tail:
            self._tail.close()
            if not self._lines:
                self._tail.remove()

    def _made_room(self) -> list[bytes]:
        """Give up the oldest tenth of the readings if there are too many. Events stay."""
        gone: list[bytes] = []
        if len(self._lines) <= MAX_WAITING:
            return gone
        kept: list[tuple[int, bytes, Stamp]] = []
        for number, line, stamp in self._everything.numbered():
            if len(gone) < MAX_WAITING // 10 and not is_event(line):
                gone.append(line)
            else:
                kept.append((number, line, stamp))
        self._lines = [line for _, line, _ in kept]
        self.bytes -= sum(map(len, gone))
        self._numbers = Spans((number, number) for number, _, _ in kept)
        self._stamps = joined((1, stamp) for _, _, stamp in kept)
        if self._tail:
            self._tail.begin(self._boot, self._next, kept)
        return gone


def fitting(lines: Sequence[bytes], max_bytes: int) -> int:
    """Return how many of the first lines fit; at least one."""
    for count, line in enumerate(lines):
        max_bytes -= len(line)
        if max_bytes < 0:
            return max(count, 1)
    return len(lines)


def split_stamps(
    stamps: Sequence[tuple[int, Stamp]], count: int
) -> tuple[list[tuple[int, Stamp]], list[tuple[int, Stamp]]]:
    """Return the stamps of the first `count` lines and of the others."""
    first: list[tuple[int, Stamp]] = []
    rest: list[tuple[int, Stamp]] = []
    for lines, stamp in stamps:
        here = min(lines, count)
        count -= here
        if here:
            first.append((here, stamp))
        if lines > here:
            rest.append((lines - here, stamp))
    return first, rest


def split_spans(numbers: Spans, count: int) -> tuple[Spans, Spans]:
    """Return the first `count` numbers and the others."""
    first, rest = Spans(), Spans()
    for start, end in numbers:
        here = min(end - start + 1, count)
        count -= here
        if here:
            first.add(start, start + here - 1)
        if start + here <= end:
            rest.add(start + here, end)
    return first, rest
