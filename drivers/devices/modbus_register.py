"""Any RS-485 sensor (Modbus RTU) with one number in a register, as its manual says.

Water gauges, flow meters, rain gauges, anemometers, pyranometers: hundreds of makers, one form. The
manual's table of registers is copied into gateway.toml, and one [[sensor]] reads one number:

    value = number * scale + offset     in the unit that stands in the quantity's name

`number` is what the register holds: "u16", "i16" in one register; "u32", "i32", "f32" (IEEE 754) in
two, the higher one first. A number that the sensor could never mean (a broken wire is often the
lowest or the highest one there is) is refused if `lowest` and `highest` say so.

For example QDY30A, a submersible level gauge, set to metres with three decimals: register 4, "i16",
scale 1 for millimetres. Where the gauge hangs above the ground, `offset` is by how much.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self, TypeAlias

from drivers.device import Bus, Poll
from drivers.devices.soil_probe import BAUDS, LAST_UNIT
from drivers.frame import DamagedFrame, Frame, Registers, Source
from drivers.reading import STATES, Quantity

Number: TypeAlias = Literal["u16", "i16", "u32", "i32", "f32"]

FORMATS: Final[Mapping[Number, str]] = {
    "u16": ">H",
    "i16": ">h",
    "u32": ">I",
    "i32": ">i",
    "f32": ">f",
}
LAST_REGISTER: Final = 0xFFFF

MEASURABLE: Final = frozenset(
    quantity
    for quantity in Quantity
    if quantity not in STATES and not quantity.is_event and quantity is not Quantity.PACKET_ID
)
"""What is a number."""


@dataclass(frozen=True, slots=True)
class ModbusRegister:
    """One number of one sensor, told apart by its port and its address on the bus."""

    port: str
    """A device path; "/dev/serial/by-id/…" survives replugging. `*` stands for anything."""
    quantity: str
    """What the number is of: a quantity, with its unit in its name."""
    register: int
    """Where it is, counted from 0 (some manuals count from 1, or from 30001 or 40001)."""
    number: Number = "u16"
    """How it is written there."""
    scale: float = 1.0
    """What one step of the number is, in the quantity's unit; not 0, below 0 turns it round."""
    offset: float = 0.0
    """What is added, in the quantity's unit."""
    lowest: float | None = None
    """The lowest value to believe, in the quantity's unit; None: any."""
    highest: float | None = None
    """The highest one."""
    function: Literal[3, 4] = 3
    """3 for holding registers, 4 for input registers."""
    unit: int = 1
    """The sensor's Modbus address, 1 to 247."""
    baud: int = 9600
    parity: Literal["N", "E", "O"] = "N"

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "modbus"

    def __post_init__(self) -> None:
        if not self.port.startswith("/"):
            raise ValueError(
                f'port = "{self.port}": give a path such as "/dev/serial/by-id/usb-FTDI*"'
            )
        if self.quantity not in MEASURABLE:
            known = ", ".join(sorted(MEASURABLE))
            raise ValueError(f'quantity = "{self.quantity}": give one of {known}')
        last = LAST_REGISTER + 1 - self._count
        if not 0 <= self.register <= last:
            raise ValueError(f"register = {self.register}: is not from 0 to {last}")
        if self.scale == 0:
            raise ValueError("scale = 0: every number would be the same")
        low, high = self._believed
        if low >= high:
            raise ValueError(f"lowest = {self.lowest}: is not below highest = {self.highest}")
        if not 1 <= self.unit <= LAST_UNIT:
            raise ValueError(f"unit = {self.unit}: a Modbus address is 1 to {LAST_UNIT}")
        if self.baud not in BAUDS:
            raise ValueError(f"baud = {self.baud}: give one of {', '.join(map(str, BAUDS))}")

    @property
    def measures(self) -> frozenset[Quantity]:
        return frozenset({Quantity(self.quantity)})

    @property
    def source(self) -> Source:
        return ("modbus", self.port, str(self.unit))

    @property
    def bus(self) -> Bus:
        return Bus(self.port, self.baud, self.parity)

    @property
    def polls(self) -> tuple[Poll, ...]:
        return (Poll(self.function, self.register, self._count),)

    @property
    def _count(self) -> int:
        return struct.calcsize(FORMATS[self.number]) // 2

    @property
    def _believed(self) -> tuple[float, float]:
        return (
            -math.inf if self.lowest is None else self.lowest,
            math.inf if self.highest is None else self.highest,
        )

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return what the register says; answers to other questions say nothing."""
        if not isinstance(frame, Registers) or frame.source != self.source:
            return {}
        if (frame.function, frame.start) != (self.function, self.register):
            return {}
        if len(frame.values) != self._count:
            raise DamagedFrame(
                f"register {self.register}: {len(frame.values)} registers, asked for {self._count}"
            )
        packed = struct.pack(f">{self._count}H", *frame.values)
        (number,) = struct.unpack(FORMATS[self.number], packed)
        value = number * self.scale + self.offset
        low, high = self._believed
        if not math.isfinite(value) or not low <= value <= high:
            raise DamagedFrame(
                f"register {self.register} holds {number}: {self.quantity} {value:g} is beyond "
                f"{low:g} to {high:g}"
            )
        return {Quantity(self.quantity): round(value, 9)}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:  # noqa: ARG003
        """Return None: a number alone does not say what it is of."""
        return None
