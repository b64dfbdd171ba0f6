"""Feeds readings to rules in event time and returns which alerts began to fire or were over.

Time is whatever `observe` and `advance` say, and everything happens at its due moment, not when
somebody looks: how often `advance` is called never changes a result. That makes replay, rule tests
and the running gateway give the same answer.

A reading costs only the rules that watch its sensor; passing time costs only the timers that come
due. Memory is bounded by the rules and the sensors they watch.
"""

import copy
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias

from drivers.reading import Quantity, Reading
from rules.activity import is_activity
from rules.alert import AlertEvent, Severity
from rules.condition import Condition
from rules.hours import Hours
from rules.lifecycle import BEGINNING, Alert, Phase, Verdict
from rules.presence import Presence, PresenceSensors, PresenceState
from rules.snapshot import dump_alert, dump_presence, load_alert, load_presence, load_time

TOLERANCE = timedelta(seconds=10)
"""Transports do not hand over in order: a reading this late counts as if it came just now."""

Snapshot: TypeAlias = dict[str, Any]
"""Plain data for JSON. Its shape is the engine's own affair."""


@dataclass(frozen=True)
class Rule:
    """Watch sensors for one condition."""

    name: str
    """Written to be read by the person who is told."""

    condition: Condition

    sensors: tuple[str, ...]
    """One alert each, or one alert together: the condition says which."""

    quantity: Quantity | None = None
    """What to judge, where the condition does not know by itself."""

    hold_for: timedelta = timedelta(0)
    """How long the condition must stay breached before the alert fires."""

    hours: Hours | None = None
    """None: all day."""

    presence: Presence | None = None
    """Only while the resident is HOME (or not known to be away), or only while AWAY."""

    severity: Severity = Severity.WARNING

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What it judges."""
        if self.condition.watches is not None:
            return self.condition.watches
        if self.quantity is None:
            raise ValueError(f"rule {self.name!r} names no quantity to judge")
        return frozenset({self.quantity})


class Watch:
    """One alert of one rule: what the engine knows about it."""

    __slots__ = ("alert", "breached", "first_breach", "place", "rule", "sensor", "timer", "value")

    def __init__(self, rule: Rule, sensor: str) -> None:
        self.rule = rule
        self.place = 0
        """Where it stands among the engine's watches; alerts due together come in this order."""
        self.sensor = sensor
        """For a rule over several sensors together: the one that spoke last, "" at first."""
        self.alert = Alert()
        self.breached = False
        """The last verdict that was not UNDECIDED, also while the rule does not watch."""
        self.first_breach = BEGINNING
        """When the breach that fires began; it outlives the step from PENDING to FIRING."""
        self.value: float | None = None
        self.timer: datetime | None = None
        """When it will be looked at again. One that comes too early is harmless."""


