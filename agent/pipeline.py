"""The whole way of the data, on one page: frame -> readings -> rules -> records in the journal.

Nothing here waits or fails. The rules' state is not written with each commit: records are what
happened, and state is what saves going through them again. So it goes along when an alert began or
ended, when a button was pressed (or else the same packet, still on the air, would count again after
a restart), when the clock was set, and every STATE_EVERY; what came since then is judged once more
at the next start (catch_up), which gives the same state, because rules live in event time.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from agent.clock import STEP_US
from agent.intake import Intake, Measured
from agent.journal import Journal
from agent.journal.block import Block, Stamp
from cloud_sync.wire import BadPayload, LineWriter, parse_line, records
from drivers.frame import Frame
from drivers.reading import Quantity, Reading
from rules.alert import AlertEvent
from rules.engine import TOLERANCE, Engine
from rules.lifecycle import Phase

SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)

STATE_EVERY = timedelta(minutes=10)
"""So much has to be judged again at most after a power cut, and listening to silence that long is
forgotten."""

STATE_EVERY_RECORDS = 20_000
"""The same, where much is heard: judging them again takes a Raspberry Pi some seconds."""

URGENT = frozenset(
    {
        Quantity.CONTACT_OPEN,
        Quantity.BUTTON_EVENT,
        Quantity.WATER_DETECTED,
        Quantity.MAINS_POWER_ON,
        Quantity.TRAP_SPRUNG,
    }
)
"""One-shot events: they go to the card at once, like alerts."""

log = logging.getLogger(__name__)


class Pipeline:
    """Takes frames; gives what has to be committed."""

    def __init__(
        self,
        intake: Intake,
        engine: Engine,
        lines: LineWriter,
        journal: Journal,
        *,
        on_urgent: Callable[[], None],
    ) -> None:
        """`on_urgent` is called, and must only take note, when something should not wait."""
        self.intake, self.engine = intake, engine
        self._lines, self._journal, self._on_urgent = lines, journal, on_urgent
        self._kept: dict[str, Callable[[], bytes]] = {
            "engine": self._engine_state,
            "sampler": self.intake.sampler.dump,
        }
        """What makes each state."""
        self._told_at: dict[tuple[str, str, Phase], datetime] = {}
        """When what kind of event was told last: as many as there are alerts."""
        self._state_at: datetime | None = None
        """The time of the rules when their state was taken last; None: it has to be taken."""
        self._since_state = 0
        """How many records came since then."""

    def receive(self, frame: Frame) -> None:
        """Take one frame all the way to the records."""
        for measured in self.intake.measured(frame):
            self._record(measured)

    def advance(self, to: datetime) -> None:
        """Let time pass, so that what is due can happen."""
        self._keep(self.engine.advance(to))

    def shift(self, step: timedelta) -> None:
        """The clock was set: let the rules go on undisturbed."""
        self.engine.shift(step)
        self._state_at = None
        self._on_urgent()

    def take(self) -> Block | None:
        """Return what has to be committed, or None. `commit_failed` gives it back."""
        states = self._states() if self.is_state_due else None
        block = self._journal.take(states)
        if block is not None and block.states:
            self._state_at, self._since_state = self.engine.now, 0
        return block

    def keep(self, name: str, dump: Callable[[], bytes]) -> None:
        """Let one more state be written along."""
        self._kept[name] = dump

    def keep_state_now(self) -> None:
        """Write the states with the next commit."""
        self._state_at = None

    def commit_failed(self, block: Block) -> None:
        """Take back what `take` returned: it is not in the journal."""
        if block.states:
            self._state_at = None
        self._journal.give_back(block)

    @property
    def waiting(self) -> int:
        """How many records wait to be committed."""
        return self._journal.waiting

    def catch_up(self, since: Iterable[tuple[Stamp, bytes]]) -> None:
        """Judge again what came after the state was written that the rules go on from.

        What was told then is not told again. Time passes as far as somebody looked then: an alert
        that came due with no reading says so itself.
        """
        found = [(stamp, record) for stamp, line in since for record in _parsed(line)]
        told = Told(record for _, record in found if isinstance(record, AlertEvent))
        before = self._journal.state_stamp
        for stamp, record in found:
            if before is not None and stamp.kernel == before.kernel:
                self._shift_again(stamp.offset_us - before.offset_us)
            before = stamp
            if isinstance(record, Reading):
                self.intake.sampler.recall(record)
                events = self.engine.observe(record)
            else:
                events = self.engine.advance(record.at)
            self._keep([event for event in events if not told.knows(event)], stamp)

    def _shift_again(self, step_us: int) -> None:
        if abs(step_us) >= STEP_US:
            self.engine.shift(timedelta(microseconds=step_us))

    @property
    def is_state_due(self) -> bool:
        """Whether the states have to be written again."""
        now = self.engine.now
        if now is None or self._state_at is None or self._since_state > STATE_EVERY_RECORDS:
            return now is not None
        return not timedelta(0) <= now - self._state_at < STATE_EVERY

    def _record(self, measured: Measured) -> None:
        sensor, values, at = measured.sensor, measured.values, measured.at
        lines = self._lines.readings(sensor, values, at)
        self._journal.append(lines)
        self._since_state += len(lines)
        for quantity, value in values.items():
            self._keep(self.engine.observe(Reading(sensor, quantity, value, at)))
            if quantity.is_event:
                self._state_at = None
        if self._is_urgent(sensor, values, at) or self._journal.wants_commit:
            self._on_urgent()

    def _is_urgent(self, sensor: str, values: Mapping[Quantity, float], at: datetime) -> bool:
        """Whether a button was pressed, or a door was opened or closed; not that it is still so."""
        said = self.intake.sampler.taken[sensor].values
        return any(q.is_event or said[q].since == at for q in URGENT & values.keys())

    def _keep(self, events: Iterable[AlertEvent], stamp: Stamp | None = None) -> None:
        """Record what happened; `stamp` is of the time of what is judged again."""
        stamp = stamp or self._journal.stamp
        for event in events:
            log.info("%s: %s (%s)", event.phase, event.rule, event.sensor)
            unique = self._unique(event)
            line = self._lines.event(unique, time_uncertain=not stamp.settled)
            self._journal.append([line], stamp)
            self._state_at = None
            self._on_urgent()

    def _unique(self, event: AlertEvent) -> AlertEvent:
        """Return the event with a moment that no other one of its kind has.

        Readings that come late are judged as if they came now, several of them perhaps; but two
        events with the same tags and the same time would be one in InfluxDB.
        """
        kind = _kind(event)
        last = self._told_at.get(kind)
        if last is not None and last - SECOND < event.at <= last:
            event = replace(event, at=last + MICROSECOND)
        self._told_at[kind] = event.at
        return event

    def _states(self) -> dict[str, bytes]:
        return {name: dump() for name, dump in self._kept.items()}

    def _engine_state(self) -> bytes:
        state = json.dumps(self.engine.snapshot(), ensure_ascii=False, separators=(",", ":"))
        return state.encode()


class Told:
    """What people have been told already, each of it once."""

    def __init__(self, events: Iterable[AlertEvent]) -> None:
        self._times: dict[tuple[str, str, Phase], list[datetime]] = {}
        for event in events:
            self._times.setdefault(_kind(event), []).append(event.at)

    def knows(self, event: AlertEvent) -> bool:
        """Whether this was told. Each time told counts for one event.

        What came late was judged as if it came when it did; judged again, it is on time.
        """
        times = self._times.get(_kind(event), [])
        near = (n for n, at in enumerate(times) if abs(at - event.at) <= TOLERANCE + SECOND)
        if (found := next(near, None)) is None:
            return False
        del times[found]
        return True


def _kind(event: AlertEvent) -> tuple[str, str, Phase]:
    return event.rule, event.sensor, event.phase


def _parsed(line: bytes) -> Iterable[Reading | AlertEvent]:
    try:
        return records(parse_line(line))
    except BadPayload:
        return ()  # a loss, a correction, a mean, or a sensor's quantity that is no more
