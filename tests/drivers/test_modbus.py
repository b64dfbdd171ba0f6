"""The real pymodbus on both ends of a pseudo-terminal, and the soil probes that it asks."""

import asyncio
import math
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.device import Bus, ModbusDevice, Poll
from drivers.devices.soil_probe import PLAUSIBLE, Profile, SoilProbe
from drivers.frame import DamagedFrame, PinChange, Registers
from drivers.reading import Quantity
from drivers.transport import TransportReport, TransportState
from drivers.transports.modbus import PATIENCE, SLOWEST_POLL_S, ModbusTransport, Schedule
from drivers.transports.port import open_port
from tests.fakes.listener import Listener
from tests.fakes.soil_bus import BAUD, SoilBus

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)
STARTING, HEARING = TransportState.STARTING, TransportState.HEARING
SILENT, BROKEN = TransportState.SILENT, TransportState.BROKEN
steady = settings(deadline=None, derandomize=True)
"""For each @given: the same examples everywhere, on a busy machine too."""
QUICK = {"first_retry_s": 0.01, "slowest_retry_s": 0.02}
DEAD_S = 0.05
"""How long a dead unit is waited for."""
LIVE_S = 2.0
"""How long a unit is waited for that answers, on a machine that is busy with other things."""
OFTEN_S = 0.01
HOURLY_S = 3600.0
SOIL = {0: 305, 1: 0x10000 - 12, 2: 410}


@dataclass(frozen=True)
class Meter:
    """As much of a device as the transport looks at."""

    bus: Bus
    unit: int
    polls: tuple[Poll, ...]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[SoilBus]:
    async with SoilBus(tmp_path, {1: SOIL, 2: SOIL, 3: SOIL}) as soil_bus:
        yield soil_bus


def probe(bus: SoilBus, unit: int) -> SoilProbe:
    return SoilProbe(bus.port, "dfrobot", unit)


def transport(*devices: tuple[ModbusDevice, float], timeout_s: float = LIVE_S) -> ModbusTransport:
    return ModbusTransport(devices[0][0].bus, devices, lambda: NOW, timeout_s=timeout_s, **QUICK)


def units(heard: Listener) -> Counter[int]:
    return Counter(frame.unit for frame in heard.frames)


async def test_a_probe_is_asked_at_once_and_its_answer_decodes(bus: SoilBus) -> None:
    soil = probe(bus, 1)
    async with Listener(transport((soil, HOURLY_S))) as heard:
        await heard.until_frames(1)
        await heard.until_state(HEARING)
    assert heard.frames == [Registers(bus.port, 1, 3, 0, (305, 65524, 410), NOW)]
    assert soil.decode(heard.frames[0]) == {
        Quantity.SOIL_MOISTURE_PERCENT: 30.5,
        Quantity.SOIL_TEMPERATURE_CELSIUS: -1.2,
        Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM: 410.0,
    }
    assert heard.reports == [TransportReport(STARTING), TransportReport(HEARING)]


async def test_each_device_is_asked_at_its_own_interval(bus: SoilBus) -> None:
    devices = (probe(bus, 1), HOURLY_S), (probe(bus, 2), OFTEN_S)
    async with Listener(transport(*devices)) as heard:
        await heard.until(lambda: units(heard)[2] >= 4)
    assert units(heard)[1] == 1


async def test_each_poll_of_a_device_gives_a_frame_of_its_own(bus: SoilBus) -> None:
    bus.registers[1] = {6: 652, 18: 45, 19: 226, 21: 300}
    soil = SoilProbe(bus.port, "jxct", ph=True)
    async with Listener(transport((soil, HOURLY_S))) as heard:
        await heard.until_frames(3)
    assert [frame.values for frame in heard.frames] == [(652,), (45, 226), (300,)]


async def test_input_registers_are_read_by_function_4(bus: SoilBus) -> None:
    meter = Meter(Bus(bus.port, BAUD), 1, (Poll(4, 1, 2),))
    async with Listener(transport((meter, HOURLY_S))) as heard:
        await heard.until_frames(1)
    assert heard.frames == [Registers(bus.port, 1, 4, 1, (65524, 410), NOW)]


