"""When the lines of a batch were measured, and in what order they stand.

Lines that one frame of a sensor became have the same time, and their series stand side by side in
the table: they are told as one frame. Frames of the same series are of one kind, and most sensors
keep time: a kind has a period, and each frame tells by how much it missed it. In whose order the
frames stand follows from their times; what stands out of order is told extra.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, islice, pairwise
from itertools import count as counting
from math import gcd
from statistics import median_low
from typing import Final, NamedTuple

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload
from cloud_sync.columns.bits import (
    BitReader,
    BitWriter,
    packed,
    unzigzag,
    zigzag,
    zigzags,
)

UNITS: Final = (1_000_000_000, 1_000_000, 1_000, 1)
"""Nanoseconds: s, ms, µs, ns. Each kind has the largest that all its times are multiples of."""

SECOND_BITS: Final = 36

MAX_TIME_NS: Final = (1 << 63) - 1

MAX_DISORDER: Final = 64
"""Frames are taken from this far off, on average, before it is given up."""


class Kind(NamedTuple):
    """Which lines such a frame has: of the series from `first` to `end`, that one excluded."""

    first: int
    end: int


class Frame(NamedTuple):
    """Lines of one moment."""

    kind: Kind
    time_ns: int


class Order(NamedTuple):
    """How the lines of a batch stand."""

    places: list[int]
    """Of which series each is."""
    ends: list[str]
    """A space, its time, and a newline."""


class Disorder(ValueError):
    """These lines stand too much out of the order of their times to be worth it."""


def write_frames(writer: BitWriter, frames: Sequence[Frame]) -> None:
    """Write frames, at least one. Raises Disorder."""
    times: dict[Kind, list[int]] = defaultdict(list)
    for kind, time_ns in frames:
        times[kind].append(time_ns)
    kinds = sorted(times)
    ranks = _ranks(frames, kinds)
    _write_kinds(writer, kinds)
    _write_chain(writer, 1, [len(times[kind]) for kind in kinds])
    units = [_unit(times[kind]) for kind in kinds]
    _write_chain(writer, 0, units)
    _write_times(writer, [times[kind] for kind in kinds], units)
    writer.numbers(ranks)


def read_frames(reader: BitReader, bytes_before: Sequence[int], count: int) -> Order:
    """Return the order of `count` lines, at least one, as they were written in frames.

    `bytes_before`: how long lines of the series before each one are together, at least.
    """
    kinds = _read_kinds(reader, len(bytes_before) - 1, count)
    counts = _read_chain(reader, 1, len(kinds))
    lines = size = 0
    for kind, frames in zip(kinds, counts, strict=True):
        lines += frames * (kind.stop - kind.start)
        size += frames * (bytes_before[kind.stop] - bytes_before[kind.start])
    if min(counts) < 1 or lines != count or size > MAX_PAYLOAD_BYTES:
        raise BadPayload(f"columns: {lines} lines of {size} bytes in the place of {count}")
    units = _read_chain(reader, 0, len(kinds))
    if not 0 <= min(units) <= max(units) < len(UNITS):
        raise BadPayload("columns: an unknown unit of time")
    times = _read_times(reader, counts, units)
    kind_of = [kind for kind, n in zip(kinds, counts, strict=True) for _ in range(n)]
    order = _read_order(reader, times)
    return _lines([kind_of[at] for at in order], [f" {times[at]}\n" for at in order])


def _lines(kinds: Sequence[range], ends: list[str]) -> Order:
    """Return the lines of frames."""
    places = list(chain.from_iterable(kinds))
    if len(places) > len(kinds):
        ends = [end for kind, end in zip(kinds, ends, strict=True) for _ in kind]
    return Order(places, ends)


def _write_kinds(writer: BitWriter, kinds: Sequence[Kind]) -> None:
    writer.gamma(len(kinds) - 1)
    ends = [0, *(kind.end for kind in kinds)]
    writer.numbers(zigzags(kind.first - end for kind, end in zip(kinds, ends, strict=False)))
    _write_chain(writer, 1, [kind.end - kind.first for kind in kinds])


def _read_kinds(reader: BitReader, series: int, most: int) -> list[range]:
    """Return the places of the series of each kind."""
    count = reader.gamma() + 1
    if count > most:
        raise BadPayload("columns: more kinds of frames than lines")
    steps = reader.signed(count)
    kinds, end = [], 0
    for step, length in zip(steps, _read_chain(reader, 1, count), strict=True):
        first = end + step
        end = first + length
        if not 0 <= first < end <= series:
            raise BadPayload("columns: a series that is not in the table")
        kinds.append(range(first, end))
    return kinds


def _write_chain(writer: BitWriter, before: int, numbers: Sequence[int]) -> None:
    writer.numbers(zigzags(b - a for a, b in zip([before, *numbers], numbers, strict=False)))


def _read_chain(reader: BitReader, before: int, count: int) -> list[int]:
    return list(accumulate(reader.signed(count), initial=before))[1:]


def _unit(times: Sequence[int]) -> int:
    common = gcd(*times)
    return next(code for code, unit in enumerate(UNITS) if common % unit == 0)


def _write_times(writer: BitWriter, times: Sequence[list[int]], units: Sequence[int]) -> None:
    whole = [[ns // UNITS[code] for ns in some] for some, code in zip(times, units, strict=True)]
    usual = _usual_periods(whole, units)
    periods = [_period(some, usual[code]) for some, code in zip(whole, units, strict=True)]
    second = times[0][0] // UNITS[0]
    writer.bits(zigzag(second), SECOND_BITS)
    starts, misses = [some[0] for some in whole], []
    for code in _with_periods(map(len, times), units):
        of = [place for place, unit in enumerate(units) if unit == code and len(times[place]) > 1]
        tracks = [(whole[place], periods[place]) for place in of]
        step_by_step = packed(zigzags(chain.from_iterable(_from_step(*one) for one in tracks)))
        on_grid = packed(zigzags(chain.from_iterable(_from_grid(*one) for one in tracks)))
        is_grid = len(on_grid) < len(step_by_step)
        writer.bits(is_grid, 1)
        misses.append(on_grid if is_grid else step_by_step)
        if is_grid:
            for place in of:
                starts[place] = _phase(whole[place], periods[place])
    _write_in_units(writer, second * UNITS[0], starts, units)
    more = [place for place, some in enumerate(times) if len(some) > 1]
    _write_in_units(writer, 0, [periods[place] for place in more], [units[place] for place in more])
    for text in misses:
        writer.text(text)


def _with_periods(counts: Iterable[int], units: Iterable[int]) -> list[int]:
    """Return the units in which there are kinds with more than one frame."""
    return sorted({unit for count, unit in zip(counts, units, strict=True) if count > 1})


def _from_step(times: Sequence[int], period: int) -> list[int]:
    return [b - a - period for a, b in pairwise(times)]


def _from_grid(times: Sequence[int], period: int) -> list[int]:
    start = _phase(times, period)
    return [time - (start + nth * period) for nth, time in enumerate(times)]


def _phase(times: Sequence[int], period: int) -> int:
    return median_low([time - nth * period for nth, time in enumerate(times)])


def _usual_periods(times: Sequence[Sequence[int]], units: Sequence[int]) -> dict[int, int]:
    """Return the median of all intervals of each unit."""
    steps: dict[int, list[int]] = {code: [] for code in units}
    for some, code in zip(times, units, strict=True):
        steps[code] += [b - a for a, b in pairwise(some)]
    return {code: median_low(some) if some else 0 for code, some in steps.items()}


def _period(times: Sequence[int], usual: int) -> int:
    """Return what is usual if it is nearly right, since that costs nothing."""
    own = median_low([b - a for a, b in pairwise(times)]) if len(times) > 1 else usual
    return usual if abs(own - usual) * 20 <= abs(usual) else own


def _write_in_units(
    writer: BitWriter, before_ns: int, numbers: Sequence[int], units: Sequence[int]
) -> None:
    """Write durations by how they differ, each in its own unit."""
    steps = []
    for number, code in zip(numbers, units, strict=True):
        steps.append(number - before_ns // UNITS[code])
        before_ns = number * UNITS[code]
    writer.numbers(zigzags(steps))


def _read_in_units(reader: BitReader, before_ns: int, units: Sequence[int]) -> list[int]:
    numbers = []
    for step, code in zip(reader.signed(len(units)), units, strict=True):
        numbers.append(before_ns // UNITS[code] + step)
        before_ns = numbers[-1] * UNITS[code]
    return numbers


def _read_times(reader: BitReader, counts: Sequence[int], units: Sequence[int]) -> list[int]:
    """Return the times of all frames in nanoseconds, kind by kind."""
    second_ns = unzigzag(reader.bits(SECOND_BITS)) * UNITS[0]
    is_grid = {code: reader.bits(1) for code in _with_periods(counts, units)}
    starts = _read_in_units(reader, second_ns, units)
    more = [code for count, code in zip(counts, units, strict=True) if count > 1]
    periods = iter(_read_in_units(reader, 0, more))
    tokens = dict.fromkeys(is_grid, 0)
    for count, code in zip(counts, units, strict=True):
        if count > 1:
            tokens[code] += count - 1 + is_grid[code]
    misses = {code: iter(reader.signed(total)) for code, total in tokens.items()}
    times: list[int] = []
    for start, count, code in zip(starts, counts, units, strict=True):
        unit = UNITS[code]
        if count == 1:
            times.append(start * unit)
        elif is_grid[code]:
            grid = counting(start * unit, next(periods) * unit)
            some = islice(misses[code], count)
            times += [time + miss * unit for miss, time in zip(some, grid, strict=False)]
        else:
            period = next(periods)
            steps = [(period + miss) * unit for miss in islice(misses[code], count - 1)]
            times += accumulate(steps, initial=start * unit)
    return times


def _ranks(frames: Sequence[Frame], kinds: Sequence[Kind]) -> list[int]:
    """Return how many of those that remain are skipped, for each frame in turn."""
    number = {kind: place for place, kind in enumerate(kinds)}
    actual = [(time_ns, number[kind]) for kind, time_ns in frames]
    pending = sorted(actual)
    if pending == actual:
        return [0] * len(actual)
    ranks, skipped = [], 0
    for frame in actual:
        rank = pending.index(frame)
        del pending[rank]
        ranks.append(rank)
        skipped += rank
        if skipped > MAX_DISORDER * len(actual):
            raise Disorder
    return ranks


def _read_order(reader: BitReader, times: Sequence[int]) -> list[int]:
    """Return where in `times` the frames stand, from the first to the last."""
    # The times are given kind by kind, and those that are equal stay as they are.
    pending = sorted(range(len(times)), key=times.__getitem__)
    if not -MAX_TIME_NS <= times[pending[0]] <= times[pending[-1]] <= MAX_TIME_NS:
        raise BadPayload("columns: a time beyond all bounds")
    ranks = reader.numbers(len(pending))
    return _reordered(pending, ranks) if any(ranks) else pending


def _reordered(pending: list[int], ranks: Sequence[int]) -> list[int]:
    # From the end: the next ones are always near it.
    pending.reverse()
    if any(rank >= left for rank, left in zip(ranks, range(len(pending), 0, -1), strict=True)):
        raise BadPayload("columns: a frame that is not there")
    return [pending.pop(-1 - rank) for rank in ranks]
