"""When a rule fired, in as many pieces of time as a picture can show, however long it goes on.

The end of the time need not be known: when it is reached, pieces become twice as long and half as
many. So memory is bounded, and a picture is exact to a thousandth of its width or better.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

PIECES: Final = 2048
FIRST_PIECE: Final = timedelta(minutes=1)


class Bins:
    """Alarms and firing time from `begin` on."""

    def __init__(self, begin: datetime) -> None:
        self.begin = begin
        self.piece = FIRST_PIECE
        self._alarms: list[int] = []
        self._fires: list[bool] = []

    def __len__(self) -> int:
        return len(self._fires)

    def alarm(self, at: datetime) -> None:
        """One began at `at`, which is not before `begin`."""
        place = self._place(at)
        self._alarms[place] += 1
        self._fires[place] = True

    def fired(self, since: datetime, until: datetime) -> None:
        """It fired from `since`, which is not before `begin`, up to `until`."""
        last = self._place(until)
        for place in range(self._place(since), last):
            self._fires[place] = True
        self._fires[last] |= until > self.begin + last * self.piece

    def runs(self) -> Iterator[tuple[datetime, datetime, int]]:
        """Yield each time without a break in it: from, until, and the alarms that began in it."""
        place = 0
        while place < len(self):
            first = place
            while place < len(self) and self._fires[place]:
                place += 1
            if place > first:
                times = (self.begin + n * self.piece for n in (first, place))
                yield (*times, sum(self._alarms[first:place]))  # type: ignore[misc]
            place += 1

    def _place(self, at: datetime) -> int:
        while (place := (at - self.begin) // self.piece) >= PIECES:
            self._halve()
        missing = place + 1 - len(self)
        self._alarms += [0] * missing
        self._fires += [False] * missing
        return place

    def _halve(self) -> None:
        self.piece *= 2
        if len(self) % 2:
            self._alarms.append(0)
            self._fires.append(False)
        self._alarms = [a + b for a, b in zip(self._alarms[::2], self._alarms[1::2], strict=True)]
        self._fires = [a or b for a, b in zip(self._fires[::2], self._fires[1::2], strict=True)]