async def test_a_dead_unit_is_named_and_the_others_are_heard_on(bus: SoilBus) -> None:
    bus.dead = {2}
    devices = [(probe(bus, unit), OFTEN_S) for unit in (1, 2, 3)]
    async with Listener(transport(*devices, timeout_s=DEAD_S)) as heard:
        await heard.until(lambda: "Unit 2 does not answer" in heard.told)
        assert heard.reports[-1].state is HEARING
        for hint in (bus.port, "address", "A and B", f"{BAUD} baud"):
            assert hint in heard.told
        before = units(heard)
        await heard.until(lambda: min(units(heard)[1], units(heard)[3]) >= before[1] + 2)
    assert units(heard)[2] == 0


async def test_a_dead_unit_is_asked_less_often_than_the_others(bus: SoilBus) -> None:
    bus.dead = {2}
    devices = [(probe(bus, unit), 0.05) for unit in (1, 2)]
    async with Listener(transport(*devices, timeout_s=0.02)) as heard:
        await heard.until(lambda: units(heard)[1] >= 10)
    # Each time it is asked twice.
    assert sum(unit == 2 for unit, _ in bus.asked) <= 14


async def test_a_unit_that_comes_back_is_heard_again_and_no_longer_told(bus: SoilBus) -> None:
    bus.dead = {1, 3}
    devices = [(probe(bus, unit), OFTEN_S) for unit in (1, 2, 3)]
    async with Listener(transport(*devices, timeout_s=DEAD_S)) as heard:
        await heard.until(lambda: "Units 1, 3 do not answer" in heard.told)
        bus.dead.clear()
        await heard.until(lambda: heard.reports[-1] == TransportReport(HEARING))
    assert {1, 2, 3} <= units(heard).keys()


async def test_a_bus_on_which_nothing_answers_is_silent(bus: SoilBus) -> None:
    bus.dead = {1, 2}
    devices = [(probe(bus, unit), HOURLY_S) for unit in (1, 2)]
    async with Listener(transport(*devices, timeout_s=DEAD_S)) as heard:
        await heard.until_state(SILENT)
    assert "Units 1, 2 do not answer" in heard.told
    assert heard.states == [STARTING, STARTING, SILENT]


async def test_a_missed_answer_is_asked_for_once_more(bus: SoilBus) -> None:
    bus.dead = {1}
    async with Listener(transport((probe(bus, 1), HOURLY_S), timeout_s=DEAD_S)) as heard:
        await heard.until_state(SILENT)
    assert bus.asked == [(1, 0), (1, 0)]


async def test_an_exception_is_told_with_its_meaning(bus: SoilBus) -> None:
    del bus.registers[1][2]
    async with Listener(transport((probe(bus, 1), HOURLY_S))) as heard:
        await heard.until_state(HEARING)
    assert 'Unit 1 answers with exception 2 ("illegal data address")' in heard.told
    assert "3 registers from 0" in heard.told
    assert heard.frames == []


async def test_an_answer_of_the_wrong_length_is_dropped_counted_and_told(bus: SoilBus) -> None:
    bus.short = {1}
    modbus = transport((probe(bus, 1), HOURLY_S))
    async with Listener(modbus) as heard:
        await heard.until_state(HEARING)
    assert "Unit 1 sent 2 registers where 3 were asked for" in heard.told
    assert heard.frames == []
    assert modbus.wrong_length == 1


async def test_noise_on_the_wires_does_not_stop_the_asking(bus: SoilBus) -> None:
    async with Listener(transport((probe(bus, 1), OFTEN_S))) as heard:
        for turn in range(1, 4):
            await heard.until_frames(2 * turn)
            bus.disturb(bytes(range(256)) * 3)
        await heard.until_frames(8)
    assert {frame.values for frame in heard.frames} == {(305, 65524, 410)}


async def test_an_adapter_that_is_pulled_out_is_used_again_when_it_is_back(bus: SoilBus) -> None:
    async with Listener(transport((probe(bus, 1), HOURLY_S))) as heard:
        for turn in range(3):
            await heard.until_frames(turn + 1)
            await heard.until_state(HEARING)
            bus.unplug()
            await heard.until_state(BROKEN)
            assert bus.port in heard.told
            bus.plug()
    assert heard.states == [STARTING, HEARING, BROKEN] * 3


async def test_an_adapter_that_is_pulled_out_during_a_question_is_noticed(bus: SoilBus) -> None:
    bus.dead = {1}
    async with Listener(transport((probe(bus, 1), HOURLY_S), timeout_s=DEAD_S)) as heard:
        await heard.until_state(STARTING)
        await bus.until_asked()
        bus.unplug()
        await heard.until_state(BROKEN)
    assert SILENT not in heard.states


