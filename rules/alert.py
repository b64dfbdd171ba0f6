"""What rules/ produces: the moments at which an alert began to fire and was over again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto

from drivers.reading import Quantity
from rules.lifecycle import Phase


class Severity(StrEnum):
    """How much of a hurry it is in. A fault of equipment never reads like a person in need."""

    DANGER = auto()
    """Somebody should go now."""
    WARNING = auto()
    """Somebody should look soon."""
    NOTICE = auto()
    """Good to know."""
    FAULT = auto()
    """Equipment needs care; it can wait for daylight."""
    PART = auto()
    """Only a part of another rule: nobody is told."""


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """An alert began to fire, or was over (phase QUIET)."""

    rule: str
    """The name the site gave it in gateway.toml, written to be read by the person who is told."""

    sensor: str
    """Which it is about; for a rule over several sensors together, the last to speak, or ""."""

    phase: Phase
    """FIRING or QUIET."""

    at: datetime
    """Event time: when it became true, not when we noticed."""

    since: datetime
    """When the condition was breached first: FIRING holds from `since` + hold time."""

    severity: Severity

    value: float | None = None
    """The last reading judged, in its quantity's unit; None when there was none."""

    condition: str = ""
    """The kind of the condition, as in gateway.toml."""

    quantity: Quantity | None = None
    """Of `value`."""

    evidence: tuple[tuple[str, float], ...] = ()
    """Why: the figures of the condition's settings, and what it knows (what is usual here), each
    with its unit at the end of its name; sorted by name."""
