"""What a file in drivers/devices/ offers, and what it may ask of its transport.

A device is a frozen dataclass: its fields are its settings in gateway.toml, its class attributes
say what it is, and `decode` is pure. Settings that cannot be right are refused in `__post_init__`
with a ValueError that names the setting, its value, and what would be right.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self

from drivers.frame import Frame, Source
from drivers.reading import Quantity


class Device(Protocol):
    """One kind of hardware."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]]
    """Which transport hears it."""

    @property
    def measures(self) -> frozenset[Quantity]:
        """All it can ever measure, so that a rule on anything else is refused at once."""
        ...

    @property
    def source(self) -> Source:
        """Where its frames come from; others are never shown to it."""
        ...

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return what the frame says, in each quantity's unit; every value is finite.

        {} means "not mine, or nothing in it". Raises DamagedFrame for "mine, but not to trust".
        """
        ...

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        """Return the device that this frame seems to come from, with settings to match, or None.

        For `satomori decode` and `listen`, where nothing is configured yet. A guess: the daemon
        never calls it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Poll:
    """One Modbus request that a device wants to be made for it."""

    function: Literal[3, 4]
    start: int
    count: int
    """Registers, 1 to 125."""


@dataclass(frozen=True, slots=True)
class Bus:
    """How a serial port has to be set for the devices on it."""

    port: str
    """A device path; "/dev/serial/by-id/…" survives replugging. `*` stands for anything."""

    baud: int
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class ModbusDevice(Device, Protocol):
    """A device that has to be asked over RS-485."""

    @property
    def bus(self) -> Bus: ...

    @property
    def unit(self) -> int: ...

    @property
    def polls(self) -> tuple[Poll, ...]:
        """The requests that together make one measurement."""
        ...


@dataclass(frozen=True, slots=True)
class PinInput:
    """How a GPIO pin has to be set for what is wired to it."""

    pin: int
    """BCM number, 0 to 27."""

    pull: Literal["up", "down", "none"]
    debounce_s: float
    """A level must last this long after the first edge before another edge is believed."""


class GpioDevice(Device, Protocol):
    """A device wired to a pin."""

    @property
    def input(self) -> PinInput: ...
