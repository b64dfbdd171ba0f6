"""What the journal knows besides its records: boots, cursors, files, and whose time is not settled.

The first block of each file holds all of it, every block behind only what changed with it, so that
any file can be understood without those before it, which are removed one day. `learn` is the one
way in, for what has just been written as for what is read at the start.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from agent.journal.block import Block, Stamp, each_number, time_us
from cloud_sync.spans import Spans

VERSION: Final = 1

MAX_KERNELS = 200
"""Starts of the machine whose clocks are remembered. What older ones wrote stays unsettled."""


MAX_ANCHORS = 500
"""Of one start of the machine: two months of a clock that is lost and found every 3 hours."""


class Filed(NamedTuple):
    """A file that is complete."""

    first: int
    last: int
    events: int
    bytes: int
    level: int = 0
    """How thin it is (room.py)."""


class Boot(NamedTuple):
    """One start of the daemon on this journal."""

    label: str
    first: int
    """The number of its first record."""
    kernel: str


class Stretch(NamedTuple):
    """Records in a row whose time is not settled."""

    first: int
    last: int
    stamp: Stamp
    from_us: int
    """The time of the first, in microseconds since 1970, as far as it is known."""
    until_us: int


class Settlement(NamedTuple):
    """How the time of records in a row is put right."""

    first: int
    last: int
    from_us: int
    shift_us: int
    """What is to be added to a time at `from_us`."""
    drift_ppb: int
    """By how much more for each second behind, in nanoseconds."""
    uncertainty_s: int
    """By how much it may be wrong all the same."""

    def settled(self, line: bytes) -> bytes:
        """Return the line with its time put right."""
        head, _, time = line.rpartition(b" ")
        at_us = int(time) // 1000
        shift_us = self.shift_us + (at_us - self.from_us) // 1_000_000 * self.drift_ppb // 1000
        doubt = b",time_uncertain_seconds=%d" % self.uncertainty_s if self.uncertainty_s else b""
        return b"%s%s %d000\n" % (head, doubt, at_us + shift_us)


class Place(NamedTuple):
    """Where a cursor stands."""

    through: int = 0
    """Everything up to here is confirmed."""
    beyond: str = ""
    """What is confirmed above: spans."""
    again: Mapping[str, str] = {}
    """What is offered again, as if it were of another boot: label to spans."""


@dataclass(slots=True)
class Kernel:
    """One start of the machine: a clock that never steps."""

    first_us: int | None = None
    """The first moment known of it, on that clock, in microseconds."""
    last_us: int = 0
    """The last one."""
    offset_us: int = 0
    """What was added to its clock last to get times, right or wrong."""
    anchors: list[tuple[int, int]] = field(default_factory=list)
    """(moment on that clock, what has to be added to get the true time), both in microseconds."""

    def add_anchor(self, moment_us: int, offset_us: int) -> None:
        """Remember it, at the cost of one of long ago if there are too many."""
        self.anchors.append((moment_us, offset_us))
        if len(self.anchors) > MAX_ANCHORS:
            del self.anchors[1]


@dataclass(slots=True)
class Manifest:
    """All of it."""

    boots: list[Boot] = field(default_factory=list)
    cursors: dict[str, Place] = field(default_factory=dict)
    filed: list[Filed] = field(default_factory=list)
    """Every file but the newest, in order."""
    kernels: dict[str, Kernel] = field(default_factory=dict)
    """The oldest first."""
    unsettled: list[Stretch] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    state_at: int = 1
    """The number of the first record that the states know nothing of."""
    state_stamp: Stamp | None = None
    """What was known about the time when they were written."""
    next: int = 1
    """The number of the next record."""
    settled: int = 0
    """Changes whenever something is settled."""

    def learn(self, block: Block) -> None:
        """Take up what a block says. Raises ValueError, KeyError or TypeError for nonsense."""
        notes = block.notes
        if "manifest" in notes:
            self._load(notes["manifest"])
        if "boot" in notes:
            self._begin_boot(Boot(block.boot, block.next, notes["boot"]))
            self.kernels.setdefault(notes["boot"], Kernel())
        elif block.lines and (not self.boots or self.boots[-1].label != block.boot):
            # Its beginning was in a file that cannot be read any more.
            self._begin_boot(Boot(block.boot, block.next, ""))
        for kernel, moment_us, offset_us in notes.get("anchors", ()):
            self.kernels.setdefault(kernel, Kernel()).add_anchor(moment_us, offset_us)
        for settlement in notes.get("settlements", ()):
            self._settle(Settlement(*settlement))
        self.cursors |= {name: Place(*place) for name, place in notes.get("cursors", {}).items()}
        self._note_times(block)
        self.next = max(self.next, block.next, *(last + 1 for _, last in block.numbers))
        if block.states:
            self.states |= block.states
            self.state_at = notes.get("state_at", self.next)
            stamp = notes.get("state_stamp")
            self.state_stamp = Stamp(*stamp) if stamp else None
            if self.state_stamp and "manifest" not in notes:
                # The rules live in this time; who goes on in another would shift them again.
                kernel = self.kernels.setdefault(self.state_stamp.kernel, Kernel())
                kernel.offset_us = self.state_stamp.offset_us

    def _begin_boot(self, boot: Boot) -> None:
        # A daemon that dies again and again before it has heard anything leaves one boot.
        if self.boots and self.boots[-1].first == boot.first:
            del self.boots[-1]
        self.boots.append(boot)

    def dump(self) -> dict[str, Any]:
        """Return it as plain data for JSON, without the states, which stand for themselves."""
        return {
            "v": VERSION,
            "boots": self.boots,
            "cursors": self.cursors,
            "filed": self.filed,
            "kernels": {
                name: [k.first_us, k.last_us, k.offset_us, k.anchors]
                for name, k in self.kernels.items()
            },
            "unsettled": self.unsettled,
            "settlements": self.settlements,
        }

    def forget_before(self, first: int) -> None:
        """Drop what is about records below `first`: they are gone."""
        while len(self.boots) > 1 and self.boots[1].first <= first:
            del self.boots[0]
        self.unsettled = [s for s in self.unsettled if s.last >= first]
        self.settlements = [s for s in self.settlements if s.last >= first]
        self.filed = [f for f in self.filed if f.first >= first]
        while len(self.kernels) > MAX_KERNELS:
            del self.kernels[next(iter(self.kernels))]

    def settlement_of(self, number: int) -> Settlement | None:
        """Return how the time of this record is put right; None: nobody knows yet."""
        return next((s for s in reversed(self.settlements) if s.first <= number <= s.last), None)

    def _load(self, dumped: Mapping[str, Any]) -> None:
        if dumped["v"] > VERSION:
            raise NewerVersion(dumped["v"])
        self.boots = [Boot(*boot) for boot in dumped["boots"]]
        self.cursors = {name: Place(*place) for name, place in dumped["cursors"].items()}
        self.filed = [Filed(*file) for file in dumped["filed"]]
        self.kernels = {
            name: Kernel(first, last, offset, [(at, of) for at, of in anchors])
            for name, (first, last, offset, anchors) in dumped["kernels"].items()
        }
        self.unsettled = [
            Stretch(first, last, Stamp(*stamp), from_us, until_us)
            for first, last, stamp, from_us, until_us in dumped["unsettled"]
        ]
        self.settlements = [Settlement(*settlement) for settlement in dumped["settlements"]]

    def _settle(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        self.settled += 1
        through = settlement.last
        self.unsettled = [
            s if s.first > through or s.last < settlement.first else s._replace(first=through + 1)
            for s in self.unsettled
            if not settlement.first <= s.first <= s.last <= through
        ]

    def _note_times(self, block: Block) -> None:
        numbers, at = list(each_number(block.numbers)), 0
        for count, stamp in block.stamps:
            if not count:
                continue
            from_us, until_us = time_us(block.lines[at]), time_us(block.lines[at + count - 1])
            kernel = self.kernels.setdefault(stamp.kernel, Kernel())
            kernel.offset_us = stamp.offset_us
            kernel.last_us = max(kernel.last_us, until_us - stamp.offset_us)
            if kernel.first_us is None:
                kernel.first_us = from_us - stamp.offset_us
            if not stamp.settled:
                self._add(Stretch(numbers[at], numbers[at + count - 1], stamp, from_us, until_us))
            at += count

    def _add(self, new: Stretch) -> None:
        old = self.unsettled[-1] if self.unsettled else None
        if old and old.stamp == new.stamp:
            new = Stretch(
                old.first,
                new.last,
                new.stamp,
                min(old.from_us, new.from_us),
                max(old.until_us, new.until_us),
            )
            del self.unsettled[-1]
        self.unsettled.append(new)


class NewerVersion(Exception):
    """The journal was written by a later version of the program."""


def spans_of(texts: Iterable[str]) -> Spans:
    """Return the union of spans written as text."""
    spans = Spans()
    for text in texts:
        spans.update(Spans.parse(text))
    return spans
