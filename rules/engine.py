"""Feeds readings to rules in event time and returns which alerts began to fire or were over.

Time is whatever `observe` and `advance` say, and everything happens at its due moment, not when
somebody looks: how often `advance` is called never changes a result. That makes replay, rule tests
and the running gateway give the same answer.

A reading costs only the rules that watch its sensor; passing time costs only the timers that come
due. Memory is bounded by the rules and the sensors they watch.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias

from drivers.reading import STATES, Quantity, Reading
from rules.activity import is_activity
from rules.alert import AlertEvent, Severity
from rules.condition import (
    Condition,
    Joining,
    Judge,
    Memory,
    Remembering,
    kind_of,
    sensors_named,
    settings_of,
)
from rules.hours import Hours
from rules.lifecycle import BEGINNING, Alert, Phase, Verdict
from rules.presence import Presence, PresenceSensors, PresenceState
from rules.snapshot import (
    dump_alert,
    dump_event,
    dump_presence,
    load_alert,
    load_event,
    load_presence,
    load_time,
    over,
)

TOLERANCE = timedelta(seconds=10)
"""Transports do not hand over in order: a reading this late counts as if it came just now."""

GRACE = timedelta(minutes=5)
"""An alert on something seen that would have fired while nobody listened waits so long for its
sensor to say otherwise: the door was perhaps closed meanwhile."""

Snapshot: TypeAlias = dict[str, Any]
"""Plain data for JSON. Its shape is the engine's own affair."""


