"""Sets of sequence numbers that are mostly without gaps: what was sent, stored, confirmed.

Written as text "1-5000,5010-5020,5030" in payloads, confirmations and the journal alike.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Self

MAX_NUMBER: Final = (1 << 63) - 1
"""What SQLite and len() can still hold; numbers above it are refused."""

_SPAN = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


class Spans:
    """A set of positive integers, held as disjoint inclusive spans. Memory grows with the gaps."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in spans:
            self.add(first, last)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` was made of. Raises ValueError for anything else."""
        spans = cls()
        if not isinstance(text, str):  # whoever takes it from JSON may be told anything
            raise ValueError(f"not a list of spans such as 1-5,9: {text!r:.80}")  # noqa: TRY004
        for part in text.split(",") if text else ():
            found = _SPAN.fullmatch(part)
            if found is None:
                raise ValueError(f"not a list of spans such as 1-5,9: {text[:80]!r}")
            spans.add(int(found[1]), int(found[2] or found[1]))
        return spans

    def add(self, first: int, last: int) -> None:
        """Add all numbers from `first` to `last`, both included."""
        if not 1 <= first <= last <= MAX_NUMBER:
            raise ValueError(f"not a span: {first}-{last}")
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def update(self, other: Iterable[tuple[int, int]]) -> None:
        """Add all spans of `other`."""
        for first, last in other:
            self.add(first, last)

    def covers(self, first: int, last: int) -> bool:
        """Whether every number from `first` to `last` is in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    def through(self, floor: int) -> int:
        """Return the last number up to which nothing is missing, counting on from `floor`."""
        at = bisect_right(self._firsts, floor + 1) - 1
        return max(floor, self._lasts[at]) if at >= 0 else floor

    def drop_through(self, floor: int) -> None:
        """Forget all numbers up to `floor`."""
        at = bisect_right(self._lasts, floor)
        del self._firsts[:at], self._lasts[:at]
        if self._firsts and self._firsts[0] <= floor:
            self._firsts[0] = floor + 1

    def __and__(self, other: "Spans") -> "Spans":
        """Return the numbers that are in both."""
        both = Spans()
        for first, last in other:
            at = bisect_left(self._lasts, first)
            while at < len(self._firsts) and self._firsts[at] <= last:
                both.add(max(first, self._firsts[at]), min(last, self._lasts[at]))
                at += 1
        return both

    def __sub__(self, other: "Spans") -> "Spans":
        """Return the numbers that are in this one only."""
        rest = Spans()
        for first, last in self:
            for gone_first, gone_last in other & Spans([(first, last)]):
                if first < gone_first:
                    rest.add(first, gone_first - 1)
                first = gone_last + 1  # noqa: PLW2901  # what is behind is looked at next
            if first <= last:
                rest.add(first, last)
        return rest

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many numbers are in the set."""
        return sum(last - first + 1 for first, last in self)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in self)

    def __repr__(self) -> str:
        return f"Spans.parse({str(self)!r})"
