"""Writes lines to a store until each of them is stored or set aside, however long that takes.

What to do when the store says no follows from which StoreError it is: halve what is too large or
holds a bad line, until the bad line is alone and can be set aside; wait for what passes; sound the
alarm and wait longer for what somebody has to put right. Nothing is ever given up.
"""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol, TypeAlias

from cloud_sync.set_aside import Oddity
from cloud_sync.store import Refused, Rejected, Store, TooLarge, Unavailable

MAX_RETRY_AFTER_S = 300.0
"""No more than this is believed of what a store asks for."""

log = logging.getLogger(__name__)

Pause: TypeAlias = Callable[[float], None]
"""Waits for some seconds; whatever it raises ends the writing."""


@dataclass(frozen=True)
class Patience:
    """How long to wait before something is tried again. Always with jitter."""

    first_s: float = 1.0
    longest_s: float = 60.0
    """The wait doubles up to here."""
    refused_s: float = 60.0
    """For what only somebody can put right."""

    def waits_s(self) -> Iterator[float]:
        """Yield the waits, one after the other, for ever."""
        limit_s = self.first_s
        while True:
            yield jittered(limit_s)
            limit_s = min(limit_s * 2, self.longest_s)


def jittered(wait_s: float) -> float:
    """Return a time between half of it and all of it, so that not everybody comes at once."""
    return random.uniform(wait_s / 2, wait_s)  # noqa: S311


class Piece(NamedTuple):
    """Lines of one batch."""

    gateway: str
    boot: str
    lines: bytes


class Aside(Protocol):
    """Where lines go that the store will not take: SetAside, for the ingester."""

    def add(self, oddities: Sequence[Oddity]) -> None:
        """Return when they are kept. Raises StoreError."""
        ...


class Writer:
    """One store, and the place for what it will not take."""

    def __init__(self, store: Store, set_aside: Aside, patience: Patience) -> None:
        self._store, self._set_aside, self._patience = store, set_aside, patience

    def write(self, pieces: Sequence[Piece], pause: Pause) -> None:
        """Return when every line is stored or set aside. Raises what `pause` raises."""
        parts = [pieces] if pieces else []
        while parts:
            part = parts.pop()
            lines = b"".join(piece.lines for piece in part)
            try:
                self._insist(partial(self._store.write, lines), pause)
            except (Rejected, TooLarge) as problem:
                if _is_true_of_all(problem, lines) or not (halves := _halves(part)):
                    self.set_aside(_oddities(part, str(problem)), pause)
                else:
                    parts.extend(reversed(halves))
                    pause(0.0)

    def set_aside(self, oddities: Sequence[Oddity], pause: Pause) -> None:
        """Return when these are in the set-aside folder. Raises what `pause` raises."""
        if oddities:
            self._insist(partial(self._set_aside.add, oddities), pause)

    def _insist(self, do: Callable[[], None], pause: Pause) -> None:
        """Do it, again and again until it is done. Raises Rejected and TooLarge."""
        waits_s = self._patience.waits_s()
        for tries in count(1):
            try:
                do()
            except Unavailable as problem:
                asked_s = min(problem.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
                wait_s = max(next(waits_s), asked_s + jittered(self._patience.first_s))
                log.warning("%s; trying again in %.1f s", problem, wait_s)
            except Refused as problem:
                wait_s = jittered(self._patience.refused_s)
                log.critical("%s; trying again in %.1f s", problem, wait_s)
            else:
                if tries > 1:
                    log.info("done at last, at try %d", tries)
                return
            pause(wait_s)


def _is_true_of_all(problem: Rejected | TooLarge, lines: bytes) -> bool:
    """Whether the store says that it will take none of the lines, and why."""
    return isinstance(problem, Rejected) and problem.all_of == lines.count(b"\n")


def _oddities(part: Sequence[Piece], reason: str) -> list[Oddity]:
    return [
        Oddity(gateway, boot, reason, line)
        for gateway, boot, lines in part
        for line in lines.split(b"\n")[:-1]
    ]


def _halves(part: Sequence[Piece]) -> list[Sequence[Piece]]:
    """Return two parts of it, or none when it is a single line. Batches are kept whole at first."""
    if len(part) == 1:
        gateway, boot, lines = part[0]
        part = [Piece(gateway, boot, line + b"\n") for line in lines.split(b"\n")[:-1]]
    middle = len(part) // 2
    return [part[:middle], part[middle:]] if middle else []
