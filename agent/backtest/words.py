"""How times, figures and alarms are said."""

from datetime import UTC, datetime, timedelta, tzinfo

from agent.backtest.tally import Rate
from rules.alert import AlertEvent


def when(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def how_long(span: timedelta) -> str:
    """Return it in the two largest units."""
    seconds = round(span.total_seconds())
    for size, unit, smaller, name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{seconds} s"


def days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"


def month(rate: Rate | None) -> str:
    return "unknown" if rate is None else f"{rate.each_month:.2f}"


def between(rate: Rate | None) -> str:
    return "unknown" if rate is None else f"{rate.low:.2f} to {rate.high:.2f}"


def share(part: timedelta, whole: timedelta) -> str:
    return f"{part / whole:.2%}" if whole > timedelta(0) else "unknown"


def value(event: AlertEvent) -> str:
    if event.value is None:
        return "none"
    return f"{event.value:g} {event.quantity}" if event.quantity else f"{event.value:g}"


def evidence(event: AlertEvent) -> str:
    return " ".join(f"{name}={figure:g}" for name, figure in event.evidence)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
