"""The file of what really happened: alarms that it covers were not false.

CSV with the columns from,until and, if wanted, rule; others are for whoever keeps the file:

    from,until,rule,note
    2026-11-03T08:10,2026-11-03T20:30,動きがない,fell in the kitchen; found in the evening

An alarm is covered if it began to fire within, both ends included, and is of that rule, or of any
if none is named. Times without an offset are of the site's time zone.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, NamedTuple

from agent.journal_tool.selection import Refused
from agent.recording import moment
from drivers.capture import BadCapture, numbered_lines
from gateway_config.mistakes import Mistake, both, did_you_mean, shown, there_are

MAX_EVENTS: Final = 1000
"""Each alarm is held against all of them."""


class Event(NamedTuple):
    """Something that really happened, for which an alarm was right."""

    begin: datetime
    end: datetime
    rule: str
    """"" for any."""

    def covers(self, rule: str, at: datetime) -> bool:
        return self.begin <= at <= self.end and self.concerns(rule)

    def concerns(self, rule: str) -> bool:
        return self.rule in ("", rule)


class Truth:
    """Everything that really happened, as far as somebody wrote it down."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = sorted(events)

    def covering(self, rule: str, at: datetime) -> Iterator[int]:
        """Yield which events an alarm was right about."""
        for number, event in enumerate(self.events):
            if event.begin > at:
                return
            if event.covers(rule, at):
                yield number

    def of(self, rule: str, begin: datetime, end: datetime) -> list[int]:
        """Return which events a rule could have noticed in that time."""
        found = enumerate(self.events)
        return [n for n, e in found if e.concerns(rule) and e.begin <= end and e.end >= begin]


def read(path: Path, zone: tzinfo, rules: Collection[str]) -> Truth:
    """Return what the file says; `rules` are the names there are. Raises Refused."""
    try:
        return Truth(list(_events(path, zone, rules)))
    except (OSError, BadCapture) as problem:
        raise Refused(f"--true {path} cannot be read: {problem}") from problem


def _events(path: Path, zone: tzinfo, rules: Collection[str]) -> Iterator[Event]:
    lines = numbered_lines(path)
    _, header = next(lines, (0, ""))
    columns = header.strip().removeprefix("\ufeff").split(",")
    if not {"from", "until"} <= set(columns):
        raise Refused(
            f"--true {path}: its first line must name the columns from,until and, if wanted, rule; "
            f"it is {shown(header.strip())}"
        )
    for count, (number, line) in enumerate(lines):
        if count == MAX_EVENTS:
            raise Refused(f"--true {path}: more than {MAX_EVENTS} events; give fewer at a time")
        try:
            row = dict(zip(columns, next(csv.reader([line], strict=True)), strict=False))
            yield _event(row, zone, rules)
        except (ValueError, KeyError, csv.Error) as problem:
            raise Refused(f"--true {path}, line {number}: {problem}") from problem


def _event(row: dict[str, str], zone: tzinfo, rules: Collection[str]) -> Event:
    rule = row.get("rule", "").strip()
    if rule and rule not in rules:
        hint = both(did_you_mean(rule, rules), there_are(map(shown, rules)))
        raise ValueError(Mistake("rule", shown(rule), "no rule is called so", hint))
    if not row.get("until"):
        raise ValueError("it has no until: write when it was over, or when it was noticed")
    begin, end = moment(row["from"], zone), moment(row["until"], zone)
    if end < begin:
        raise ValueError(f"until {row['until']} is before from {row['from']}")
    return Event(begin, end, rule)


def median(delays: Sequence[timedelta]) -> timedelta | None:
    """Return the middle one; None of none."""
    ordered = sorted(delays)
    return ordered[(len(ordered) - 1) // 2] if ordered else None
