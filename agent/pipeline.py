"""The whole way of the data, on one page: frame -> readings -> rules -> records for the journal.

Nothing here waits or fails. What has not been committed is kept here, within a limit.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice

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

URGENT = frozenset({Quantity.CONTACT_OPEN, Quantity.BUTTON_EVENT})
"""One-shot events: they go to the card at once, like alerts."""

log = logging.getLogger(__name__)


class Pipeline:
    """Takes frames; gives what has to be committed."""

    def __init__(
        self, intake: Intake, engine: Engine, lines: LineWriter, *, on_urgent: Callable[[], None]
    ) -> None:
        """`on_urgent` is called, and must only take note, when something should not wait."""
        self.intake, self.engine = intake, engine
        self.dropped = 0
        """Readings given up because the journal could not be written for too long."""
        self._lines, self._on_urgent = lines, on_urgent
        self._readings: deque[bytes] = deque()
        self._events: list[bytes] = []

    def receive(self, frame: Frame) -> None:
        """Take one frame all the way to the records."""
        for measured in self.intake.measured(frame):
            self._record(measured)

    def advance(self, to: datetime) -> None:
        """Let time pass, so that what is due can happen."""
        self._keep(self.engine.advance(to))

    def shift(self, by: timedelta) -> None:
        """Go on undisturbed after the clock was set forward by `by`."""
        log.warning("the clock was set by %+.1f s; rules go on as if not", by.total_seconds())
        self.engine.shift(by)

    def take(self) -> Commit | None:
        """Return what has to be committed, or None. `commit_failed` gives it back."""
        if not self.waiting:
            return None
        count = min(len(self._readings), MAX_COMMIT_READINGS)
        readings = [self._readings.popleft() for _ in range(count)]
        events, self._events = self._events, []
        return Commit(readings, events, self._state())

    def commit_failed(self, commit: Commit) -> None:
        """Take back what `take` returned: it is not in the journal."""
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
