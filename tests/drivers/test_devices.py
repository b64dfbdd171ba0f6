"""Every device decodes the frames in tests/vectors/devices/<kind>.toml as written there.

To test a new device, write its vectors; this file does not change.

    settings = { address = "A4:C1:38:8D:18:B2" }    # of the device, as in gateway.toml

    [[frame]]
    says = "what it is, and where it is from"
    settings = { … }                                 # only what is different for this frame
    advertisement = { manufacturer_data = { 0x0969 = "hex" }, service_data = { fcd2 = "hex" } }
    # or registers = { values = [1, 2] }, or pin = { level = 1 }, or serial = { data = "hex" }
    measures = { temperature_celsius = 23.45 }       # exactly; or: damaged = "regular expression"

Frames are written as in capture files (docs/capture.md). What is left out is taken from the device:
where the frame comes from, and of registers the first poll.
"""

import json
import math
import sys
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.devices
from drivers.capture import frame_from_json
from drivers.frame import Advertisement, DamagedFrame, PinChange, Registers, SerialFrame
from drivers.reading import Quantity
from gateway_config.kinds import find, kinds

VECTORS = Path(__file__).parents[1] / "vectors" / "devices"
KINDS = kinds(drivers.devices)
AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
TRANSPORT = {"advertisement": "ble", "registers": "modbus", "pin": "gpio", "serial": "serial"}


def vectors_of(kind, folder=VECTORS):
    """Each [[frame]] of a kind, with all settings that hold for it."""
    file = folder / f"{kind}.toml"
    if not file.exists():
        return []
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    common = document["settings"]
    return [
        vector | {"settings": common | vector.get("settings", {})} for vector in document["frame"]
    ]


def device_of(kind, vector):
    return find(drivers.devices, kind)(**vector["settings"])


def frame_of(vector, device):
    """The frame of a vector, as if `device` had sent it where nothing else is said."""
    (form,) = TRANSPORT.keys() & vector.keys()
    written = dict(vector[form])
    if form == "registers":
        written["registers"] = written.pop("values")
    defaults = {"at": AT.isoformat(), "transport": TRANSPORT[form]}
    if device.transport == TRANSPORT[form]:
        defaults |= origin_of(device)
    return frame_from_json(json.dumps(defaults | written))


def origin_of(device):
    match device.source:
        case ("ble", address):
            return {"address": address}
        case ("serial", port):
            return {"port": port}
        case ("modbus", port, unit):
            poll = device.polls[0]
            return {"port": port, "unit": int(unit), "function": poll.function, "start": poll.start}
        case ("gpio", pin):
            return {"pin": int(pin)}


def decoded(device, frame):
    """What the device decodes, checked for what every device promises."""
    measured = device.decode(frame)
    assert measured.keys() <= device.measures
    assert all(isinstance(quantity, Quantity) for quantity in measured)
    assert all(math.isfinite(value) for value in measured.values())
    return measured


def check(kind, vector):
    device = device_of(kind, vector)
    frame = frame_of(vector, device)
    if "damaged" in vector:
        assert "measures" not in vector
        with pytest.raises(DamagedFrame, match=vector["damaged"]):
            device.decode(frame)
    else:
        assert decoded(device, frame) == vector["measures"]


def each_vector():
    for kind in KINDS:
        for vector in vectors_of(kind):
            yield pytest.param(kind, vector, id=f"{kind}: {vector['says']}")


@pytest.mark.parametrize(("kind", "vector"), list(each_vector()))
def test_a_device_decodes_its_vectors(kind, vector):
    check(kind, vector)


@pytest.mark.parametrize("kind", KINDS)
def test_every_device_has_vectors_of_good_and_of_bad_frames(kind):
    vectors = vectors_of(kind)
    assert vectors, f"a new device needs its vectors: write {VECTORS / kind}.toml"
    assert any(vector.get("measures") for vector in vectors)
    if find(drivers.devices, kind).transport != "gpio":  # a level is neither damaged nor foreign
        assert any("damaged" in vector for vector in vectors)
        assert any(vector.get("measures") == {} for vector in vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vectors_show_all_that_a_device_measures(kind):
    vectors = vectors_of(kind)
    shown = {quantity for vector in vectors for quantity in vector.get("measures", {})}
    assert shown == {each for vector in vectors for each in device_of(kind, vector).measures}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_other_transports_are_not_for_this_device(kind):
    device = device_of(kind, vectors_of(kind)[0])
    frames = [
        Advertisement("A4:C1:38:12:34:56", {}, {}, AT),
        SerialFrame("/dev/ttyUSB0", b"", AT),
        Registers("/dev/ttyUSB0", 1, 3, 0, (0,), AT),
        PinChange(17, 1, AT),
    ]
    for frame in frames:
        if frame.source[0] != device.transport:
            assert device.decode(frame) == {}
            assert type(device).recognise(frame) is None


def each_frame():
    """Every frame of every kind, with the device that it was written for."""
    for kind in KINDS:
        for vector in vectors_of(kind):
            device = device_of(kind, vector)
            yield device, frame_of(vector, device)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_device_recognises_comes_from_where_the_frame_came_from(kind):
    cls = find(drivers.devices, kind)
    for _, frame in each_frame():
        recognised = cls.recognise(frame)
        assert recognised is None or recognised.source == frame.source


def test_an_advertisement_that_can_be_decoded_is_recognised_by_no_other_kind():
    classes = [find(drivers.devices, kind) for kind in KINDS]
    for device, frame in each_frame():
        if isinstance(frame, Advertisement):
            recognised = [cls for cls in classes if cls.recognise(frame)]
            assert len(recognised) <= 1
            with suppress(DamagedFrame):
                assert recognised in ([], [type(device)]) or device.decode(frame) == {}


@st.composite
def mangled(draw, payload):
    """A payload with a few bytes changed, cut or extended."""
    changed = bytearray(payload)
    if changed:
        places = st.integers(0, len(changed) - 1)
        for place in draw(st.lists(places, max_size=3)):
            changed[place] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(changed)))]) + draw(st.binary(max_size=4))


