"""From a frame to the readings that are taken: which sensor it is of, what it says, what is new.

A frame that cannot be trusted is counted, and a device file with a bug costs its own sensor and no
other.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.sampling import Sampler
from drivers.device import Device
from drivers.frame import DamagedFrame, Frame, Source
from drivers.reading import Quantity

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sensor:
    """One device at this site."""

    name: str
    place: str
    kind: str
    """The file in drivers/devices/."""
    device: Device
    interval: timedelta
    """How often its numbers are taken."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one sensor measured at one moment."""

    sensor: str
    values: Mapping[Quantity, float]
    at: datetime


class Intake:
    """All sensors of the site, by where their frames come from."""

    def __init__(self, sensors: Sequence[Sensor], sampler: Sampler) -> None:
        self.sampler = sampler
        self.heard_at: dict[str, datetime] = {}
        """Sensor to the time of the last frame that could be decoded."""
        self.damaged: dict[str, int] = {}
        """Sensor to how many frames could not be trusted since the start."""
        self.strangers = 0
        """Frames of no sensor of ours."""
        self._faulty: set[str] = set()
        self._by_source: dict[Source, list[Sensor]] = {}
        for sensor in sensors:
            self._by_source.setdefault(sensor.device.source, []).append(sensor)

    def measured(self, frame: Frame) -> Iterator[Measured]:
        """Return what is to be taken of a frame; nothing for a stranger or a repetition."""
        sensors = self._by_source.get(frame.source)
        if sensors is None:
            self.strangers += 1
            return
        for sensor in sensors:
            if decoded := self._decoded(sensor, frame):
                self.heard_at[sensor.name] = frame.at
                values, at = self.sampler.take(sensor.name, decoded, frame.at)
                if values:
                    yield Measured(sensor.name, values, at)

    def _decoded(self, sensor: Sensor, frame: Frame) -> Mapping[Quantity, float]:
        try:
            return _checked(sensor.device.decode(frame))
        except DamagedFrame as problem:
            log.debug("%s: damaged frame: %s", sensor.name, problem)
        except Exception:
            # Told once: a radio repeats itself many times a minute.
            if sensor.name not in self._faulty:
                log.exception("%s: %s cannot decode %r", sensor.name, sensor.kind, frame)
            self._faulty.add(sensor.name)
        self.damaged[sensor.name] = self.damaged.get(sensor.name, 0) + 1
        return {}


def _checked(values: Mapping[Quantity, float]) -> Mapping[Quantity, float]:
    for quantity, value in values.items():
        if not isinstance(quantity, Quantity) or not math.isfinite(value):
            raise ValueError(f"{quantity!r} = {value!r} is no quantity with a finite value")
    return values
