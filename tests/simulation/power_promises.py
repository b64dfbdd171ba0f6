"""What the journal has promised by a certain moment, and whether it keeps it.

The workload says what it does as it does it, outside of the disk (`Diary`). `Promises` is made from
that for any moment, and looks at what is found on a disk that was cut off from power at it.
"""

import pickle
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cloud_sync.topics import Lane

EVERYTHING = 1 << 40
LANES: Final[Sequence[Lane]] = ("events", "readings")
STATE = "rules"
EVENTS = (b"alert,", b"loss,")

LOSS = re.compile(rb'loss,.*? reason="(.*?)",readings=(\d+)i,from_us=(\d+)i,until_us=(\d+)i')
FOR_ROOM = (b"thinned", b"budget")
"""Why readings may go that were committed and are not confirmed."""

Kind = Literal[
    "opened", "appending", "appended", "committing", "committed", "confirming", "offered"
]


class Broken(AssertionError):
    """A promise was not kept; the message says which."""


class Record(NamedTuple):
    """One record as a cursor offers it."""

    boot: str
    number: int
    line: bytes


class Said(NamedTuple):
    """One line of the diary."""

    at_s: float
    kind: Kind
    lines: Sequence[bytes] = ()
    records: Sequence[Record] = ()
    state: bytes | None = None
    after_power_cut: bool = False


class Diary:
    """A file outside of the disk, complete up to the moment at which its writer is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, kind: Kind, **what: object) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(pickle.dumps(Said(time.monotonic(), kind, **what)))

    def read(self) -> Iterator[Said]:
        """Yield all that was said; what was cut off in the middle was not said."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            while True:
                try:
                    yield pickle.load(file)
                except (EOFError, pickle.UnpicklingError):
                    return


