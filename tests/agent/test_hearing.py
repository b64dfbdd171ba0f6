"""From a configuration to the transports that its sensors need, and no more than those."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from agent import clock
from agent.hearing import transports
from drivers.device import Bus
from drivers.transports.ble import BleTransport
from drivers.transports.gpio import GpioTransport
from drivers.transports.modbus import ModbusTransport
from drivers.transports.recorded import RecordedTransport
from drivers.transports.serial import SerialTransport
from gateway_config.load import load
from gateway_config.model import GatewayConfig, GatewaySettings, SensorSettings

ROOT = Path(__file__).parents[2]


def sensor(name, device, **settings):
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    return "\n".join(["[[sensor]]", f"name = {name!r}", f"device = {device!r}", *lines, ""])


SENSORS = {
    "ble": sensor("meter", "switchbot_meter", address="A4:C1:38:00:00:01"),
    "modbus": sensor("soil", "soil_probe", port="/dev/ttyUSB0", profile="renke"),
    "gpio": sensor("door", "gpio_contact", pin=17),
}


@pytest.fixture
def hearing(tmp_path):
    """Returns the transports of a gateway with these tables."""

    def hearing(*tables):
        path = tmp_path / "gateway.toml"
        path.write_text("\n".join(['[gateway]\nname = "g1"', *tables]))
        return transports(load(path), clock.now)

    return hearing


def names(found):
    return [transport.name for transport in found]


def test_nothing_is_heard_where_nothing_is_configured(hearing):
    assert hearing() == []


def test_each_kind_of_sensor_brings_its_transport(hearing):
    ble, modbus, gpio = hearing(*SENSORS.values())
    assert isinstance(ble, BleTransport)
    assert isinstance(modbus, ModbusTransport)
    assert isinstance(gpio, GpioTransport)


def test_one_radio_and_one_set_of_pins_serve_all_their_sensors(hearing):
    found = hearing(
        SENSORS["ble"],
        sensor("other", "bthome", address="A4:C1:38:00:00:02"),
        SENSORS["gpio"],
        sensor("button", "gpio_button", pin=27),
    )
    assert names(found) == ["ble", "gpio"]


def test_devices_on_one_bus_share_it_and_each_bus_is_one_transport(hearing):
    found = hearing(
        SENSORS["modbus"],
        sensor("deep", "soil_probe", port="/dev/ttyUSB0", profile="renke", unit=2),
        sensor("far", "soil_probe", port="/dev/ttyUSB1", profile="renke"),
    )
    assert names(found) == ["modbus /dev/ttyUSB0", "modbus /dev/ttyUSB1"]


def test_a_recording_takes_the_place_of_everything_else(hearing):
    (recorded,) = hearing(*SENSORS.values(), '[recorded]\nfile = "capture.jsonl"')
    assert isinstance(recorded, RecordedTransport)


class Listening:
    """A device on a serial line; none is shipped yet, but a site may bring its own."""

    transport: ClassVar = "serial"
    bus = Bus("/dev/ttyUSB0", 9600)
    source = ("serial", "/dev/ttyUSB0")


def test_devices_on_one_serial_port_share_it():
    sensors = tuple(SensorSettings(name=name, device=Listening()) for name in ("a", "b"))
    found = transports(GatewayConfig(gateway=GatewaySettings(name="g1"), sensor=sensors), clock.now)
    assert names(found) == ["serial /dev/ttyUSB0"]
    assert isinstance(found[0], SerialTransport)


LIBRARIES = {"ble": {"bleak"}, "modbus": {"pymodbus", "serial"}, "gpio": {"gpiozero"}}


@pytest.mark.parametrize("transport", SENSORS)
def test_a_library_is_loaded_only_where_it_is_needed(tmp_path, transport):
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nname = "g1"\n' + SENSORS[transport])
    script = f"""
import sys
from pathlib import Path
from agent import clock
from agent.hearing import transports
from gateway_config.load import load
transports(load(Path({str(path)!r})), clock.now)
print(*{{"bleak", "pymodbus", "serial", "gpiozero"}} & sys.modules.keys())
"""
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) == LIBRARIES[transport]