async def test_a_port_that_is_not_there_yet_is_waited_for(bus: SoilBus) -> None:
    bus.unplug()
    async with Listener(transport((probe(bus, 1), HOURLY_S))) as heard:
        await heard.until_state(BROKEN)
        assert f"no serial port {bus.port}" in heard.told
        bus.plug()
        await heard.until_frames(1)


async def test_a_file_that_is_no_port_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    soil = SoilProbe(str(tmp_path / "file"), "jxct")
    async with Listener(transport((soil, HOURLY_S))) as heard:
        await heard.until_state(BROKEN)
    assert "Could not open the serial port" in heard.told


async def test_an_adapter_that_refuses_its_settings_says_so(bus: SoilBus) -> None:
    # A pseudo-terminal has no parity, and says so when it is set for the second time.
    meter = Meter(Bus(bus.port, BAUD, parity="E"), 1, (Poll(3, 0, 1),))
    async with Listener(transport((meter, HOURLY_S))) as heard:
        await heard.until_state(BROKEN)
        assert "Invalid argument" in heard.told


async def test_a_port_that_another_program_uses_is_broken(bus: SoilBus) -> None:
    other = open_port(Bus(bus.port, BAUD))
    async with Listener(transport((probe(bus, 1), HOURLY_S))) as heard:
        await heard.until_state(BROKEN)
        assert "Another program has it open" in heard.told
        other.close()
        await heard.until_frames(1)


PROGRAM = """
import asyncio, datetime, sys
from drivers.devices.soil_probe import SoilProbe
from drivers.transports.modbus import ModbusTransport

def emit(frame):
    print(*frame.values, flush=True)

def now():
    return datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)

soil = SoilProbe(sys.argv[1], "dfrobot")
asyncio.run(ModbusTransport(soil.bus, [(soil, 3600.0)], now).run(emit, lambda report: None))
"""


async def test_the_bus_answers_another_process_too(bus: SoilBus) -> None:
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", PROGRAM, bus.port],
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(REPOSITORY)},
    )
    try:
        async with asyncio.timeout(5):
            assert await program.stdout.readline() == b"305 65524 410\n"
    finally:
        program.kill()
        await program.communicate()


def test_a_bus_without_devices_or_with_an_impossible_interval_is_refused() -> None:
    soil = SoilProbe("/dev/ttyUSB0", "dfrobot")
    with pytest.raises(ValueError, match="no device"):
        ModbusTransport(soil.bus, [], lambda: NOW)
    with pytest.raises(ValueError, match="interval of unit 1"):
        ModbusTransport(soil.bus, [(soil, 0.0)], lambda: NOW)


def test_a_failing_device_is_asked_less_and_less_often_until_it_answers() -> None:
    schedule = Schedule(0.0, 60.0)
    moments = []
    for _ in range(8):
        moments.append(schedule.due_s)
        schedule.failed(schedule.due_s)
    assert moments == [0, 60, 120, 240, 480, 960, 1560, 2160]
    schedule.answered(schedule.due_s)
    before = schedule.due_s
    schedule.failed(schedule.due_s)
    assert schedule.due_s - before == 60


def test_a_device_with_a_long_interval_keeps_it_while_it_fails() -> None:
    schedule = Schedule(0.0, 900.0)
    for _ in range(100):
        schedule.failed(schedule.due_s)
    assert schedule.due_s == 100 * 900


@steady
@given(
    st.sampled_from([1.0, 2.5, 60.0, 900.0]),
    st.lists(st.tuples(st.booleans(), st.floats(0, 5000)), max_size=50),
)
def test_a_schedule_keeps_to_its_grid_and_never_catches_up_in_a_burst(
    interval_s: float, asked: list[tuple[bool, float]]
) -> None:
    schedule = Schedule(100.0, interval_s)
    failures = 0
    for answered, late_s in asked:
        now = schedule.due_s + late_s
        failures = 0 if answered else failures + 1
        (schedule.answered if answered else schedule.failed)(now)
        assert schedule.due_s >= now
        assert math.remainder(schedule.due_s - 100.0, interval_s) == 0
        longest = interval_s if failures <= PATIENCE else max(interval_s, SLOWEST_POLL_S)
        assert schedule.due_s - now <= longest


def registers(start: int, *values: int, unit: int = 1) -> Registers:
    return Registers("/dev/rs485", unit, 3, start, values, NOW)


