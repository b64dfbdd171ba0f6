"""Whether the resident is at home, as far as an outer door and sensors inside can tell.

            an interior sensor speaks, at any time
     +---------------------------------------------------+
     v                                                   |
    HOME --- an outer door speaks, then nothing inside --> AWAY
     ^       for `away_after`
     |
    UNKNOWN (before anything was heard; rules for HOME judge, to be on the safe side)

Somebody who comes home and then lies still looks as if away until something inside speaks, so
nothing that could save a life may hang on AWAY alone.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto


class Presence(StrEnum):
    """Where the resident seems to be."""

    UNKNOWN = auto()
    HOME = auto()
    AWAY = auto()


@dataclass(frozen=True)
class PresenceSensors:
    """Which sensors tell of presence, and how long the house must be still after the door."""

    doors: frozenset[str]
    interior: frozenset[str]
    away_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PresenceState:
    """Immutable: each step returns the next one."""

    presence: Presence = Presence.UNKNOWN
    since: datetime | None = None
    """When `presence` began, event time; None at the very beginning."""
    away_from: datetime | None = None
    """When it becomes AWAY if nothing inside speaks before."""

    def spoken(self, sensor: str, sensors: PresenceSensors, at: datetime) -> "PresenceState":
        """Return the state after a sign of life from `sensor`; call `advanced` to `at` first."""
        if sensor in sensors.interior:
            return PresenceState(Presence.HOME, self._begun(Presence.HOME, at))
        if sensor in sensors.doors:
            return replace(self, away_from=at + sensors.away_after)
        return self

    def advanced(self, to: datetime) -> "PresenceState":
        """Return the state once event time has reached `to`."""
        if self.away_from is None or self.away_from > to:
            return self
        return PresenceState(Presence.AWAY, self._begun(Presence.AWAY, self.away_from))

    def unheard(self, gap: timedelta) -> "PresenceState":
        """Return the same state after a `gap` in which nobody listened for anything inside."""
        return self if self.away_from is None else replace(self, away_from=self.away_from + gap)

    def shifted(self, by: timedelta) -> "PresenceState":
        """Return the same state on a clock that was wrong by `by`."""
        return PresenceState(
            self.presence,
            None if self.since is None else self.since + by,
            None if self.away_from is None else self.away_from + by,
        )

    def _begun(self, presence: Presence, at: datetime) -> datetime:
        return self.since if presence is self.presence and self.since is not None else at
