"""What goes when the budget is full: the least precious first, and never an alert or an event.

Files that are confirmed go as they are, the oldest first (journal.py). When there are none left,
the oldest file that is not confirmed is thinned: its numbers become means over 5 minutes, and if
all files are that thin, over an hour; then numbers go, and at last what doors and motion sensors
said. What somebody lost that way is a record of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from agent.journal.block import Block, Stamp, is_event, time_us
from agent.journal.manifest import Filed

WINDOWS_US: Final = {1: 300_000_000, 2: 3_600_000_000}
"""Thinning level to the length of the windows that means are taken over, in microseconds."""

NO_NUMBERS: Final = 3
NOTHING_BUT_EVENTS: Final = 4

STATES: Final = (b"contact,", b"motion,", b"button,")
"""What is no number to be averaged. Repetitions of it can go, changes stay."""

Numbered = tuple[int, bytes, Stamp]


class Thinned(NamedTuple):
    """What a file becomes."""

    blocks: list[Block]
    gone: int
    """How many records are no more."""
    from_us: int
    until_us: int


def next_to_thin(filed: Sequence[Filed]) -> Filed | None:
    """Return the file whose records are the least precious; None if nothing more can go."""
    file = min(filed, key=lambda file: file.level, default=None)
    return file if file and file.level < NOTHING_BUT_EVENTS else None


def thin(blocks: Iterable[Block], level: int) -> Thinned:
    """Return what is left of these blocks at a level above the one that they have."""
    thinned: list[Block] = []
    gone_us: list[int] = []
    # Windows know nothing of commits, but they end with the boot.
    for boot, of_boot in groupby(blocks, key=lambda block: block.boot):
        before = [numbered for block in of_boot for numbered in block.numbered()]
        kept = sorted(_kept(before, level))
        left = {number for number, _, _ in kept}
        gone_us += (time_us(line) for number, line, _ in before if number not in left)
        if kept:
            thinned.append(Block.of(boot, kept))
    return Thinned(thinned, len(gone_us), min(gone_us, default=0), max(gone_us, default=0))


def _kept(numbered: Iterable[Numbered], level: int) -> Iterator[Numbered]:
    windows: dict[tuple[bytes, bytes, int, Stamp], list[tuple[int, bytes]]] = {}
    said: dict[bytes, bytes] = {}
    for number, line, stamp in numbered:
        if is_event(line):
            yield number, line, stamp
        elif line.startswith(STATES):
            head, fields, _ = line.rsplit(b" ", 2)
            is_new = said.get(head) != fields or line.startswith(b"button,")
            said[head] = fields
            if is_new and level < NOTHING_BUT_EVENTS:
                yield number, line, stamp
        elif level in WINDOWS_US:
            head, fields, _ = line.rsplit(b" ", 2)
            window = time_us(line) // WINDOWS_US[level]
            key = (head, _names(fields), window, stamp)
            windows.setdefault(key, []).append((number, line))
    for (_, _, _, stamp), members in windows.items():
        number, last = members[-1]
        yield number, last if len(members) == 1 else _mean([line for _, line in members]), stamp


def _names(fields: bytes) -> bytes:
    return b",".join(
        pair.partition(b"=")[0] for pair in fields.split(b",") if not pair.startswith(b"mean_of=")
    )


def _mean(lines: Sequence[bytes]) -> bytes:
    """Return one line with the means, at the time of the last one."""
    head, _, time = lines[-1].rsplit(b" ", 2)
    sums: dict[bytes, float] = {}
    total = 0
    for line in lines:
        fields = dict(pair.split(b"=") for pair in line.rsplit(b" ", 2)[1].split(b","))
        weight = int(fields.pop(b"mean_of", b"1"))
        total += weight
        for name, value in fields.items():
            sums[name] = sums.get(name, 0.0) + float(value) * weight
    means = [b"%s=%s" % (name, _number(value / total)) for name, value in sums.items()]
    return b"%s %s,mean_of=%d %s" % (head, b",".join(means), total, time)


def _number(value: float) -> bytes:
    # Three decimals are more than any sensor of ours tells apart.
    return repr(round(value, 3)).removesuffix(".0").encode()
