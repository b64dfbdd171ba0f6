"""Hears a device that speaks of its own accord on a serial port, and cuts what it says into frames.

pyserial sets the port up; the event loop itself waits on its file descriptor. That takes half the
processor time of a reading thread, and a reading cannot arrive after its transport was stopped.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Self

from drivers.device import Bus
from drivers.frame import SerialFrame
from drivers.transport import Emit, Report, TransportReport, TransportState
from drivers.transports.changes import only_changes
from drivers.transports.port import (
    FIRST_RETRY_S,
    PORT_FAULTS,
    SLOWEST_RETRY_S,
    PortError,
    keep_open,
    open_port,
    port_error,
)

READ_BYTES = 4096
"""At most so many bytes are taken at once, so that a babbling port cannot hold up the others."""


class FrameCutter:
    """Cuts a stream of bytes into frames; how the stream was chopped up on its way is no matter.

    A line feed takes a carriage return before it along; empty lines are no frames. What is longer
    than max_bytes is thrown away up to its end and counted, so that garbage without an end takes no
    more memory than that. The first frame may be the tail of one: a decoder has to be able to tell.
    """

    def __init__(self, separator: bytes | None, max_bytes: int) -> None:
        """With separator None, a frame ends only where `idle` is called.

        Raises ValueError unless the separator is one byte and max_bytes positive.
        """
        if separator is not None and len(separator) != 1:
            raise ValueError(f"separator is {separator!r}: give one byte, or None")
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}: give at least 1")
        self._separator = separator
        self._max_bytes = max_bytes
        self._rest = b""
        self._overlong = False
        self.cut = 0
        """Frames thrown away because they were longer than max_bytes."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete, without their separators."""
        data = self._rest + data
        *lines, self._rest = [data] if self._separator is None else data.split(self._separator)
        frames = [frame for line in lines if (frame := self._complete(line))]
        if self._overlong:
            self._rest = b""
        elif len(self._rest) > self._max_bytes:
            self._rest = b""
            self._overlong = True
            self.cut += 1
        return frames

    def idle(self) -> bytes:
        """Return what has gathered since the last frame, b"" for nothing, and begin a new frame."""
        gathered, self._rest = self._rest, b""
        return self._complete(gathered)

    def _complete(self, line: bytes) -> bytes:
        if self._overlong:
            self._overlong = False
            return b""
        if len(line) > self._max_bytes:
            self.cut += 1
            return b""
        return line.removesuffix(b"\r") if self._separator == b"\n" else line


class SerialTransport:
    """One serial port, read line by line or burst by burst.

    A port that is missing or was pulled out is looked for until it is back; what was half received
    then is lost, and nothing else.
    """

    def __init__(
        self,
        bus: Bus,
        now: Callable[[], datetime],
        *,
        separator: bytes | None = b"\n",
        max_frame_bytes: int = 1024,
        idle_s: float = 0.05,
        quiet_s: float = 300.0,
        first_retry_s: float = FIRST_RETRY_S,
        slowest_retry_s: float = SLOWEST_RETRY_S,
    ) -> None:
        """Prepare; nothing is opened before `run`.

        separator: the byte that ends a line, or None: a frame is what comes until the line has been
            idle for idle_s.
        quiet_s: nothing heard for this long (at most twice as long) is reported as SILENT.
        first_retry_s, slowest_retry_s: see port.keep_open.
        """
        FrameCutter(separator, max_frame_bytes)  # wrong settings show now, not when plugged in
        self._bus = bus
        self._now = now
        self._new_cutter = partial(FrameCutter, separator, max_frame_bytes)
        self._idle_s = idle_s if separator is None else None
        self._quiet_s = quiet_s
        self._first_retry_s = first_retry_s
        self._slowest_retry_s = slowest_retry_s
        self.cut = 0
        """Frames thrown away since the start because they were longer than max_frame_bytes."""

    @property
    def name(self) -> str:
        return f"serial {self._bus.port}"

    async def run(self, emit: Emit, report: Report) -> None:
        """Hear until cancelled. A port is BROKEN when missing, STARTING when newly opened."""
        report = only_changes(report)
        await keep_open(
            partial(self._hear, emit, report),
            report,
            first_retry_s=self._first_retry_s,
            slowest_retry_s=self._slowest_retry_s,
        )

    async def _hear(self, emit: Emit, report: Report) -> None:
        """Open the port and hear it until it is lost; raises PortError."""
        health = _Health(self._bus, report)

        def frame(data: bytes) -> None:
            emit(SerialFrame(self._bus.port, data, self._now()))
            health.frame()

        def cut(frames: int) -> None:
            self.cut += frames
            health.cut()

        with _Reader(open_port(self._bus), self._new_cutter(), self._idle_s, frame, cut) as reader:
            report(TransportReport(TransportState.STARTING))
            while True:
                await reader.raise_if_lost(within_s=self._quiet_s)
                health.look()


class _Health:
    """Tells HEARING from SILENT on an open port, and mentions frames that had to be cut.

    A cut frame is mentioned until the next `look` at least, so that a port on which garbage and
    good frames alternate is not reported about at every frame.
    """

    def __init__(self, bus: Bus, report: Report) -> None:
        self._bus = bus
        self._report = report
        self._heard = False
        self._garbled = False

    def frame(self) -> None:
        self._heard = True
        self._report(TransportReport(TransportState.HEARING, self._garbage()))

    def cut(self) -> None:
        self._garbled = True
        self.frame()

    def look(self) -> None:
        """Call it at the pace at which silence is worth noticing."""
        if not self._heard:
            self._report(TransportReport(TransportState.SILENT, self._silence()))
        self._heard = self._garbled = False

    def _garbage(self) -> str:
        if not self._garbled:
            return ""
        return (
            f"{self._bus.port} brings bytes without an end of frame. "
            f"Check that the device is set to {self._bus.baud} baud."
        )

    def _silence(self) -> str:
        return (
            f"{self._bus.port} is open, but nothing comes. Check that the device has power, its "
            f"wiring, and that it is set to {self._bus.baud} baud."
        )


class _Reader:
    """An open port, read by the event loop as long as the `with` block lasts."""

    def __init__(
        self,
        port: Any,  # serial.Serial, which has no type information
        cutter: FrameCutter,
        idle_s: float | None,
        on_frame: Callable[[bytes], None],
        on_cut: Callable[[int], None],
    ) -> None:
        self._port = port
        self._cutter = cutter
        self._idle_s = idle_s
        self._on_frame = on_frame
        self._on_cut = on_cut
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[PortError] = self._loop.create_future()
        self._idle_timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop.add_reader(self._port.fileno(), self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_idle_timer()
        self._loop.remove_reader(self._port.fileno())
        self._port.close()

    async def raise_if_lost(self, *, within_s: float) -> None:
        """Wait, and raise PortError as soon as the port is lost."""
        await asyncio.wait([self._lost], timeout=within_s)
        if self._lost.done():
            raise self._lost.result()

    def _read(self) -> None:
        try:
            data = self._port.read(READ_BYTES)
        except PORT_FAULTS as error:
            self._loop.remove_reader(self._port.fileno())
            self._lost.set_result(port_error("read", self._port.name, error))
            return
        cut_before = self._cutter.cut
        for frame in self._cutter.feed(data):
            self._on_frame(frame)
        if self._cutter.cut > cut_before:
            self._on_cut(self._cutter.cut - cut_before)
        if self._idle_s is not None:
            self._stop_idle_timer()
            self._idle_timer = self._loop.call_later(self._idle_s, self._idle)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()

    def _idle(self) -> None:
        if frame := self._cutter.idle():
            self._on_frame(frame)
