"""How the state of rules becomes plain data for the journal, and comes back."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from drivers.reading import Quantity
from rules.alert import AlertEvent, Severity
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
        watch.quantity,
        watch.rule.severity.value,
        dump_time(watch.not_before),
        *([] if watch.memory is None else [watch.memory.dump()]),
    ]


def load_alert(watch: "Watch", dumped: list[Any]) -> list[Any]:
    """Put back what `dump_alert` returned, but for the memory: return that, in a list if any."""
    phase, since, breached, first_breach, sensor, value, quantity, _, not_before, *memory = dumped
    watch.alert = Alert(Phase(phase), load_time(since))
    watch.breached = bool(breached)
    watch.first_breach = load_time(first_breach)
    watch.sensor = str(sensor)
    watch.value = None if value is None else float(value)
    watch.quantity = None if quantity is None else Quantity(quantity)
    watch.not_before = load_time_if_any(not_before)
    return memory


def over(rule: str, condition: str, dumped: list[Any], at: datetime) -> AlertEvent:
    """Return that an alert is over at `at` whose rule is gone; `dump_alert` returned `dumped`."""
    _, _, _, since, sensor, value, quantity, severity, *_ = dumped
    return AlertEvent(
        rule,
        str(sensor),
        Phase.QUIET,
        at,
        load_time(since),
        Severity(severity),
        None if value is None else float(value),
        condition,
        None if quantity is None else Quantity(quantity),
    )


def dump_event(event: AlertEvent) -> list[Any]:
    """Return what `load_event` reads."""
    return [
        event.rule,
        event.sensor,
        event.phase.value,
        event.at.isoformat(),
        event.since.isoformat(),
        event.severity.value,
        event.value,
        event.condition,
        event.quantity,
        [list(figure) for figure in event.evidence],
    ]


def load_event(dumped: list[Any]) -> AlertEvent:
    """Put back what `dump_event` returned."""
    rule, sensor, phase, at, since, severity, value, condition, quantity, evidence = dumped
    return AlertEvent(
        str(rule),
        str(sensor),
        Phase(phase),
        load_time(at),
        load_time(since),
        Severity(severity),
        None if value is None else float(value),
        str(condition),
        None if quantity is None else Quantity(quantity),
        tuple((str(name), float(figure)) for name, figure in evidence),
    )


def dump_presence(state: PresenceState) -> list[Any]:
    """Return what an engine knows about the resident's presence."""
    times = (
        state.since,
        state.away_from,
        state.asleep_from,
        state.absent_from,
        state.paused_until,
        state.visit_since,
    )
    return [state.presence.value, *map(dump_time, times)]


def load_presence(dumped: list[Any]) -> PresenceState:
    """Put back what `dump_presence` returned."""
    presence, since, away_from, asleep_from, absent_from, paused_until, visit_since = dumped
    return PresenceState(
        Presence(presence),
        load_time_if_any(since),
        load_time_if_any(away_from),
        load_time_if_any(asleep_from),
        load_time_if_any(absent_from),
        load_time_if_any(paused_until),
        load_time_if_any(visit_since),
    )
