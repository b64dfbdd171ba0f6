"""What the advertisements of all SwitchBot sensors have in common, for their files in devices/.

A sensor sends its state in manufacturer data (company 0x0969) by itself, and again in service data,
with type and battery, when it is asked (active scanning). The answer can be older than what came by
itself, so the state is taken from the manufacturer data where that holds it. With passive scanning
neither type nor battery are heard.

    manufacturer data   MM MM MM MM MM MM CC ..     M address, C counts changes
    service data        TT SS BB ..                 T type, S status, B battery

- T  bits 0-6: type; bit 5 tells everyday use from pairing mode ("d" and "D", "T" and "t")
- B  bits 0-6: 0 to 100 %
- C  stands still while nothing changes: it numbers changes, not packets, so it is no packet id

https://github.com/OpenWonderLabs/SwitchBotAPI-BLE (devicetypes/ for the service data, issues 15, 26
and 33 for the manufacturer data) and PySwitchbot 3.1.0 (adv_parser.py, adv_parsers/)
"""

from dataclasses import dataclass

from drivers.frame import Advertisement, Frame, Source
from drivers.reading import Quantity

COMPANY = 0x0969

SERVICES = (
    "0000fd3d-0000-1000-8000-00805f9b34fb",
    "00000d00-0000-1000-8000-00805f9b34fb",  # older firmware
)

_TYPE_BITS = 0b0101_1111
"""Without the bit for pairing mode, and without bit 7, which says nothing about the data."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The two payloads of one advertisement; empty when not heard."""

    manufacturer: bytes
    service: bytes

    def is_one_of(self, types: bytes) -> bool:
        """Tell whether it says itself that it is of one of these types (bit 5 cleared)."""
        return bool(self.service) and self.service[0] & _TYPE_BITS in types

    @property
    def battery(self) -> dict[Quantity, float]:
        """The battery's charge, if it was heard and can be so."""
        percent = self.service[2] & 0x7F if len(self.service) > 2 else 127
        return {Quantity.BATTERY_PERCENT: percent} if percent <= 100 else {}


def heard(frame: Frame, source: Source, types: bytes) -> Parts | None:
    """Return the payloads of a frame from this source; None if there are none, or of another type.

    Data that does not name its type is let through: then the settings tell what it is.
    """
    parts = _parts(frame) if frame.source == source else None
    if parts is None or (parts.service and not parts.is_one_of(types)):
        return None
    return parts


def recognised(frame: Frame, types: bytes) -> bool:
    """Tell whether the frame says that it comes from one of these types."""
    parts = _parts(frame)
    return parts is not None and parts.is_one_of(types)


def _parts(frame: Frame) -> Parts | None:
    if not isinstance(frame, Advertisement):
        return None
    service = next(
        (frame.service_data[uuid] for uuid in SERVICES if uuid in frame.service_data), b""
    )
    manufacturer = frame.manufacturer_data.get(COMPANY, b"")
    return Parts(manufacturer, service) if manufacturer or service else None
