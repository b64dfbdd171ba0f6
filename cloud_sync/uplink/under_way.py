"""What has been sent and is not proven to be stored: which batch is next, and what to send again.

    events      alerts: they have a window of their own, so that nothing is ever in their way
    fresh       readings numbered above the line: what was newest when the session began
    backfill    readings up to the line, oldest first; once there are none it is over

Pure: the time is an argument. The journal is the queue; here are only the positions in it, and the
batches under way: at most WINDOW of events and as many of readings. After a silence it is one of
readings: what nobody takes would only be paid for again and again.

At most one batch of readings is *on its way* to the broker, so that an alert never waits behind
more than one packet. With QoS 1 it has arrived when the broker acknowledges it. With QoS 0 nobody
says so, and only a batch that nothing waits behind is sent so: it counts as on its way until it is
confirmed, but for UNACKNOWLEDGED_S at most, in which 32 kbit/s with 10 % loss move a packet.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, Protocol, TypeAlias

from cloud_sync.batch import WINDOW, Batch
from cloud_sync.spans import Spans
from cloud_sync.topics import Lane
from cloud_sync.uplink.doubts import Doubts

CONFIRM_TIMEOUT_S = 30.0
MAX_CONFIRM_TIMEOUT_S = 900.0
UNACKNOWLEDGED_S = 10.0

Part: TypeAlias = Literal["events", "fresh", "backfill"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Consecutive records of one lane, as the journal keeps them."""

    boot: str
    first: int
    last: int
    lines: bytes


class Outbox(Protocol):
    """What the uplink needs of the journal. Fast: it is called from the event loop."""

    @property
    def newest(self) -> int:
        """The number of the newest committed record; 0 if there is none."""
        ...

    def pending(self, lane: Lane, after: int, through: int, max_bytes: int) -> Sequence[Entry]:
        """Return entries of one boot, above `after` and up to `through`, oldest first.

        Only what is not confirmed, and no readings whose time is not settled; at least one record
        if there is any, then as many as fit into `max_bytes` of lines.
        """
        ...

    def floor(self, boot: str) -> int:
        """Return the number up to which this boot has nothing that is not confirmed."""
        ...

    def confirm(self, boot: str, numbers: Spans) -> None:
        """Never offer these records again. Unknown boots and numbers are ignored."""
        ...

    def reopen(self, numbers: Spans) -> int:
        """Offer these again, under a new label in place of their boot; returns how many there are.

        Because of the label, what was confirmed before does not count for them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch that is under way."""

    part: Part
    boot: str
    numbers: Spans
    size: int
    """Bytes of its payload."""
    sent_s: float
    deadline_s: float
    """When its confirmation is overdue."""
    arrives_by_s: float
    """Until when it counts as on its way; inf: until the broker acknowledges it."""
    has_arrived: bool = False

    @property
    def lane(self) -> Lane:
        return lane_of(self.part)

    @property
    def is_acknowledged(self) -> bool:
        """Whether the broker acknowledges it: it was sent with QoS 1."""
        return self.arrives_by_s == inf


def lane_of(part: Part) -> Lane:
    """Return the lane of the journal, and of the wire, that holds this part."""
    return "events" if part == "events" else "readings"


