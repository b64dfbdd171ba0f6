"""A magnetic contact (reed switch) on a GPIO pin: a door, a window, a lid.

    3.3 V ── resistor in the Pi (pull = "up") ──┬── pin          magnet near: contact closed, low
                                                └── reed ── GND  magnet away: contact open, high

A cable that is cut, or a magnet that fell off, so looks like an open door: somebody goes and looks.
A contact that opens near its magnet (normally closed) needs open_when = "low".
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device import PinInput
from drivers.device_pin import Level, Pull, electrical, pin_input
from drivers.frame import Frame, PinChange, Source
from drivers.reading import Quantity


@dataclass(frozen=True, slots=True)
class GpioContact:
    """One contact on one pin."""

    pin: int
    """BCM number, 0 to 27."""
    pull: Pull = "up"
    open_when: Level = "high"
    """The level of the pin while the door is open."""
    debounce_s: float = 0.05
    """0 to 10; reed contacts bounce for a few milliseconds."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "gpio"
    measures: ClassVar[frozenset[Quantity]] = frozenset({Quantity.CONTACT_OPEN})

    def __post_init__(self) -> None:
        pin_input(self.pin, self.pull, self.debounce_s)
        electrical("open_when", self.open_when)

    @property
    def source(self) -> Source:
        return ("gpio", str(self.pin))

    @property
    def input(self) -> PinInput:
        return pin_input(self.pin, self.pull, self.debounce_s)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return whether it is open."""
        if not isinstance(frame, PinChange) or frame.source != self.source:
            return {}
        is_open = frame.level == electrical("open_when", self.open_when)
        return {Quantity.CONTACT_OPEN: float(is_open)}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        """Return None: a level does not tell what is wired to the pin."""
        del frame
        return None
