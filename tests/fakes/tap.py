"""A TCP proxy before a broker that listens, and hangs up or falls silent when it is told to."""

import asyncio
import contextlib
from typing import Self

CHUNK = 1 << 16


class Tap:
    """Use it in an `async with`; connect to `port`."""

    def __init__(self, broker_port: int) -> None:
        self.port = 0
        self.connections = 0
        self.up = bytearray()
        """All bytes to the broker, of all connections."""
        self.down = bytearray()
        self.poison = b""
        """Bytes that the broker cannot take: it gets none of the chunk, and hangs up."""
        self.is_silent = False
        """Swallow everything, in both directions."""
        self.bytes_per_s = 0
        """How slow the way up is; 0: not slow."""
        self._broker_port = broker_port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        ways = [
            asyncio.create_task(self._pass(reader, far_writer, self.up)),
            asyncio.create_task(self._pass(far_reader, writer, self.down)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, far_writer):
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray
    ) -> None:
        is_up = record is self.up
        with contextlib.suppress(OSError):
            while chunk := await reader.read(512 if self.bytes_per_s else CHUNK):
                if is_up and self.bytes_per_s:
                    await asyncio.sleep(len(chunk) / self.bytes_per_s)
                if self.is_silent:
                    continue
                record += chunk
                if is_up and self.poison and self.poison in chunk:
                    return
                writer.write(chunk)
                await writer.drain()
