"""The alerts in a journal: from the event that began each to the one that ended it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

import rules.conditions
from agent.clock import EPOCH, MICROSECOND
from agent.journal.block import is_event, time_us
from agent.journal.files import Files
from agent.journal.reader import Record, records
from agent.journal_tool.selection import Refused
from cloud_sync.wire import ALERT, EVIDENCE, BadPayload, parse_line
from drivers.reading import Quantity
from gateway_config.kinds import find, kinds
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase

MAX_CANDIDATES = 10


@dataclass
class Alert:
    """One alert: it began, and perhaps it ended."""

    number: int
    """Of the record of `event`."""
    event: AlertEvent
    """That it began to fire; that it is over, where the beginning is not in the journal."""
    is_settled: bool
    """Whether its time is known for sure."""
    end: datetime | None = None
    end_number: int | None = None

    @property
    def has_beginning(self) -> bool:
        """Whether the journal knows how it began, which alone says why."""
        return self.event.phase is Phase.FIRING


def alerts_in(files: Files, on_unreadable: Callable[[int, int], None]) -> list[Alert]:
    """Return all alerts, the oldest first."""
    found: list[Alert] = []
    going_on: dict[tuple[str, str], list[Alert]] = {}
    for record in records(files, events=True, on_unreadable=on_unreadable):
        event = event_of(record)
        if event is None:
            continue
        alert = Alert(record.number, event, record.is_settled)
        if event.phase is Phase.FIRING:
            going_on.setdefault(_key(event), []).append(alert)
            found.append(alert)
            continue
        # One that was told again and again (a call button) ends once for all.
        begun = going_on.pop(_key(event), [])
        for each in begun or [alert]:
            each.end, each.end_number = event.at, record.number
        found += [] if begun else [alert]
    return found


def event_of(record: Record) -> AlertEvent | None:
    """Return the alert event that a record is; None for anything else."""
    if not is_event(record.line):
        return None
    try:
        point = parse_line(record.line)
        tags, fields = point.tags, point.fields
        if point.measurement != ALERT:
            return None
        # Its line keeps the time it was told with, though a better one may be known by now.
        moved = (record.at_us - time_us(record.line)) * MICROSECOND
        quantity = tags.get("quantity")
        return AlertEvent(
            tags["rule"],
            tags.get("sensor", ""),
            Phase(tags["phase"]),
            EPOCH + record.at_us * MICROSECOND,
            EPOCH + timedelta(seconds=fields["since_seconds"]) + moved,
            Severity(tags["severity"]),
            fields.get("value"),
            tags.get("condition", ""),
            Quantity(quantity) if quantity else None,
            tuple(
                (name.removeprefix(EVIDENCE), figure)
                for name, figure in sorted(fields.items())
                if name.startswith(EVIDENCE)
            ),
        )
    except (BadPayload, KeyError, ValueError, OverflowError):
        return None


def _key(event: AlertEvent) -> tuple[str, str]:
    """Return what the beginning and the end of an alert have in common."""
    return event.rule, "" if _is_together(event.condition) else event.sensor


@lru_cache(maxsize=256)
def _is_together(kind: str) -> bool:
    return kind in kinds(rules.conditions) and find(rules.conditions, kind).together


def chosen(found: Sequence[Alert], asked: str, zone: tzinfo) -> Alert:
    """Return the alert that is meant: by a number, the name of a rule, a part of one, or nothing.

    Raises Refused, with what there is.
    """
    if not found:
        raise Refused("there is no alert in the journal: none has fired, or it is not written yet")
    names = {alert.event.rule for alert in found}
    if asked and asked not in names and asked.isdecimal():
        return _numbered(found, int(asked), zone)
    if not asked:
        return found[-1]
    same = {asked} & names or {name for name in names if asked.casefold() in name.casefold()}
    if not same:
        listed = "\n".join(f"  {name}" for name in sorted(names))
        raise Refused(
            f"no alert of a rule {asked!r} is in the journal; there are alerts of\n{listed}"
        )
    if len(same) > 1:
        newest = [_newest_of(found, name) for name in sorted(same)]
        raise Refused(f"{asked!r} may be one of these; say which:\n{_candidates(newest, zone)}")
    return _newest_of(found, same.pop())


def _numbered(found: Sequence[Alert], number: int, zone: tzinfo) -> Alert:
    for alert in found:
        if number in (alert.number, alert.end_number):
            return alert
    near = sorted(found, key=lambda alert: abs(alert.number - number))[:MAX_CANDIDATES]
    near.sort(key=lambda alert: alert.number)
    raise Refused(f"record {number} is no alert; these are near:\n{_candidates(near, zone)}")


def _newest_of(found: Sequence[Alert], rule: str) -> Alert:
    return next(alert for alert in reversed(found) if alert.event.rule == rule)


def _candidates(alerts: Sequence[Alert], zone: tzinfo) -> str:
    shown = [
        f"  {alert.number}  {alert.event.at.astimezone(zone):%Y-%m-%d %H:%M}  {alert.event.rule}"
        for alert in alerts[:MAX_CANDIDATES]
    ]
    more = len(alerts) - len(shown)
    return "\n".join([*shown, *([f"  and {more} more"] if more else [])])
