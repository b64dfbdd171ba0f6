"""Columns of decimal numbers, as small whole ones: "21.5", "21.4" are 215 and one less.

A column is one field of one series. It has a scale, the number of its decimals, and begins where
the column of the same field before it begins, as sensors side by side measure similar things; from
there on each number is told by its difference from what was to be expected.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, pairwise, repeat
from typing import Final, NamedTuple, TypeAlias

from cloud_sync.batch import BadPayload
from cloud_sync.columns.bits import BitReader, BitWriter, packed, zigzags

MAX_SCALE: Final = 9
LIMIT: Final = 10**19
"""Scaled numbers are smaller than this: 10 digits before the point, 9 behind."""

SAMPLE: Final = 32
"""How a column goes on is judged by so many steps of it."""

MANY: Final = 8
"""Steps in a column; where there are fewer, parameters of its own do not pay."""

SHORT: Final = 4
"""Numbers in a column; where there are fewer, a scale of its own does not pay."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,9})(?:\.([0-9]{0,8}[1-9]))?")
_MEMO = 8_192


class Decimal(NamedTuple):
    """A number: mantissa / 10**scale."""

    mantissa: int
    scale: int


Column: TypeAlias = Sequence[Decimal]
"""What one field of one series says, line by line. At least one number."""


class _Decimals(dict[str, Decimal | None]):
    """Remembers what was parsed lately; None for what is no number that comes back the same."""

    def __missing__(self, text: str) -> Decimal | None:
        if len(self) >= _MEMO:
            self.clear()
        found = _NUMBER.fullmatch(text)
        number = None
        if found and text != "-0":
            decimals = found[2] or ""
            number = Decimal(int(text.replace(".", "")), len(decimals))
        self[text] = number
        return number


