"""SwitchBot Meter, Meter Plus, Outdoor Meter, Meter Pro, Meter Pro CO2: temperature and humidity.

    manufacturer data, 11 bytes or more   MM MM MM MM MM MM CC xx DD TT HH ..
    service data, 6 bytes                 KK SS BB DD TT HH     Meter and Meter Plus
    service data, 3 bytes                 KK SS BB              the others

- K  type: T Meter, i Meter Plus, w Outdoor Meter, 4 Meter Pro, 5 Meter Pro CO2
- D  bits 0-3: tenths of a degree, 0 to 9
- T  bit 7: 1 = above zero, 0 = below; bits 0-6: whole degrees Celsius
- H  bits 0-6: 0 to 100 %; bit 7: the display shows Fahrenheit, which changes nothing here
- DD TT HH = 00 00 00: nothing measured yet
- CO2 (bytes 13-14 of the manufacturer data) is not measured here

Other bytes: drivers/switchbot.py. The vendor's page (devicetypes/meter.md) has the service data;
the manufacturer data is from its issues 26 and 33 and from PySwitchbot (adv_parsers/meter.py).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device_address import ble_address
from drivers.frame import Advertisement, DamagedFrame, Frame, Source
from drivers.reading import Quantity
from drivers.switchbot import Parts, heard, recognised

TYPES = b"TIW\x14\x15"
"""With bit 5 cleared, which makes "w" a "W" and "4" a 0x14."""


@dataclass(frozen=True, slots=True)
class SwitchBotMeter:
    """One meter, told apart by its Bluetooth address."""

    address: str

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "ble"
    measures: ClassVar[frozenset[Quantity]] = frozenset(
        {Quantity.TEMPERATURE_CELSIUS, Quantity.HUMIDITY_PERCENT, Quantity.BATTERY_PERCENT}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", ble_address(self.address))

    @property
    def source(self) -> Source:
        return ("ble", self.address)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return temperature and humidity, and the battery if it was heard."""
        parts = heard(frame, self.source, TYPES)
        if parts is None:
            return {}
        climate = _climate_bytes(parts)
        if climate == bytes(3):
            return {}
        return _climate(climate) | parts.battery

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        if isinstance(frame, Advertisement) and recognised(frame, TYPES):
            return cls(frame.address)
        return None


def _climate_bytes(parts: Parts) -> bytes:
    """Return the three bytes with temperature and humidity; none if only the battery was heard."""
    if len(parts.manufacturer) >= 11:
        return parts.manufacturer[8:11]
    if len(parts.service) >= 6:
        return parts.service[3:6]
    if len(parts.service) == 3:
        return b""
    raise DamagedFrame(
        f"SwitchBot meter: {len(parts.manufacturer)} bytes of manufacturer data instead of 11, "
        f"{len(parts.service)} of service data instead of 6"
    )


def _climate(data: bytes) -> dict[Quantity, float]:
    if not data:
        return {}
    tenths, degrees, humidity = data[0] & 0x0F, data[1] & 0x7F, data[2] & 0x7F
    if tenths > 9 or humidity > 100:
        raise DamagedFrame(
            f"SwitchBot meter: {tenths} tenths of a degree (0-9), {humidity} % humidity (0-100)"
        )
    sign = 1 if data[1] & 0x80 else -1
    return {
        Quantity.TEMPERATURE_CELSIUS: sign * (degrees * 10 + tenths) / 10,
        Quantity.HUMIDITY_PERCENT: humidity,
    }
