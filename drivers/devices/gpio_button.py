"""A push button on a GPIO pin: a call for help, or an "I am well".

    3.3 V ── resistor in the Pi (pull = "up") ──┬── pin            let go: high
                                                └── button ── GND  pressed: low

- Pressing is the event; letting go says nothing. How long it was held is not looked at: a person
  in need does not count seconds.
- The transport tells the level that it finds at its start like a change. A button at rest is found
  let go, which is no event. A button found pressed counts as pressed: somebody may be holding it
  just now, or has pushed one that latches while the power was off, and a call must not get lost. If
  nobody did, `pressed_when` is wrong or the cable has a short, and it is well that this shows at
  once and not when the button is needed.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device import PinInput
from drivers.device_pin import Level, Pull, electrical, pin_input
from drivers.frame import Frame, PinChange, Source
from drivers.reading import Quantity

PRESSED_ONCE = 1.0


@dataclass(frozen=True, slots=True)
class GpioButton:
    """One button on one pin."""

    pin: int
    """BCM number, 0 to 27."""
    pull: Pull = "up"
    pressed_when: Level = "low"
    """The level of the pin while the button is pressed."""
    debounce_s: float = 0.05
    """0 to 10."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "gpio"
    measures: ClassVar[frozenset[Quantity]] = frozenset({Quantity.BUTTON_EVENT})

    def __post_init__(self) -> None:
        pin_input(self.pin, self.pull, self.debounce_s)
        electrical("pressed_when", self.pressed_when)

    @property
    def source(self) -> Source:
        return ("gpio", str(self.pin))

    @property
    def input(self) -> PinInput:
        return pin_input(self.pin, self.pull, self.debounce_s)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return that it was pressed once, or nothing when it was let go."""
        if not isinstance(frame, PinChange) or frame.source != self.source:
            return {}
        if frame.level != electrical("pressed_when", self.pressed_when):
            return {}
        return {Quantity.BUTTON_EVENT: PRESSED_ONCE}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        """Return None: a level does not tell what is wired to the pin."""
        del frame
        return None
