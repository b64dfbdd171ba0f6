"""What transports hand to devices: bytes, registers or a level, from where, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

Source: TypeAlias = tuple[str, ...]
"""Where a frame comes from, as the pipeline looks it up: the transport's name, then an address."""


class DamagedFrame(ValueError):
    """The frame is from this device, but cannot be trusted: wrong length, checksum or range."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """One Bluetooth LE advertisement, as far as BlueZ shows it.

    BlueZ keeps the properties of a device: payloads of earlier advertisements of the same address
    can stay in the two mappings beside the newest.
    """

    address: str
    """Upper-case, colon-separated: "A4:C1:38:12:34:56"."""

    manufacturer_data: Mapping[int, bytes]
    """Payload by Bluetooth SIG company number, without the number itself."""

    service_data: Mapping[str, bytes]
    """Payload by full lower-case UUID: "0000fcd2-0000-1000-8000-00805f9b34fb"."""

    at: datetime

    rssi_dbm: int | None = None
    """Signal strength at the gateway, -127 to 20."""

    name: str | None = None
    """The local name it gives itself."""

    @property
    def source(self) -> Source:
        return ("ble", self.address)


@dataclass(frozen=True, slots=True)
class SerialFrame:
    """What one serial port brought in one piece: a line, or bytes until the line fell idle."""

    port: str
    """As written in gateway.toml, not what it resolved to."""

    data: bytes
    at: datetime

    @property
    def source(self) -> Source:
        return ("serial", self.port)


@dataclass(frozen=True, slots=True)
class Registers:
    """The answer of one Modbus device to one request."""

    port: str
    """As written in gateway.toml, not what it resolved to."""

    unit: int
    """Modbus address, 1 to 247."""

    function: int
    """3 = holding registers, 4 = input registers."""

    start: int
    """Address of the first register, counted from 0."""

    values: tuple[int, ...]
    """One unsigned 16-bit number for each register."""

    at: datetime

    @property
    def source(self) -> Source:
        return ("modbus", self.port, str(self.unit))


@dataclass(frozen=True, slots=True)
class PinChange:
    """The debounced level of a GPIO pin, after it changed or when it was first looked at."""

    pin: int
    """BCM number, 0 to 27."""

    level: int
    """Electrical: 1 = high, 0 = low."""

    at: datetime

    @property
    def source(self) -> Source:
        return ("gpio", str(self.pin))


Frame: TypeAlias = Advertisement | SerialFrame | Registers | PinChange