class Engine:
    """All rules of the site and where each alert is in its life.

    `copy.deepcopy(engine)` goes its own way from there.
    """

    def __init__(self, rules: Sequence[Rule], presence: PresenceSensors | None = None) -> None:
        self._sensors = presence or PresenceSensors(frozenset(), frozenset())
        self._presence = PresenceState()
        self._values: dict[tuple[str, Quantity], float] = {}
        self._now: datetime | None = None
        self.late = 0
        """Readings more than TOLERANCE older than event time: stored, but never judged."""
        self._watches = [watch for rule in rules for watch in _watches(rule)]
        for place, watch in enumerate(self._watches):
            watch.place = place
        self._by_reading = _index(self._watches)
        self._by_presence = [watch for watch in self._watches if watch.rule.presence]
        self._timers: list[tuple[datetime, int]] = []
        """A heap of when to look at which watch; entries that its `timer` contradicts are void."""
        self._followed = {sensor for sensor, _ in self._by_reading}
        self._followed |= self._sensors.doors | self._sensors.interior

    @property
    def now(self) -> datetime | None:
        """Event time so far; None before the first reading or `advance`."""
        return self._now

    @property
    def presence(self) -> Presence:
        return self._presence.presence

    @property
    def open(self) -> list[Watch]:
        """Every alert that is pending or firing. For looking at, not for changing."""
        return [watch for watch in self._watches if watch.alert.phase is not Phase.QUIET]

    def observe(self, reading: Reading) -> list[AlertEvent]:
        """Take in one reading. One that is later than TOLERANCE changes nothing."""
        at = reading.at
        if self._now is not None and at < self._now:
            if self._now - at > TOLERANCE:
                self.late += 1
                return []
            at = self._now
        events = self.advance(at)
        if reading.sensor not in self._followed:
            return events
        key = (reading.sensor, reading.quantity)
        previous = self._values.get(key)
        self._values[key] = reading.value
        if is_activity(reading, previous):
            events += self._present(self._presence.spoken(reading.sensor, self._sensors, at))
        for watch in self._by_reading.get(key, ()):
            verdict = watch.rule.condition.judge(reading, previous)
            if verdict is not Verdict.UNDECIDED:
                watch.sensor, watch.value = reading.sensor, reading.value
                events += self._judge(watch, verdict, at)
        return events

    def advance(self, to: datetime) -> list[AlertEvent]:
        """Let event time pass without a reading, so that what is due can happen."""
        events: list[AlertEvent] = []
        if self._now is None:
            self._now = to
            self._begin(to)
        while (due := self._next_due()) is not None and due <= to:
            self._now = max(self._now, due)
            events += self._come_due(due)
        self._now = max(self._now, to)
        return events

    def shift(self, by: timedelta) -> None:
        """Move event time and all that runs in it: the clock was wrong by `by`, nothing else."""
        if self._now is None:
            return
        self._now += by
        self._presence = self._presence.shifted(by)
        self._timers.clear()
        for watch in self._watches:
            watch.alert = watch.alert.shifted(by)
            if watch.first_breach != BEGINNING:
                watch.first_breach += by
            watch.timer = None
            self._schedule(watch)

    def snapshot(self) -> Snapshot:
        """Return all that `restore` needs to go on from here."""
        return {
            "now": None if self._now is None else self._now.isoformat(),
            "late": self.late,
            "presence": dump_presence(self._presence),
            "values": [[*key, value] for key, value in self._values.items()],
            "watches": {_key(watch): dump_alert(watch) for watch in self._watches},
        }

    @classmethod
    def restore(
        cls,
        rules: Sequence[Rule],
        snapshot: Snapshot,
        presence: PresenceSensors | None = None,
        *,
        listening_from: datetime | None = None,
    ) -> Self:
        """Return an engine that goes on where `snapshot` was taken, with today's rules.

        Rules are known by their name: a new one begins now, a removed one is forgotten. If nobody
        listened between the snapshot and `listening_from`, that time does not count for conditions
        that judge silence; a hold time of what was really seen (an open door) goes on.

        Raises:
            ValueError: it is no snapshot of an engine.
        """
        engine = cls(rules, presence)
        if snapshot["now"] is None:
            return engine
        engine._now = load_time(snapshot["now"])
        engine.late = int(snapshot["late"])
        engine._presence = load_presence(snapshot["presence"])
        engine._values = {(s, Quantity(q)): float(v) for s, q, v in snapshot["values"]}
        engine._load(snapshot["watches"], max(listening_from or engine._now, engine._now))
        return engine

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = type(self).restore(
            list(dict.fromkeys(watch.rule for watch in self._watches)),
            copy.deepcopy(self.snapshot(), memo),
            self._sensors,
        )
        memo[id(self)] = other
        return other

    def _load(self, dumped: Mapping[str, Any], listening_from: datetime) -> None:
        assert self._now is not None
        deaf = listening_from - self._now
        for watch in self._watches:
            if (state := dumped.get(_key(watch))) is None:
                self._begin_watch(watch, listening_from)
                continue
            load_alert(watch, state)
            if watch.rule.condition.from_silence and watch.alert.phase is Phase.PENDING:
                watch.alert = watch.alert.shifted(deaf)
                watch.first_breach += deaf
            self._schedule(watch)

    def _begin(self, at: datetime) -> None:
        for watch in self._watches:
            self._begin_watch(watch, at)

    def _begin_watch(self, watch: Watch, at: datetime) -> None:
        if watch.rule.condition.from_silence:
            self._judge(watch, Verdict.BREACHED, at)
        else:
            self._schedule(watch)

    def _watched(self, rule: Rule, at: datetime) -> bool:
        if rule.hours is not None and not rule.hours.contains(at):
            return False
        match rule.presence:
            case None:
                return True
            case Presence.AWAY:
                return self.presence is Presence.AWAY
        return self.presence is not Presence.AWAY

    def _judge(self, watch: Watch, verdict: Verdict, at: datetime) -> list[AlertEvent]:
        watch.breached = verdict is not Verdict.CLEAR
        return self._enter(watch, watch.alert.judged(verdict, self._watched(watch.rule, at), at))

    def _enter(self, watch: Watch, alert: Alert) -> list[AlertEvent]:
        """Put an alert into its next phase, and tell if people have to know."""
        before, watch.alert = watch.alert, alert
        if alert == before:
            return []
        events = []
        if before.phase is Phase.FIRING:
            events.append(_event(watch, Phase.QUIET, alert.since))
        if alert.phase is Phase.PENDING:
            watch.first_breach = alert.since
            # A hold time of 0 has run out already.
            if watch.rule.hold_for <= timedelta(0):
                return events + self._enter(watch, alert.advanced(alert.since, timedelta(0)))
        if alert.phase is Phase.FIRING:
            events.append(_event(watch, Phase.FIRING, alert.since))
        self._schedule(watch)
        return events

    def _schedule(self, watch: Watch) -> None:
        """See to it that the alert is looked at no later than something can come due."""
        due = watch.alert.due(watch.rule.hold_for)
        if watch.rule.hours is not None and self._now is not None:
            edge = watch.rule.hours.next_edge(self._now)
            due = edge if due is None else min(due, edge)
        # A timer that is early enough stays, whatever it was made for: signs of life that put off
        # an alert ten thousand times leave one entry in the heap, not ten thousand.
        if due is not None and (watch.timer is None or due < watch.timer):
            watch.timer = due
            heapq.heappush(self._timers, (due, watch.place))

    def _next_due(self) -> datetime | None:
        while self._timers and self._watches[self._timers[0][1]].timer != self._timers[0][0]:
            heapq.heappop(self._timers)
        alert = self._timers[0][0] if self._timers else None
        away = self._presence.away_from
        return min((due for due in (alert, away) if due is not None), default=None)

    def _come_due(self, at: datetime) -> list[AlertEvent]:
        """Let happen what is due at `at`: presence first, since rules look at it."""
        if self._presence.away_from is not None and self._presence.away_from <= at:
            return self._present(self._presence.advanced(at))
        _, place = heapq.heappop(self._timers)
        watch = self._watches[place]
        watch.timer = None
        fired = watch.alert.advanced(at, watch.rule.hold_for)
        return self._enter(watch, fired) if fired != watch.alert else self._rewatch(watch, at)

    def _present(self, presence: PresenceState) -> list[AlertEvent]:
        before, self._presence = self._presence, presence
        if before.presence is presence.presence or presence.since is None:
            return []
        return [e for watch in self._by_presence for e in self._rewatch(watch, presence.since)]

    def _rewatch(self, watch: Watch, at: datetime) -> list[AlertEvent]:
        """Look again at an alert whose rule may have begun or stopped to watch at `at`."""
        verdict = Verdict.BREACHED if watch.breached else Verdict.UNDECIDED
        changed = watch.alert.judged(verdict, self._watched(watch.rule, at), at)
        if changed == watch.alert:
            self._schedule(watch)
            return []
        return self._enter(watch, changed)


def _watches(rule: Rule) -> Iterable[Watch]:
    if rule.condition.together:
        return [Watch(rule, "")]
    return [Watch(rule, sensor) for sensor in rule.sensors]


def _index(watches: Iterable[Watch]) -> dict[tuple[str, Quantity], list[Watch]]:
    index: dict[tuple[str, Quantity], list[Watch]] = {}
    for watch in watches:
        rule = watch.rule
        for sensor in rule.sensors if rule.condition.together else (watch.sensor,):
            for quantity in rule.quantities:
                index.setdefault((sensor, quantity), []).append(watch)
    return index


def _key(watch: Watch) -> str:
    rule = watch.rule
    return rule.name if rule.condition.together else f"{rule.name}\n{watch.sensor}"


def _event(watch: Watch, phase: Phase, at: datetime) -> AlertEvent:
    rule = watch.rule
    since = watch.first_breach
    return AlertEvent(rule.name, watch.sensor, phase, at, since, rule.severity, watch.value)
