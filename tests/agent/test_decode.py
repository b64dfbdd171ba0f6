import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.devices
from agent.decode import decode
from drivers.capture import frame_to_json, read_lines
from drivers.frame import Advertisement, PinChange, SerialFrame

AT = datetime(2026, 11, 22, 21, tzinfo=UTC)
FCD2 = "0000fcd2-0000-1000-8000-00805f9b34fb"
FD3D = "0000fd3d-0000-1000-8000-00805f9b34fb"
DOCUMENT = Path(__file__).parents[2] / "docs" / "capture.md"
ONE, OTHER = "A4:C1:38:12:34:56", "5C:C7:C1:F4:0A:27"


def bthome(payload, address=ONE):
    return frame_to_json(Advertisement(address, {}, {FCD2: bytes.fromhex(payload)}, AT))


METER = frame_to_json(Advertisement(OTHER, {}, {FD3D: bytes.fromhex("5400e4069835")}, AT))
PIN = frame_to_json(PinChange(17, 1, AT))
STRANGER = frame_to_json(Advertisement(OTHER, {0x004C: b"\2\x15"}, {}, AT))


class Ran:
    """What one call of the command printed and returned."""

    def __init__(self, lines, kind=None, **settings):
        out, err = io.StringIO(), io.StringIO()
        self.code = decode(lines, out, err, kind, settings)
        self.readings = [json.loads(line) for line in out.getvalue().splitlines()]
        *self.problems, self.summary = err.getvalue().splitlines()


def reading(quantity, value, address=ONE, **more):
    at = "2026-11-22T21:00:00+00:00"
    return {"at": at, "sensor": address, "quantity": quantity, "value": value} | more


def test_each_quantity_is_a_line():
    ran = Ran([bthome("4002C40903BF13")], "bthome")
    assert ran.readings == [
        reading("temperature_celsius", 25.0),
        reading("humidity_percent", 50.55),
    ]
    assert (ran.code, ran.problems) == (0, [])
    assert ran.summary == (
        "frames: 1, readings: 2, damaged: 0, not recognised: 0, unreadable lines: 0"
    )


def test_the_example_of_the_document_is_what_comes_out():
    document = DOCUMENT.read_text(encoding="utf-8")
    frame, *_ = re.findall(r"```json\n(.*)\n```", document)
    (example,) = re.findall(r"```text\n(.*)\n```", document)
    assert Ran([frame]).readings[0] == json.loads(example)


def test_any_address_is_decoded_when_none_is_given():
    ran = Ran([bthome("400161"), bthome("400162", OTHER)], "bthome")
    assert ran.readings == [
        reading("battery_percent", 97),
        reading("battery_percent", 98, OTHER),
    ]


def test_only_the_given_address_is_decoded():
    lines = [bthome("400161"), bthome("400162", OTHER)]
    ran = Ran(lines, "bthome", address=OTHER.lower())
    assert ran.readings == [reading("battery_percent", 98, OTHER)]
    assert "frames: 2, readings: 1, damaged: 0, not recognised: 1" in ran.summary


def test_settings_are_converted_to_what_the_device_wants():
    assert Ran([bthome("403A003A02")], "bthome", button="2").readings == [
        reading("button_event", 2)
    ]


def test_without_a_device_every_kind_is_asked():
    ran = Ran([bthome("400161"), METER, STRANGER, PIN])
    assert ran.readings == [
        reading("battery_percent", 97, device="bthome"),
        reading("temperature_celsius", 24.6, OTHER, device="switchbot_meter"),
        reading("humidity_percent", 53, OTHER, device="switchbot_meter"),
        reading("battery_percent", 100, OTHER, device="switchbot_meter"),
    ]
    assert "frames: 4, readings: 4, damaged: 0, not recognised: 2" in ran.summary


def test_frames_of_another_transport_are_not_recognised():
    ran = Ran([PIN], "bthome")
    assert (ran.code, ran.readings) == (0, [])
    assert "not recognised: 1" in ran.summary


@pytest.mark.parametrize("kind", ["bthome", None])
def test_a_damaged_frame_is_reported_and_the_rest_is_read(kind):
    ran = Ran(["", bthome("4002C4"), bthome("400161")], kind)
    assert [each["value"] for each in ran.readings] == [97]
    assert ran.problems == [
        f"line 2: {ONE}: damaged: BTHome: object 0x02 has 1 of 2 bytes",
    ]
    assert "frames: 2, readings: 1, damaged: 1" in ran.summary
    assert ran.code == 0


