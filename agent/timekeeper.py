"""Sees to it that all have the same time, and that what was stamped wrong is put right.

Once a second: follow the clock, let the rules go on undisturbed when it was set, tell the journal
when it became right or doubtful, and settle what can be settled by then. An alert that went out
with a doubtful time gets the true one into the same point of InfluxDB.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain

from agent.clock import MICROSECOND, STEP_US, Anchor, Clock
from agent.journal import Journal
from agent.journal.block import Stamp
from agent.journal.manifest import Settlement
from agent.settling import settlements
from cloud_sync.spans import Spans
from cloud_sync.wire import corrected

log = logging.getLogger(__name__)

NO_STEP = timedelta(0)


class Timekeeper:
    """The clock, seen by everybody else."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        kernel: str,
        *,
        on_step: Callable[[timedelta], None],
        on_settled: Callable[[], None],
    ) -> None:
        """`on_step`: our clock was set; `on_settled`: commit now, there is something to send."""
        self.clock = clock
        self._journal, self._kernel = journal, kernel
        self._on_step, self._on_settled = on_step, on_settled
        self._was_right = False
        self._settling = Spans()
        """Records that are settled as soon as the next commit is on the card."""
        self._told: Anchor | None = None
        """The newest anchor that the journal knows."""
        self._resume()
        self.look()

    @property
    def is_right(self) -> bool:
        """Whether records that come now have their final time."""
        return self._was_right

    def look(self) -> None:
        """Do all of it. Call it about once a second, and never between two frames of one moment."""
        self._follow(self.clock.look())

    def learn(self, at: datetime) -> None:
        """An ingester says what time it is."""
        self._follow(self.clock.learn(at))

    def _follow(self, step: timedelta) -> None:
        self._tell_step(step)
        is_right = self.clock.is_right
        if is_right != self._was_right or (step and is_right):
            self._tell_anchor()
        self._was_right = is_right
        self._journal.set_stamp(Stamp(self._kernel, self.clock.offset_us, is_right))
        if is_right and self._journal.manifest.unsettled:
            self._settle()

    def _tell_step(self, step: timedelta) -> None:
        if step:
            log.warning("the clock was set by %+.1f s; rules go on as if not", step.total_seconds())
            self._on_step(step)

    def _resume(self) -> None:
        """Go on as the daemon before did, if the machine was not started since.

        The rules come from the journal, and live in the time that it knew last.
        """
        kernels = self._journal.manifest.kernels
        newest_us = max((k.last_us + k.offset_us for k in kernels.values()), default=0)
        self.clock.not_before(newest_us)
        known = kernels.get(self._kernel)
        state = self._journal.state_stamp
        is_of_it = state is not None and state.kernel == self._kernel
        if known is None or not (known.first_us is not None or known.anchors or is_of_it):
            return  # nothing but its name is known
        anchor = self._told = Anchor(*known.anchors[-1]) if known.anchors else None
        # An anchor behind the last record is newer than what that one was stamped with.
        is_newer = anchor is not None and anchor.at_us >= known.last_us
        self.clock.resume(anchor.offset_us if anchor and is_newer else known.offset_us, anchor)
        step_us = self.clock.offset_us - known.offset_us
        if (known.first_us is not None or is_of_it) and abs(step_us) >= STEP_US:
            self._tell_step(step_us * MICROSECOND)

    def _tell_anchor(self) -> None:
        """Tell the journal when the time was known last, and when it is known again."""
        anchor = self.clock.anchor
        if anchor is not None and anchor != self._told:
            self._told = anchor
            self._journal.note([(self._kernel, anchor.at_us, anchor.offset_us)])
            self._on_settled()

    def _settle(self) -> None:
        manifest = self._journal.manifest
        known = manifest.kernels.get(self._kernel)
        if known is None or self._told not in known.anchors:
            return  # the anchor is on its way to the card
        self._settling &= Spans((s.first, s.last) for s in manifest.unsettled)
        settled = [
            s
            for s in settlements(manifest, self._kernel)
            if not self._settling & Spans([(s.first, s.last)])
        ]
        if settled:
            log.info("the times of %d stretches of records are known now", len(settled))
            self._settling.update((s.first, s.last) for s in settled)
            self._journal.append(self._corrections(settled))
            self._journal.note([], settled)
            self._on_settled()

    def _corrections(self, settled: Sequence[Settlement]) -> list[bytes]:
        """Return what has to be added to alerts that went out with a doubtful time.

        Corrections that a daemon made before it was killed, or the power went, are there already.
        """
        events = self._events(min(s.first for s in settled), self._journal.newest)
        told = {_point(line) for line in events if b"time_uncertain=0" in line}
        return [
            corrected(line, settlement.settled(line))
            for settlement in settled
            for line in self._events(settlement.first, settlement.last)
            if b"time_uncertain=1" in line and _point(line) not in told
        ]

    def _events(self, first: int, last: int) -> Iterator[bytes]:
        return chain.from_iterable(
            lines for _, _, lines in self._journal.lines("events", first - 1, last)
        )


def _point(line: bytes) -> bytes:
    """Return what tells one point of InfluxDB from another: measurement, tags and time."""
    head, _, time = line.rsplit(b" ", 2)
    return head + b" " + time