@dataclass(frozen=True)
class Rule:
    """Watch sensors for one condition."""

    name: str
    """Written to be read by the person who is told."""

    condition: Condition

    sensors: tuple[str, ...] = ()
    """One alert each, or one alert together: the condition says which. None if it is over other
    rules."""

    quantity: Quantity | None = None
    """What to judge, where the condition does not know by itself."""

    hold_for: timedelta = timedelta(0)
    """How long the condition must stay breached before the alert fires."""

    hours: Hours | None = None
    """None: all day."""

    presence: Presence | None = None
    """Only while the resident is HOME (or not known to be away), or only while AWAY."""

    severity: Severity = Severity.WARNING

    unless: tuple[str, ...] = ()
    """Rules before this one: while one of them fires, this one is deaf. A radio that died looks
    like a home that is still."""

    def __post_init__(self) -> None:
        if problem := next(self._problems(), None):
            raise ValueError(f"rule {self.name!r} {problem}")

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What it judges."""
        if self.condition.watches is not None:
            return self.condition.watches
        if self.quantity is None:
            raise ValueError(f"rule {self.name!r} names no quantity to judge")
        return frozenset({self.quantity})

    def _problems(self) -> Iterator[str]:
        """Yield why it could never fire, or would fire for nothing."""
        if isinstance(self.condition, Joining):
            if self.sensors:
                yield "is over other rules: it watches no sensor of its own"
        elif not self.sensors:
            yield "watches no sensor"
        if strangers := sensors_named(self.condition) - set(self.sensors):
            yield f"names {min(strangers)!r}, which is not one of its sensors"
        if len(set(self.sensors)) < len(self.sensors):
            yield "names a sensor twice"
        if self.hold_for < timedelta(0):
            yield f"has a hold time below 0: {self.hold_for}"
        if self.condition.from_silence and not self.hold_for:
            yield "judges silence and needs a hold time: how long is too long?"
        if len(set(self.unless)) < len(self.unless):
            yield "names a rule twice in unless"
        if self.hours is not None and self.hold_for > self.hours.length:
            yield f"would never fire: {self.hold_for} is longer than its hours"


class Watch:
    """One alert of one rule: what the engine knows about it."""

    __slots__ = (
        "alert",
        "breached",
        "first_breach",
        "judge",
        "memory",
        "not_before",
        "place",
        "quantity",
        "rule",
        "sensor",
        "timer",
        "value",
    )

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
        self.quantity: Quantity | None = None
        """Of `value`."""
        self.not_before: datetime | None = None
        """It does not fire earlier, though it is due: see GRACE."""
        self.timer: datetime | None = None
        """When it will be looked at again. One that comes too early is harmless."""
        self.remember(None)

    def remember(self, dumped: Any) -> None:
        """Begin with nothing known of the past, or with what was dumped."""
        condition = self.rule.condition
        self.memory: Memory | None = None
        self.judge: Judge | None = None
        if isinstance(condition, Remembering):
            self.judge = self.memory = condition.remember(dumped)
        elif not isinstance(condition, Joining):
            self.judge = condition

    @property
    def is_new(self) -> bool:
        """Whether nothing has happened to it: there is nothing to write down."""
        return self.alert.since == BEGINNING and not self.breached and self.memory is None

    def due(self) -> datetime | None:
        """Return when it will fire if nothing happens; None if it will not."""
        due = self.alert.due(self.rule.hold_for)
        return due if due is None or self.not_before is None else max(due, self.not_before)


class Engine:
    """All rules of the site and where each alert is in its life.

    `copy.deepcopy(engine)` goes its own way from there.
    """

    def __init__(self, rules: Sequence[Rule], presence: PresenceSensors | None = None) -> None:
        """Begin with nothing known.

        Raises:
            ValueError: two rules have the same name, or one is over a rule that is not before it.
        """
        _refuse_same_names(rules)
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
        self._told = [w for w in self._watches if w.memory and w.memory.follows_presence]
        """Whose memory is told of presence."""
        self._by_rule: dict[str, list[Watch]] = {}
        for watch in self._watches:
            self._by_rule.setdefault(watch.rule.name, []).append(watch)
        self._joined = _index_joined(self._watches)
        """By the name of a rule: the watches over it."""
        self._deafened = _index_deafened(self._watches)
        """By the name of a rule: the watches that are deaf while it fires."""
        self.forgotten: list[str] = []
        """The rules whose memory `restore` could not read (another version wrote it): they learn
        anew. Nothing else is lost with it."""
        self._owed: list[AlertEvent] = []
        """What `restore` found to be over; told with the next step of time."""
        self._timers: list[tuple[datetime, int]] = []
        """A heap of when to look at which watch; entries that its `timer` contradicts are void."""
        self._telling = self._sensors.doors | self._sensors.interior | self._sensors.buttons
        self._personal = [w for w in self._watches if self._is_personal(w.rule)]
        """What a pause stops."""
        self._paused_rules = {watch.rule.name for watch in self._personal}
        self._followed = self._telling | {sensor for sensor, _ in self._by_reading}

    @property
    def now(self) -> datetime | None:
        """Event time so far; None before the first reading or `advance`."""
        return self._now

    @property
    def presence(self) -> Presence:
        return self._presence.presence

    @property
    def paused_until(self) -> datetime | None:
        """Until when the resident wants to be left alone; None: no pause."""
        return self._presence.paused_until

    @property
    def open(self) -> list[Watch]:
        """Every alert that is pending or firing, but for parts of others.

        For looking at, not for changing.
        """
        return [
            watch
            for watch in self._watches
            if watch.alert.phase is not Phase.QUIET and watch.rule.severity is not Severity.PART
        ]

    def observe(self, reading: Reading) -> list[AlertEvent]:
        """Take in one reading. One that is later than TOLERANCE changes nothing."""
        at = reading.at
        if self._now is not None and at < self._now:
            if self._now - at > TOLERANCE:
                self.late += 1
                return []
            at = self._now
            reading = replace(reading, at=at)
        events = self.advance(at)
        if reading.sensor not in self._followed:
            return events
        key = (reading.sensor, reading.quantity)
        previous = self._values.get(key)
        self._values[key] = reading.value
        before = self._presence
        if reading.sensor in self._telling and is_activity(reading, previous):
            events += self._become(self._presence_after(reading), at)
        for watch in self._by_reading.get(key, ()):
            verdict = watch.judge.judge(reading, previous)  # type: ignore[union-attr]
            if verdict is not Verdict.UNDECIDED:
                watch.sensor, watch.value = reading.sensor, reading.value
                watch.quantity = reading.quantity
                if told := self._judge(watch, verdict, at):
                    events += told
            memory = watch.memory
            if memory is not None and memory.due is not None:
                self._look_at(watch, memory.due)
        # Only now: what this very reading ends shall not fire because it can be watched again.
        return events + self._rewatch_since(before, at)

    def advance(self, to: datetime) -> list[AlertEvent]:
        """Let event time pass without a reading, so that what is due can happen."""
        events, self._owed = self._owed, []
        if self._now is None:
            self._begin(to)
            self._now = to
        while (due := self._next_due()) is not None and due <= to:
            events += self._come_due(due)
        self._now = max(self._now, to)
        return events

    def shift(self, by: timedelta) -> None:
        """Move event time and all that runs in it: the clock was wrong by `by`, nothing else.

        Hours do not move. Alerts that are within their hours only now begin to wait now.
        """
        if self._now is None:
            return
        self._now += by
        self._presence = self._presence.shifted(by)
        self._timers.clear()
        for watch in self._watches:
            watch.alert = watch.alert.shifted(by)
            if watch.memory is not None:
                watch.memory.shift(by)
            if watch.first_breach != BEGINNING:
                watch.first_breach += by
            if watch.not_before is not None:
                watch.not_before += by
            watch.timer = None
            self._look_again(watch, self._now)

    def snapshot(self) -> Snapshot:
        """Return all that `restore` needs to go on from here."""
        return {
            "now": None if self._now is None else self._now.isoformat(),
            "late": self.late,
            "presence": dump_presence(self._presence),
            "values": [[*key, value] for key, value in self._values.items()],
            "watches": {_key(w): dump_alert(w) for w in self._watches if not w.is_new},
            "owed": [dump_event(event) for event in self._owed],
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

        Rules are known by their name and the kind of their condition: a new one begins now, and one
        that was removed while it fired is over. If nobody listened between the snapshot and
        `listening_from`, that time does not count for what is concluded from silence; a hold time
        of what was really seen (an open door) goes on, but if it ran out meanwhile, and that was
        longer than GRACE, the sensor has GRACE to say otherwise. If `listening_from` is before the
        snapshot, the clock was set back in between or lost the time: event time goes back with it,
        and all that runs goes on.

        Raises:
            ValueError: it is no snapshot of an engine.
        """
        engine = cls(rules, presence)
        try:
            engine._load(snapshot, listening_from)
        except (KeyError, TypeError, AttributeError, OverflowError) as problem:
            raise ValueError(f"this is no snapshot of an engine: {problem!r}") from problem
        return engine

    def _load(self, snapshot: Snapshot, listening_from: datetime | None) -> None:
        if snapshot["now"] is None:
            return
        now = load_time(snapshot["now"])
        self.late = int(snapshot["late"])
        values = {(sensor, Quantity(q)): float(v) for sensor, q, v in snapshot["values"]}
        self._values = {key: v for key, v in values.items() if key[0] in self._followed}
        listening_from = now if listening_from is None else listening_from
        resumed_at = max(now, listening_from)
        # Without a sensor inside nothing could ever end being away.
        if self._sensors.interior:
            self._presence = load_presence(snapshot["presence"]).unheard(resumed_at - now)
        self._owed = [load_event(event) for event in snapshot.get("owed", [])]
        for watch in self._watches:
            self._load_watch(watch, snapshot["watches"], now, resumed_at)
        self._owed += self._orphans(snapshot["watches"], resumed_at)
        self._now = resumed_at
        for watch in self._watches:
            if isinstance(watch.rule.condition, Joining):
                self._owed += self._join(watch, resumed_at)
        if listening_from < now:
            self.shift(listening_from - now)

    def _load_watch(
        self, watch: Watch, dumped: Mapping[str, Any], now: datetime, resumed_at: datetime
    ) -> None:
        state = dumped.get(_key(watch))
        is_known = state is not None and self._remember(watch, load_alert(watch, state))
        if (memory := watch.memory) is not None:
            # One that is deaf goes on when it can hear again, the power cut included.
            if not is_known or (now < resumed_at and not self._is_deaf(watch.rule)):
                memory.resume(resumed_at, now if is_known else None)
            if not is_known and memory.follows_presence:
                memory.tell(self.presence, resumed_at)
        if watch.rule.condition.from_silence:
            if watch.alert.phase is not Phase.FIRING:
                self._resume(watch, now, resumed_at)
            return
        off, due = resumed_at - now, watch.due()
        if off > GRACE and due is not None and now < due <= resumed_at:
            watch.not_before = resumed_at + GRACE
        self._look_again(watch, now)

    def _remember(self, watch: Watch, dumped: Sequence[Any]) -> bool:
        """Put back its memory if it has one; return whether it could be read."""
        if watch.memory is None:
            return True
        if dumped:
            try:
                watch.remember(dumped[0])
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                watch.remember(None)
                self.forgotten.append(watch.rule.name)
                return False
        return bool(dumped)

    def _orphans(self, dumped: Mapping[str, Any], at: datetime) -> Iterator[AlertEvent]:
        """Yield that alerts of rules that are not there any more are over."""
        known = {_key(watch) for watch in self._watches}
        for key, state in dumped.items():
            phase, *_ = state
            if key not in known and Phase(phase) is Phase.FIRING:
                name, kind, _ = key.split("\n")
                yield over(name, kind, state, at)

    def _resume(self, watch: Watch, now: datetime, at: datetime) -> None:
        """Listen again from `at` on: what was not heard between `now` and then says nothing."""
        hours = watch.rule.hours
        interrupted = hours is not None and hours.next_edge(now) <= at
        waiting = Alert() if interrupted else watch.alert.shifted(at - now)
        watch.breached = True
        watch.alert = waiting.judged(Verdict.BREACHED, self._watched(watch.rule, at), at)
        watch.first_breach = watch.alert.since
        self._schedule(watch, at)

    def _begin(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError(f"{at} has no time zone")
        for watch in self._watches:
            if watch.memory is not None:
                watch.memory.resume(at, None)
                self._look_again(watch, at)
            if watch.rule.condition.from_silence:
                self._resume(watch, at, at)

    def _watched(self, rule: Rule, at: datetime) -> bool:
        if rule.hours is not None and not rule.hours.contains(at):
            return False
        if self._presence.paused_until is not None and rule.name in self._paused_rules:
            return False
        if rule.unless and self._is_deaf(rule):
            return False
        return rule.presence is None or rule.presence.covers(self.presence)

    def _is_personal(self, rule: Rule) -> bool:
        """Whether it watches the resident by what tells of presence.

        Not so a fault of equipment, nor a button: who presses one wants to be heard.
        """
        if rule.severity is Severity.FAULT or self._telling.isdisjoint(rule.sensors):
            return False
        return not rule.quantities.isdisjoint(STATES)

    def _judge(self, watch: Watch, verdict: Verdict, at: datetime) -> list[AlertEvent]:
        before = watch.breached
        if verdict is Verdict.CLEAR and not before and watch.alert.phase is Phase.QUIET:
            # All was well and is: most readings are of that kind.
            return []
        watch.breached = verdict is not Verdict.CLEAR
        alert = watch.alert.judged(verdict, self._watched(watch.rule, at), at)
        if alert is not watch.alert:
            return self._enter(watch, alert, at)
        if watch.breached is not before:
            self._schedule(watch, at)
        return []

    def _enter(self, watch: Watch, alert: Alert, now: datetime) -> list[AlertEvent]:
        """Put an alert into its next phase, and tell if people have to know."""
        before, watch.alert = watch.alert, alert
        watch.not_before = None
        events = []
        if before.phase is Phase.FIRING and alert.phase is not Phase.FIRING:
            events = self._tell(watch, Phase.QUIET, alert.since)
        if alert.phase is Phase.PENDING:
            watch.first_breach = alert.since
            # A hold time of 0 has run out already.
            if not watch.rule.hold_for:
                return events + self._enter(watch, alert.advanced(alert.since, timedelta(0)), now)
        if alert.phase is Phase.FIRING:
            events += self._tell(watch, Phase.FIRING, alert.since)
        # An alert that is put off keeps its timer, which is early enough.
        if alert.phase is not before.phase:
            self._schedule(watch, now)
        return events

    def _tell(self, watch: Watch, phase: Phase, at: datetime) -> list[AlertEvent]:
        """Return what people are told, and what it means to the rules over this one."""
        events = []
        if watch.rule.severity is not Severity.PART:
            events.append(_event(watch, phase, at))
        for joined in self._joined.get(watch.rule.name, ()):
            joined.sensor, joined.value = watch.sensor, watch.value
            joined.quantity = watch.quantity
            events += self._join(joined, at)
        for deaf in self._deafened.get(watch.rule.name, ()):
            if deaf.memory is not None and not self._is_deaf(deaf.rule):
                # It goes on where it could hear last.
                deaf.memory.resume(at, watch.first_breach)
            events += self._rewatch(deaf, at)
        return events

    def _is_deaf(self, rule: Rule) -> bool:
        return any(
            watch.alert.phase is Phase.FIRING
            for name in rule.unless
            for watch in self._by_rule[name]
        )

    def _join(self, watch: Watch, at: datetime) -> list[AlertEvent]:
        """Judge by the rules that this one is over."""
        condition = watch.rule.condition
        assert isinstance(condition, Joining)  # only these are joined
        firing = [
            any(member.alert.phase is Phase.FIRING for member in self._by_rule[name])
            for name in condition.rules
        ]
        return self._judge(watch, Verdict.BREACHED if condition.join(firing) else Verdict.CLEAR, at)

    def _schedule(self, watch: Watch, now: datetime) -> None:
        """See to it that the alert is looked at no later than something can come due."""
        rule, alert = watch.rule, watch.alert
        if watch.memory is not None and watch.memory.due is not None:
            self._look_at(watch, watch.memory.due)
        if (due := watch.due()) is not None:
            self._look_at(watch, due)
        # Hours that begin or end change nothing where all is well, or where it fires already.
        if rule.hours is not None and watch.breached and alert.phase is not Phase.FIRING:
            self._look_at(watch, rule.hours.next_edge(now))

    def _look_again(self, watch: Watch, now: datetime) -> None:
        """See to it that the alert is also looked at now: it may be within other hours by now."""
        self._schedule(watch, now)
        self._look_at(watch, now)

    def _look_at(self, watch: Watch, at: datetime) -> None:
        # A timer that is early enough stays, whatever it was made for: signs of life that put off
        # an alert ten thousand times leave one entry in the heap, not ten thousand.
        if watch.timer is not None and watch.timer <= at:
            return
        watch.timer = at
        heapq.heappush(self._timers, (at, watch.place))
        if len(self._timers) > 2 * len(self._watches):
            self._timers = [(w.timer, w.place) for w in self._watches if w.timer is not None]
            heapq.heapify(self._timers)

    def _next_due(self) -> datetime | None:
        presence = self._presence.due
        while self._timers:
            due, place = self._timers[0]
            if self._watches[place].timer == due:
                return due if presence is None else min(due, presence)
            heapq.heappop(self._timers)
        return presence

    def _come_due(self, at: datetime) -> list[AlertEvent]:
        """Let happen what is due at `at`: presence first, since rules look at it."""
        if (due := self._presence.due) is not None and due <= at:
            before = self._presence
            events = self._become(before.advanced(due, self._sensors), due)
            return events + self._rewatch_since(before, due)
        _, place = heapq.heappop(self._timers)
        watch = self._watches[place]
        watch.timer = None
        memory = watch.memory
        if memory is not None and memory.due is not None and memory.due <= at:
            if watch.rule.unless and self._is_deaf(watch.rule):
                # What time does to it, it does when it can hear again.
                return []
            events = self._judged(watch, memory.advance(at), at)
            # The alert may be due in this very moment too, or its hours begin.
            self._look_again(watch, at)
            return events
        if watch.not_before is not None and at < watch.not_before:
            return self._rewatch(watch, at)
        fired = watch.alert.advanced(at, watch.rule.hold_for)
        return self._rewatch(watch, at) if fired is watch.alert else self._enter(watch, fired, at)

    def _judged(self, watch: Watch, verdict: Verdict, at: datetime) -> list[AlertEvent]:
        """Judge by what a memory says without a reading."""
        return [] if verdict is Verdict.UNDECIDED else self._judge(watch, verdict, at)

    def _presence_after(self, reading: Reading) -> PresenceState:
        if reading.sensor in self._sensors.buttons and reading.quantity is Quantity.BUTTON_EVENT:
            return self._presence.pressed(reading.value, self._sensors, reading.at)
        return self._presence.spoken(reading.sensor, self._sensors, reading.at)

    def _become(self, presence: PresenceState, at: datetime) -> list[AlertEvent]:
        """Take note of where the resident is, and tell those memories that want to know."""
        before, self._presence = self._presence, presence
        events: list[AlertEvent] = []
        if before.presence is not presence.presence:
            for watch in self._told:
                memory = watch.memory
                assert memory is not None  # only these are told
                events += self._judged(watch, memory.tell(presence.presence, at), at)
                self._schedule(watch, at)
        return events

    def _rewatch_since(self, before: PresenceState, at: datetime) -> list[AlertEvent]:
        """Look again at what this presence, or a pause, lets judge or not, if it was otherwise."""
        presence, events = self._presence, list[AlertEvent]()
        if before is presence:
            return events
        if before.presence is not presence.presence:
            events += [e for watch in self._by_presence for e in self._rewatch(watch, at)]
        if (before.paused_until is None) is not (presence.paused_until is None):
            events += [e for watch in self._personal for e in self._rewatch(watch, at)]
        return events

    def _rewatch(self, watch: Watch, at: datetime) -> list[AlertEvent]:
        """Look again at an alert whose rule may have begun or stopped to watch at `at`."""
        verdict = Verdict.BREACHED if watch.breached else Verdict.UNDECIDED
        alert = watch.alert.judged(verdict, self._watched(watch.rule, at), at)
        if alert is watch.alert:
            self._schedule(watch, at)
            return []
        return self._enter(watch, alert, at)


def _refuse_same_names(rules: Iterable[Rule]) -> None:
    seen = set[str]()
    for rule in rules:
        if rule.name in seen:
            raise ValueError(f"two rules are called {rule.name!r}: alerts are known by that name")
        seen.add(rule.name)


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


def _index_joined(watches: Iterable[Watch]) -> dict[str, list[Watch]]:
    index: dict[str, list[Watch]] = {}
    before = set[str]()
    for watch in watches:
        condition = watch.rule.condition
        if isinstance(condition, Joining):
            for name in condition.rules:
                if name not in before:
                    raise ValueError(
                        f"rule {watch.rule.name!r} is over {name!r}, which is not before it"
                    )
                index.setdefault(name, []).append(watch)
        before.add(watch.rule.name)
    return index


def _index_deafened(watches: Iterable[Watch]) -> dict[str, list[Watch]]:
    index: dict[str, list[Watch]] = {}
    before = set[str]()
    for watch in watches:
        for name in watch.rule.unless:
            if name not in before:
                raise ValueError(
                    f"rule {watch.rule.name!r} has unless {name!r}, which is not before it"
                )
            index.setdefault(name, []).append(watch)
        before.add(watch.rule.name)
    return index


def _key(watch: Watch) -> str:
    condition = watch.rule.condition
    sensor = "" if condition.together else watch.sensor
    return f"{watch.rule.name}\n{kind_of(condition)}\n{sensor}"


def _event(watch: Watch, phase: Phase, at: datetime) -> AlertEvent:
    rule, evidence = watch.rule, dict(settings_of(watch.rule.condition))
    if rule.hold_for:
        evidence["hold_s"] = rule.hold_for.total_seconds()
    if watch.memory is not None:
        evidence |= watch.memory.evidence(at)
    return AlertEvent(
        rule.name,
        watch.sensor,
        phase,
        at,
        watch.first_breach,
        rule.severity,
        watch.value,
        kind_of(rule.condition),
        watch.quantity,
        tuple(sorted(evidence.items())),
    )
