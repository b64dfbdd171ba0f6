"""BTHome v2 sensors and buttons: Shelly BLU, Xiaomi and others with open firmware, home-made ones.

Service data of UUID 0xFCD2, little-endian: one byte about the device, then objects in a row.

    40 | 00 4E | 01 64 | 2D 01 | 3F 00 00
    |    |       |       |       rotation 0.0 degrees: not measured here, skipped by its length
    |    |       |       window = 1 (open)
    |    |       battery = 100 %
    |    packet id = 0x4E
    bits 5-7: version 2; bit 1: the six bytes of the address follow; bit 0: encrypted

- The id of an object gives its length; only text, raw (length byte) and command vary.
- A receiver stops at the first id it does not know, as everything after it has no known place.
- The format has no codes for "not available". Devices send all bits or only the sign bit set then;
  both are outside the range of what is measured, and a value outside its range is left out.
- Of several objects of one quantity the first counts; of several buttons the one in the settings.
- Motion is 0x21 alone. Occupancy (0x23) and presence (0x25) also hold while a person lies still, so
  they are no sign of life; moving (0x22) tells that the sensor itself is moved.
- Moisture is taken to be of soil: the format has no other, and plant sensors are what sends it.
- Voltage 0x0C (mV) is taken to be of the battery: it is where battery devices report it. 0x4A
  (0.1 V) is for the mains and is skipped.
- Packet ids tell repetitions from new packets: without them, one press is heard several times.
- Shelly BLU Button with firmware 1.0.16 repeats its last press about every 5.5 hours, with a new
  packet id (ioBroker.shelly issue 980): update it, or nobody's pressing looks like a sign of life.
- Encrypted devices are not read: that would take a cipher library, and a key for each device.

https://bthome.io/format/ and bthome-ble 3.25.0 (const.py: ids that the page does not have yet).
Shelly's 0xFE for "held" before firmware 1.0.20: https://shelly-api-docs.shelly.cloud/docs-ble/
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from drivers.device_address import ble_address
from drivers.frame import Advertisement, DamagedFrame, Frame, Source
from drivers.reading import Quantity

UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"

ENCRYPTED = 0x01
WITH_ADDRESS = 0x02
VERSION = 2

PACKET_ID = 0x00
BUTTON = 0x3A
COMMAND = 0x3B
TEXT = 0x53
RAW = 0x54

_IDS_BY_LENGTH: Mapping[int, str] = {
    1: "00 01 09 0F 10 11 15 16 17 18 19 1A 1B 1C 1D 1E 1F 20 21 22 23 24 25 26 27 28 29 2A 2B 2C "
    "2D 2E 2F 3A 46 57 58 59 60 64 65",
    2: "02 03 06 07 08 0C 0D 0E 12 13 14 3C 3D 3F 40 41 43 44 45 47 48 49 4A 51 52 56 5A 5D 5E 5F "
    "61 F0",
    3: "04 05 0A 0B 42 4B F2",
    4: "3E 4C 4D 4E 4F 50 55 5B 5C 62 63 F1",
}
LENGTH: Mapping[int, int] = {
    object_id: length for length, ids in _IDS_BY_LENGTH.items() for object_id in bytes.fromhex(ids)
}
"""Bytes of an object's value, by its id."""

