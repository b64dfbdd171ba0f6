"""A link that is a TCP proxy on the loopback, for where there is no TUN device.

It takes every byte at once, so the ends never feel TCP's own retransmissions; a packet that is lost
is one that comes later by a retransmission timeout. A connection that had bytes swallowed cannot go
on: it is reset when the link heals.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

from tests.fakes.servers import free_port
from tests.simulation.link_lab import BOTH, Direction
from tests.simulation.link_pipe import GOOD

PACKET_BYTES = 1_400
RETRANSMISSION_S = 0.3
"""Linux waits at least 0.2 s and the way to the other end."""


@dataclass(eq=False)
class _Connection:
    """Both ends of a connection that is passed on."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    is_torn: bool = False
    """Some of its bytes were swallowed."""

    def abort(self) -> None:
        """End it with a reset, which is what closing without lingering is."""
        for writer in self.ends:
            if not writer.is_closing():
                linger = struct.pack("ii", 1, 0)
                end: socket.socket = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


class ProxyLink:
    """See link_lab.py for what it does. Made by `proxy_link`."""

    def __init__(self, seed: int) -> None:
        self.enter: list[str] = []
        self.quality = GOOD
        self._port, self._target = free_port(), 0
        self._chance = random.Random(seed)
        self._silent: set[Direction] = set()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="link")
        self._thread.start()

    def listener(self, port: int) -> str:
        return ""

    def address(self, broker_port: int) -> tuple[str, int]:
        if not self._target:
            self._target = broker_port
            served = asyncio.start_server(self._pass, "127.0.0.1", self._port)
            self._server = asyncio.run_coroutine_threadsafe(served, self._loop).result()
        return "127.0.0.1", self._port

    def silence(self, *directions: Direction) -> None:
        self._do(lambda: self._silent.update(directions or BOTH))

    def heal(self) -> None:
        self._do(self._heal)

    def reset(self) -> None:
        self._do(lambda: self._abort(list(self._connections)))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Callable[[], None]) -> None:
        """Do it in the loop's thread, and wait until it is done."""

        async def do() -> None:
            work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    def _heal(self) -> None:
        self.quality = GOOD
        self._silent.clear()
        self._abort([each for each in self._connections if each.is_torn])

    def _abort(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.abort()

    async def _close(self) -> None:
        if self._target:
            self._server.close()
        self._abort(list(self._connections))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((writer, there_writer))
        self._connections.add(connection)
        tasks = {
            asyncio.create_task(self._copy(connection, "up", reader, there_writer)),
            asyncio.create_task(self._copy(connection, "down", there_reader, writer)),
        }
        self._tasks |= tasks
        await asyncio.wait(tasks)
        self._tasks -= tasks
        self._connections.discard(connection)

    async def _copy(
        self,
        connection: _Connection,
        way: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PACKET_BYTES):
                if way not in self._silent:
                    await asyncio.sleep(self._time_s(len(data)))
                if way in self._silent:
                    connection.is_torn = True
                elif not connection.is_torn:
                    writer.write(data)
                    await writer.drain()
        while way in self._silent:  # noqa: ASYNC110  # the end of a connection is swallowed too
            await asyncio.sleep(0.05)
        connection.abort()

    def _time_s(self, size: int) -> float:
        """Return how long these bytes take."""
        took_s = self.quality.delay_s + size / self.quality.bytes_per_s
        while self._chance.random() < self.quality.loss:
            took_s += RETRANSMISSION_S + 2 * self.quality.delay_s
        return took_s


@contextmanager
def proxy_link(seed: int) -> Iterator[ProxyLink]:
    link = ProxyLink(seed)
    try:
        yield link
    finally:
        link.close()
