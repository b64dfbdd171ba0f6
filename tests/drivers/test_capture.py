import gzip
import io
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.capture import (
    MAX_LINE_BYTES,
    BadCapture,
    frame_from_json,
    frame_to_json,
    numbered_lines,
    read_frames,
    read_lines,
)
from drivers.frame import Advertisement, PinChange, Registers, SerialFrame

AT = datetime(2026, 11, 22, 21, tzinfo=UTC)
FCD2 = "0000fcd2-0000-1000-8000-00805f9b34fb"
DOCUMENT = Path(__file__).parents[2] / "docs" / "capture.md"

PIN = PinChange(17, 1, AT)
FRAMES = [
    Advertisement("AA:BB:CC:DD:EE:FF", {0x0969: b"\x01\xff"}, {FCD2: b"\x40"}, AT, -60, "見守り"),
    Advertisement("AA:BB:CC:DD:EE:FF", {}, {}, AT),
    SerialFrame("/dev/ttyUSB0", b":0000\r\n", AT),
    Registers("/dev/ttyUSB0", 1, 3, 0, (321, 65535), AT),
    PIN,
]


def line(**changes):
    """A good line, changed; None takes a key away."""
    keys = {"at": "2026-11-23T06:00:00+09:00", "transport": "gpio", "pin": 17, "level": 1} | changes
    return json.dumps({key: value for key, value in keys.items() if value is not None})


def ble(**changes):
    return line(transport="ble", pin=None, level=None, address="AA:BB:CC:DD:EE:FF", **changes)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_is_written_and_read_again(frame):
    written = frame_to_json(frame)
    assert "\n" not in written
    assert frame_from_json(written) == frame


times = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is added below
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)
payloads = st.binary(max_size=40)
ports = st.text(max_size=30)
frames = st.one_of(
    st.builds(
        Advertisement,
        address=st.from_regex(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}", fullmatch=True),
        manufacturer_data=st.dictionaries(st.integers(0, 0xFFFF), payloads, max_size=3),
        service_data=st.dictionaries(st.uuids().map(str), payloads, max_size=3),
        at=times,
        rssi_dbm=st.none() | st.integers(-127, 20),
        name=st.none() | st.text(max_size=30),
    ),
    st.builds(SerialFrame, port=ports, data=st.binary(max_size=300), at=times),
    st.builds(
        Registers,
        port=ports,
        unit=st.integers(1, 247),
        function=st.sampled_from([3, 4]),
        start=st.integers(0, 0xFFFF),
        values=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125).map(tuple),
        at=times,
    ),
    st.builds(PinChange, pin=st.integers(0, 27), level=st.integers(0, 1), at=times),
)


@settings(max_examples=60)
@given(frames)
def test_every_frame_survives_being_written(frame):
    written = frame_to_json(frame)
    again = frame_from_json(written)
    assert again == frame
    assert again.at.utcoffset() == timedelta(0)
    assert written.isascii()
    assert "\n" not in written


def test_the_examples_of_the_document_are_read():
    examples = re.findall(r"```json\n(.*)\n```", DOCUMENT.read_text(encoding="utf-8"))
    read = [frame_from_json(example) for example in examples]
    assert [type(frame) for frame in read] == [Advertisement, SerialFrame, Registers, PinChange]
    assert all(frame.at == AT for frame in read)


def test_any_offset_is_read_as_utc():
    assert frame_from_json(line()).at == AT
    assert frame_from_json(line(at="2026-11-22T21:00:00Z")).at == AT
    assert frame_from_json(line(at="2026-11-22T12:30:00-08:30")).at.tzinfo is UTC


def test_company_numbers_and_uuids_are_read_in_every_spelling():
    frame = frame_from_json(
        ble(
            manufacturer_data={"0x0969": "01", "76": "02", "0XFFFF": "03"},
            service_data={"FCD2": "0A", "0x181c": "0b", "0000FD3D-0000-1000-8000-00805F9B34FB": ""},
        )
    )
    assert frame.manufacturer_data == {0x0969: b"\1", 76: b"\2", 0xFFFF: b"\3"}
    assert frame.service_data == {
        FCD2: b"\x0a",
        FCD2.replace("fcd2", "181c"): b"\x0b",
        FCD2.replace("fcd2", "fd3d"): b"",
    }


def test_an_address_is_read_in_small_letters_and_with_hyphens():
    expected = "A4:C1:38:12:34:56"
    for written in ["a4:c1:38:12:34:56", "A4-C1-38-12-34-56", " A4:c1:38:12:34:56 "]:
        given = json.loads(ble()) | {"address": written}
        assert frame_from_json(json.dumps(given)).address == expected


