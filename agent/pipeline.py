"""The whole way of the data, on one page: frame -> readings -> rules -> records for the journal.

Nothing here waits or fails. What has not been committed is kept here, within a limit.

The clock is looked at before each frame: one that is stamped after the clock was set must not reach
rules that still live before it, or else years would pass for them within a second.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice

from agent.clock import Clock
from agent.intake import Intake, Measured
from agent.journal import Commit
from cloud_sync.wire import LineWriter
from drivers.frame import Frame
from drivers.reading import Quantity, Reading
from rules.alert import AlertEvent
from rules.engine import Engine

MAX_WAITING_READINGS = 50_000
"""Kept in memory while the journal cannot be written (about 10 MB); then the oldest are dropped."""

MAX_COMMIT_READINGS = 5_000
"""One transaction at most; the rest follows in the next one."""

STATE_EVERY = timedelta(minutes=5)
"""The state of the rules is kept this often though nothing is heard: listening to silence counts
for some of them, and what was not kept does not survive a power cut."""

URGENT = frozenset({Quantity.CONTACT_OPEN, Quantity.BUTTON_EVENT})
"""One-shot events: they go to the card at once, like alerts."""

log = logging.getLogger(__name__)


class Pipeline:
    """Takes frames; gives what has to be committed."""

    def __init__(
        self,
        intake: Intake,
        engine: Engine,
        lines: LineWriter,
        *,
        on_urgent: Callable[[], None],
        clock: Clock | None = None,
    ) -> None:
        """`on_urgent` is called, and must only take note, when something should not wait."""
        self.intake, self.engine = intake, engine
        self.dropped = 0
        """Readings given up because the journal could not be written for too long."""
        self._lines, self._on_urgent = lines, on_urgent
        self._readings: deque[bytes] = deque()
        self._events: list[bytes] = []
        self._clock = clock or Clock()
        self._kept_at: datetime | None = None
        """The time of the rules when their state was taken last."""

    def receive(self, frame: Frame) -> None:
        """Take one frame all the way to the records."""
        self._follow_clock()
        for measured in self.intake.measured(frame):
            self._record(measured)

    def advance(self, to: datetime) -> None:
        """Let time pass, so that what is due can happen."""
        self._follow_clock()
        self._keep(self.engine.advance(to))

    def take(self) -> Commit | None:
        """Return what has to be committed, or None. `commit_failed` gives it back."""
        if not self.waiting and not self._is_state_old():
            return None
        self._kept_at = self.engine.now
        count = min(len(self._readings), MAX_COMMIT_READINGS)
        readings = [self._readings.popleft() for _ in range(count)]
        events, self._events = self._events, []
        return Commit(readings, events, self._state())

    def commit_failed(self, commit: Commit) -> None:
        """Take back what `take` returned: it is not in the journal."""
        self._kept_at = None
        self._readings.extendleft(reversed(commit.readings))
        self._events[:0] = commit.events
        surplus = len(self._readings) - MAX_WAITING_READINGS
        if surplus > 0:
            self.dropped += surplus
            self._readings = deque(islice(self._readings, surplus, None))

    @property
    def waiting(self) -> int:
        """How many records wait to be committed."""
        return len(self._readings) + len(self._events)

    def _follow_clock(self) -> None:
        """Let rules go on undisturbed if the clock was set."""
        if step := self._clock.stepped():
            log.warning("the clock was set by %+.1f s; rules go on as if not", step.total_seconds())
            self.engine.shift(step)

    def _is_state_old(self) -> bool:
        now = self.engine.now
        if now is None or self._kept_at is None:
            return now is not None
        return not timedelta(0) <= now - self._kept_at < STATE_EVERY

    def _record(self, measured: Measured) -> None:
        sensor, values, at = measured.sensor, measured.values, measured.at
        self._readings.extend(self._lines.readings(sensor, values, at))
        for quantity, value in values.items():
            self._keep(self.engine.observe(Reading(sensor, quantity, value, at)))
        if not URGENT.isdisjoint(values):
            self._on_urgent()

    def _keep(self, events: Iterable[AlertEvent]) -> None:
        for event in events:
            log.info("%s: %s (%s)", event.phase, event.rule, event.sensor)
            self._events.append(self._lines.event(event))
            self._on_urgent()

    def _state(self) -> dict[str, bytes]:
        engine = json.dumps(self.engine.snapshot(), ensure_ascii=False, separators=(",", ":"))
        return {"engine": engine.encode(), "sampler": self.intake.sampler.dump()}
