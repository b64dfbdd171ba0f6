"""A pump runs, but no water comes: dry suction, an air lock, a torn hose, a blocked strainer.

The pump says that it is on; a flow meter or a level gauge, which need not be where the pump is, has
to say that something happens. A pump that runs dry is soon broken, so it is told in minutes. If the
meter says nothing at all, that is no sign of a fault of the pump; `silent` tells of the meter.

Once the level has moved it may stand still: what is full is full. Once water has flowed it has to
go on flowing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory, SensorName
from rules.lifecycle import Verdict
from rules.pump import EFFECTS, FLOW, LEVEL, SWITCHES, is_switch
from rules.snapshot import dump_time, load_time, load_time_if_any

RECENT: Final = timedelta(hours=1)
"""A level that is older says nothing about where it stood when the pump began."""


@dataclass(frozen=True)
class NoEffect:
    """Breached when the pump has been on for `within`, and neither flow nor level says so."""

    watches: ClassVar[frozenset[Quantity]] = SWITCHES | EFFECTS
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (SWITCHES, EFFECTS)

    pump: SensorName
    """The one of the rule's sensors that says whether the pump runs, or the valve is open."""

    within: timedelta = timedelta(minutes=10)
    """How long water may take to come, 10 seconds to 1 day."""

    least_litre_per_minute: float = 1.0
    """A flow from here on is one; above 0."""

    least_millimetre: float = 10.0
    """The level must rise or fall by so much `within` that time; above 0."""

    def __post_init__(self) -> None:
        if not timedelta(seconds=10) <= self.within <= timedelta(days=1):
            raise ValueError(f"within {self.within} is not from 10 s to 1 d")
        if self.least_litre_per_minute <= 0:
            raise ValueError(f"least_litre_per_minute {self.least_litre_per_minute} is not above 0")
        if self.least_millimetre <= 0:
            raise ValueError(f"least_millimetre {self.least_millimetre} is not above 0")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one pump."""
        return _Pump(self, dumped)


class _Pump(Memory):
    """Since when it is on, and what was measured since.

    It is never woken: that no water has come is known by a word that says so, not by silence.
    Bounded by the rule's sensors.
    """

    __slots__ = ("_begin", "_last", "_on_since", "_settings", "_waits_since")

    def __init__(self, settings: NoEffect, dumped: Any) -> None:
        on_since, waits_since, last, begin = (None, None, [], []) if dumped is None else dumped
        self._settings = settings
        self._on_since = load_time_if_any(on_since)
        self._waits_since = load_time_if_any(waits_since)
        """None: it is off, or water has come."""
        self._last = {(str(s), Quantity(q)): (load_time(at), float(v)) for s, q, at, v in last}
        """The latest at the end."""
        self._begin = {str(sensor): (load_time(at), float(level)) for sensor, at, level in begin}
        """The level of each gauge that it has to leave, and since when it is there."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Tell the pump from what it does."""
        if is_switch(reading, self._settings.pump):
            return self._switch(reading)
        if reading.quantity not in EFFECTS:
            return Verdict.UNDECIDED
        key = (reading.sensor, reading.quantity)
        self._last.pop(key, None)
        self._last[key] = (reading.at, reading.value)
        if self._on_since is None:
            return Verdict.UNDECIDED
        return self._flow(reading) if reading.quantity is FLOW else self._level(reading)

    def _switch(self, reading: Reading) -> Verdict:
        if not reading.value:
            self._on_since = self._waits_since = None
            return Verdict.CLEAR
        if self._on_since is None:
            self._on_since = reading.at
            self._wait(reading.at)
        return Verdict.UNDECIDED

    def _wait(self, at: datetime) -> None:
        """Give water time to come."""
        self._waits_since = at
        self._begin = {
            sensor: (heard, value)
            for (sensor, quantity), (heard, value) in self._last.items()
            if quantity is LEVEL and at - heard <= RECENT
        }

    def _flow(self, reading: Reading) -> Verdict:
        if reading.value >= self._settings.least_litre_per_minute:
            self._waits_since = None
            return Verdict.CLEAR
        if self._waits_since is None:
            self._wait(reading.at)
        return self._overdue(reading.at, self._waits_since or reading.at)

    def _level(self, reading: Reading) -> Verdict:
        if self._waits_since is None:
            return Verdict.UNDECIDED
        now = (reading.at, reading.value)
        begin, level = self._begin.setdefault(reading.sensor, now)
        if abs(reading.value - level) >= self._settings.least_millimetre:
            self._waits_since = None
            return Verdict.CLEAR
        verdict = self._overdue(reading.at, max(begin, self._waits_since))
        if verdict is Verdict.BREACHED:
            # A paddy loses that much in hours, which must not look like a pump at last.
            self._begin[reading.sensor] = now
        return verdict

    def _overdue(self, at: datetime, since: datetime) -> Verdict:
        is_overdue = at - since >= self._settings.within
        return Verdict.BREACHED if is_overdue else Verdict.UNDECIDED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait for as long as was left: what came meanwhile was not measured."""
        if since is not None and self._waits_since is not None:
            self._waits_since += at - since
            self._begin.clear()

    def evidence(self, at: datetime) -> Evidence:
        """Return for how long it has been on, and what was measured last."""
        found = {quantity.value: value for (_, quantity), (_, value) in self._last.items()}
        if self._on_since is not None:
            found["on_s"] = (at - self._on_since).total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._on_since = None if self._on_since is None else self._on_since + by
        self._waits_since = None if self._waits_since is None else self._waits_since + by
        self._last = {key: (at + by, value) for key, (at, value) in self._last.items()}
        self._begin = {sensor: (at + by, level) for sensor, (at, level) in self._begin.items()}

    def dump(self) -> Any:
        """Return it as plain data."""
        return [
            dump_time(self._on_since),
            dump_time(self._waits_since),
            [[s, q.value, at.isoformat(), value] for (s, q), (at, value) in self._last.items()],
            [[sensor, at.isoformat(), level] for sensor, (at, level) in self._begin.items()],
        ]
