"""Takes the lines of a batch apart, as far as they fit the mould, all of a series at once.

A line fits if it is a head, numbers with names, and a time, so written that the same bytes can be
made of them again. Others (a number such as 1e+22, an integer with its "i") are not taken.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.columns.frames import MAX_TIME_NS
from cloud_sync.columns.series import Series
from cloud_sync.columns.values import Decimal, decimals

RARE: Final = ("alert,", "loss,")
"""Lines that begin so are carried as they are: an alert must not wait for a table."""


@dataclass(frozen=True, slots=True)
class Strand:
    """The lines of one series."""

    series: Series
    rows: list[int]
    """Which lines of the batch, from 0."""
    columns: list[list[Decimal]]
    """One for each field."""
    times: list[int]
    """In nanoseconds."""


def take_apart(lines: Sequence[str]) -> list[Strand]:
    """Return the lines that fit; text is Latin-1, without the newlines."""
    parts = [line.rsplit(" ", 2) for line in lines]
    alike: dict[tuple[str, int], list[int]] = {}
    for row, part in enumerate(parts):
        if len(part) == 3 and not part[0].startswith(RARE):
            alike.setdefault((part[0], part[1].count("=")), []).append(row)
    return [
        strand
        for (head, fields), rows in alike.items()
        for strand in _strands(head, fields, rows, [parts[row] for row in rows])
    ]


def _strands(
    head: str, fields: int, rows: Sequence[int], parts: Sequence[list[str]]
) -> Iterator[Strand]:
    together = _strand(head, fields, rows, parts)
    if together:
        yield together
        return
    # One that does not fit, or other names: slower, one by one.
    strands: dict[Series, Strand] = {}
    for row, part in zip(rows, parts, strict=True):
        one = _strand(head, fields, [row], [part])
        if one and (known := strands.setdefault(one.series, one)) is not one:
            known.rows.append(row)
            known.times.extend(one.times)
            for column, more in zip(known.columns, one.columns, strict=True):
                column.extend(more)
    yield from strands.values()


def _strand(
    head: str, fields: int, rows: Sequence[int], parts: Sequence[list[str]]
) -> Strand | None:
    """Return lines as one series; None if they are not all of one, or do not fit."""
    written = [part[1] for part in parts]
    cells = ",".join(written).replace("=", ",").split(",")
    width = 2 * fields
    if not fields or len(cells) != width * len(rows):
        return None
    texts = [cells[at::width] for at in range(1, width, 2)]
    names = tuple(cells[:width:2])
    if list(map(_shape(names).__mod__, zip(*texts, strict=True))) != written:
        return None
    columns = [_numbers(column) for column in texts]
    times = _times([part[2] for part in parts])
    if times is None or not all(columns):
        return None
    return Strand(Series(head, names), list(rows), columns, times)


def _shape(names: Iterable[str]) -> str:
    """Return how to write fields, given the texts of their numbers."""
    return ",".join([f"{name}=%s" for name in (name.replace("%", "%%") for name in names)])


def _numbers(texts: Sequence[str]) -> list[Decimal]:
    """Return the numbers; nothing if one of them is none."""
    numbers = list(map(decimals.__getitem__, texts))
    return [] if None in numbers else [number for number in numbers if number]


def _times(texts: Sequence[str]) -> list[int] | None:
    try:
        times = list(map(int, texts))
    except ValueError:
        return None
    is_same = list(map(str, times)) == texts
    return times if is_same and -MAX_TIME_NS <= min(times) <= max(times) <= MAX_TIME_NS else None
