"""The real gpiozero with its own mock pins, in this process and in another."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.device import PinInput
from drivers.devices.gpio_button import GpioButton
from drivers.devices.gpio_contact import GpioContact
from drivers.devices.gpio_motion import GpioMotion
from drivers.frame import PinChange, Registers
from drivers.reading import Quantity
from drivers.transport import TransportReport, TransportState
from drivers.transports.gpio import Debouncer, GpioTransport, Output, PinError
from tests.fakes.listener import Listener
from tests.fakes.remote_pins.remote_pins import drive, environment, wait_for_level

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)
STARTING, HEARING = TransportState.STARTING, TransportState.HEARING
BROKEN = TransportState.BROKEN
steady = settings(deadline=None, derandomize=True)
"""For each @given: the same examples everywhere, on a busy machine too."""
DOOR = GpioContact(17)
BUTTON = GpioButton(27)
MOTION = GpioMotion(22)


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = gpiozero.Device.pin_factory = MockFactory()
    yield factory
    factory.reset()
    gpiozero.Device.pin_factory = None


def transport(*devices: Any, retry_s: float = 60.0) -> GpioTransport:
    return GpioTransport([device.input for device in devices], lambda: NOW, retry_s=retry_s)


def levels(heard: Listener, pin: int) -> list[int]:
    return [frame.level for frame in heard.frames if frame.pin == pin]


async def elsewhere(*edges: Callable[[], None]) -> None:
    """Drive a pin in another thread, as the pin library of a Pi does."""
    await asyncio.to_thread(lambda: [edge() for edge in edges])


async def test_the_level_found_at_the_start_is_emitted(pins: MockFactory) -> None:
    async with Listener(transport(DOOR, MOTION)) as heard:
        await heard.until_frames(2)
        await heard.until_state(HEARING)
    assert [(frame.pin, frame.level) for frame in heard.frames] == [(17, 1), (22, 0)]
    assert heard.reports == [TransportReport(STARTING), TransportReport(HEARING)]


async def test_an_edge_from_another_thread_is_emitted_with_its_time(pins: MockFactory) -> None:
    async with Listener(transport(DOOR)) as heard:
        await heard.until_frames(1)
        await elsewhere(pins.pin(17).drive_low)
        await heard.until_frames(2)
    change = heard.frames[1]
    assert (change.pin, change.level) == (17, 0)
    assert NOW - timedelta(seconds=5) < change.at <= NOW


async def test_twenty_bounces_are_one_change(pins: MockFactory) -> None:
    door, motion = replace(DOOR, debounce_s=0.5), replace(MOTION, debounce_s=0.5)
    async with Listener(transport(door, motion)) as heard:
        await heard.until_frames(2)
        contact, sensor = pins.pin(17), pins.pin(22)
        await elsewhere(*[contact.drive_low, contact.drive_high] * 20, contact.drive_low)
        await elsewhere(sensor.drive_high, sensor.drive_low)
        # The end of this pulse is told at the end of its window, which is after that of the door.
        await heard.until(lambda: levels(heard, 22) == [0, 1, 0])
    assert levels(heard, 17) == [1, 0]


async def test_a_pulse_shorter_than_the_window_is_two_changes(pins: MockFactory) -> None:
    async with Listener(transport(BUTTON)) as heard:
        await heard.until_frames(1)
        pin = pins.pin(27)
        await elsewhere(pin.drive_low, pin.drive_high)
        await heard.until_frames(3)
    assert levels(heard, 27) == [1, 0, 1]


@pytest.mark.parametrize(("pull", "at_rest"), [("up", 1), ("down", 0), ("none", 0)])
async def test_frames_tell_the_electrical_level_whatever_the_pull(
    pins: MockFactory, pull: Any, at_rest: int
) -> None:
    async with Listener(GpioTransport([PinInput(5, pull, 0.0)], lambda: NOW)) as heard:
        await heard.until_frames(1)
        pin = pins.pin(5)
        await elsewhere(pin.drive_low, pin.drive_high, pin.drive_low)
        await heard.until(lambda: levels(heard, 5)[-2:] == [1, 0])
    assert levels(heard, 5) == ([1, 0, 1, 0] if at_rest else [0, 1, 0])


async def test_a_pin_that_cannot_be_had_is_told_and_the_others_are_watched(
    pins: MockFactory,
) -> None:
    other = gpiozero.LED(17)
    async with Listener(transport(DOOR, BUTTON, retry_s=0.02)) as heard:
        await heard.until_state(BROKEN)
        assert "GPIO pin 17" in heard.told
        assert "already in use" in heard.told
        assert levels(heard, 27) == [1]
        other.close()
        await heard.until_state(HEARING)
    assert levels(heard, 17) == [1]
    assert levels(heard, 27) == [1]


async def test_without_a_pin_library_it_says_what_to_install_and_tries_again() -> None:
    assert gpiozero.Device.pin_factory is None
    async with Listener(transport(DOOR, BUTTON, retry_s=0.02)) as heard:
        await heard.until_state(BROKEN)
        assert heard.told.count("sudo apt install python3-lgpio") == 1
        assert "pip install 'satomori[pi]'" in heard.told
        assert "Falling back from lgpio" in heard.told
        gpiozero.Device.pin_factory = MockFactory()
        await heard.until_state(HEARING)
    gpiozero.Device.pin_factory = None


async def test_what_is_still_wrong_when_tried_again_is_told_once(
    pins: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, fifth = [], asyncio.Event()

    def counted(device: Any, pin: int) -> None:
        attempts.append(pin)
        if len(attempts) == 5:
            fifth.set()
        MockFactory.reserve_pins(pins, device, pin)

    with gpiozero.LED(17):
        monkeypatch.setattr(pins, "reserve_pins", counted)
        async with Listener(transport(DOOR, retry_s=0.01)) as heard:
            await asyncio.wait_for(fifth.wait(), 5)
            assert heard.states == [STARTING, BROKEN]


async def test_stopping_gives_the_pins_back(pins: MockFactory) -> None:
    async with Listener(transport(DOOR)) as heard:
        await heard.until_frames(1)
    gpiozero.LED(17).close()


async def test_a_button_at_rest_at_the_start_is_no_press_and_each_press_is_one(
    pins: MockFactory,
) -> None:
    async with Listener(transport(replace(BUTTON, debounce_s=0.0))) as heard:
        await heard.until_frames(1)
        pin = pins.pin(27)
        await elsewhere(pin.drive_low, pin.drive_high, pin.drive_low, pin.drive_high)
        await heard.until(lambda: levels(heard, 27) == [1, 0, 1, 0, 1])
    presses = [values for frame in heard.frames if (values := BUTTON.decode(frame))]
    assert presses == [{Quantity.BUTTON_EVENT: 1.0}] * 2


def test_a_button_that_is_pressed_at_the_start_counts_as_pressed() -> None:
    assert BUTTON.decode(PinChange(27, 0, NOW)) == {Quantity.BUTTON_EVENT: 1.0}


def test_an_output_is_switched_and_given_back(pins: MockFactory) -> None:
    lamp = Output(23)
    lamp.on()
    assert pins.pin(23).state == 1
    lamp.off()
    assert pins.pin(23).state == 0
    lamp.close()
    lamp.close()
    gpiozero.LED(23).close()


def test_an_output_that_cannot_be_had_says_so_and_can_be_tried_again(pins: MockFactory) -> None:
    other = gpiozero.LED(23)
    lamp = Output(23)
    with pytest.raises(PinError, match="GPIO pin 23"):
        lamp.on()
    other.close()
    lamp.on()
    assert pins.pin(23).state == 1
    lamp.close()


PROGRAM = """
import asyncio, datetime
from drivers.devices.gpio_button import GpioButton
from drivers.transports.gpio import GpioTransport, Output

