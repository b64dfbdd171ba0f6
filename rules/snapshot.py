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
    times = (None if at is None else at.isoformat() for at in (state.since, state.away_from))
    return [state.presence.value, *times]


def load_presence(dumped: list[Any]) -> PresenceState:
    """Put back what `dump_presence` returned."""
    presence, *times = dumped
    since, away_from = (None if at is None else load_time(at) for at in times)
    return PresenceState(Presence(presence), since, away_from)
