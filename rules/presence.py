"""Whether the resident is at home, as far as outer doors, sensors inside and a button can tell.

    UNKNOWN   before anything was heard; counts as at home, to be on the safe side
    HOME      something inside spoke
    ASLEEP    at home, in the hours of sleep, and still for `asleep_after`
    AWAY      an outer door spoke, then nothing inside for `away_after`
    ABSENT    away for `absent_after`, on a journey or in hospital

                     any sign inside, at any time
       +------------------------------------------------------------+
       v                                                            |
     HOME ---- the door, then nothing inside ---> AWAY ---- long ---> ABSENT
       |  ^                                                           ^
       v  | a sign inside          the door, then nothing inside,     |
     ASLEEP                        after a visit of less than `VISIT` +

Who looks after the plants of somebody who is absent is not the resident who came home: if the home
is left again within VISIT, it was a visit, and ABSENT goes on, or every visit would end in "did not
come home". As long as a visit lasts everything is judged as if the resident were back.

Somebody who comes home and then lies still looks as if away until something inside speaks, so
nothing that could save a life may hang on being away alone. Therefore there is a button: one press
says "I am fine, I am back", a long one "leave me alone for a while" (a pause, for visitors or for
no reason at all), and one press ends that too.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import Final

from rules.hours import Hours

VISIT: Final = timedelta(hours=3)

LONG_PRESS: Final = 4
"""A value of Quantity.BUTTON_EVENT."""


class Presence(StrEnum):
    """Where the resident seems to be."""

    UNKNOWN = auto()
    HOME = auto()
    ASLEEP = auto()
    AWAY = auto()
    ABSENT = auto()

    @property
    def is_away(self) -> bool:
        """Whether nobody is at home, for whatever time."""
        return self in (Presence.AWAY, Presence.ABSENT)

    def covers(self, now: "Presence") -> bool:
        """Whether a rule that judges only in this state judges `now`."""
        if self is Presence.ASLEEP or self is Presence.ABSENT:
            return now is self
        return self.is_away is now.is_away


@dataclass(frozen=True)
class PresenceSensors:
    """Which sensors tell of presence, and what that takes."""

    doors: frozenset[str]
    interior: frozenset[str]
    away_after: timedelta = timedelta(minutes=10)
    """How long it must be still inside after a door spoke."""
    buttons: frozenset[str] = frozenset()
    """One press is a sign of the resident, a long one begins a pause."""
    pause_for: timedelta = timedelta(hours=2)
    sleep: Hours | None = None
    """None: nobody is ever taken to be asleep."""
    asleep_after: timedelta = timedelta(minutes=45)
    absent_after: timedelta = timedelta(hours=36)

    def asleep_from(self, sign: datetime) -> datetime | None:
        """Return when somebody is asleep whose last sign of life was then."""
        if self.sleep is None:
            return None
        still = sign + self.asleep_after
        return still if self.sleep.contains(still) else self.sleep.next_edge(still)


@dataclass(frozen=True, slots=True)
class PresenceState:
    """Immutable: each step returns the next one."""

    presence: Presence = Presence.UNKNOWN
    since: datetime | None = None
    """When `presence` began, event time; None at the very beginning."""
    away_from: datetime | None = None
    """When it becomes AWAY if nothing inside speaks before."""
    asleep_from: datetime | None = None
    """The same for ASLEEP."""
    absent_from: datetime | None = None
    """The same for ABSENT."""
    paused_until: datetime | None = None
    """Until when the resident wants to be left alone; None: no pause."""
    visit_since: datetime | None = None
    """When somebody came in while it was ABSENT; None once that is no visit any more."""

    @property
    def due(self) -> datetime | None:
        """When the next step happens by itself."""
        times = (self.away_from, self.asleep_from, self.absent_from, self.paused_until)
        return min((at for at in times if at is not None), default=None)

    def spoken(self, sensor: str, sensors: PresenceSensors, at: datetime) -> "PresenceState":
        """Return the state after a sign of life from `sensor`; call `advanced` to `at` first."""
        if sensor in sensors.interior or sensor in sensors.buttons:
            return self._signed(sensors, at)
        if sensor in sensors.doors:
            return replace(self, away_from=at + sensors.away_after)
        return self

    def pressed(self, press: float, sensors: PresenceSensors, at: datetime) -> "PresenceState":
        """Return the state after one of the buttons; call `advanced` to `at` first."""
        until = at + sensors.pause_for if press == LONG_PRESS else None
        # Only the resident says so: it is no visit.
        return replace(self._signed(sensors, at), paused_until=until, visit_since=None)

    def advanced(self, to: datetime, sensors: PresenceSensors) -> "PresenceState":
        """Return the state once event time has reached `to`."""
        state = self
        while (due := state.due) is not None and due <= to:
            state = state._stepped(due, sensors)
        return state

    def unheard(self, gap: timedelta) -> "PresenceState":
        """Return the same state after a `gap` in which nobody listened for anything inside.

        A pause ends when it was to end.
        """
        return replace(
            self,
            away_from=_later(self.away_from, gap),
            asleep_from=_later(self.asleep_from, gap),
            absent_from=_later(self.absent_from, gap),
        )

    def shifted(self, by: timedelta) -> "PresenceState":
        """Return the same state on a clock that was wrong by `by`."""
        return PresenceState(
            self.presence,
            _later(self.since, by),
            _later(self.away_from, by),
            _later(self.asleep_from, by),
            _later(self.absent_from, by),
            _later(self.paused_until, by),
            _later(self.visit_since, by),
        )

    def _signed(self, sensors: PresenceSensors, at: datetime) -> "PresenceState":
        visit_since = at if self.presence is Presence.ABSENT else self.visit_since
        if visit_since is not None and at - visit_since >= VISIT:
            visit_since = None
        return PresenceState(
            Presence.HOME,
            self._begun(Presence.HOME, at),
            asleep_from=sensors.asleep_from(at),
            paused_until=self.paused_until,
            visit_since=visit_since,
        )

    def _stepped(self, at: datetime, sensors: PresenceSensors) -> "PresenceState":
        """Return the state after what is due at `at`; one thing at a time."""
        if self.paused_until == at:
            return replace(self, paused_until=None)
        if self.away_from == at:
            return self._left(at, sensors)
        if self.asleep_from == at:
            since = self._begun(Presence.ASLEEP, at)
            return replace(self, presence=Presence.ASLEEP, since=since, asleep_from=None)
        since = self._begun(Presence.ABSENT, at)
        return replace(self, presence=Presence.ABSENT, since=since, absent_from=None)

    def _left(self, at: datetime, sensors: PresenceSensors) -> "PresenceState":
        if self.presence.is_away:
            return replace(self, away_from=None)
        was_visit = self.visit_since is not None and at - self.visit_since < VISIT
        presence = Presence.ABSENT if was_visit else Presence.AWAY
        return PresenceState(
            presence,
            at,
            absent_from=None if was_visit else at + sensors.absent_after,
            paused_until=self.paused_until,
        )

    def _begun(self, presence: Presence, at: datetime) -> datetime:
        return self.since if presence is self.presence and self.since is not None else at


def _later(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at + by
