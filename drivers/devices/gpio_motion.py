"""A passive infrared motion sensor (PIR) on a GPIO pin: HC-SR501, AM312 and the like.

    OUT ── pin   3.3 V = somebody moves, 0 V = nobody has moved for the time set on the sensor

The pin is pulled down, so that a sensor that is unplugged sees nobody: a cable that fell out must
not look like a sign of life. Most sensors see things in their first minute after power came.
An output that pulls to ground instead (open collector) needs pull = "up" and motion_when = "low".
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device import PinInput
from drivers.device_pin import Level, Pull, electrical, pin_input
from drivers.frame import Frame, PinChange, Source
from drivers.reading import Quantity


@dataclass(frozen=True, slots=True)
class GpioMotion:
    """One sensor on one pin."""

    pin: int
    """BCM number, 0 to 27."""
    pull: Pull = "down"
    motion_when: Level = "high"
    """The level of the pin while somebody moves."""
    debounce_s: float = 0.05
    """0 to 10."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "gpio"
    measures: ClassVar[frozenset[Quantity]] = frozenset({Quantity.MOTION_DETECTED})

    def __post_init__(self) -> None:
        pin_input(self.pin, self.pull, self.debounce_s)
        electrical("motion_when", self.motion_when)

    @property
    def source(self) -> Source:
        return ("gpio", str(self.pin))

    @property
    def input(self) -> PinInput:
        return pin_input(self.pin, self.pull, self.debounce_s)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return whether somebody moves."""
        if not isinstance(frame, PinChange) or frame.source != self.source:
            return {}
        moves = frame.level == electrical("motion_when", self.motion_when)
        return {Quantity.MOTION_DETECTED: float(moves)}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        """Return None: a level does not tell what is wired to the pin."""
        del frame
        return None
