"""A load balancer for tests: one port, behind it whichever of several servers is there."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress


@asynccontextmanager
async def any_of(ports: Sequence[int]) -> AsyncIterator[int]:
    """Yield a port of the loopback; each connection to it goes on to the next one that answers."""
    turns = itertools.count()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        first = next(turns)
        with closing(writer), suppress(OSError, asyncio.CancelledError):
            for n in range(len(ports)):
                with suppress(ConnectionRefusedError):
                    port = ports[(first + n) % len(ports)]
                    await _join(reader, writer, *await asyncio.open_connection("127.0.0.1", port))
                    return

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> None:
    """Return when one of the two has hung up; then so does the other."""
    with closing(server_writer):
        ways = [_pass_on(reader, server_writer), _pass_on(server_reader, writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