@dataclass
class UnderWay:
    """The window between what was sent and what is confirmed. Times are of one monotonic clock."""

    outbox: Outbox
    first_timeout_s: float = CONFIRM_TIMEOUT_S
    """How long to wait for a confirmation before anything is sent again."""
    doubts: Doubts = field(default_factory=Doubts)
    """About records that the broker may never be able to take."""

    def __post_init__(self) -> None:
        self.timeout_s = self.first_timeout_s
        self._sent: dict[Hashable, Sent] = {}
        self._position: dict[Part, int] = {}
        self._line = 0
        self._is_backfill_over = False
        self.rewind()

    @property
    def is_full(self) -> bool:
        """Whether readings have to wait for a confirmation."""
        is_silent = self.timeout_s > self.first_timeout_s
        return self._count("readings") >= (1 if is_silent else WINDOW)

    @property
    def next_deadline_s(self) -> float | None:
        """When something is overdue if nothing happens; None if nothing is under way."""
        return min((sent.deadline_s for sent in self._sent.values()), default=None)

    @property
    def unacknowledged_since_s(self) -> float:
        """Since when the broker owes an acknowledgement; inf if it owes none."""
        sent = self._sent.values()
        return min((s.sent_s for s in sent if s.is_acknowledged and not s.has_arrived), default=inf)

    def on_its_way_until_s(self, now_s: float) -> float:
        """Until when a packet of readings may be on its way; not later than `now_s`: none is."""
        ways = (
            sent.arrives_by_s
            for sent in self._sent.values()
            if sent.lane == "readings" and not sent.has_arrived
        )
        return max((until_s for until_s in ways if until_s > now_s), default=0.0)

    def next_batch(self, part: Part, max_bytes: int) -> Batch | None:
        """Return what is to be sent next; None if there is nothing, or no room in the window."""
        if part == "events":
            is_full = self._count("events") >= WINDOW
        else:
            is_full = self.is_full or (part == "backfill" and self._is_backfill_over)
        if is_full:
            return None
        batch = self._pending(part, self._position[part], max_bytes)
        if batch is None and part == "backfill":
            self._is_backfill_over = True
        return batch

    def has_more(self, part: Part, batch: Batch) -> bool:
        """Whether readings wait behind this batch."""
        return self._pending(part, _last(batch), 1) is not None or (
            part == "fresh" and self.next_batch("backfill", 1) is not None
        )

    def sent(
        self,
        key: Hashable,
        part: Part,
        batch: Batch,
        now_s: float,
        *,
        size: int = 0,
        is_acknowledged: bool = True,
    ) -> None:
        """Take note that this batch has left, with a payload of `size` bytes.

        `key` is what its acknowledgement will name; there is none unless `is_acknowledged`.
        """
        self._sent[key] = Sent(
            part,
            batch.boot,
            batch.sequence,
            size,
            sent_s=now_s,
            deadline_s=now_s + self.timeout_s,
            arrives_by_s=inf if is_acknowledged else now_s + UNACKNOWLEDGED_S,
        )
        self._position[part] = _last(batch)

    def of(self, key: Hashable) -> Sent | None:
        """Return the batch that an acknowledgement names; None if it is not under way any more."""
        return self._sent.get(key)

    def arrived(self, key: Hashable) -> None:
        """Take note that the broker has this batch; whether it keeps it is another question."""
        if key in self._sent:
            self._sent[key] = replace(self._sent[key], has_arrived=True)

    def passed(self, boot: str, numbers: Spans) -> Mapping[str, Spans]:
        """These have arrived; returns records, by boot, that never will: see doubts.py."""
        was_one_apart = self.doubts.is_one_apart
        lost = self.doubts.passed(boot, numbers)
        if was_one_apart and not lost:
            self._start_over()
        return lost

    def confirmed(self, boot: str, numbers: Spans) -> bool:
        """Let go of what is proven to be stored; True if a batch under way was among it."""
        self.outbox.confirm(boot, numbers)
        done = [
            key
            for key, sent in self._sent.items()
            if sent.boot == boot and all(numbers.covers(*span) for span in sent.numbers)
        ]
        for key in done:
            del self._sent[key]
        if done:
            self.timeout_s = self.first_timeout_s
        return bool(done)

    def give_up_waiting(self, now_s: float) -> bool:
        """If something is overdue: offer all again, and be more patient next time."""
        deadline_s = self.next_deadline_s
        if deadline_s is None or deadline_s > now_s:
            return False
        self.timeout_s = min(self.timeout_s * 2, MAX_CONFIRM_TIMEOUT_S)
        self.rewind()
        return True

    def hung_up(self, now_s: float, *, is_refusal: bool = False) -> Sent | None:
        """The connection was lost; returns what was on its way: was it because of that?"""
        for sent in self._sent.values():
            if not sent.has_arrived:
                after_s = now_s - sent.sent_s
                self.doubts.hung_up(sent.boot, sent.numbers, after_s, is_refusal=is_refusal)
                return sent
        return None

    def rewind(self) -> None:
        """Offer everything again that is not confirmed: nothing of it is under way any more.

        The line is drawn anew, so that what comes from now on does not wait behind it.
        """
        self._sent.clear()
        self._line = self.outbox.newest
        self._start_over()

    def look_again(self) -> None:
        """Offer also what was not there before, in between; what is under way stays so."""
        self._start_over()

    def _start_over(self) -> None:
        self._position = {"events": 0, "fresh": self._line, "backfill": 0}
        self._is_backfill_over = False

    def _count(self, lane: Lane) -> int:
        return sum(sent.lane == lane for sent in self._sent.values())

    def _pending(self, part: Part, after: int, max_bytes: int) -> Batch | None:
        """Return what is to be sent of this part above `after`, without what is under way."""
        through = self._line if part == "backfill" else self.outbox.newest
        while entries := self.outbox.pending(lane_of(part), after, through, max_bytes):
            boot, hidden = entries[0].boot, self._hidden(entries[0].boot)
            runs = [run for entry in entries for run in _without(entry, hidden)]
            if runs:
                numbers = Spans((run.first, run.last) for run in runs)
                lines = b"".join(run.lines for run in runs)
                batch = Batch(boot, numbers, self.outbox.floor(boot), lines)
                return first_records(batch, self.doubts.max_records)
            after = entries[-1].last
        return None

    def _hidden(self, boot: str) -> Spans:
        """Return which records of this boot are not to be offered just now."""
        hidden = self.doubts.apart(boot)
        for sent in self._sent.values():
            if sent.boot == boot:
                hidden.update(sent.numbers)
        return hidden


def first_records(batch: Batch, count: int) -> Batch:
    """Return a batch of the first `count` records of this one, at least one."""
    if count >= len(batch.sequence):
        return batch
    left, kept = max(1, count), Spans()
    lines = b"".join(batch.lines.splitlines(keepends=True)[:left])
    for first, last in batch.sequence:
        if left <= 0:
            break
        kept.add(first, min(last, first + left - 1))
        left -= last - first + 1
    return replace(batch, sequence=kept, lines=lines)


def _last(batch: Batch) -> int:
    return max(last for _, last in batch.sequence)


def _without(entry: Entry, hidden: Spans) -> list[Entry]:
    """Return the runs of an entry that are not hidden."""
    numbers = Spans([(entry.first, entry.last)])
    if not hidden & numbers:
        return [entry]
    lines = entry.lines.splitlines(keepends=True)
    return [
        Entry(entry.boot, a, b, b"".join(lines[a - entry.first : b + 1 - entry.first]))
        for a, b in numbers - hidden
    ]
