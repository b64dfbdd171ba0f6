"""Where readings come from: the gateway's own journal, or recordings. One at a time, in order.

Of a journal those are left out of which nobody knows yet when they were. Where the machine was off
in between, the stream says so: what nobody listened to says nothing. A restart of the daemon alone
takes seconds and is passed over.
"""

import csv
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TextIO, TypeAlias

from agent.clock import EPOCH, MICROSECOND
from agent.journal.block import is_event
from agent.journal.files import Files
from agent.journal.reader import Record, newest_record, opened, records
from agent.journal_tool.export import rows
from agent.journal_tool.selection import Refused
from agent.recording import BadRecording, Recordings
from cloud_sync.wire import BadPayload, parse_line
from cloud_sync.wire import records as records_in
from drivers.capture import BadCapture
from drivers.reading import Quantity, Reading
from gateway_config.model import GatewayConfig
from rules.alert import AlertEvent
from rules.lifecycle import Phase

MAX_TOLD: Final = 20
"""Lines and names that are told one by one; all are counted."""


class Restart(NamedTuple):
    """The machine was off since the reading before, and listens again from here on."""

    at: datetime


Step: TypeAlias = Reading | Restart


class Span(NamedTuple):
    """A time, both ends included; None: without an end."""

    begin: datetime | None
    end: datetime | None

    def holds(self, at: datetime) -> bool:
        return (self.begin is None or self.begin <= at) and (self.end is None or at <= self.end)


class Source(Protocol):
    """What can be judged."""

    says: str
    """What it is, for people."""
    told: Counter[str] | None
    """How often the daemon really told people of each rule in that time; None: it cannot know."""

    def newest(self) -> datetime | None:
        """Return when its last reading was, or None. Raises Refused."""
        ...

    def steps(self, warm: Span, judged: Span) -> Iterator[Step]:
        """Yield what is in `warm`, of which `judged` is the part that counts. Raises Refused."""
        ...

    def notes(self) -> Iterator[str]:
        """Yield what should be known of it, after it was read."""
        ...

    @property
    def is_damaged(self) -> bool:
        """Whether something was there that could not be read."""
        ...


class FromJournal:
    """The journal of a gateway, beside its daemon or without. Changes nothing in it."""

    def __init__(self, folder: Path) -> None:
        """Raises Unreadable."""
        self.says = f"the journal {folder}"
        self.told: Counter[str] | None = Counter()
        self._files: Files = opened(folder)
        self._unsettled = self._means = 0
        self._unreadable: list[tuple[int, int]] = []

    @property
    def is_damaged(self) -> bool:
        return bool(self._unreadable)

    def newest(self) -> datetime | None:
        record = newest_record(self._files)
        return _time(record) if record else None

    def steps(self, warm: Span, judged: Span) -> Iterator[Step]:
        starts, off = _machine_starts(self._files), False
        damaged = self._unreadable.append
        for record in records(self._files, on_unreadable=lambda *span: damaged(span)):
            while starts and starts[0] <= record.number:
                starts.pop(0)
                off = True
            if not record.is_settled:
                self._unsettled += not is_event(record.line)
                continue
            at = _time(record)
            if not warm.holds(at):
                continue
            if is_event(record.line):
                self._count(record, judged)
                continue
            if off:
                yield Restart(at)
                off = False
            yield from self._readings(record, at)

    def notes(self) -> Iterator[str]:
        if self._unsettled:
            yield f"{self._unsettled} records left out: nobody knows yet when they were"
        if self._means:
            yield f"{self._means} readings are means: the journal was thinned there for room"
        for first, last in self._unreadable[:MAX_TOLD]:
            yield f"records {first} to {last} are damaged and left out: `satomori journal verify`"

    def _readings(self, record: Record, at: datetime) -> Iterator[Reading]:
        try:
            found = list(rows(record))
        except (BadPayload, ValueError, OverflowError):
            return
        for row in found:
            self._means += "mean_of" in row
            yield Reading(row["sensor"], Quantity(row["quantity"]), row["value"], at)

    def _count(self, record: Record, judged: Span) -> None:
        try:
            found = list(records_in(parse_line(record.line)))
        except BadPayload:
            return
        for event in found:
            if isinstance(event, AlertEvent) and event.phase is Phase.FIRING:
                assert self.told is not None  # a journal knows
                self.told[event.rule] += judged.holds(event.at)


def _time(record: Record) -> datetime:
    return EPOCH + record.at_us * MICROSECOND


def _machine_starts(files: Files) -> list[int]:
    """Return the number of the first record after each start of the machine but the first."""
    boots = files.manifest.boots
    return [b.first for a, b in pairwise(boots) if a.kernel != b.kernel]


@dataclass
class FromRecordings:
    """Recordings, merged in the order of time; each has to be in order itself."""

    config: GatewayConfig
    paths: Sequence[Path]
    err: TextIO
    told: Counter[str] | None = None
    unknown: set[str] = field(default_factory=set)
    unreadable: int = 0

    def __post_init__(self) -> None:
        self.says = "the recording " + ", ".join(map(str, self.paths[:3]))
        self.says += f" and {len(self.paths) - 3} more" if len(self.paths) > 3 else ""
        self._recordings = Recordings(self.config)

    @property
    def is_damaged(self) -> bool:
        return False

    def newest(self) -> datetime | None:
        recordings = Recordings(self.config)
        times = (r.at for path in self.paths for r in self._of(recordings, path, told=False))
        return max(times, default=None)

    def steps(self, warm: Span, judged: Span) -> Iterator[Step]:  # noqa: ARG002
        streams = [self._of(self._recordings, path, told=True) for path in self.paths]
        for reading in heapq.merge(*streams, key=lambda reading: reading.at):
            if not self._recordings.knows(reading.sensor) and len(self.unknown) < MAX_TOLD:
                self.unknown.add(reading.sensor)
            if warm.holds(reading.at):
                yield reading

    def notes(self) -> Iterator[str]:
        if self.unreadable:
            yield f"{self.unreadable} lines left out"
        if self.unknown:
            yield f"not in the configuration: {', '.join(map(repr, sorted(self.unknown)))}"
        intake = self._recordings.intake
        if intake.strangers:
            yield f"{intake.strangers} frames of no sensor in the configuration"
        if intake.damaged:
            yield f"{sum(intake.damaged.values())} damaged frames"

    def _of(self, recordings: Recordings, path: Path, *, told: bool) -> Iterator[Reading]:
        def complain(number: int, problem: Exception) -> None:
            self.unreadable += told
            if told and self.unreadable <= MAX_TOLD:
                print(f"{path}, line {number}: left out, because of: {problem}", file=self.err)

        try:
            yield from recordings.readings(path, complain)
        except BadRecording as problem:
            advice = "docs/capture.md says what a recording looks like"
            raise Refused(f"{path} cannot be read as a recording: {problem}; {advice}") from problem
        except (OSError, csv.Error, BadCapture) as problem:
            raise Refused(f"the recording {path} cannot be read: {problem}") from problem
