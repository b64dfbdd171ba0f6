"""Water goes though the pump is off or the valve shut: a burst pipe, a valve not shut, a crab hole.

Either a meter says that it flows, or a gauge that the level falls faster than it should. A paddy
loses 20 to 30 mm a day by itself (減水深; general knowledge, not verified here), which the default,
30 mm in 6 hours, is well above. Nothing is judged before it is known that the pump is off.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.change import Change
from rules.condition import Evidence, Memory, SensorName
from rules.lifecycle import Verdict
from rules.pump import EFFECTS, FLOW, SWITCHES, is_switch
from rules.snapshot import dump_time, load_time, load_time_if_any

BRIEF: Final = timedelta(minutes=1)
"""A pump that is on for less moves no water to speak of: a relay that clicks, somebody who tries
it. What fell before that has still fallen. Nor does a restart of the gateway that is as short."""

FORGOTTEN: Final = timedelta(days=7)
"""A meter that said there is a leak, and then nothing for so long, is not there any more: others
that are calm may end the alert."""


@dataclass(frozen=True)
class Leak:
    """Breached while the pump is off, and water flows or has fallen."""

    watches: ClassVar[frozenset[Quantity]] = SWITCHES | EFFECTS
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (SWITCHES, EFFECTS)

    pump: SensorName
    """The one of the rule's sensors that says whether the pump runs, or the valve is open."""

    after: timedelta = timedelta(minutes=10)
    """How long it may run on once the pump is off, 0 to 1 day."""

    most_litre_per_minute: float = 0.5
    """What flows more is a leak; 0 or more."""

    fall_millimetre: float = 30.0
    """The level must not fall by so much; above 0."""

    fall_within: timedelta = timedelta(hours=6)
    """In how short a time, 1 minute to 7 days."""

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.after <= timedelta(days=1):
            raise ValueError(f"after {self.after} is not from 0 s to 1 d")
        if self.most_litre_per_minute < 0:
            raise ValueError(f"most_litre_per_minute {self.most_litre_per_minute} is below 0")
        if self.fall_millimetre <= 0:
            raise ValueError(f"fall_millimetre {self.fall_millimetre} is not above 0")
        if not timedelta(minutes=1) <= self.fall_within <= timedelta(days=7):
            raise ValueError(f"fall_within {self.fall_within} is not from 1 min to 7 d")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of the water behind one pump."""
        return _Water(self, dumped)


class _Water(Memory):
    """Since when the pump is off, and what the water has done since then.

    Bounded by the rule's sensors, and by SLOTS for each gauge.
    """

    __slots__ = ("_falls", "_last", "_off_since", "_on_since", "_settings", "_suspects")

    def __init__(self, settings: Leak, dumped: Any) -> None:
        off, on, suspects, falls, last = (None, None, [], [], []) if dumped is None else dumped
        self._settings = settings
        self._off_since, self._on_since = load_time_if_any(off), load_time_if_any(on)
        """Both None: nobody knows which it is."""
        self._suspects = {
            (str(s), Quantity(quantity)): load_time(at) for s, quantity, at in suspects
        }
        """Which meters and gauges say that there is a leak, and when they were heard last."""
        self._falls = {str(sensor): self._change(fall) for sensor, fall in falls}
        """By the gauge; as long as the pump is off."""
        self._last = {Quantity(quantity): float(value) for quantity, value in last}

    def _change(self, dumped: Any = None) -> Change:
        fall, within = self._settings.fall_millimetre, self._settings.fall_within
        return Change(fall, within, 0.0, is_fall=True, dumped=dumped)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Tell the pump from the water."""
        if is_switch(reading, self._settings.pump):
            self._switch(reading)
            return Verdict.UNDECIDED
        if reading.quantity not in EFFECTS:
            return Verdict.UNDECIDED
        self._last[reading.quantity] = reading.value
        off_since = self._off_since
        if off_since is None or reading.at - off_since < self._settings.after:
            return Verdict.UNDECIDED
        return self._together(reading, self._verdict(reading))

    def _switch(self, reading: Reading) -> None:
        if reading.value:
            self._off_since = None
            self._on_since = self._on_since or reading.at
        elif self._off_since is None:
            if self._on_since is None or reading.at - self._on_since >= BRIEF:
                self._falls.clear()
            self._off_since, self._on_since = reading.at, None

    def _verdict(self, reading: Reading) -> Verdict:
        if reading.quantity is FLOW:
            is_leak = reading.value > self._settings.most_litre_per_minute
            return Verdict.BREACHED if is_leak else Verdict.CLEAR
        fall = self._falls.setdefault(reading.sensor, self._change())
        return fall.judge(reading, None)

    def _together(self, reading: Reading, verdict: Verdict) -> Verdict:
        """Let one of them be calm only if no other is not."""
        key = (reading.sensor, reading.quantity)
        if verdict is Verdict.BREACHED or (verdict is Verdict.UNDECIDED and key in self._suspects):
            self._suspects[key] = reading.at
        if verdict is not Verdict.CLEAR:
            return verdict
        self._suspects.pop(key, None)
        others = {k: at for k, at in self._suspects.items() if reading.at - at <= FORGOTTEN}
        self._suspects = others
        return Verdict.UNDECIDED if others else Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait to hear that the pump is off: it may have run while nobody listened."""
        if since is not None and at - since >= BRIEF:
            self._off_since = self._on_since = None
            self._falls.clear()

    def evidence(self, at: datetime) -> Evidence:
        """Return for how long the pump has been off, and what was measured last."""
        found = {quantity.value: value for quantity, value in self._last.items()}
        if self._off_since is not None:
            found["off_s"] = (at - self._off_since).total_seconds()
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._off_since = None if self._off_since is None else self._off_since + by
        self._on_since = None if self._on_since is None else self._on_since + by
        self._suspects = {key: at + by for key, at in self._suspects.items()}
        for fall in self._falls.values():
            fall.shift(by)

    def dump(self) -> Any:
        """Return it as plain data."""
        return [
            dump_time(self._off_since),
            dump_time(self._on_since),
            [[sensor, q.value, at.isoformat()] for (sensor, q), at in self._suspects.items()],
            [[sensor, fall.dump()] for sensor, fall in self._falls.items()],
            [[quantity.value, value] for quantity, value in self._last.items()],
        ]
