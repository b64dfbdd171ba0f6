import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest

from drivers.capture import BadCapture, frame_to_json
from drivers.frame import PinChange
from drivers.transport import TransportState
from drivers.transports.recorded import FRAMES_WITHOUT_SLEEP, RecordedTransport

RECORDED = datetime(2026, 8, 1, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, 6, tzinfo=UTC)


class World:
    """Time that passes only when somebody sleeps, and what was heard and reported in it."""

    def __init__(self):
        self.slept_s = 0.0
        self.heard = []
        self.reports = []
        self.sleeps = 0

    def now(self):
        return TODAY + timedelta(seconds=self.slept_s)

    async def sleep(self, seconds):
        self.slept_s += seconds
        self.sleeps += 1
        await asyncio.sleep(0)

    async def play(self, path, **options):
        transport = RecordedTransport(path, self.now, sleep=self.sleep, **options)
        await transport.run(self.heard.append, self.reports.append)

    @property
    def offsets_s(self):
        return [(frame.at - TODAY).total_seconds() for frame in self.heard]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def capture(tmp_path):
    def write(*lines):
        """Lines as they are; numbers become frames of so many seconds after the first."""
        path = tmp_path / "frames.jsonl"
        texts = [line if isinstance(line, str) else at(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    def at(seconds):
        return frame_to_json(PinChange(17, 1, RECORDED + timedelta(seconds=seconds)))

    return write


async def test_frames_are_played_now_with_the_gaps_they_had(world, capture):
    await world.play(capture(0, 1.5, 61.5))
    assert world.offsets_s == [0, 1.5, 61.5]
    assert [(frame.pin, frame.level) for frame in world.heard] == [(17, 1)] * 3


async def test_twice_the_speed_takes_half_the_time(world, capture):
    await world.play(capture(0, 10, 30), speed=2)
    assert world.offsets_s == [0, 5, 15]


async def test_infinite_speed_takes_no_time_and_lets_others_run(world, capture):
    await world.play(capture(*range(10 * FRAMES_WITHOUT_SLEEP)), speed=math.inf)
    assert len(world.heard) == 10 * FRAMES_WITHOUT_SLEEP
    assert world.slept_s == 0
    assert world.sleeps == 10


async def test_frames_out_of_order_are_not_waited_for_and_stretch_nothing(world, capture):
    await world.play(capture(0, 10, 4, 8, 12))
    assert world.offsets_s == [0, 10, 10, 10, 12]


async def test_many_tiny_gaps_take_as_long_as_they_took(world, capture):
    await world.play(capture(*(i / 1000 for i in range(1001))))
    assert world.offsets_s[-1] == pytest.approx(1, abs=0.02)
    assert world.sleeps <= 110


async def test_it_hears_until_the_capture_is_over(world, capture):
    path = capture(0, 1)
    await world.play(path)
    assert [report.state for report in world.reports] == [
        TransportState.STARTING,
        TransportState.HEARING,
        TransportState.SILENT,
    ]
    assert world.reports[-1].message == f"the capture {path} is over: 2 frames"


async def test_bad_lines_are_left_out_reported_once_and_counted(world, capture):
    path = capture(0, "{", 1, "[]", "", 2)
    await world.play(path)
    assert world.offsets_s == [0, 1, 2]
    messages = [report.message for report in world.reports if report.message]
    assert len(messages) == 2
    assert messages[0].startswith(f"{path}, line 2 is left out: not JSON")
    assert messages[1].endswith("is over: 3 frames, 2 lines left out")
    assert TransportState.BROKEN not in [report.state for report in world.reports]


async def test_a_capture_of_bad_lines_ends_even_when_repeated(world, capture):
    await world.play(capture(*["{"] * 3), repeat=True)
    assert world.heard == []
    assert world.reports[-1].message.endswith("is over: 0 frames, 3 lines left out")


async def test_a_repeated_capture_starts_again_after_a_pause(world, capture):
    transport = RecordedTransport(capture(0, 3), world.now, repeat=True, sleep=world.sleep)
    seven = asyncio.Event()

    def hear(frame):
        world.heard.append(frame)
        if len(world.heard) == 7:
            seven.set()

    task = asyncio.create_task(transport.run(hear, world.reports.append))
    await asyncio.wait_for(seven.wait(), timeout=1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.offsets_s[:7] == [0, 3, 4, 7, 8, 11, 12]
    assert [report.state for report in world.reports] == [
        TransportState.STARTING,
        TransportState.HEARING,
    ]


async def test_it_can_be_run_again(world, capture):
    path = capture(0, 5)
    transport = RecordedTransport(path, world.now, sleep=world.sleep)
    for _ in range(2):
        await transport.run(world.heard.append, world.reports.append)
    assert world.offsets_s == [0, 5, 5, 10]
    assert world.reports[-1].message.endswith("is over: 2 frames")


async def test_without_arguments_it_sleeps_in_real_time(world, capture):
    start = asyncio.get_running_loop().time()
    transport = RecordedTransport(capture(0, 0.05), lambda: TODAY)
    await transport.run(world.heard.append, world.reports.append)
    assert 0.05 <= asyncio.get_running_loop().time() - start < 1
    assert len(world.heard) == 2


async def test_what_cannot_be_read_at_all_is_raised(world, tmp_path):
    with pytest.raises(FileNotFoundError):
        await world.play(tmp_path / "nowhere.jsonl")
    (tmp_path / "torn.jsonl.gz").write_bytes(b"not packed")
    with pytest.raises(BadCapture, match="cannot be unpacked"):
        await world.play(tmp_path / "torn.jsonl.gz")


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_that_is_none_is_refused(tmp_path, speed):
    with pytest.raises(ValueError, match=r"speed = .*: it must be above 0"):
        RecordedTransport(tmp_path / "frames.jsonl", lambda: TODAY, speed=speed)


def test_its_name_says_which_capture_it_plays(tmp_path):
    path = tmp_path / "frames.jsonl"
    assert RecordedTransport(path, lambda: TODAY).name == f"recorded {path}"