HELD = 128
EVENTS: Mapping[int, int] = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 0x80: HELD, 0xFE: HELD}
"""What a button says, as Quantity.BUTTON_EVENT; 0 = not pressed, 0x81 = let go: no events."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """How the integer of an object becomes a value. Integers keep 2345 / 100 exactly 23.45."""

    quantity: Quantity
    per: int = 1
    """Divide by this,"""
    times: int = 1
    """after multiplying by this."""
    low: float = 0
    high: float = 100
    """What lies outside is "not available"."""
    signed: bool = False

    def value(self, data: bytes) -> float | None:
        number = int.from_bytes(data, "little", signed=self.signed)
        value = number * self.times / self.per
        return value if self.low <= value <= self.high else None


def _celsius(per: int, times: int = 1) -> _Scale:
    """Return a temperature of the air, which is never beyond -100 to 150 °C where we measure."""
    return _Scale(Quantity.TEMPERATURE_CELSIUS, per, times, low=-100, high=150, signed=True)


_OPEN = _Scale(Quantity.CONTACT_OPEN, high=1)

SCALE: Mapping[int, _Scale] = {
    PACKET_ID: _Scale(Quantity.PACKET_ID, high=255),
    0x01: _Scale(Quantity.BATTERY_PERCENT),
    0x02: _celsius(per=100),
    0x03: _Scale(Quantity.HUMIDITY_PERCENT, per=100),
    0x0C: _Scale(Quantity.BATTERY_VOLT, per=1000, high=60),
    0x11: _OPEN,  # opening
    0x14: _Scale(Quantity.SOIL_MOISTURE_PERCENT, per=100),
    0x1A: _OPEN,  # door
    0x1B: _OPEN,  # garage door
    0x21: _Scale(Quantity.MOTION_DETECTED, high=1),
    0x2D: _OPEN,  # window
    0x2E: _Scale(Quantity.HUMIDITY_PERCENT),
    0x2F: _Scale(Quantity.SOIL_MOISTURE_PERCENT),
    0x45: _celsius(per=10),
    0x56: _Scale(Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM, high=65_534),
    0x57: _celsius(per=1),
    0x58: _celsius(per=100, times=35),
}


@dataclass(frozen=True, slots=True)
class BTHome:
    """One device, told apart by its Bluetooth address."""

    address: str
    button: int = 1
    """Which of several buttons this sensor stands for, counted from 1."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "ble"
    measures: ClassVar[frozenset[Quantity]] = frozenset(
        {Quantity.BUTTON_EVENT, *(scale.quantity for scale in SCALE.values())}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", ble_address(self.address))
        if self.button < 1:
            raise ValueError(f"button = {self.button}: buttons are counted from 1")

    @property
    def source(self) -> Source:
        return ("ble", self.address)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return what the objects say, up to the first of an unknown kind."""
        if not isinstance(frame, Advertisement) or frame.source != self.source:
            return {}
        payload = frame.service_data.get(UUID)
        if payload is None:
            return {}
        heard = list(_objects(_after_header(payload)))
        return _scaled(heard) | self._pressed(heard)

    def _pressed(self, heard: list[tuple[int, bytes]]) -> dict[Quantity, float]:
        buttons = [value[0] for object_id, value in heard if object_id == BUTTON]
        said = buttons[self.button - 1] if self.button <= len(buttons) else 0
        return {Quantity.BUTTON_EVENT: EVENTS[said]} if said in EVENTS else {}

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        if isinstance(frame, Advertisement) and UUID in frame.service_data:
            return cls(frame.address)
        return None


def _after_header(payload: bytes) -> bytes:
    """Return the objects alone, once it is clear that they can be read."""
    if not payload:
        raise DamagedFrame("BTHome: no bytes at all")
    about = payload[0]
    if about >> 5 != VERSION:
        raise DamagedFrame(f"BTHome version {about >> 5} instead of {VERSION}: update its firmware")
    if about & ENCRYPTED:
        raise DamagedFrame(
            "BTHome, but encrypted: switch encryption off (Shelly BLU: reset it to factory "
            "settings and set no passkey in the app; others: delete the bind key where it was set)"
        )
    return payload[7:] if about & WITH_ADDRESS else payload[1:]


def _objects(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each object's id and value, up to the first unknown id."""
    start = 0
    while start < len(payload):
        object_id = payload[start]
        start += 1
        if object_id in (TEXT, RAW, COMMAND):
            length = _stated_length(object_id, payload[start : start + 1])
            start += 1
        elif object_id in LENGTH:
            length = LENGTH[object_id]
        else:
            return
        value = payload[start : start + length]
        if len(value) < length:
            raise DamagedFrame(
                f"BTHome: object 0x{object_id:02X} has {len(value)} of {length} bytes"
            )
        yield object_id, value
        start += length


def _stated_length(object_id: int, length_byte: bytes) -> int:
    if not length_byte:
        raise DamagedFrame(f"BTHome: object 0x{object_id:02X} ends before its length")
    if object_id == COMMAND:  # bits 0-4 count the arguments; the command itself comes before them
        return 1 + (length_byte[0] & 0x1F)
    return length_byte[0]


def _scaled(heard: list[tuple[int, bytes]]) -> dict[Quantity, float]:
    """Return the first value of each quantity, unless that one is not available."""
    first: dict[Quantity, float | None] = {}
    for object_id, data in heard:
        if object_id in SCALE:
            scale = SCALE[object_id]
            first.setdefault(scale.quantity, scale.value(data))
    return {quantity: value for quantity, value in first.items() if value is not None}
