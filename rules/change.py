"""How far a value has moved within a while: what a condition remembers that judges change.

The lowest value of the last while is known to a SLOTS-th of that time, so that memory is bounded
however often a sensor speaks. A fall is the rise of the negative value.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Reading
from rules.condition import Memory
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time, load_time_if_any

SLOTS: Final = 60


class Change(Memory):
    """Of one sensor. Breached when it has risen `by` within `within` (fallen, if `is_fall`)."""

    __slots__ = ("_by", "_last", "_low", "_margin", "_sign", "_since", "_within")

    def __init__(
        self, by: float, within: timedelta, margin: float, *, is_fall: bool, dumped: Any = None
    ) -> None:
        """`dumped` is what `dump` returned, perhaps with other settings."""
        self._by, self._within, self._margin = by, within, margin
        self._sign = -1 if is_fall else 1
        self._low: deque[tuple[datetime, float]] = deque()
        """Values that were the lowest once all before them are too old; the oldest is the lowest
        of all. They are at least a SLOTS-th of `within` apart."""
        self._since: datetime | None = None
        """Since when it is heard without a gap as long as `within`."""
        self._last: datetime | None = None
        if dumped is not None:
            low, since, last = dumped
            self._low.extend((load_time(at), float(value)) for at, value in low)
            self._since, self._last = load_time_if_any(since), load_time_if_any(last)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Compare with the lowest value of the last while.

        Calm is only known after listening for all of it: a sensor that was silent proves nothing.
        """
        at, value = reading.at, self._sign * reading.value
        if self._last is None or self._since is None or at - self._last > self._within:
            self._since = at
        self._last = at
        risen = value - self._lowest(at, value)
        if risen >= self._by:
            return Verdict.BREACHED
        if risen <= self._by - self._margin and at - self._since >= self._within:
            return Verdict.CLEAR
        return Verdict.UNDECIDED

    def _lowest(self, at: datetime, value: float) -> float:
        """Take the value in, and return the lowest one by now."""
        low = self._low
        while low and low[-1][1] >= value:
            low.pop()
        if not low or at - low[-1][0] >= self._within / SLOTS:
            low.append((at, value))
        while at - low[0][0] > self._within:
            if len(low) == 1:
                # It came in the same SLOTS-th as one that is too old only now.
                low.append((at, value))
            low.popleft()
        return low[0][1]

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._low = deque((at + by, value) for at, value in self._low)
        self._since = None if self._since is None else self._since + by
        self._last = None if self._last is None else self._last + by

    def dump(self) -> Any:
        """Return it as plain data."""
        low = [[at.isoformat(), value] for at, value in self._low]
        return [low, dump_time(self._since), dump_time(self._last)]


@dataclass(frozen=True)
class Changing:
    """What `rising` and `falling` have in common: everything but the direction."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    is_fall: ClassVar[bool]

    by: float
    """How far, in the unit of the watched quantity; above 0."""

    within: timedelta
    """In how short a time, 1 minute to 7 days; judged to a SLOTS-th of it."""

    margin: float = 0.0
    """How much less it must have moved before it counts as calm; 0 or more, less than `by`."""

    def __post_init__(self) -> None:
        if self.by <= 0:
            raise ValueError(f"by {self.by} is not above 0")
        if not timedelta(minutes=1) <= self.within <= timedelta(days=7):
            raise ValueError(f"within {self.within} is not from 1 min to 7 d")
        if not 0 <= self.margin < self.by:
            raise ValueError(f"margin {self.margin} is not from 0 to less than by, {self.by}")

    def remember(self, dumped: Any = None) -> Change:
        """Return what one sensor's past is kept in; `dumped` is that of before."""
        return Change(self.by, self.within, self.margin, is_fall=self.is_fall, dumped=dumped)
