"""The real pyserial on pseudo-terminals that are pulled out and plugged in again."""

import asyncio
import errno
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.device import Bus
from drivers.frame import SerialFrame
from drivers.transport import TransportReport, TransportState
from drivers.transports import port as port_module
from drivers.transports.port import PortError, find_port, keep_open, open_port, port_error
from drivers.transports.serial import FrameCutter, SerialTransport
from tests.fakes.listener import Listener
from tests.fakes.pty_port import PtyPort

NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)
STARTING, HEARING = TransportState.STARTING, TransportState.HEARING
SILENT, BROKEN = TransportState.SILENT, TransportState.BROKEN
steady = settings(deadline=None, derandomize=True)
"""For each @given: the same examples everywhere, on a busy machine too."""
QUICK = {"first_retry_s": 0.01, "slowest_retry_s": 0.02}


@pytest.fixture
def device(tmp_path: Path):
    with PtyPort(tmp_path / "ttyUSB0") as port:
        yield port


def transport(port: PtyPort, **changed: object) -> SerialTransport:
    return SerialTransport(Bus(port.path, 9600), lambda: NOW, **(QUICK | changed))


def said(heard: Listener) -> list[bytes]:
    return [frame.data for frame in heard.frames]


async def test_each_line_is_a_frame_without_its_line_end(device: PtyPort) -> None:
    async with Listener(transport(device)) as heard:
        await heard.until_state(STARTING)
        device.write(b"first\nsecond\r\n\r\n\nhalf ")
        await heard.until_frames(2)
        device.write(b"a line\n")
        await heard.until_frames(3)
    assert said(heard) == [b"first", b"second", b"half a line"]
    assert heard.frames[0] == SerialFrame(device.path, b"first", NOW)
    assert heard.states == [STARTING, HEARING]


async def test_without_a_separator_a_pause_ends_a_frame(device: PtyPort) -> None:
    async with Listener(transport(device, separator=None, idle_s=0.02)) as heard:
        await heard.until_state(STARTING)
        device.write(b"\xff\x03\n\x8d")
        await heard.until_frames(1)
        device.write(b"\xff\r")
        await heard.until_frames(2)
    assert said(heard) == [b"\xff\x03\n\x8d", b"\xff\r"]


async def test_a_burst_that_lasts_longer_than_the_pause_is_one_frame(device: PtyPort) -> None:
    async with Listener(transport(device, separator=None, idle_s=0.3)) as heard:
        await heard.until_state(STARTING)
        for _ in range(8):
            device.write(b"x")
            await asyncio.sleep(0.05)
        await heard.until_frames(1)
    assert said(heard) == [b"x" * 8]


async def test_garbage_without_a_line_end_is_cut_counted_and_told(device: PtyPort) -> None:
    serial = transport(device, max_frame_bytes=100)
    async with Listener(serial) as heard:
        await heard.until_state(STARTING)
        for _ in range(5):
            device.write(b"\x55" * 80)
        await heard.until(lambda: "9600 baud" in heard.told)
        device.write(b"end of garbage\ngood\n")
        await heard.until_frames(1)
    assert said(heard) == [b"good"]
    assert serial.cut == 1


async def test_after_a_quiet_while_without_garbage_it_is_no_longer_told(device: PtyPort) -> None:
    async with Listener(transport(device, max_frame_bytes=9, quiet_s=0.02)) as heard:
        await heard.until_state(STARTING)
        device.write(b"far too long for a frame\n")
        await heard.until(lambda: "baud" in heard.told)
        await heard.until_state(SILENT)
        device.write(b"good\n")
        await heard.until_frames(1)
        assert heard.reports[-1] == TransportReport(HEARING)


async def test_an_open_port_that_says_nothing_is_silent(device: PtyPort) -> None:
    async with Listener(transport(device, quiet_s=0.02)) as heard:
        await heard.until_state(SILENT)
        assert device.path in heard.told
        assert "wiring" in heard.told
        device.write(b"here\n")
        await heard.until_state(HEARING)
    assert heard.states == [STARTING, SILENT, HEARING]


async def test_a_port_that_is_pulled_out_is_heard_again_when_it_is_back(device: PtyPort) -> None:
    async with Listener(transport(device)) as heard:
        for turn in range(3):
            await heard.until_state(STARTING)
            device.write(b"whole %d\nhalf" % turn)
            await heard.until_state(HEARING)
            device.unplug()
            await heard.until_state(BROKEN)
            assert device.path in heard.told
            device.plug()
    assert said(heard) == [b"whole 0", b"whole 1", b"whole 2"]


async def test_a_port_that_is_not_there_yet_is_waited_for(device: PtyPort) -> None:
    device.unplug()
    async with Listener(transport(device)) as heard:
        await heard.until_state(BROKEN)
        assert f"no serial port {device.path}" in heard.told
        assert "Plug the adapter in" in heard.told
        device.plug()
        await heard.until_state(STARTING)
    assert heard.states == [BROKEN, STARTING]


async def test_a_port_that_another_program_uses_is_broken(device: PtyPort) -> None:
    other = open_port(Bus(device.path, 9600))
    async with Listener(transport(device)) as heard:
        await heard.until_state(BROKEN)
        assert "Another program has it open" in heard.told
        other.close()
        await heard.until_state(STARTING)


