"""The command behind `satomori listen`: writes down what the radios, ports and pins bring.

One frame a line, in the format of docs/capture.md, so that a capture can be decoded, replayed and
played to the daemon. Without a configuration it takes every Bluetooth advertisement there is.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TextIO

from agent.hearing import ble, transports
from drivers.capture import frame_to_json
from drivers.frame import Frame
from drivers.transport import Report, Transport, TransportReport
from gateway_config.model import BleSettings, GatewayConfig


def listen(config: GatewayConfig | None, seconds: float | None, out: TextIO, err: TextIO) -> int:
    """Listen for so long (None: until interrupted); returns the exit code."""
    found = transports(config) if config else [ble(BleSettings(), None)]
    if not found:
        print("there is nothing to listen to: the configuration has no sensor", file=err)
        return 2
    listening = Listening(found, out, err)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listening.run(seconds))
    print(f"{listening.frames} frames", file=err)
    return 0


class Listening:
    """Transports whose frames are written instead of decoded."""

    def __init__(self, found: Sequence[Transport], out: TextIO, err: TextIO) -> None:
        self._transports, self._out, self._err = found, out, err
        self.frames = 0

    async def run(self, seconds: float | None) -> None:
        """Write until the time is over or all transports have come to their end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for transport in self._transports:
                    group.create_task(transport.run(self._write, self._reporter(transport.name)))

    def _write(self, frame: Frame) -> None:
        self.frames += 1
        print(frame_to_json(frame), file=self._out, flush=True)

    def _reporter(self, name: str) -> Report:
        def report(reported: TransportReport) -> None:
            message = f": {reported.message}" if reported.message else ""
            print(f"{name} is {reported.state}{message}", file=self._err)

        return report
