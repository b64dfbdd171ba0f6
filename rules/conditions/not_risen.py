"""Nobody has got up this morning, at the hour at which everybody in this home always had.

The first sign of the day, from `earliest` on, in kitchen, bath or toilet is when somebody got up.
It is too late `late_by` after the latest time of the last 28 days (with so few days their 97th
percentile is the latest one), and at `until_known` until seven are known.

Mornings away are neither learned nor judged, and what the gateway could not hear does not count:
after a power cut it waits for as much longer as it was deaf in the morning.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.presence import Presence
from rules.snapshot import dump_time, load_time_if_any

DAYS: Final = 28
ENOUGH_DAYS: Final = 7
DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)
NOON_NEXT: Final = timedelta(hours=16)
"""The latest that it is ever too late, since midnight."""


@dataclass(frozen=True)
class NotRisen:
    """Breached when it is too late; clear at the next sign of life."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    zone: tzinfo

    earliest: str = "04:00"
    """Who is seen before that is up at night, local time."""

    until_known: str = "10:30"
    """When it is too late as long as too few mornings are known, local time."""

    late_by: timedelta = timedelta(hours=2, minutes=30)
    """How much later than ever it may be, 15 minutes to 8 hours."""

    def __post_init__(self) -> None:
        for name in ("earliest", "until_known"):
            _since_midnight(name, getattr(self, name))
        if not self.first < self.fallback <= NOON_NEXT:
            raise ValueError(
                f"earliest {self.earliest} and until_known {self.until_known} are no morning: "
                "the first before the second, and that not after 16:00"
            )
        if not timedelta(minutes=15) <= self.late_by <= timedelta(hours=8):
            raise ValueError(f"late_by {self.late_by} is not from 15 min to 8 h")

    @property
    def first(self) -> timedelta:
        """When the morning begins, since midnight."""
        return _since_midnight("earliest", self.earliest)

    @property
    def fallback(self) -> timedelta:
        """When it is too late at first, since midnight."""
        return _since_midnight("until_known", self.until_known)

    def remember(self, dumped: Any = None) -> Memory:
        """Return how late somebody gets up here."""
        return _Mornings(self, dumped)


def _since_midnight(name: str, text: str) -> timedelta:
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{name} {text!r} is no time of the day such as "04:00"') from None
    if at.tzinfo is not None:
        raise ValueError(f"{name} {text!r} is meant in the site's time zone: without an offset")
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


class _Mornings(Memory):
    """When somebody was first seen on the last mornings, and whether this is over."""

    __slots__ = ("_is_out", "_last", "_minutes", "_seen", "_settings", "_up_until", "due")
    follows_presence = True

    def __init__(self, settings: NotRisen, dumped: Any) -> None:
        minutes, seen, last, is_out, due = dumped or ([], None, None, False, None)
        self._settings = settings
        self._minutes = [int(each) for each in minutes][-DAYS:]
        """Of the first sign since midnight, the oldest first."""
        self._seen = load_time_if_any(seen)
        """The last first sign of a morning, or when this one was given up."""
        self._last = load_time_if_any(last)
        """The last sign."""
        self._is_out = bool(is_out)
        self._up_until: datetime | None = None
        """So long somebody is known to be up; reckoned anew after a restart."""
        self.due: datetime | None = load_time_if_any(due)

    @property
    def _limit(self) -> timedelta:
        """When it is too late, since midnight."""
        if len(self._minutes) < ENOUGH_DAYS:
            return self._settings.fallback
        return min(max(self._minutes) * MINUTE + self._settings.late_by, NOON_NEXT)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Take note of the first sign of each morning."""
        if self._is_out or not is_activity(reading, previous):
            return Verdict.UNDECIDED
        return self._sign(reading.at, is_learned=True)

    def _sign(self, at: datetime, *, is_learned: bool) -> Verdict:
        self._last = at
        if self._up_until is not None and at < self._up_until:
            return Verdict.CLEAR
        midnight = self._midnight(at)
        if at < midnight + self._settings.first:
            return Verdict.CLEAR
        if self._seen is None or self._midnight(self._seen) < midnight:
            self._seen = at
            if is_learned:
                self._minutes = [*self._minutes, (at - midnight) // MINUTE][-DAYS:]
            self._wait_from(midnight, 1)
        # Until tomorrow another sign says nothing new.
        self._up_until = midnight + timedelta(hours=22)
        return Verdict.CLEAR

    def tell(self, presence: Presence, at: datetime) -> Verdict:
        """Judge and learn nothing while the resident is out; who comes home is up."""
        was_out, self._is_out = self._is_out, presence.is_away
        return (
            self._sign(at, is_learned=False)
            if was_out and not self._is_out
            else (Verdict.UNDECIDED)
        )

    def advance(self, at: datetime) -> Verdict:
        """Say that it is too late, unless nobody is there; then wait for tomorrow."""
        self._seen = at
        self._wait_from(self._midnight(at), 1)
        return Verdict.UNDECIDED if self._is_out else Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait for as much longer as nobody listened in the morning."""
        midnight = self._midnight(at)
        begin, limit = midnight + self._settings.first, self._limit
        if since is not None and self.due is not None and self._midnight(self.due) == midnight:
            heard_until = max(since, begin)
            self.due = max(at, begin) + max(self.due - heard_until, timedelta(0))
            if self.due > midnight + NOON_NEXT:
                # Nothing is known of this morning any more.
                self._wait_from(midnight, 1)
        elif since is None or self.due is None or self.due < at:
            whole = limit - self._settings.first
            if at <= begin:
                self._wait_from(midnight, 0)
            elif at < midnight + limit:
                self.due = at + whole
            else:
                self._wait_from(midnight, 1)

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it is still, from how many mornings that is known, and the latest one."""
        found: dict[str, float] = {"learned_days": len(self._minutes)}
        if self._last is not None:
            found["still_s"] = (at - self._last).total_seconds()
        if len(self._minutes) >= ENOUGH_DAYS:
            # As a length before now: people are told at what time of the day that was.
            latest = self._midnight(at) + max(self._minutes) * MINUTE
            found["usual_before_s"] = (at - latest).total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`: mornings are where the clock says."""
        self._last = None if self._last is None else self._last + by
        self._up_until = None
        if self._seen is not None:
            self._seen += by
            midnight = self._midnight(self._seen)
            self._wait_from(midnight, 1)
        elif self.due is not None:
            self._wait_from(self._midnight(self.due + by), 0)

    def dump(self) -> Any:
        """Return it as plain data."""
        times = dump_time(self._seen), dump_time(self._last)
        return [self._minutes, *times, self._is_out, dump_time(self.due)]

    def _midnight(self, at: datetime) -> datetime:
        day = at.astimezone(self._settings.zone).date()
        return self._at(day, timedelta(0), at)

    def _wait_from(self, midnight: datetime, days: int) -> None:
        day = midnight.astimezone(self._settings.zone).date() + days * DAY
        self.due = self._at(day, self._limit, midnight)

    def _at(self, day: date, since_midnight: timedelta, like: datetime) -> datetime:
        local = datetime.combine(day, time.min, self._settings.zone)
        # By the clock on the wall, also where clocks change that night.
        return (local + since_midnight).astimezone(like.tzinfo)
