"""SwitchBot Motion Sensor: somebody moving, battery.

    manufacturer data, 10 bytes   MM MM MM MM MM MM CC FF PP PP
    service data, 6 bytes         TT SS BB PP PP DD

- F  bit 6 motion, bit 5 light
- S  bit 6 motion
- P  seconds since motion; D settings and light: not used

The sensor itself says "motion" for about half a minute after the last movement.

Other bytes: drivers/switchbot.py. The vendor's page (devicetypes/motionsensor.md) has the service
data only; the manufacturer data is from PySwitchbot (adv_parsers/motion.py).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device_address import ble_address
from drivers.frame import Advertisement, DamagedFrame, Frame, Source
from drivers.reading import Quantity
from drivers.switchbot import Parts, heard, recognised

TYPES = b"S"


@dataclass(frozen=True, slots=True)
class SwitchBotMotion:
    """One sensor, told apart by its Bluetooth address."""

    address: str

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "ble"
    measures: ClassVar[frozenset[Quantity]] = frozenset(
        {Quantity.MOTION_DETECTED, Quantity.BATTERY_PERCENT}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", ble_address(self.address))

    @property
    def source(self) -> Source:
        return ("ble", self.address)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return whether somebody moves, and the battery if it was heard."""
        parts = heard(frame, self.source, TYPES)
        if parts is None:
            return {}
        return {Quantity.MOTION_DETECTED: float(_motion(parts)), **parts.battery}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        if isinstance(frame, Advertisement) and recognised(frame, TYPES):
            return cls(frame.address)
        return None


def _motion(parts: Parts) -> bool:
    if len(parts.manufacturer) >= 10:
        return bool(parts.manufacturer[7] & 0x40)
    if len(parts.service) >= 6:
        return bool(parts.service[1] & 0x40)
    raise DamagedFrame(
        f"SwitchBot motion: {len(parts.manufacturer)} bytes of manufacturer data instead of 10, "
        f"{len(parts.service)} of service data instead of 6"
    )
