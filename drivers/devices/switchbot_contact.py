"""SwitchBot Contact Sensor: door or window, somebody moving near it, battery.

    manufacturer data, 13 bytes   MM MM MM MM MM MM CC FF PP PP HH HH KK
    service data, 9 bytes         TT SS BB DD PP PP HH HH KK

- F  bit 7 motion, bit 6 light, bits 5-4 door
- S  bit 6 motion             D  bits 2-1 door
- door  0 closed, 1 open, 2 left open (open for longer than the app was told): open as well
- P, H  seconds since motion and since the door moved; K counters of the button and of going in and
  out: not used. They only mean something compared with the frame before, and `decode` sees one
  frame; a door opened and closed again between two frames is missed.

Other bytes: drivers/switchbot.py. The vendor's page (devicetypes/contactsensor.md) has the service
data only; the manufacturer data is from PySwitchbot (adv_parsers/contact.py).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device_address import ble_address
from drivers.frame import Advertisement, DamagedFrame, Frame, Source
from drivers.reading import Quantity
from drivers.switchbot import Parts, heard, recognised

TYPES = b"D"


@dataclass(frozen=True, slots=True)
class SwitchBotContact:
    """One sensor, told apart by its Bluetooth address."""

    address: str

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "ble"
    measures: ClassVar[frozenset[Quantity]] = frozenset(
        {Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED, Quantity.BATTERY_PERCENT}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", ble_address(self.address))

    @property
    def source(self) -> Source:
        return ("ble", self.address)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return the state of the door, whether somebody moves, and the battery if it was heard."""
        parts = heard(frame, self.source, TYPES)
        if parts is None:
            return {}
        door, motion = _door_and_motion(parts)
        if door > 2:
            raise DamagedFrame(
                f"SwitchBot contact: the door's state is {door}, which means nothing"
            )
        return {
            Quantity.CONTACT_OPEN: float(door > 0),
            Quantity.MOTION_DETECTED: float(motion),
            **parts.battery,
        }

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        if isinstance(frame, Advertisement) and recognised(frame, TYPES):
            return cls(frame.address)
        return None


def _door_and_motion(parts: Parts) -> tuple[int, bool]:
    if len(parts.manufacturer) >= 13:
        flags = parts.manufacturer[7]
        return flags >> 4 & 3, bool(flags & 0x80)
    if len(parts.service) >= 9:
        return parts.service[3] >> 1 & 3, bool(parts.service[1] & 0x40)
    raise DamagedFrame(
        f"SwitchBot contact: {len(parts.manufacturer)} bytes of manufacturer data instead of 13, "
        f"{len(parts.service)} of service data instead of 9"
    )
