"""Finds mistakes that are in no table by itself: what two tables of the file say does not agree."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC
from typing import TypeAlias, cast

from drivers.device import Bus, GpioDevice, ModbusDevice
from drivers.reading import Quantity
from gateway_config.mistakes import Mistake, both, did_you_mean, shown, there_are
from gateway_config.model import GatewayConfig, SensorSettings
from rules.hours import Hours

Sensors: TypeAlias = Mapping[str, SensorSettings]
"""Those whose device could be read, by the path of their table."""

ACTIVITY = frozenset({Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED, Quantity.BUTTON_EVENT})


def contradictions(
    config: GatewayConfig, sensors: Sensors, names: Collection[str]
) -> Iterator[Mistake]:
    """Yield the mistakes in what could be read; `names` are those of all sensors in the file."""
    yield from _uplink(config)
    yield from _same_pin(config, sensors)
    yield from _same_device(sensors)
    yield from _same_port(sensors)
    yield from _presence(config, sensors, names)


def _uplink(config: GatewayConfig) -> Iterator[Mistake]:
    uplink = config.uplink
    if uplink is None:
        return
    if uplink.key_file and not uplink.cert_file:
        yield Mistake("uplink.key_file", "", "is of no use without cert_file")
    if uplink.password_file and not uplink.username:
        hint = "add the name that the password belongs to"
        yield Mistake("uplink.username", "", "is missing, but there is a password_file", hint)
    if uplink.confirmed_by == "broker" and uplink.encoding == "columns":
        hint = 'set encoding = "line-protocol" (or "gzip")'
        yield Mistake("uplink.encoding", "", "is one that only our ingester reads", hint)
    for key in ("ca_file", "cert_file"):
        if not uplink.tls and getattr(uplink, key):
            yield Mistake(f"uplink.{key}", "", "is of no use with tls = false")


def _same_pin(config: GatewayConfig, sensors: Sensors) -> Iterator[Mistake]:
    pins = [
        (at, cast("GpioDevice", sensor.device).input.pin)
        for at, sensor in sensors.items()
        if sensor.device.transport == "gpio"
    ]
    pins += [
        (f"signals.{key}", pin)
        for key in ("lamp_pin", "buzzer_pin")
        if (pin := getattr(config.signals, key)) is not None
    ]
    used: dict[int, str] = {}
    for at, pin in pins:
        if pin in used:
            yield Mistake(at, "", f"uses the GPIO pin {pin}, as {used[pin]} does")
        used.setdefault(pin, at)


def _same_device(sensors: Sensors) -> Iterator[Mistake]:
    seen: dict[str, SensorSettings] = {}
    for at, sensor in sensors.items():
        problems = (_clash(sensor, before, other) for before, other in seen.items())
        problem = next(filter(None, problems), None)
        if problem is not None:
            yield Mistake(at, "", problem)
        seen[at] = sensor


def _clash(sensor: SensorSettings, before: str, other: SensorSettings) -> str | None:
    """Return why both are not possible. Parts of one device, such as two buttons, are."""
    if sensor.device.transport == "gpio" or sensor.device.source != other.device.source:
        return None
    if sensor.kind != other.kind:
        return f"is a {sensor.kind}, but {before} is a {other.kind} at the same address"
    return f"is the same device as {before}" if sensor.device == other.device else None


def _same_port(sensors: Sensors) -> Iterator[Mistake]:
    buses: dict[str, tuple[str, Bus]] = {}
    for at, sensor in sensors.items():
        if sensor.device.transport != "modbus":
            continue
        bus = cast("ModbusDevice", sensor.device).bus
        before, first = buses.setdefault(bus.port, (at, bus))
        if bus != first:
            problem = f"sets {bus.port} to {_line(bus)}, but {before} sets it to {_line(first)}"
            yield Mistake(at, "", problem, "all devices on one line speak alike")


def _line(bus: Bus) -> str:
    return f"{bus.baud} 8{bus.parity}{bus.stop_bits}"


def _presence(config: GatewayConfig, sensors: Sensors, names: Collection[str]) -> Iterator[Mistake]:
    presence = config.presence
    if presence is None:
        return
    able = {sensor.name: sensor.device.measures for sensor in sensors.values()}
    wanted = {
        "doors": frozenset({Quantity.CONTACT_OPEN}),
        "interior": ACTIVITY,
        "buttons": frozenset({Quantity.BUTTON_EVENT}),
    }
    for key, quantities in wanted.items():
        path, needed = f"presence.{key}", " or ".join(sorted(quantities))
        for name in sorted(getattr(presence, key)):
            if name not in names:
                meant = both(did_you_mean(name, names), there_are(map(shown, names)))
                yield Mistake(path, shown(name), "no such sensor", meant)
            elif name in able and not able[name] & quantities:
                yield Mistake(path, shown(name), f"never measures {needed}")
    for name in sorted(presence.doors & presence.interior):
        yield Mistake("presence.interior", shown(name), 'is among the "doors" as well')
    if presence.sleep is not None:
        try:
            Hours.parse(presence.sleep, UTC)
        except ValueError as error:
            yield Mistake("presence.sleep", shown(presence.sleep), str(error))
