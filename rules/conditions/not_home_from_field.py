"""An old farmer went to the field and did not come home: what only door and field together see.

The rule's sensors are those in the field: a motion sensor in the hut, its door, a pump's switch.
Who left home and set one of them off is at work there. It is too long

    by the clock   1.5 times the longest stay of the last 28 days with one, and an hour more, from
                   `at_least` to `at_most`; `at_most` until seven such days are known
    in the dark    `after_sunset` after the sun went down, for who was there before

whichever is sooner, but never while the field has heard of somebody within half an hour. Longer
than a day is no stay and teaches nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.condition import Evidence, Memory
from rules.formulas.sun import sunset
from rules.lifecycle import Verdict
from rules.longest import Longest
from rules.presence import Presence
from rules.snapshot import dump_time, load_time_if_any

ROOM: Final = 1.5
MORE: Final = timedelta(hours=1)
LONGEST_STAY: Final = timedelta(hours=24)

BEFORE: Final = timedelta(minutes=30)
"""The field may be reached before presence is sure that the home is empty."""

AT_WORK: Final = timedelta(minutes=30)
"""So long after a sign in the field nobody has to be looked for there."""


@dataclass(frozen=True)
class NotHomeFromField:
    """Breached when the resident is out and was in the field too long; clear at home."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE | {Quantity.SWITCHED_ON}
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs_presence: ClassVar[bool] = True

    zone: tzinfo
    latitude_degrees: float
    longitude_degrees: float

    at_least: timedelta = timedelta(hours=2)
    """The shortest limit, counted from the first sign in the field; 1 hour or more."""

    at_most: timedelta = timedelta(hours=6)
    """The longest limit, and the limit until seven days are known; up to 24 hours."""

    after_sunset: timedelta = timedelta(hours=1)
    """How long after sunset whoever went by day has to be home; up to 12 hours."""

    def __post_init__(self) -> None:
        if not timedelta(hours=1) <= self.at_least <= self.at_most <= timedelta(hours=24):
            raise ValueError(
                f"at_least {self.at_least} and at_most {self.at_most} are not from 1 h to 24 h, "
                "the smaller one first"
            )
        if not timedelta(0) <= self.after_sunset <= timedelta(hours=12):
            raise ValueError(f"after_sunset {self.after_sunset} is not from 0 to 12 h")

    def remember(self, dumped: Any = None) -> Memory:
        """Return how long somebody stays in the field."""
        return _Field(self, dumped)


class _Field(Memory):
    """Whether the resident is out, was seen in the field, and how long that lasts at most."""

    __slots__ = ("_first", "_is_told", "_last", "_left", "_settings", "_stays", "_unheard", "due")
    follows_presence = True

    def __init__(self, settings: NotHomeFromField, dumped: Any) -> None:
        left, first, last, stays, unheard_s, told = dumped or (None, None, None, None, 0, False)
        self._settings = settings
        self._left, self._first, self._last = map(load_time_if_any, (left, first, last))
        """When the home was left, None: it was not; the first and last sign since, in the field."""
        self._stays = Longest(stays)
        self._unheard = timedelta(seconds=float(unheard_s))
        """How long nobody listened since then: the way home could not be heard."""
        self._is_told = bool(told)
        self.due: datetime | None = None
        self._wait()

    @property
    def _limit(self) -> timedelta:
        longest, at_most = self._stays.longest, self._settings.at_most
        limit = at_most if longest is None else ROOM * longest + MORE
        return min(max(limit, self._settings.at_least), at_most)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Take note of who is in the field."""
        is_switch = reading.quantity is Quantity.SWITCHED_ON
        if not (
            previous is not None and reading.value != previous
            if is_switch
            else is_activity(reading, previous)
        ):
            return Verdict.UNDECIDED
        if self._left is None and self._last is not None and reading.at - self._last > BEFORE:
            # Nobody had left home since: it was somebody else.
            self._first = None
        self._first = self._first or reading.at
        self._last = reading.at
        self._wait()
        return Verdict.UNDECIDED

    def tell(self, presence: Presence, at: datetime) -> Verdict:
        """Begin with who leaves, learn from who comes home."""
        if presence.is_away:
            if self._left is None:
                self._left = at
                if self._first is not None and at - self._first > BEFORE:
                    self._first = self._last = None
                self._wait()
            return Verdict.UNDECIDED
        if self._left is not None and self._first is not None:
            stay = at - self._first
            if stay <= LONGEST_STAY:
                self._stays.add(stay, at)
        self._left = self._first = self._last = self.due = None
        self._unheard, self._is_told = timedelta(0), False
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say that it is too long."""
        self.due, self._is_told = None, True
        return Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait longer: the way home could not be heard while nobody listened."""
        if since is not None and self._left is not None:
            self._unheard += at - since
            self._wait()

    def evidence(self, at: datetime) -> Evidence:
        """Return how long the resident is out and in the field, and how long that may last."""
        found = {"limit_s": self._limit.total_seconds()}
        if self._left is not None:
            found["away_s"] = (at - self._left).total_seconds()
        if self._first is not None and self._last is not None:
            found["since_first_sign_s"] = (at - self._first).total_seconds()
            found["since_last_sign_s"] = (at - self._last).total_seconds()
        if (longest := self._stays.longest) is not None:
            found["longest_s"] = longest.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._stays.skip(by)
        self._left, self._first, self._last = (
            None if at is None else at + by for at in (self._left, self._first, self._last)
        )
        self._wait()

    def dump(self) -> Any:
        """Return it as plain data."""
        times = [dump_time(at) for at in (self._left, self._first, self._last)]
        return [*times, self._stays.dump(), self._unheard.total_seconds(), self._is_told]

    def _wait(self) -> None:
        """Be woken when it is too long, if nothing is heard until then."""
        self.due = None
        if self._left is not None and self._first is not None and self._last is not None:
            due = self._first + self._limit
            if (dark := self._dark(self._first)) is not None:
                due = min(due, dark)
            if not self._is_told:
                self.due = max(due + self._unheard, self._last + AT_WORK)

    def _dark(self, first: datetime) -> datetime | None:
        """Return when it is too late for who was there by day; None: it was night already."""
        settings = self._settings
        day = first.astimezone(settings.zone).date()
        down = sunset(day, settings.latitude_degrees, settings.longitude_degrees)
        if down is None or first >= down:
            return None
        late = (down + settings.after_sunset).astimezone(first.tzinfo)
        # A sunset is known to the minute.
        return late.replace(second=0, microsecond=0) + timedelta(minutes=1)
