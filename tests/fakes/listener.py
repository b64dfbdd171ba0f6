"""Runs a transport, remembers what it says, and waits for it to say something."""

import asyncio
from collections.abc import Callable
from typing import Self

from drivers.frame import Frame
from drivers.transport import Transport, TransportReport, TransportState

PATIENCE_S = 5.0


class Listener:
    """Stands in for the pipeline: `async with Listener(transport) as heard: ...`."""

    def __init__(self, transport: Transport) -> None:
        self.frames: list[Frame] = []
        self.reports: list[TransportReport] = []
        self._transport = transport
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._transport.run(self._emit, self._report))
        self._task.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    @property
    def states(self) -> list[TransportState]:
        return [report.state for report in self.reports]

    @property
    def told(self) -> str:
        """What the last report says, if there is one."""
        return self.reports[-1].message if self.reports else ""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds; raises TimeoutError, or what made the transport end."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                if self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()

    async def until_frames(self, count: int) -> None:
        await self.until(lambda: len(self.frames) >= count)

    async def until_state(self, state: TransportState) -> None:
        await self.until(lambda: bool(self.reports) and self.reports[-1].state is state)

    def _emit(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._changed.set()

    def _report(self, report: TransportReport) -> None:
        self.reports.append(report)
        self._changed.set()