@dataclass
class Promises:
    """At one moment."""

    appended: dict[bytes, int] = field(default_factory=dict)
    """Every line that may be there, and its place in the order."""
    accepted: set[bytes] = field(default_factory=set)
    """What `append` has returned from since the power came: a kill must not lose it."""
    due: set[bytes] = field(default_factory=set)
    """What has to be there: on the card, and not confirmed."""
    states: list[bytes | None] = field(default_factory=lambda: [None])
    """What the state may be: of the last commit, or of one that was under way."""
    all_states: list[bytes | None] = field(default_factory=lambda: [None])
    """What it may be if the card is damaged."""
    places: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Which record has had which number of which boot, wherever somebody has seen it."""
    owners: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    """The same the other way round."""
    losses: list[bytes] = field(default_factory=list)
    """The records of losses that were confirmed: nobody offers them any more."""
    _committing: set[bytes] = field(default_factory=set)
    _at: dict[bytes, bytes] = field(default_factory=dict)
    """Time to line: no two of ours have the same."""

    def hear(self, said: Said) -> None:  # noqa: C901 - a table
        """Take up what has happened next."""
        records = self._with_originals(said.records)
        match said.kind:
            case "appending":
                for line in said.lines:
                    self.appended[line] = len(self.appended)
                    self._at[line.rpartition(b" ")[2]] = line
            case "appended":
                self.accepted.update(said.lines)
            case "committing":
                self._committing = set(self.accepted)
                if said.state is not None:
                    self.states.append(said.state)
                    self.all_states.append(said.state)
            case "committed":
                self.due |= self._committing
                self.accepted -= self._committing
                if said.state is not None:
                    self.states = [said.state]
            case "confirming":
                lines = [record.line for record in records]
                for waiting in (self.due, self.accepted, self._committing):
                    waiting.difference_update(lines)
                self.losses += [line for line in lines if line.startswith(b"loss,")]
            case "offered":
                self.identify(records)
            case "opened" if said.after_power_cut:
                self.identify(records)
                # What was found on the disk was on it: nothing may take that back.
                self.due |= {record.line for record in records}
                self.states = [said.state]
            case "opened":
                self.check(records, said.state, killed=True)
                self.identify(records)

    def without_power(self) -> "Promises":
        """Return a copy for what comes after a power cut: the memory is gone."""
        return Promises(
            dict(self.appended),
            set(),
            set(self.due),
            list(self.states),
            list(self.all_states),
            dict(self.places),
            dict(self.owners),
            list(self.losses),
            set(),
            dict(self._at),
        )

    def rotten(self, spared: Iterable[bytes]) -> "Promises":
        """Return what is still promised when only these lines are on the card undamaged."""
        promises = self.without_power()
        promises.due &= self.originals(spared)
        promises.states = promises.all_states
        return promises

    def before_any(self, lines: Iterable[bytes], others: Iterable[bytes]) -> set[bytes]:
        """Return those of the lines that were appended before one of the others."""
        newest = max((self.appended.get(self._original(line), -1) for line in others), default=-1)
        return {line for line in lines if self.appended.get(line, newest) < newest}

    def identify(self, records: Iterable[Record]) -> None:
        """Remember whose number is whose. Raises Broken if one is given twice."""
        for record in records:
            self._check_number(record)
            self.places[record.boot, record.number] = record.line
            self.owners[record.line] = record.boot, record.number

    def originals(self, lines: Iterable[bytes]) -> set[bytes]:
        """Put in the place of each mean the line whose time it has."""
        return {self._original(line) for line in lines}

    def _original(self, line: bytes) -> bytes:
        is_mean = b",mean_of=" in line
        return self._at.get(line.rpartition(b" ")[2], line) if is_mean else line

    def _with_originals(self, records: Iterable[Record]) -> list[Record]:
        return [record._replace(line=self._original(record.line)) for record in records]

    def _check_number(self, record: Record) -> None:
        boot, number, line = record
        if (other := self.places.get((boot, number), line)) != line:
            raise Broken(f"number {boot}:{number} is of two records: {other!r} and {line!r}")
        if (place := self.owners.get(line, (boot, number))) != (boot, number):
            raise Broken(f"{line!r} has two numbers: {place} and {(boot, number)}")

    def check(
        self, records: Sequence[Record], state: bytes | None, *, killed: bool = False
    ) -> None:
        """Look at what a journal offers after it was opened. Raises Broken.

        `killed`: the daemon was, but the power stayed: what was accepted has to be there, too.
        """
        records = self._with_originals(records)
        for record in records:
            self._check_number(record)
        lines = [record.line for record in records]
        if len(set(lines)) < len(lines):
            twice = next(line for line in lines if lines.count(line) > 1)
            raise Broken(f"{twice!r} is there twice")
        due = self.due | self.accepted if killed else self.due
        lost = due - set(lines)
        lost -= covered(lost, [*lines, *self.losses])
        if lost:
            raise Broken(f"{len(lost)} of {len(due)} records are lost, as {min(lost)!r}")
        ours = [line for line in lines if not line.startswith(b"loss,")]
        if strange := [line for line in ours if line not in self.appended]:
            raise Broken(f"{len(strange)} records were never written, as {strange[0]!r}")
        for lane in LANES:
            places = [self.appended[line] for line in ours if lane_of(line) == lane]
            if places != sorted(places):
                raise Broken(f"the {lane} are not in the order in which they were appended")
        if state not in self.states:
            raise Broken(f"the state is {state!r}, and not one of {self.states}")


def covered(lost: Collection[bytes], losses: Iterable[bytes]) -> set[bytes]:
    """Return those of the lost readings whose loss is on record. Events may never be lost."""
    spans, allowed = [], 0
    for loss in losses:
        if (found := LOSS.match(loss)) and found[1] in FOR_ROOM:
            spans.append((int(found[3]), int(found[4])))
            allowed += int(found[2])
    readings = {line for line in lost if lane_of(line) == "readings"}
    on_record = {line for line in readings if any(a <= _time_us(line) <= b for a, b in spans)}
    if len(on_record) > allowed:
        raise Broken(f"{len(on_record)} readings are lost, and only {allowed} of them on record")
    return on_record


def _time_us(line: bytes) -> int:
    return int(line.rpartition(b" ")[2]) // 1000


def lane_of(line: bytes) -> Lane:
    return "events" if line.startswith(EVENTS) else "readings"


def offered(cursor: object, lanes: Iterable[Lane] = LANES) -> list[Record]:
    """Return all that a cursor offers, by lane and in order."""
    found: list[Record] = []
    for lane in lanes:
        after = 0
        while entries := cursor.pending(lane, after, cursor.newest, 65_536):
            for entry in entries:
                lines = entry.lines.splitlines(keepends=True)
                if len(lines) != entry.last - entry.first + 1 or entry.first <= after:
                    raise Broken(f"an entry that does not add up: {entry}")
                numbers = range(entry.first, entry.last + 1)
                found += map(Record, [entry.boot] * len(lines), numbers, lines)
                after = entry.last
    return found