def mangled_frames(device, samples):
    """Frames that could come from the device, like the samples or like nothing."""
    match device.source:
        case ("ble", address):
            return st.builds(
                Advertisement,
                address=st.just(address),
                manufacturer_data=mangled_payloads(frame.manufacturer_data for frame in samples),
                service_data=mangled_payloads(frame.service_data for frame in samples),
                at=st.just(AT),
            )
        case ("serial", port):
            data = st.sampled_from([frame.data for frame in samples]).flatmap(mangled)
            return st.builds(
                SerialFrame, st.just(port), data | st.binary(max_size=300), st.just(AT)
            )
        case ("modbus", port, unit):
            words = st.lists(st.integers(0, 0xFFFF), max_size=12).map(tuple)
            polls = st.sampled_from([(poll.function, poll.start) for poll in device.polls])
            return st.builds(
                lambda poll, values: Registers(port, int(unit), *poll, values, AT), polls, words
            )
        case ("gpio", pin):
            return st.builds(PinChange, st.just(int(pin)), st.integers(0, 1), st.just(AT))


def mangled_payloads(mappings):
    """Payloads under the keys that the samples have."""
    pairs = sorted({pair for mapping in mappings for pair in mapping.items()})
    if not pairs:
        return st.just({})
    payloads = st.sampled_from([payload for _, payload in pairs]).flatmap(mangled)
    keys = st.sampled_from([key for key, _ in pairs])
    return st.dictionaries(keys, payloads | st.binary(max_size=40), max_size=2)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_heard_a_device_measures_what_it_may_or_says_damaged(kind):
    vectors = vectors_of(kind)
    device = device_of(kind, vectors[0])
    frames = [frame_of(vector, device) for vector in vectors]
    samples = [frame for frame in frames if frame.source[0] == device.transport]

    @settings(max_examples=150)
    @given(mangled_frames(device, samples))
    def hears(frame):
        type(device).recognise(frame)
        try:
            decoded(device, frame)
        except DamagedFrame as damage:
            said.add(str(damage))

    said = set()

    hears()
    assert "" not in said


NEW_DEVICE = '''
"""A soil thermometer that somebody soldered: one byte, degrees and 40 more; FF = not available."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.device_address import ble_address
from drivers.frame import Advertisement, DamagedFrame
from drivers.reading import Quantity


@dataclass(frozen=True, slots=True)
class Soldered:
    address: str

    transport: ClassVar[str] = "ble"
    measures: ClassVar[frozenset[Quantity]] = frozenset({Quantity.SOIL_TEMPERATURE_CELSIUS})

    @property
    def source(self):
        return ("ble", self.address)

    def decode(self, frame):
        if frame.source != self.source or 0xFFFF not in frame.manufacturer_data:
            return {}
        payload = frame.manufacturer_data[0xFFFF]
        if len(payload) != 1:
            raise DamagedFrame(f"{len(payload)} bytes instead of 1")
        return {} if payload == b"\\xff" else {Quantity.SOIL_TEMPERATURE_CELSIUS: payload[0] - 40}

    @classmethod
    def recognise(cls, frame):
        return None
'''

NEW_VECTORS = """
settings = { address = "A4:C1:38:12:34:56" }

[[frame]]
says = "measured"
advertisement = { manufacturer_data = { 0xFFFF = "39" } }
measures = { soil_temperature_celsius = 17 }

[[frame]]
says = "not available"
advertisement = { manufacturer_data = { 0xFFFF = "FF" } }
measures = {}

[[frame]]
says = "too long"
advertisement = { manufacturer_data = { 0xFFFF = "3900" } }
damaged = "2 bytes instead of 1"
"""


@pytest.fixture
def soldered(tmp_path, monkeypatch):
    """A new device in a folder that drivers.devices looks into as well."""
    (tmp_path / "soldered.py").write_text(NEW_DEVICE, encoding="utf-8")
    (tmp_path / "soldered.toml").write_text(NEW_VECTORS, encoding="utf-8")
    monkeypatch.setattr(drivers.devices, "__path__", [*drivers.devices.__path__, str(tmp_path)])
    yield tmp_path
    del sys.modules["drivers.devices.soldered"], drivers.devices.soldered


def test_adding_a_device_takes_one_file_and_one_vector_file(soldered):
    assert set(kinds(drivers.devices)) == {*KINDS, "soldered"}
    vectors = vectors_of("soldered", soldered)
    assert len(vectors) == 3
    for vector in vectors:
        check("soldered", vector)


def test_a_vector_that_is_wrong_fails(soldered):
    wrong = vectors_of("soldered", soldered)[0] | {"measures": {"soil_temperature_celsius": 18}}
    with pytest.raises(AssertionError):
        check("soldered", wrong)
    undamaged = wrong | {"damaged": "bytes"}
    del undamaged["measures"]
    with pytest.raises(pytest.fail.Exception):
        check("soldered", undamaged)
