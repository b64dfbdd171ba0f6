"""How the state of rules becomes plain data for the journal, and comes back."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rules.lifecycle import Alert, Phase
from rules.presence import Presence, PresenceState

if TYPE_CHECKING:
    from rules.engine import Watch


def load_time(text: str) -> datetime:
    """Return the time. Raises ValueError if it has no zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at


def load_time_if_any(text: str | None) -> datetime | None:
    """Return the time, if there is one. Raises ValueError if it has no zone."""
    return None if text is None else load_time(text)


def dump_time(at: datetime | None) -> str | None:
    """Return what `load_time_if_any` reads."""
    return None if at is None else at.isoformat()


def dump_alert(watch: "Watch") -> list[Any]:
    """Return what an engine knows about one alert."""
    return [
        watch.alert.phase.value,
        watch.alert.since.isoformat(),
        watch.breached,
        watch.first_breach.isoformat(),
        watch.sensor,
        watch.value,
        *([] if watch.memory is None else [watch.memory.dump()]),
    ]


def load_alert(watch: "Watch", dumped: list[Any]) -> None:
    """Put back what `dump_alert` returned."""
    phase, since, breached, first_breach, sensor, value, *memory = dumped
    watch.alert = Alert(Phase(phase), load_time(since))
    watch.breached = bool(breached)
    watch.first_breach = load_time(first_breach)
    watch.sensor = str(sensor)
    watch.value = None if value is None else float(value)
    if memory:
        watch.remember(memory[0])


def dump_presence(state: PresenceState) -> list[Any]:
    """Return what an engine knows about the resident's presence."""
    return [state.presence.value, dump_time(state.since), dump_time(state.away_from)]


def load_presence(dumped: list[Any]) -> PresenceState:
    """Put back what `dump_presence` returned."""
    presence, since, away_from = dumped
    return PresenceState(Presence(presence), load_time_if_any(since), load_time_if_any(away_from))