lamp = Output(23)

def emit(frame):
    print(frame.pin, frame.level, flush=True)
    lamp.off() if frame.level else lamp.on()

def now():
    return datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)

asyncio.run(GpioTransport([GpioButton(17).input], now).run(emit, print))
"""


async def test_another_process_is_driven_from_outside_and_its_lamp_is_seen(tmp_path: Path) -> None:
    socket = tmp_path / "pins"
    program = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", PROGRAM],
        stdout=asyncio.subprocess.PIPE,
        env=environment(socket, REPOSITORY),
    )
    try:
        await asyncio.to_thread(drive, socket, 17, 0)
        await asyncio.to_thread(wait_for_level, socket, 23, 1)
        await asyncio.to_thread(drive, socket, 17, 1)
        await asyncio.to_thread(wait_for_level, socket, 23, 0)
    finally:
        program.kill()
        printed, _ = await program.communicate()
    changes = [line for line in printed.decode().splitlines() if line.startswith("17")]
    assert changes == ["17 1", "17 0", "17 1"]


def test_a_first_edge_is_a_change_at_once_and_the_last_level_wins() -> None:
    pin = Debouncer(0, window_s=0.05)
    assert pin.edge(1, 10.00) == [(1, 10.00)]
    assert pin.edge(0, 10.01) == []
    assert pin.edge(1, 10.02) == []
    assert pin.edge(0, 10.03) == []
    assert pin.settles_at == 10.05
    assert pin.advance(10.05) == [(0, 10.03)]


def test_an_edge_after_the_window_is_a_change_though_nobody_looked_in_between() -> None:
    pin = Debouncer(0, window_s=0.05)
    pin.edge(1, 10.0)
    pin.edge(0, 10.01)
    assert pin.edge(1, 11.0) == [(0, 10.01), (1, 11.0)]


steps = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), max_size=40)


def run(
    start: int, edges: list[tuple[int, int]], look_every: int | None
) -> list[tuple[int, float]]:
    """Return all changes; edges are levels, each so many milliseconds after the one before."""
    pin, changes, now = Debouncer(start, window_s=50), [], 0
    for level, later in edges:
        for moment in range(now + 1, now + later, look_every) if look_every else ():
            changes += pin.advance(moment)
        now += later
        changes += pin.edge(level, now)
    return changes + pin.advance(now + 1000)


@steady
@given(st.integers(0, 1), steps)
def test_changes_alternate_and_end_with_the_level_at_rest(
    start: int, edges: list[tuple[int, int]]
) -> None:
    told = [level for level, _ in run(start, edges, None)]
    assert told == [(start + 1 + n) % 2 for n in range(len(told))]
    assert [start, *told][-1] == [start, *[level for level, _ in edges]][-1]


@steady
@given(st.integers(0, 1), steps)
def test_there_is_one_change_for_each_window_at_most(
    start: int, edges: list[tuple[int, int]]
) -> None:
    took = sum(later for _, later in edges)
    assert len(run(start, edges, None)) <= took // 50 + 2


@steady
@given(st.integers(0, 1), steps, st.integers(1, 20))
def test_how_often_one_looks_does_not_change_what_is_seen(
    start: int, edges: list[tuple[int, int]], every: int
) -> None:
    assert run(start, edges, every) == run(start, edges, None)


@pytest.mark.parametrize("kind", [GpioContact, GpioMotion, GpioButton])
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"pin": 28}, "pin = 28"),
        ({"pin": -1}, "pin = -1"),
        ({"pin": 2, "pull": "down"}, "pulled up on the board"),
        ({"pull": "left"}, "pull = 'left'"),
        ({"debounce_s": -0.1}, "debounce_s = -0.1"),
        ({"debounce_s": 11}, "debounce_s = 11"),
        ({"debounce_s": float("nan")}, "debounce_s = nan"),
    ],
)
def test_settings_of_a_pin_that_cannot_be_right_are_refused(
    kind: Any, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        kind(**{"pin": 17} | wrong)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [(GpioContact, "open_when"), (GpioMotion, "motion_when"), (GpioButton, "pressed_when")],
)
def test_a_level_that_is_no_level_is_refused(kind: Any, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} = 'on'"):
        kind(17, **{setting: "on"})


@pytest.mark.parametrize("device", [DOOR, MOTION, BUTTON])
def test_a_device_takes_the_changes_of_its_own_pin_only(device: Any) -> None:
    for level in (0, 1):
        assert device.decode(PinChange(device.pin + 1, level, NOW)) == {}
    assert device.decode(Registers("/dev/x", 1, 3, 0, (1,), NOW)) == {}


@pytest.mark.parametrize("kind", [GpioContact, GpioMotion, GpioButton])
def test_a_level_alone_is_not_recognised_as_anything(kind: Any) -> None:
    assert kind.recognise(PinChange(17, 1, NOW)) is None
