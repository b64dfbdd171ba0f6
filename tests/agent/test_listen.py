"""What is heard is written down, and can be decoded, replayed and played again."""

import asyncio
import gzip
import io
import json
import os
from dataclasses import replace

import pytest

from agent.decode import decode
from agent.listen import Listening, listen
from agent.replay import replay
from drivers.capture import frame_to_json, read_frames
from drivers.frame import Registers, SerialFrame
from drivers.transport import TransportReport, TransportState
from drivers.transports.recorded import RecordedTransport
from gateway_config.load import load
from tests.agent.home import AT, after, door, meter, press

PATIENCE_S = 5.0
FRAMES = [
    door(1),
    meter(21.5, after(1)),
    press(after(2)),
    SerialFrame("/dev/ttyUSB0", b":0000\r\n", after(3)),
    Registers("/dev/ttyUSB1", 1, 3, 0, (321, 187), after(4)),
]
CONFIG = """
[gateway]
name = "g1"

[recorded]
file = "capture.jsonl"
speed = 100000.0

[[sensor]]
name = "door"
device = "gpio_contact"
pin = 17

[[rule]]
name = "open"
condition = "opened"
sensor = "door"
"""


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "capture.jsonl"
    path.write_text("".join(frame_to_json(frame) + "\n" for frame in FRAMES))
    return path


@pytest.fixture
def config(tmp_path, capture):
    (tmp_path / "gateway.toml").write_text(CONFIG)
    return load(tmp_path / "gateway.toml")


def played(path, **options):
    return RecordedTransport(path, lambda: AT, speed=float("inf"), **options)


class Endless:
    """A transport that hears one frame, and then nothing for ever."""

    name = "endless"

    async def run(self, emit, report):
        report(TransportReport(TransportState.HEARING))
        emit(door(1))
        await asyncio.get_running_loop().create_future()


class Broken:
    """A transport that cannot even start."""

    name = "broken"

    async def run(self, emit, report):
        raise OSError("there is no such radio")


class Unbuffered(io.TextIOBase):
    """Text straight into a file descriptor."""

    def __init__(self, descriptor):
        self._descriptor = descriptor

    def write(self, text):
        return os.write(self._descriptor, text.encode())


async def listened(*transports, seconds=None, out=None):
    out, err = out or io.StringIO(), io.StringIO()
    listening = Listening(transports, out, err)
    await asyncio.wait_for(listening.run(seconds), PATIENCE_S)
    return listening, out, err


async def test_every_frame_becomes_the_line_it_was(capture):
    listening, out, _ = await listened(played(capture))
    expected = [frame_to_json(replace(frame, at=AT)) for frame in FRAMES]
    assert out.getvalue().splitlines() == expected
    assert listening.frames == len(FRAMES)


async def test_how_the_transports_are_doing_is_told_beside(capture):
    _, _, err = await listened(played(capture))
    name = f"recorded {capture}"
    assert err.getvalue().splitlines() == [
        f"{name} is starting",
        f"{name} is hearing",
        f"{name} is silent: the capture {capture} is over: 5 frames",
    ]


async def test_it_ends_when_the_time_is_over():
    listening, _, _ = await listened(Endless(), seconds=0.05)
    assert listening.frames == 1


async def test_a_transport_that_fails_does_not_stop_the_others(capture):
    listening, out, err = await listened(Broken(), played(capture))
    assert len(out.getvalue().splitlines()) == 5
    assert listening.failed == 1
    assert "broken cannot be listened to: there is no such radio" in err.getvalue()


async def test_it_ends_when_nobody_reads_any_more():
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        await listened(Endless(), out=Unbuffered(writing))
    os.close(writing)


async def test_it_ends_when_the_disk_is_full():
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        await listened(Endless(), Endless(), out=Unbuffered(full))
    os.close(full)


async def test_whoever_interrupts_it_stops_the_transports():
    listening = Listening([Endless()], io.StringIO(), io.StringIO())
    task = asyncio.create_task(listening.run(None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_command_listens_as_configured_and_says_how_much_it_heard(config):
    out, err = io.StringIO(), io.StringIO()
    assert listen(config, None, out, err) == 0
    assert len(out.getvalue().splitlines()) == 5
    assert err.getvalue().splitlines()[-1] == "5 frames"


def test_the_command_fails_when_nothing_can_be_listened_to(config, capture):
    capture.unlink()
    err = io.StringIO()
    assert listen(config, None, io.StringIO(), err) == 2
    assert f"recorded {capture} cannot be listened to: " in err.getvalue()


def test_the_command_fails_when_no_sensor_is_configured(tmp_path):
    (tmp_path / "empty.toml").write_text('[gateway]\nname = "g1"\n')
    err = io.StringIO()
    assert listen(load(tmp_path / "empty.toml"), None, io.StringIO(), err) == 2
    assert err.getvalue() == "there is nothing to listen to: the configuration has no sensor\n"


@pytest.mark.parametrize("packed", [False, True])
def test_what_it_writes_can_be_read_decoded_replayed_and_played_again(config, tmp_path, packed):
    path = tmp_path / ("heard.jsonl.gz" if packed else "heard.jsonl")
    with (gzip.open if packed else open)(path, "wt", encoding="utf-8") as out:
        listen(config, None, out, io.StringIO())
    frames = list(read_frames(path))
    assert [replace(frame, at=AT) for frame in frames] == [replace(f, at=AT) for f in FRAMES]

    with (gzip.open if packed else open)(path, "rt", encoding="utf-8") as lines:
        readings = io.StringIO()
        decode(lines, readings, io.StringIO(), "bthome", {})
    assert json.loads(readings.getvalue())["value"] == 21.5

    events = io.StringIO()
    assert replay(config, path, None, events, io.StringIO()) == 0
    assert [json.loads(line)["rule"] for line in events.getvalue().splitlines()] == ["open"]

    again, _, _ = asyncio.run(listened(played(path)))
    assert again.frames == 5
