"""Plays a capture file as if it were heard live: for replay, the demo and tests.

Everything behind it is the real thing, so what a capture does here it would have done in the home
or the field. Each frame gets the time at which it is played; the gaps between frames are kept,
divided by `speed`. The order is that of the file: a frame older than the one before it is not
waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from drivers.capture import BadCapture, frame_from_json, numbered_lines
from drivers.frame import Frame
from drivers.transport import Emit, Report, TransportReport, TransportState

SHORTEST_SLEEP_S = 0.01
"""Shorter waits are saved up: many tiny ones would together take longer than they should."""

FRAMES_WITHOUT_SLEEP = 100
"""After so many the event loop gets its turn, however fast the capture is played."""

PAUSE_BETWEEN_ROUNDS_S = 1.0
"""Before a capture is repeated; `speed` shortens it too."""


class RecordedTransport:
    """Plays one .jsonl or .jsonl.gz file, see docs/capture.md."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        *,
        speed: float = 1.0,
        repeat: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare to play; the file is opened by `run`.

        Args:
            path: The capture.
            now: Gives the time that frames are stamped with when they are played.
            speed: How many recorded seconds pass in one; math.inf plays without waiting.
            repeat: Start again at the end, for ever.
            sleep: Waits for so many seconds.
        """
        if not speed > 0:
            raise ValueError(
                f"speed = {speed}: it must be above 0, such as 60 for a minute a second"
            )
        self._path, self._now, self._speed, self._repeat = path, now, speed, repeat
        self._sleep = sleep
        self._owed_s, self._since_sleep = 0.0, 0
        self._played, self._bad = 0, 0

    @property
    def name(self) -> str:
        return f"recorded {self._path}"

    async def run(self, emit: Emit, report: Report) -> None:
        """Play the capture, and return when it is over.

        Lines that are no frames are reported once, counted and left out. Raises OSError or
        BadCapture when the file cannot be read at all.
        """
        report(TransportReport(TransportState.STARTING))
        self._played, self._bad = 0, 0
        while True:
            before = self._played
            await self._play(emit, report)
            if not self._repeat or self._played == before:
                break
            await self._wait(PAUSE_BETWEEN_ROUNDS_S)
        left_out = f", {self._bad} lines left out" if self._bad else ""
        message = f"the capture {self._path} is over: {self._played} frames{left_out}"
        report(TransportReport(TransportState.SILENT, message))

    async def _play(self, emit: Emit, report: Report) -> None:
        latest: datetime | None = None
        for number, line in numbered_lines(self._path):
            frame = self._read(number, line, report)
            gap_s = (frame.at - latest) / timedelta(seconds=1) if frame and latest else 0.0
            await self._wait(gap_s)
            if frame is None:
                continue
            latest = max(latest or frame.at, frame.at)
            if not self._played:
                report(TransportReport(TransportState.HEARING))
            self._played += 1
            emit(replace(frame, at=self._now()))

    def _read(self, number: int, line: str, report: Report) -> Frame | None:
        try:
            return frame_from_json(line)
        except BadCapture as error:
            self._bad += 1
            if self._bad == 1:
                state = TransportState.HEARING if self._played else TransportState.STARTING
                message = f"{self._path}, line {number} is left out: {error}"
                report(TransportReport(state, message))
            return None

    async def _wait(self, recorded_s: float) -> None:
        self._owed_s += max(0.0, recorded_s) / self._speed
        self._since_sleep += 1
        if self._owed_s >= SHORTEST_SLEEP_S or self._since_sleep >= FRAMES_WITHOUT_SLEEP:
            owed_s, self._owed_s, self._since_sleep = self._owed_s, 0.0, 0
            await self._sleep(owed_s)
