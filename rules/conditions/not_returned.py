"""The resident went out, and has not come home for longer than ever.

How long outings last is learned: 1.5 times the longest of the last 28 days with one, and an hour
more, from 6 to 24 hours; 12 hours until seven such days are known. Longer than a day is a journey
and teaches nothing. Who comes home to rest and is not seen looks as if still out: a press of the
"I am back" button, or anything inside, ends it.

While presence says that the resident is on a journey ("absent"), a visit of somebody who looks
after the home begins nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.longest import Longest
from rules.presence import Presence
from rules.snapshot import dump_time, load_time_if_any

ROOM: Final = 1.5
MORE: Final = timedelta(hours=1)
UNTIL_KNOWN: Final = timedelta(hours=12)
JOURNEY: Final = timedelta(hours=24)


@dataclass(frozen=True)
class NotReturned:
    """Breached when the resident has been out for the learned limit; clear at a sign inside."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs_presence: ClassVar[bool] = True

    at_least: timedelta = timedelta(hours=6)
    """The shortest limit, however short the outings are; 1 hour or more."""

    at_most: timedelta = timedelta(hours=24)
    """The longest limit, up to 7 days."""

    def __post_init__(self) -> None:
        if not timedelta(hours=1) <= self.at_least <= self.at_most <= timedelta(days=7):
            raise ValueError(
                f"at_least {self.at_least} and at_most {self.at_most} are not from 1 h to 7 d, "
                "the smaller one first"
            )

    def remember(self, dumped: Any = None) -> Memory:
        """Return how long outings last."""
        return _Outings(self, dumped)


class _Outings(Memory):
    """Since when the resident is out, and how long that lasts at most."""

    __slots__ = ("_left", "_outings", "_settings", "due")
    follows_presence = True

    def __init__(self, settings: NotReturned, dumped: Any) -> None:
        left, outings, due = dumped or (None, None, None)
        self._settings = settings
        self._left = load_time_if_any(left)
        """When this outing began; None: it is none, or a journey."""
        self._outings = Longest(outings)
        self.due: datetime | None = load_time_if_any(due)

    @property
    def _limit(self) -> timedelta:
        longest = self._outings.longest
        limit = UNTIL_KNOWN if longest is None else ROOM * longest + MORE
        return min(max(limit, self._settings.at_least), self._settings.at_most)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Leave it to presence what a sign of life means."""
        return Verdict.UNDECIDED

    def tell(self, presence: Presence, at: datetime) -> Verdict:
        """Begin to wait, or learn how long it was."""
        if presence is Presence.AWAY:
            self._left, self.due = at, at + self._limit
            return Verdict.UNDECIDED
        if presence is Presence.ABSENT:
            return Verdict.UNDECIDED
        if self._left is not None and at - self._left <= JOURNEY:
            self._outings.add(at - self._left, at)
        self._left = self.due = None
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say that it is too long."""
        self.due = None
        return Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait longer: the way home could not be heard while nobody listened."""
        if since is not None and self.due is not None:
            self.due += at - since

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it is, how long it may be, and the longest of the days that are known."""
        found = {"limit_s": self._limit.total_seconds()}
        if self._left is not None:
            found["away_s"] = (at - self._left).total_seconds()
        if (longest := self._outings.longest) is not None:
            found["longest_s"] = longest.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._outings.skip(by)
        self._left = None if self._left is None else self._left + by
        self.due = None if self.due is None else self.due + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [dump_time(self._left), self._outings.dump(), dump_time(self.due)]
