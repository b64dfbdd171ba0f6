"""From frames to what is taken of them, also with device files that have bugs."""

import logging
import math
from datetime import UTC, datetime, timedelta

import pytest

from agent.intake import Intake, Measured, Sensor
from agent.sampling import Sampler
from drivers.devices.bthome import UUID, BTHome
from drivers.frame import Advertisement
from drivers.reading import Quantity

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
ADDRESS = "A4:C1:38:00:00:01"
ONE_OF_TWO_BUTTONS = "400007 3a01 3a00"
TEMPERATURE = "4002c409"


class Buggy:
    """What somebody's new device file may do at the same address."""

    source = ("ble", ADDRESS)

    def __init__(self, said):
        self._said = said

    def decode(self, frame):
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


def intake_of(**devices):
    interval = timedelta(minutes=1)
    sensors = [Sensor(name, "", "kind", device, interval) for name, device in devices.items()]
    return Intake(sensors, Sampler(dict.fromkeys(devices, interval)))


def frame(payload, address=ADDRESS, after_s=0.0):
    at = AT + timedelta(seconds=after_s)
    return Advertisement(address, {}, {UUID: bytes.fromhex(payload)}, at)


def test_a_frame_becomes_what_its_sensor_measured():
    intake = intake_of(meter=BTHome(ADDRESS))
    taken = list(intake.measured(frame(TEMPERATURE)))
    assert taken == [Measured("meter", {Quantity.TEMPERATURE_CELSIUS: 25.0}, AT)]
    assert intake.heard_at == {"meter": AT}


def test_a_frame_can_be_of_two_sensors():
    intake = intake_of(left=BTHome(ADDRESS, button=1), right=BTHome(ADDRESS, button=2))
    (left,) = intake.measured(frame(ONE_OF_TWO_BUTTONS))
    assert (left.sensor, left.values) == ("left", {Quantity.BUTTON_EVENT: 1})
    (right,) = intake.measured(frame("400008 3a00 3a02"))
    assert (right.sensor, right.values) == ("right", {Quantity.BUTTON_EVENT: 2})
    assert set(intake.heard_at) == {"left", "right"}


def test_a_repetition_is_heard_though_nothing_is_taken():
    intake = intake_of(meter=BTHome(ADDRESS))
    list(intake.measured(frame(TEMPERATURE)))
    assert list(intake.measured(frame(TEMPERATURE, after_s=5))) == []
    assert intake.heard_at == {"meter": AT + timedelta(seconds=5)}


def test_a_stranger_is_counted_and_else_ignored():
    intake = intake_of(meter=BTHome(ADDRESS))
    assert list(intake.measured(frame(TEMPERATURE, "A4:C1:38:00:00:02"))) == []
    assert (intake.strangers, intake.damaged, intake.heard_at) == (1, {}, {})


def test_a_frame_that_says_nothing_is_neither_heard_nor_damaged():
    intake = intake_of(meter=BTHome(ADDRESS))
    assert list(intake.measured(frame("40"))) == []
    assert (intake.strangers, intake.damaged, intake.heard_at) == (0, {}, {})


def test_a_damaged_frame_is_counted_for_its_sensor():
    intake = intake_of(meter=BTHome(ADDRESS))
    for _ in range(3):
        assert list(intake.measured(frame("4002c4"))) == []
    assert (intake.damaged, intake.heard_at) == ({"meter": 3}, {})


@pytest.mark.parametrize(
    "said",
    [
        IndexError("bytes index out of range"),
        None,
        {Quantity.TEMPERATURE_CELSIUS: math.nan},
        {Quantity.TEMPERATURE_CELSIUS: math.inf},
        {Quantity.TEMPERATURE_CELSIUS: None},
        {Quantity.TEMPERATURE_CELSIUS: "21.5"},
        {"temperature": 21.5},
        [21.5],
    ],
)
def test_a_device_file_with_a_bug_costs_its_own_sensor_and_no_other(said):
    intake = intake_of(buggy=Buggy(said), good=BTHome(ADDRESS))
    assert [taken.sensor for taken in intake.measured(frame(TEMPERATURE))] == ["good"]
    assert (intake.damaged, list(intake.heard_at)) == ({"buggy": 1}, ["good"])


def test_a_bug_is_told_once_with_what_helps_to_find_it(caplog):
    intake = intake_of(buggy=Buggy(IndexError("out of range")))
    for _ in range(100):
        list(intake.measured(frame(TEMPERATURE)))
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.getMessage().startswith("buggy: kind cannot decode Advertisement(")
    assert "IndexError: out of range" in caplog.text
    assert intake.damaged == {"buggy": 100}
