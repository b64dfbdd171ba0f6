"""What has been sent and is not proven to be stored: which batch is next, and what to send again.

Pure: the time is an argument. The journal is the queue; here are only the positions in it, and the
batches that are on their way, at most WINDOW of them.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cloud_sync.spans import Spans
from cloud_sync.topics import Lane
from cloud_sync.wire import Batch

WINDOW = 8
"""Batches under way. Enough to fill a slow link, few enough that an alert soon gets its turn."""

MAX_BATCH_BYTES = 16_384
"""Before compression: well under what the slowest link moves in a keepalive."""

CONFIRM_TIMEOUT_S = 30.0
MAX_CONFIRM_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Consecutive records of one lane, as the journal keeps them."""

    boot: str
    first: int
    last: int
    lines: bytes


class Outbox(Protocol):
    """What the uplink needs of the journal. Fast: it is called from the event loop."""

    def pending(self, lane: Lane, after: int, max_bytes: int) -> Sequence[Entry]:
        """Return entries of one boot numbered above `after`, oldest first, not yet confirmed."""
        ...

    def floor(self, boot: str) -> int:
        """Return the number up to which this boot has nothing that is not confirmed."""
        ...

    def confirm(self, boot: str, numbers: Spans) -> None:
        """Never offer these records again. Unknown boots and numbers are ignored."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch that is on its way."""

    lane: Lane
    boot: str
    numbers: Spans
    deadline_s: float


class UnderWay:
    """The window between what was sent and what is confirmed. Times are of one monotonic clock."""

    def __init__(self, outbox: Outbox, timeout_s: float = CONFIRM_TIMEOUT_S) -> None:
        """`timeout_s`: how long to wait for a confirmation before anything is sent again."""
        self._outbox = outbox
        self._first_timeout_s = self.timeout_s = timeout_s
        self._sent: dict[Hashable, Sent] = {}
        self._position: dict[Lane, int] = {"events": 0, "readings": 0}

    @property
    def is_full(self) -> bool:
        return len(self._sent) >= WINDOW

    @property
    def next_deadline_s(self) -> float | None:
        """When something is overdue if nothing happens; None if nothing is under way."""
        return min((sent.deadline_s for sent in self._sent.values()), default=None)

    def next_batch(self, lane: Lane) -> Batch | None:
        """Return what is to be sent next; None if there is nothing or the window is full."""
        if self.is_full:
            return None
        entries = self._outbox.pending(lane, self._position[lane], MAX_BATCH_BYTES)
        if not entries:
            return None
        boot = entries[0].boot
        numbers = Spans((entry.first, entry.last) for entry in entries)
        lines = b"".join(entry.lines for entry in entries)
        return Batch(boot, numbers, self._outbox.floor(boot), lines)

    def sent(self, key: Hashable, lane: Lane, batch: Batch, now_s: float) -> None:
        """Take note that this batch has left; `key` is what its acknowledgement will name."""
        deadline_s = now_s + self.timeout_s
        self._sent[key] = Sent(lane, batch.boot, batch.sequence, deadline_s)
        self._position[lane] = max(last for _, last in batch.sequence)

    def of(self, key: Hashable) -> Sent | None:
        """Return the batch that an acknowledgement names; None if it is not under way any more."""
        return self._sent.get(key)

    def confirmed(self, boot: str, numbers: Spans) -> bool:
        """Let go of what is proven to be stored; True if a batch under way was among it."""
        self._outbox.confirm(boot, numbers)
        done = [
            key
            for key, sent in self._sent.items()
            if sent.boot == boot and all(numbers.covers(*span) for span in sent.numbers)
        ]
        for key in done:
            del self._sent[key]
        if done:
            self.timeout_s = self._first_timeout_s
        return bool(done)

    def give_up_waiting(self, now_s: float) -> bool:
        """If something is overdue: offer all again, and be more patient next time."""
        deadline_s = self.next_deadline_s
        if deadline_s is None or deadline_s > now_s:
            return False
        self.timeout_s = min(self.timeout_s * 2, MAX_CONFIRM_TIMEOUT_S)
        self.rewind()
        return True

    def rewind(self) -> None:
        """Offer everything again that is not confirmed."""
        self._sent.clear()
        self._position = {"events": 0, "readings": 0}
