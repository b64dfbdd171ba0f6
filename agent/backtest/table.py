"""Text in columns that line up in a terminal, also where some of it is Japanese."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from gateway_config.mistakes import printable


def width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def columns(rows: Iterable[Sequence[str]], right: int | None = None) -> list[str]:
    """Return one line for each row; columns from number `right` on end, not begin, alike."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widest = [max(map(width, column)) for column in zip_longest(*cells, fillvalue="")]
    return [_line(row, widest, len(widest) if right is None else right) for row in cells]


def _line(row: Sequence[str], widest: Sequence[int], right: int) -> str:
    padded = []
    for number, (cell, most) in enumerate(zip(row, widest, strict=False)):
        space = " " * (most - width(cell))
        padded.append(space + cell if number >= right else cell + space)
    return "  ".join(padded).rstrip()