class _Texts(dict[int, str]):
    """Remembers what was written lately, of one scale."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._scale = scale

    def __missing__(self, number: int) -> str:
        if len(self) >= _MEMO:
            self.clear()
        digits = str(abs(number)).rjust(self._scale + 1, "0")
        whole, decimals = digits[: len(digits) - self._scale], digits[len(digits) - self._scale :]
        sign, decimals = "-" if number < 0 else "", decimals.rstrip("0")
        text = self[number] = f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
        return text


decimals: Mapping[str, Decimal | None] = _Decimals()
"""Text to number; None for what is no number, or not written as we write it."""

_texts: Final = [_Texts(scale) for scale in range(MAX_SCALE + 1)]


def _from_previous(numbers: Sequence[int]) -> list[int]:
    return [b - a for a, b in pairwise(numbers)]


def _from_one_before(numbers: Sequence[int]) -> list[int]:
    return [b - a for a, b in zip([numbers[0], *numbers], numbers[1:], strict=False)]


def _from_line(numbers: Sequence[int]) -> list[int]:
    return _from_previous([0, *_from_previous(numbers)])


def _by_previous(first: int, steps: Sequence[int]) -> list[int]:
    return list(accumulate(steps, initial=first))


def _by_one_before(first: int, steps: Sequence[int]) -> list[int]:
    numbers = [first] * (len(steps) + 1)
    numbers[::2] = accumulate(steps[1::2], initial=first)
    numbers[1::2] = list(accumulate(steps[::2], initial=first))[1:]
    return numbers


def _by_line(first: int, steps: Sequence[int]) -> list[int]:
    return list(accumulate(accumulate(steps), initial=first))


PREDICTOR_BITS: Final = 2
_FORWARD: Final[Sequence[Callable[[Sequence[int]], list[int]]]] = (
    _from_previous,
    _from_one_before,
    _from_line,
)
_BACK: Final[Sequence[Callable[[int, Sequence[int]], list[int]]]] = (
    _by_previous,
    _by_one_before,
    _by_line,
)


def write_columns(writer: BitWriter, groups: Sequence[Sequence[Column]]) -> None:
    """Write columns, grouped by the name of their field."""
    scales = [_scales(group) for group in groups]
    writer.numbers([max(some) for some in scales])
    for group, some in zip(groups, scales, strict=True):
        _write_scales(writer, some)
        scaled = [_at_scale(column, scale) for column, scale in zip(group, some, strict=True)]
        _write_firsts(writer, scaled)
        longer = [numbers for _, numbers in scaled if len(numbers) > 1]
        if longer:
            _write_steps(writer, longer)


def read_columns(reader: BitReader, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    """Return the numbers of each group, column after column, as they were written.

    `groups` are the lengths of the columns, at least 1 each.
    """
    most = reader.numbers(len(groups))
    if max(most) > MAX_SCALE:
        raise BadPayload("columns: an unknown scale")
    return [
        _read_group(reader, lengths, scale) for lengths, scale in zip(groups, most, strict=True)
    ]


def _scales(group: Sequence[Column]) -> list[int]:
    """Return the scale of each column.

    A column that would do with less takes the scale of its group if it is short or constant: to
    tell another scale costs more.
    """
    scales = [max([number.scale for number in column]) for column in group]
    most = max(scales)
    return [
        most if len(column) < SHORT or len(set(column)) == 1 else scale
        for column, scale in zip(group, scales, strict=True)
    ]


def _write_scales(writer: BitWriter, scales: Sequence[int]) -> None:
    differ = len(set(scales)) > 1
    writer.bits(differ, 1)
    if differ:
        most = max(scales)
        writer.numbers([most - scale for scale in scales])


def _read_scales(reader: BitReader, most: int, count: int) -> list[int]:
    if not reader.bits(1):
        return [most] * count
    scales = [most - less for less in reader.numbers(count)]
    if min(scales) < 0:
        raise BadPayload("columns: an unknown scale")
    return scales


def _at_scale(column: Column, scale: int) -> tuple[int, list[int]]:
    power = [10 ** (scale - of) for of in range(scale + 1)]
    return scale, [mantissa * power[of] for mantissa, of in column]


def _write_firsts(writer: BitWriter, group: Sequence[tuple[int, Sequence[int]]]) -> None:
    steps, first, scale = [], 0, 0
    for next_scale, numbers in group:
        steps.append(numbers[0] - _rescaled(first, scale, next_scale))
        first, scale = numbers[0], next_scale
    writer.numbers(zigzags(steps))


def _read_firsts(reader: BitReader, scales: Sequence[int]) -> list[int]:
    steps = reader.signed(len(scales))
    if min(scales) == max(scales):
        return list(accumulate(steps))
    firsts, first, scale = [], 0, 0
    for step, next_scale in zip(steps, scales, strict=True):
        first, scale = _rescaled(first, scale, next_scale) + step, next_scale
        firsts.append(first)
    return firsts


def _rescaled(number: int, scale: int, wanted: int) -> int:
    if scale <= wanted:
        return number * int(10 ** (wanted - scale))
    return number // int(10 ** (scale - wanted))


def _write_steps(writer: BitWriter, columns: Sequence[Sequence[int]]) -> None:
    """Write what follows the first numbers: with the same parameters for all, or for each."""
    sizes = [[_size(way(column[: SAMPLE + 1])) for way in _FORWARD] for column in columns]
    best = _least([sum(size) for size in zip(*sizes, strict=True)])
    steps = [zigzags(_FORWARD[best](column)) for column in columns]
    text = f"0{best:0{PREDICTOR_BITS}b}{packed(list(chain.from_iterable(steps)))}"
    if sum(map(len, steps)) >= MANY * len(steps):
        own = [_least(size) for size in sizes]
        each = "1" + "".join(
            f"{way:0{PREDICTOR_BITS}b}"
            f"{packed(some if way == best else zigzags(_FORWARD[way](column)))}"
            for way, some, column in zip(own, steps, columns, strict=True)
        )
        text = min(text, each, key=len)
    writer.text(text)


def _size(steps: Sequence[int]) -> int:
    return sum(map(int.bit_length, steps))


def _least(sizes: Sequence[int]) -> int:
    return sizes.index(min(sizes))


def _read_group(reader: BitReader, lengths: Sequence[int], most: int) -> list[str]:
    scales = _read_scales(reader, most, len(lengths))
    numbers = _read_numbers(reader, lengths, _read_firsts(reader, scales))
    if not -LIMIT < min(numbers) <= max(numbers) < LIMIT:
        raise BadPayload("columns: a number of more digits than any")
    if min(scales) == max(scales):
        return list(map(_texts[scales[0]].__getitem__, numbers))
    scale_of = chain.from_iterable(map(repeat, scales, lengths))
    return [_texts[scale][number] for scale, number in zip(scale_of, numbers, strict=True)]


def _read_numbers(reader: BitReader, lengths: Sequence[int], firsts: list[int]) -> list[int]:
    """Return scaled numbers, given the first one of each column."""
    total = sum(lengths) - len(lengths)
    if total == 0:
        return firsts
    numbers: list[int] = []
    if reader.bits(1):
        for first, length in zip(firsts, lengths, strict=True):
            if length > 1:
                numbers += _predictor(reader)(first, reader.signed(length - 1))
            else:
                numbers.append(first)
        return numbers
    back, steps = _predictor(reader), reader.signed(total)
    at = 0
    for first, length in zip(firsts, lengths, strict=True):
        numbers += back(first, steps[at : at + length - 1])
        at += length - 1
    return numbers


def _predictor(reader: BitReader) -> Callable[[int, Sequence[int]], list[int]]:
    number = reader.bits(PREDICTOR_BITS)
    if number >= len(_BACK):
        raise BadPayload("columns: an unknown predictor")
    return _BACK[number]
