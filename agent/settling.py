"""Puts right the times of what was stamped when nobody knew the time. Pure.

Each record's time is a moment on a clock that never steps within one start of the machine, plus
what was believed then. Anchors say what was true. So between two anchors the truth lies on the
line between them; before the first one and behind the last one it is as far away as the crystal
may drift (clock.DRIFT). A start of the machine without any anchor lies between the one before and
the one after it: it is put into the middle of where it can have been, and half of that room is
what the record says about its own uncertainty.

    start A (known) ─┤   ├── start B: 40 min, nobody knew ──┤      ├─ start C (known)
                      ◄ ────── room to move: uncertainty × 2 ──── ►
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise

from agent.clock import DRIFT
from agent.journal.manifest import Kernel, Manifest, Settlement, Stretch

SECOND_US = 1_000_000

MADE_US = 1_793_491_200 * SECOND_US
"""2026-11-01: no gateway ran before this was written."""


def settlements(manifest: Manifest, kernel: str) -> list[Settlement]:
    """Return how the times of all stretches are put right that can be by now.

    `kernel` is the machine's present start, whose time is known now.
    """
    kernels = manifest.kernels
    if not kernels.get(kernel, Kernel()).anchors:
        return []
    guesses = dict(_guesses(kernels))
    return [
        settled
        for stretch in manifest.unsettled
        if (settled := _settlement(stretch, kernels, guesses)) is not None
    ]


def _settlement(
    stretch: Stretch, kernels: Mapping[str, Kernel], guesses: Mapping[str, tuple[int, int]]
) -> Settlement | None:
    name, believed_us, _ = stretch.stamp
    anchors = kernels[name].anchors if name in kernels else []
    begin_us, end_us = stretch.from_us - believed_us, stretch.until_us - believed_us
    drift_ppb = 0
    if anchors:
        first_us, last_us = _offset(anchors, begin_us), _offset(anchors, end_us)
        drift_ppb = _drift_ppb(last_us - first_us, end_us - begin_us)
        doubt_us = _worst_doubt(anchors, begin_us, end_us)
    elif name in guesses:
        first_us, doubt_us = guesses[name]
        doubt_us += int(max(begin_us, end_us) * DRIFT)
    else:
        return None
    return Settlement(
        stretch.first,
        stretch.last,
        stretch.from_us,
        first_us - believed_us,
        drift_ppb,
        # Within a second counts as right. More is rounded up: it is a promise.
        -(-doubt_us // SECOND_US) if doubt_us >= SECOND_US else 0,
    )


def _drift_ppb(change_us: int, length_us: int) -> int:
    return round(change_us / length_us * 1e9) if length_us >= SECOND_US else 0


def _offset(anchors: Sequence[tuple[int, int]], at_us: int) -> int:
    """Return the true offset at a moment, as far as it is known."""
    before, behind = _around(anchors, at_us)
    if before and behind:
        (a_us, a), (b_us, b) = before, behind
        return a + (b - a) * (at_us - a_us) // (b_us - a_us)
    return (before or behind or (0, 0))[1]


def _doubt_us(anchors: Sequence[tuple[int, int]], at_us: int) -> int:
    """Return how wrong that may be: the crystal may have gone as wrong as it can, and back."""
    before, behind = _around(anchors, at_us)
    if before and behind:
        (a_us, a), (b_us, b) = before, behind
        x, y, slope = at_us - a_us, b_us - at_us, (b - a) / (b_us - a_us)
        ahead = min((DRIFT - slope) * x, (DRIFT + slope) * y)
        late = min((DRIFT + slope) * x, (DRIFT - slope) * y)
        return int(max(ahead, late, 0))
    return int(abs(at_us - (before or behind or (at_us, 0))[0]) * DRIFT)


def _worst_doubt(anchors: Sequence[tuple[int, int]], begin_us: int, end_us: int) -> int:
    """Return the greatest doubt in a stretch: at an end, or where two ways to go wrong meet."""
    moments = [begin_us, end_us]
    for (a_us, a), (b_us, b) in pairwise(anchors):
        if a_us < b_us:
            lean = (b - a) / (2 * DRIFT)
            middle = (a_us + b_us) / 2
            moments += (int(middle - lean), int(middle + lean))
    return max(_doubt_us(anchors, at) for at in moments if begin_us <= at <= end_us)


def _around(
    anchors: Sequence[tuple[int, int]], at_us: int
) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return the last anchor at or before a moment, and the first one behind it."""
    before = [anchor for anchor in anchors if anchor[0] <= at_us]
    behind = [anchor for anchor in anchors if anchor[0] > at_us]
    return (before[-1] if before else None), (behind[0] if behind else None)


def _guesses(kernels: Mapping[str, Kernel]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield, of each start without an anchor: its likely offset, and how wrong that may be."""
    known = [name for name in kernels if kernels[name].anchors]
    for before, group, behind in _groups(list(kernels), set(known)):
        latest_us, doubt_us = _start_us(kernels[behind])
        latest_us += doubt_us
        lengths_us = [kernels[name].last_us for name in group]
        if before is not None:
            earliest_us, doubt_us = _end_us(kernels[before])
            earliest_us -= doubt_us
        else:
            earliest_us = _at_least_us(kernels[group[0]], latest_us - sum(lengths_us))
        for at, name in enumerate(group):
            # A clock may have gone too fast or too slow in what lies between.
            first_us = earliest_us + int(sum(lengths_us[:at]) * (1 - DRIFT))
            last_us = latest_us - int(sum(lengths_us[at:]) * (1 - DRIFT))
            first_us = min(first_us, last_us)
            yield name, ((first_us + last_us) // 2, (last_us - first_us + 1) // 2)


def _groups(
    names: Sequence[str], known: Container[str]
) -> Iterator[tuple[str | None, list[str], str]]:
    """Yield runs of starts that are not known, with what is known before and behind them."""
    before: str | None = None
    group: list[str] = []
    for name in names:
        if name not in known:
            group.append(name)
            continue
        if group:
            yield before, group, name
        before, group = name, []


def _at_least_us(kernel: Kernel, latest_us: int) -> int:
    """Return what the first start of all was not before.

    What the machine believed is when it was last switched off, or when its system was made, unless
    somebody set it wrong.
    """
    believed_us = kernel.offset_us
    return believed_us if MADE_US <= believed_us <= latest_us else min(MADE_US, latest_us)


def _start_us(kernel: Kernel) -> tuple[int, int]:
    """Return the true time at which this start began, and how wrong that may be."""
    return _offset(kernel.anchors, 0), _doubt_us(kernel.anchors, 0)


def _end_us(kernel: Kernel) -> tuple[int, int]:
    """Return the true time of its last sign of life, and how wrong that may be."""
    at_us = kernel.last_us
    return at_us + _offset(kernel.anchors, at_us), _doubt_us(kernel.anchors, at_us)
