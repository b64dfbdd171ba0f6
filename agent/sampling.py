"""Decides which of all that a sensor says is taken: a radio repeats itself many times a minute.

- An event (a button) is always taken, unless its packet was heard before (same packet number).
- A state (a door) is taken at each change.
- Numbers, and states that stay, are taken once per interval; batteries once an hour at most.

Nothing is ever left out because it came too soon after something else of another kind. What was
taken last is kept over a restart, or else the last press of a button, still on the air, would count
as a new one.

Numbers get the whole second as their moment: no sensor of ours is quicker, and a time with
microseconds costs more bytes on the link than the number itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from drivers.reading import Quantity, Reading
from rules.snapshot import load_time

BATTERY_INTERVAL = timedelta(hours=1)
BATTERY = frozenset({Quantity.BATTERY_PERCENT, Quantity.BATTERY_VOLT})

EARLY = 0.95
"""A sensor that sends once per interval is a little early every other time; that is on time."""

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastValue:
    """The newest reading of one quantity."""

    value: float
    at: datetime
    """When it was taken."""
    since: datetime
    """Since when it has been this value."""


@dataclass(slots=True)
class Taken:
    """What was taken last from one sensor."""

    packet_id: float | None = None
    at: datetime | None = None
    """The moment given to the newest reading."""
    values: dict[Quantity, LastValue] = field(default_factory=dict)


class Sampler:
    """Knows of each sensor what was taken last."""

    def __init__(self, intervals: Mapping[str, timedelta]) -> None:
        self._intervals = intervals
        self.taken = {sensor: Taken() for sensor in intervals}
        self._due = frozenset[tuple[str, Quantity]]()
        """What is taken at the next opportunity, whenever it was taken last."""

    def begin_anew(self) -> None:
        """Take everything once more: nobody knows how long ago it was taken last.

        So it is after a start of the machine without knowing the time.
        """
        self._due = frozenset((name, q) for name, t in self.taken.items() for q in t.values)

    def take(
        self, sensor: str, values: Mapping[Quantity, float], at: datetime
    ) -> tuple[dict[Quantity, float], datetime]:
        """Return what is to be taken of `values`, and the moment it gets.

        Two frames of a sensor never get the same moment, since the second would replace the first
        in InfluxDB: it is moved by a microsecond. Nor does one that comes later get an earlier one.
        """
        last = self.taken[sensor]
        packet_id = values.get(Quantity.PACKET_ID)
        is_repeated = packet_id is not None and packet_id == last.packet_id
        if packet_id is not None:
            last.packet_id = packet_id
        taken: dict[Quantity, float] = {
            quantity: value
            for quantity, value in values.items()
            if quantity is not Quantity.PACKET_ID
            and (
                not is_repeated if quantity.is_event else self._is_due(sensor, quantity, value, at)
            )
        }
        if taken:
            if not any(quantity.is_event or quantity.is_state for quantity in taken):
                at = at.replace(microsecond=0)
            if last.at is not None and timedelta(0) <= last.at - at < SECOND:
                at = last.at + MICROSECOND
            last.at = at
            self._due -= {(sensor, quantity) for quantity in taken}
            for quantity, value in taken.items():
                before = last.values.get(quantity)
                since = before.since if before and before.value == value else at
                last.values[quantity] = LastValue(value, at, since)
        return taken, at

    def _is_due(self, sensor: str, quantity: Quantity, value: float, at: datetime) -> bool:
        last = self.taken[sensor].values.get(quantity)
        if last is None or (quantity.is_state and value != last.value):
            return True
        if (sensor, quantity) in self._due:
            return True
        interval = self._intervals[sensor]
        if quantity in BATTERY:
            interval = max(interval, BATTERY_INTERVAL)
        # A clock that was set back must not keep a sensor quiet until it has caught up.
        return not -SECOND < at - last.at < interval * EARLY

    def recall(self, reading: Reading) -> None:
        """Take note of something that was taken before a restart."""
        last = self.taken.get(reading.sensor)
        if last is not None:
            before = last.values.get(reading.quantity)
            since = before.since if before and before.value == reading.value else reading.at
            last.values[reading.quantity] = LastValue(reading.value, reading.at, since)
            last.at = reading.at

    def dump(self) -> bytes:
        """Return all that `load` needs to go on from here."""
        dumped = {
            sensor: {
                "packet_id": taken.packet_id,
                "values": {
                    quantity: [last.value, last.at.isoformat(), last.since.isoformat()]
                    for quantity, last in taken.values.items()
                },
            }
            for sensor, taken in self.taken.items()
        }
        return json.dumps(dumped, ensure_ascii=False, separators=(",", ":")).encode()

    def load(self, dumped: bytes) -> None:
        """Go on where `dump` was called; sensors that are gone are forgotten.

        Raises ValueError, and then nothing has changed, if it is no such dump.
        """
        try:
            states = json.loads(dumped).items()
            loaded = {sensor: _loaded(state) for sensor, state in states if sensor in self.taken}
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
            raise ValueError(f"this is no dump of a sampler: {problem!r}") from problem
        self.taken |= loaded


def _loaded(state: dict[str, Any]) -> Taken:
    values = {
        Quantity(quantity): LastValue(float(value), load_time(at), load_time(since))
        for quantity, (value, at, since) in state["values"].items()
    }
    newest = max((last.at for last in values.values()), default=None)
    return Taken(state["packet_id"], newest, values)