HOSTILE = {
    "nothing": "{}",
    "another kind of file": "<?xml version='1.0'?>",
    "an endless line": "x" * 1_000_000,
    "deep nesting": "[" * 50_000,
    "a deep group": '{"at":' * 10_000,
    "not a number": '{"transport": "gpio", "pin": NaN}',
    "a wrong type": '{"transport": {"ble": 1}}',
    "binary": "\x00\x01\ufffd\ud800\x1b[2J",
    "a huge number": "9" * 60_000,
    "an escape for the terminal": json.dumps({"transport": "\x1b[2J\ud800"}),
    "another escape": json.dumps({"transport": "ble", "address": "\x1b]0;owned\x07"}),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("kind", ["bthome", None])
def test_whatever_a_line_holds_it_is_reported_and_the_rest_is_read(kind, hostile):
    ran = Ran([hostile, bthome("400161")], kind)
    assert len(ran.readings) == 1
    assert ran.problems[0].startswith("line 1: unreadable: ")
    assert len(ran.problems[0]) < 300
    assert ran.problems[0].isprintable()
    assert "unreadable lines: 1" in ran.summary
    assert ran.code == 0


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_piped_in(rubbish):
    lines = read_lines(io.BytesIO(rubbish + b"\n" + bthome("400161").encode()))
    ran = Ran(lines)
    assert ran.code == 0
    assert ran.readings[-1]["value"] == 97


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("btome", {}, "no file in drivers.devices is called 'btome'; did you mean \"bthome\"?"),
        ("bthome", {"adress": ONE}, "bthome has no setting 'adress'; did you mean \"address\"?"),
        ("bthome", {"button": "two"}, "--set button=two: Input should be a valid integer"),
        ("bthome", {"button": "0"}, "button = 0: buttons are counted from 1"),
        ("bthome", {"address": "A4:C1"}, "'A4:C1' is not an address"),
        (None, {"address": ONE}, "--set gives settings of a device: name it with --device"),
    ],
)
def test_a_wrong_call_says_so_and_reads_nothing(kind, given, says):
    def lines():
        raise AssertionError("was read")
        yield

    ran = Ran(lines(), kind, **given)
    assert ran.code == 2
    assert ran.readings == []
    assert f"satomori decode: {says}" in ran.summary


@pytest.fixture
def new_kinds(tmp_path, monkeypatch):
    """Puts device files beside ours."""
    written = []

    def write(kind, text):
        (tmp_path / f"{kind}.py").write_text(text, encoding="utf-8")
        written.append(f"drivers.devices.{kind}")

    monkeypatch.setattr(drivers.devices, "__path__", [*drivers.devices.__path__, str(tmp_path)])
    yield write
    for name in written:
        sys.modules.pop(name, None)


LEVEL = """
from dataclasses import dataclass
from typing import ClassVar, Literal
from drivers.reading import Quantity

@dataclass(frozen=True)
class Level:
    port: str
    fluid: str
    scale: Literal["mm", "cm"] = "mm"
    transport: ClassVar[str] = "serial"
    measures: ClassVar[frozenset] = frozenset()

    def __post_init__(self):
        if self.port == "/dev/refused":
            raise ValueError("not this port")

    @property
    def source(self):
        return ("serial", self.port)

    def decode(self, frame):
        per = 10 if self.scale == "cm" else 1
        return {Quantity.SOIL_PH: len(frame.data) / per}

    @classmethod
    def recognise(cls, frame):
        return None
"""


def test_a_new_device_file_can_be_tried_at_once(new_kinds):
    new_kinds("level", LEVEL)
    lines = [frame_to_json(SerialFrame(port, b"12345", AT)) for port in ("/dev/a", "/dev/refused")]
    ran = Ran(lines, "level", fluid="oil", scale="cm")
    assert ran.readings == [reading("soil_ph", 0.5, "/dev/a")]
    assert ran.problems == ["line 2: /dev/refused: damaged: not this port"]


def test_a_port_cannot_write_to_the_terminal(new_kinds):
    new_kinds("level", LEVEL.replace("/dev/refused", "\\x1b[2J"))
    ran = Ran([frame_to_json(SerialFrame("\x1b[2J", b"", AT))], "level", fluid="oil")
    assert ran.problems == ["line 1: '\\x1b[2J': damaged: not this port"]


def test_a_setting_that_is_missing_is_asked_for(new_kinds):
    new_kinds("level", LEVEL)
    ran = Ran([], "level")
    assert (ran.code, ran.summary) == (2, "satomori decode: level needs --set fluid=…")


def test_a_setting_with_a_choice_says_what_there_is(new_kinds):
    new_kinds("level", LEVEL)
    ran = Ran([], "level", fluid="oil", scale="km")
    assert ran.summary == "satomori decode: --set scale=km: Input should be 'mm' or 'cm'"
