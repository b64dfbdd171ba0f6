"""Which transports a site needs: made from its sensors, and each library loaded only where needed.

A Pi Zero 2 W has 512 MB for everything: a home without a Modbus probe does not load pymodbus.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar, cast

from drivers.device import Bus, Device, GpioDevice, ModbusDevice
from drivers.transport import Transport
from gateway_config.model import BleSettings, GatewayConfig, RecordedSettings, SensorSettings

Key = TypeVar("Key")
Now: TypeAlias = Callable[[], datetime]
"""What frames are stamped with."""


def transports(config: GatewayConfig, now: Now) -> list[Transport]:
    """Return the transports that hear the configured sensors, not yet running."""
    if config.recorded is not None:
        return [_recorded(config.recorded, now)]
    by_transport = _grouped((s.device.transport, s) for s in config.sensor)
    found: list[Transport] = []
    if sensors := by_transport.get("ble"):
        found.append(ble(config.ble, (s.device.source[1] for s in sensors), now))
    found += _modbus(by_transport.get("modbus", ()), now)
    found += _serial(by_transport.get("serial", ()), now)
    if sensors := by_transport.get("gpio"):
        found.append(_gpio([s.device for s in sensors], now))
    return found


def ble(settings: BleSettings, addresses: Iterable[str] | None, now: Now) -> Transport:
    """Return the Bluetooth transport; addresses None lets everything through."""
    from drivers.transports.ble import BleTransport  # noqa: PLC0415

    return BleTransport(
        None if addresses is None else frozenset(addresses),
        now,
        adapter=settings.adapter,
        scan=settings.scan,
        quiet_s=settings.quiet.total_seconds(),
    )


def _recorded(settings: RecordedSettings, now: Now) -> Transport:
    from drivers.transports.recorded import RecordedTransport  # noqa: PLC0415

    return RecordedTransport(settings.file, now, speed=settings.speed, repeat=settings.repeat)


def _modbus(sensors: Sequence[SensorSettings], now: Now) -> Iterable[Transport]:
    if not sensors:
        return
    from drivers.transports.modbus import ModbusTransport  # noqa: PLC0415

    for bus, devices in _by_bus(sensors).items():
        asked = [(cast("ModbusDevice", s.device), s.interval.total_seconds()) for s in devices]
        yield ModbusTransport(bus, asked, now)


def _serial(sensors: Sequence[SensorSettings], now: Now) -> Iterable[Transport]:
    if not sensors:
        return
    from drivers.transports.serial import SerialTransport  # noqa: PLC0415

    for bus in _by_bus(sensors):
        yield SerialTransport(bus, now)


def _gpio(devices: Sequence[Device], now: Now) -> Transport:
    from drivers.transports.gpio import GpioTransport  # noqa: PLC0415

    return GpioTransport([cast("GpioDevice", device).input for device in devices], now)


def _by_bus(sensors: Iterable[SensorSettings]) -> dict[Bus, list[SensorSettings]]:
    return _grouped((cast("ModbusDevice", sensor.device).bus, sensor) for sensor in sensors)


def _grouped(
    pairs: Iterable[tuple[Key, SensorSettings]],
) -> dict[Key, list[SensorSettings]]:
    groups: dict[Key, list[SensorSettings]] = {}
    for key, sensor in pairs:
        groups.setdefault(key, []).append(sensor)
    return groups
