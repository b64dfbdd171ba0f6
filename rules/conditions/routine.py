"""A home is still for longer than is usual there at this time of day, with the resident inside.

What is usual is learned (rules/routine.py); until that is known, and where few sensors see, it
takes 12 to 24 hours. Sensors count that have seen somebody within a week: a battery that dies makes
the rule more patient, not more anxious.

While presence says that the resident is out, nothing is judged: "not_returned" does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, ClassVar, Final, Literal, TypeAlias

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.presence import Presence
from rules.routine import CAUTIOUS, FLOOR, STANDARD, Coverage, HomeRoutine
from rules.routine import Profile as Margins
from rules.snapshot import dump_time, load_time, load_time_if_any

Profile: TypeAlias = Literal["standard", "cautious"]
PROFILES: Final[dict[Profile, Margins]] = {"standard": STANDARD, "cautious": CAUTIOUS}

SEES: Final = timedelta(days=7)
"""A sensor that has seen nobody for so long does not count."""


@dataclass(frozen=True)
class Routine:
    """Breached when the home is still beyond what it taught; clear at the next sign of life."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    zone: tzinfo
    outer_doors: frozenset[str] = frozenset()

    profile: Profile = "standard"
    """How soon: "standard" aims at one call for nothing in a month, "cautious" at one in four."""

    def remember(self, dumped: Any = None) -> Memory:
        """Return what the home taught."""
        return _Home(self, dumped)


class _Home(Memory):
    """What is usual, and since when it is still."""

    __slots__ = ("_is_out", "_last", "_routine", "_seen", "_settings", "due")
    follows_presence = True

    def __init__(self, settings: Routine, dumped: Any) -> None:
        routine, last, seen, is_out, is_told = dumped or (None, None, {}, False, False)
        self._settings = settings
        margins = PROFILES[settings.profile]
        self._routine = (
            HomeRoutine(settings.zone, Coverage.HARDLY, margins)
            if routine is None
            else HomeRoutine.load(routine, settings.zone, Coverage.HARDLY, margins)
        )
        self._last = load_time_if_any(last)
        """The last sign of life, or the listening began; moved by the time when nobody listened."""
        self._seen = {str(name): (load_time(at), int(sees)) for name, (at, sees) in seen.items()}
        """When each sensor inside saw somebody last, and how much it sees: see `Coverage.of`."""
        self._is_out = bool(is_out)
        self.due: datetime | None = None
        if not is_told:
            self._wait()

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Let only a sign of a person count, and of one who is inside."""
        if self._is_out or not is_activity(reading, previous):
            return Verdict.UNDECIDED
        if reading.sensor not in self._settings.outer_doors:
            self._seen[reading.sensor] = (reading.at, _SEES.get(reading.quantity, 0))
        self._move(reading.at)
        return Verdict.CLEAR

    def tell(self, presence: Presence, at: datetime) -> Verdict:
        """Judge nothing while the resident is out."""
        if presence.is_away is self._is_out:
            return Verdict.UNDECIDED
        self._is_out = presence.is_away
        if self._is_out:
            self._routine.left(at)
            self.due = None
            return Verdict.UNDECIDED
        self._move(at)
        return Verdict.CLEAR

    def advance(self, at: datetime) -> Verdict:
        """Say that it is too long, or wait on: the limit is reckoned only when it may be reached.

        Ten thousand signs of life cost nothing but their time that way.
        """
        assert self._last is not None  # or it would not wait
        self._look(at)
        due = self._routine.due(self._last)
        self.due = due if due > at else None
        return Verdict.UNDECIDED if due > at else Verdict.BREACHED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait from now on, or go on waiting: in the time between, nothing could be heard."""
        if since is None or self._last is None:
            self._last = at
            self._wait()
            return
        self._routine.unheard(since, at)
        self._last += at - since
        if self.due is not None:
            self._wait()

    def evidence(self, at: datetime) -> Evidence:
        """Return how long it is still, how long that is usual now, and from how many days."""
        if self._last is None:
            return {}
        self._look(at)
        why = self._routine.explain(self._last, at)
        found = {
            "still_s": why.still.total_seconds(),
            "limit_s": why.limit.total_seconds(),
            "learned_days": why.days,
        }
        if why.usual is not None:
            found["usual_s"] = why.usual.total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._routine.shift(by)
        self._seen = {name: (at + by, sees) for name, (at, sees) in self._seen.items()}
        self._last = None if self._last is None else self._last + by
        if self.due is not None:
            self._wait()

    def dump(self) -> Any:
        """Return it as plain data."""
        seen = {name: [at.isoformat(), sees] for name, (at, sees) in self._seen.items()}
        is_told = self.due is None and not self._is_out
        return [self._routine.dump(), dump_time(self._last), seen, self._is_out, is_told]

    def _move(self, at: datetime) -> None:
        self._routine.moved(at)
        self._last = at
        self._wait()

    def _wait(self) -> None:
        """Be woken as soon as it could be too long."""
        is_waiting = self._last is not None and not self._is_out
        self.due = self._last + FLOOR if self._last is not None and is_waiting else None

    def _look(self, at: datetime) -> None:
        """See how much of the home is seen."""
        sees = [sees for seen, sees in self._seen.values() if at - seen <= SEES]
        self._routine.coverage = Coverage.of(sees.count(_MOTION), sees.count(_CONTACT))


_MOTION, _CONTACT = 2, 1
_SEES: Final = {Quantity.MOTION_DETECTED: _MOTION, Quantity.CONTACT_OPEN: _CONTACT}