async def test_stopping_gives_the_port_back(device: PtyPort) -> None:
    async with Listener(transport(device)) as heard:
        await heard.until_state(STARTING)
    open_port(Bus(device.path, 9600)).close()


def test_settings_of_frames_that_cannot_be_right_are_refused(device: PtyPort) -> None:
    with pytest.raises(ValueError, match="one byte"):
        transport(device, separator=b"\r\n")
    with pytest.raises(ValueError, match="at least 1"):
        transport(device, max_frame_bytes=0)


def test_a_star_stands_for_anything_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "usb-FTDI_A[1]-port0").touch()
    (tmp_path / "usb-FTDI_B-port0").touch()
    assert find_port(f"{tmp_path}/usb-FTDI_B*") == f"{tmp_path}/usb-FTDI_B-port0"
    assert find_port(f"{tmp_path}/usb-*A[1]*") == f"{tmp_path}/usb-FTDI_A[1]-port0"
    with pytest.raises(PortError, match=r"There is no serial port .*usb-FTDI_\?-port0"):
        find_port(f"{tmp_path}/usb-FTDI_?-port0")


def test_a_name_that_fits_two_ports_is_refused(tmp_path: Path) -> None:
    for name in ("usb-A", "usb-B"):
        (tmp_path / name).touch()
    with pytest.raises(PortError, match=r"fits 2 serial ports: .*usb-A, .*usb-B. Write more"):
        find_port(f"{tmp_path}/usb-*")


def test_a_missing_port_is_told_with_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "BY_ID", tmp_path)
    (tmp_path / "usb-FTDI_FT232R-if00").symlink_to("/dev/null")
    with pytest.raises(PortError, match=r"There are now: .*usb-FTDI_FT232R-if00"):
        find_port("/dev/serial/by-id/usb-MONOSTICK*")


def test_a_port_without_permission_says_which_group_helps() -> None:
    error = port_error("open", "/dev/ttyUSB0", PermissionError(errno.EACCES, "no"))
    assert str(error) == (
        "Could not open the serial port /dev/ttyUSB0: Permission denied. "
        "This user may not open it: put the user into the group dialout."
    )


def test_a_name_that_is_no_serial_port_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortError, match=r"Could not open the serial port .*file"):
        open_port(Bus(str(tmp_path / "file"), 9600))


class Stop(Exception):
    """Ends keep_open, which nothing else does."""


def failing(attempts: int, moments: list[float]) -> Callable[[], Awaitable[None]]:
    async def hear() -> None:
        moments.append(asyncio.get_running_loop().time())
        if len(moments) == attempts:
            raise Stop
        raise PortError("gone")

    return hear


async def test_pauses_between_attempts_double() -> None:
    moments: list[float] = []
    with pytest.raises(Stop):
        await keep_open(failing(4, moments), lambda _: None, first_retry_s=0.01)
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert all(pause >= 0.01 * 2**n for n, pause in enumerate(pauses))


async def test_pauses_between_attempts_have_a_limit() -> None:
    moments: list[float] = []
    with pytest.raises(Stop):
        await keep_open(
            failing(16, moments), lambda _: None, first_retry_s=0.001, slowest_retry_s=0.002
        )
    assert moments[-1] - moments[0] < 1.0  # without a limit it would be 32 s


def reference(stream: bytes, limit: int) -> tuple[list[bytes], int]:
    """Cut a whole stream at once: frames, and how many were too long."""
    *lines, rest = stream.split(b"\n")
    good = [line.removesuffix(b"\r") for line in lines if len(line) <= limit]
    return [line for line in good if line], sum(len(line) > limit for line in [*lines, rest])


@steady
@given(
    st.lists(st.text("ab\r\n", max_size=12).map(str.encode), max_size=12),
    st.integers(1, 6),
)
def test_how_a_stream_is_chopped_up_does_not_change_its_frames(
    chunks: list[bytes], limit: int
) -> None:
    cutter = FrameCutter(b"\n", limit)
    frames = [frame for chunk in chunks for frame in cutter.feed(chunk)]
    assert (frames, cutter.cut) == reference(b"".join(chunks), limit)


@steady
@given(st.lists(st.binary(max_size=20).filter(lambda chunk: b"\n" not in chunk)))
def test_a_stream_without_an_end_takes_no_more_memory_than_a_frame(chunks: list[bytes]) -> None:
    cutter = FrameCutter(b"\n", 10)
    for chunk in chunks:
        assert cutter.feed(chunk) == []
        assert len(cutter._rest) <= 10
    assert cutter.cut == (sum(map(len, chunks)) > 10)


@steady
@given(st.lists(st.binary(max_size=8), max_size=8))
def test_without_a_separator_a_burst_is_whole_or_not_there(chunks: list[bytes]) -> None:
    cutter = FrameCutter(None, 16)
    assert [frame for chunk in chunks for frame in cutter.feed(chunk)] == []
    burst = b"".join(chunks)
    assert cutter.idle() == (burst if len(burst) <= 16 else b"")
    assert cutter.feed(b"next") == []
    assert cutter.idle() == b"next"