def test_a_family_decides_the_baud_unless_it_is_given() -> None:
    bauds = {name: SoilProbe("/dev/x", name).bus.baud for name in get_args(Profile)}
    assert bauds == {"dfrobot": 9600, "renke": 4800, "jxct": 9600, "sensecap": 9600}
    assert SoilProbe("/dev/x", "renke", baud=9600).bus == Bus("/dev/x", 9600)


@pytest.mark.parametrize(
    ("profile", "conductivity", "ph", "polls"),
    [
        ("dfrobot", False, False, [(0, 2)]),
        ("dfrobot", True, False, [(0, 3)]),
        ("dfrobot", False, True, [(0, 2), (3, 1)]),
        ("renke", True, True, [(0, 4)]),
        ("jxct", True, False, [(18, 2), (21, 1)]),
        ("jxct", True, True, [(6, 1), (18, 2), (21, 1)]),
        ("sensecap", True, False, [(0, 3)]),
        ("sensecap", False, False, [(0, 2)]),
    ],
)
def test_only_what_a_model_measures_is_asked_for(
    profile: Profile, conductivity: bool, ph: bool, polls: list[tuple[int, int]]
) -> None:
    soil = SoilProbe("/dev/x", profile, conductivity=conductivity, ph=ph)
    assert soil.polls == tuple(Poll(3, start, count) for start, count in polls)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"port": "ttyUSB0"}, 'port = "ttyUSB0"'),
        ({"profile": "npk"}, 'profile = "npk": give one of "dfrobot", "renke"'),
        ({"unit": 0}, "unit = 0"),
        ({"unit": 248}, "unit = 248"),
        ({"baud": 9601}, "baud = 9601"),
        ({"profile": "sensecap", "ph": True}, "no probe of profile"),
    ],
)
def test_settings_of_a_probe_that_cannot_be_right_are_refused(
    wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        SoilProbe(**{"port": "/dev/x", "profile": "dfrobot"} | wrong)


def test_a_probe_read_by_the_wrong_profile_is_found_out() -> None:
    sensecap_at_23_degrees = registers(0, 2350, 3120, 410)
    with pytest.raises(DamagedFrame, match=r'soil_moisture_percent 235 .* profile = "dfrobot"'):
        SoilProbe("/dev/rs485", "dfrobot").decode(sensecap_at_23_degrees)


def test_a_probe_takes_its_own_frames_only() -> None:
    soil = SoilProbe("/dev/rs485", "dfrobot")
    mine = registers(0, 305, 226, 410)
    assert soil.decode(mine)
    for other in (
        replace(mine, unit=2),
        replace(mine, port="/dev/other"),
        replace(mine, function=4),
        replace(mine, start=1),
        PinChange(17, 1, NOW),
    ):
        assert soil.decode(other) == {}


@steady
@given(
    st.sampled_from(get_args(Profile)),
    st.booleans(),
    st.sampled_from([0, 3, 6, 18, 21]),
    st.lists(st.integers(0, 0xFFFF), max_size=5),
)
def test_no_registers_give_a_value_that_cannot_be(
    profile: Profile, conductivity: bool, start: int, values: list[int]
) -> None:
    soil = SoilProbe("/dev/rs485", profile, conductivity=conductivity, ph=profile != "sensecap")
    try:
        measured = soil.decode(registers(start, *values))
    except DamagedFrame:
        return
    for quantity, value in measured.items():
        low, high = PLAUSIBLE[quantity]
        assert low <= value <= high


@pytest.mark.parametrize(
    ("frame", "profile"),
    [
        (registers(0, 305, 226, 410), "dfrobot"),
        (registers(0, 305, 226, 410, 65), "dfrobot"),
        (registers(0, 2350, 3120, 410), "sensecap"),
        (registers(18, 45, 226), "jxct"),
        (registers(21, 300), "jxct"),
        (registers(6, 652), "jxct"),
    ],
)
def test_a_probe_is_recognised_by_what_it_was_asked(frame: Registers, profile: str) -> None:
    soil = SoilProbe.recognise(frame)
    assert soil is not None
    assert soil.profile == profile
    assert soil.decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        registers(100, 1),
        registers(0, 0xFFFF, 0xFFFF, 0xFFFF),
        registers(0, 305, 226, unit=0),
        replace(registers(0, 305, 226), port="COM3"),
        PinChange(17, 1, NOW),
    ],
)
def test_what_is_no_soil_probe_is_not_recognised(frame: Registers) -> None:
    assert SoilProbe.recognise(frame) is None