def test_what_may_be_left_out_may_be_left_out():
    assert frame_from_json(ble()) == Advertisement("AA:BB:CC:DD:EE:FF", {}, {}, AT, None, None)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "not JSON: Expecting value at character 1"),
        ("{", "not JSON"),
        ("\x00\xff\ufffd", "not JSON"),
        ("[]", "a list of 0 instead of an object"),
        ("17", "17 instead of an object"),
        ("[" * 30_000, "not JSON: .*recursion"),
        ('{"a":' * 10_000, "not JSON: .*recursion"),
        ("9" * 10_000, "not JSON: .*digits"),
        (" " * (MAX_LINE_BYTES + 1), "longer than 65536 bytes"),
        ("{}", '"transport" is missing'),
        (
            line(transport="lora"),
            "\"transport\": 'lora' instead of one of ble, serial, modbus, gpio",
        ),
        (line(transport=["ble"]), '"transport": a list of 1'),
        (line(at=None), '"at" is missing'),
        (line(at="2026-11-23T06:00:00"), '"at": .* instead of a time with its offset'),
        (line(at="0001-01-01T00:00:00+09:00"), '"at": .* instead of a time'),
        (line(at="yesterday"), "\"at\": 'yesterday' instead of a time"),
        (line(at=1795413600), '"at": 1795413600 instead of text'),
        (line(pin=None), '"pin" is missing'),
        (line(pin=28), '"pin": 28 instead of a whole number from 0 to 27'),
        (line(pin=17.0), '"pin": 17.0 instead of a whole number'),
        (line(pin="17"), "\"pin\": '17' instead of a whole number"),
        (line(level=True), '"level": true instead of a whole number'),
        (line(pin=float("nan")), "NaN is not a JSON number"),
        (line(pin=float("inf")), "Infinity is not a JSON number"),
        (line().replace("17", "1e999"), '"pin": Infinity instead of a whole number'),
        (line(levle=1), "a gpio frame has no 'levle'"),
        (ble(rssi=-200), '"rssi": -200 instead of a whole number from -127 to 20'),
        (ble(name=5), '"name": 5 instead of text'),
        (ble(manufacturer_data=[]), '"manufacturer_data": a list of 0 instead of an object'),
        (ble(manufacturer_data={"70000": ""}), "'70000' instead of a company number"),
        (ble(manufacturer_data={"0x": ""}), "'0x' instead of a company number"),
        (ble(manufacturer_data={"0x0969": "0"}), "'0' instead of two hexadecimal digits a byte"),
        (ble(manufacturer_data={"0x0969": 5}), '"manufacturer_data": 5 instead of text'),
        (ble(service_data={"d2": ""}), "'d2' instead of a UUID"),
        (
            json.dumps(json.loads(ble()) | {"address": "A4:C1"}),
            "\"address\": 'A4:C1' is not an addr",
        ),
        (
            line(transport="serial", pin=None, level=None, port="p", data="x" * 1000),
            '"data": \'x{59}… instead of two hexadecimal digits',
        ),
    ],
)
def test_a_bad_line_says_what_is_wrong_with_it(bad, says):
    with pytest.raises(BadCapture, match=says) as caught:
        frame_from_json(bad)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"unit": 0}, '"unit": 0 instead of a whole number from 1 to 247'),
        ({"function": 6}, '"function": 6 instead of a whole number from 3 to 4'),
        ({"start": -1}, '"start": -1'),
        ({"registers": []}, '"registers": a list of 0 instead of a list of 1 to 125'),
        ({"registers": [0] * 126}, '"registers": a list of 126'),
        ({"registers": [65536]}, '"registers": 65536 instead of a whole number from 0 to 65535'),
        ({"registers": {}}, '"registers": a group of 0'),
    ],
)
def test_bad_registers_are_refused(changes, says):
    good = json.loads(frame_to_json(Registers("p", 1, 3, 0, (1,), AT)))
    with pytest.raises(BadCapture, match=says):
        frame_from_json(json.dumps(good | changes))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150)
@given(frames, st.data())
def test_whatever_replaces_a_key_it_is_a_frame_or_a_bad_capture(frame, data):
    written = json.loads(frame_to_json(frame))
    written[data.draw(st.sampled_from(sorted(written)))] = data.draw(json_values)
    try:
        assert frame_from_json(json.dumps(written))
    except BadCapture as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right


@pytest.mark.parametrize("name", ["frames.jsonl", "frames.jsonl.gz"])
def test_a_file_is_read_frame_by_frame(tmp_path, name):
    path = tmp_path / name
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(frame_to_json(frame) for frame in FRAMES) + "\n\n")
    assert list(read_frames(path)) == FRAMES


def test_a_bad_line_in_a_file_is_named(tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_text(f"{line()}\n\n{line(pin=99)}\n", encoding="utf-8")
    reading = read_frames(path)
    assert next(reading) == PIN
    with pytest.raises(BadCapture, match=r'frames.jsonl, line 3: "pin": 99'):
        next(reading)


@pytest.mark.parametrize("damage", ["cut", "changed", "not packed"])
def test_a_packed_file_that_is_damaged_is_said_to_be(tmp_path, damage):
    path = tmp_path / "frames.jsonl.gz"
    packed = gzip.compress(line().encode() * 1000)
    path.write_bytes(
        {
            "cut": packed[:-20],
            "changed": packed[:60] + b"\xff" * 20 + packed[80:],
            "not packed": b"{}",
        }[damage]
    )
    with pytest.raises(
        BadCapture, match=r"cannot be unpacked after line [0-9]+ .*copy it once more"
    ):
        list(numbered_lines(path))


def test_a_file_that_is_missing_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        list(read_frames(tmp_path / "nowhere.jsonl"))


def test_of_a_line_without_end_only_the_beginning_is_kept():
    endless = b"x" * (3 * MAX_LINE_BYTES)
    lines = list(read_lines(io.BytesIO(endless + b"\n" + line().encode() + b"\n" + endless)))
    assert [len(each) for each in lines] == [
        MAX_LINE_BYTES + 1,
        len(line()) + 1,
        MAX_LINE_BYTES + 1,
    ]
    with pytest.raises(BadCapture, match="longer than"):
        frame_from_json(lines[0])
    assert frame_from_json(lines[1]) == PIN


def test_bytes_that_are_no_text_do_not_stop_the_reading():
    lines = list(read_lines(io.BytesIO(b"\xff\xfe\x00\n" + line().encode())))
    with pytest.raises(BadCapture):
        frame_from_json(lines[0])
    assert frame_from_json(lines[1]) == PIN
