"""The command behind `satomori listen`: writes down what the radios, ports and pins bring.

One frame a line, in the format of docs/capture.md, so that a capture can be decoded, replayed and
played to the daemon. Without a configuration it takes every Bluetooth advertisement there is.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TextIO

from agent import clock
from agent.hearing import ble, transports
from drivers.capture import frame_to_json
from drivers.frame import Frame
from drivers.transport import Report, Transport, TransportReport
from gateway_config.model import BleSettings, GatewayConfig


def listen(config: GatewayConfig | None, seconds: float | None, out: TextIO, err: TextIO) -> int:
    """Listen for so long (None: until interrupted); returns the exit code.

    Raises OSError if `out` cannot be written.
    """
    found = transports(config, clock.now) if config else [ble(BleSettings(), None, clock.now)]
    if not found:
        print("there is nothing to listen to: the configuration has no sensor", file=err)
        return 2
    listening = Listening(found, out, err)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listening.run(seconds))
    print(f"{listening.frames} frames", file=err)
    return 2 if listening.failed == len(found) else 0


class Listening:
    """Transports whose frames are written instead of decoded."""

    def __init__(self, found: Sequence[Transport], out: TextIO, err: TextIO) -> None:
        self._transports, self._out, self._err = found, out, err
        self.frames = self.failed = 0
        """How many frames were written, and how many transports cannot be listened to."""

    async def run(self, seconds: float | None) -> None:
        """Write until the time is over or all transports have come to their end.

        Raises OSError as soon as nothing can be written.
        """
        self._unwritable = asyncio.get_running_loop().create_future()
        hearing = [asyncio.create_task(self._hear(transport)) for transport in self._transports]
        over = asyncio.create_task(asyncio.wait(hearing))
        ends = {over, self._unwritable}
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in hearing:
                task.cancel()
            await over
        if self._unwritable.done():
            self._unwritable.result()

    async def _hear(self, transport: Transport) -> None:
        try:
            await transport.run(self._write, self._reporter(transport.name))
        except Exception as problem:  # noqa: BLE001  # the others go on
            self.failed += 1
            print(f"{transport.name} cannot be listened to: {problem}", file=self._err)

    def _write(self, frame: Frame) -> None:
        if self._unwritable.done():
            return
        try:
            print(frame_to_json(frame), file=self._out, flush=True)
            self.frames += 1
        except OSError as problem:
            # Raised here, a transport would take it for a fault of its own.
            self._unwritable.set_exception(problem)

    def _reporter(self, name: str) -> Report:
        def report(reported: TransportReport) -> None:
            message = f": {reported.message}" if reported.message else ""
            print(f"{name} is {reported.state}{message}", file=self._err)

        return report
