"""amqtt, the pure-Python broker of the demonstration, in a thread of the test: MQTT 3.1.1 only."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from tests.fakes.servers import free_port

START_TIMEOUT_S = 10.0


@contextmanager
def amqtt_broker() -> Iterator[int]:
    """Yield the port of the loopback that it listens on. Skips the test if it is not installed."""
    amqtt = pytest.importorskip("amqtt.broker")
    port, ready, stop = free_port(), Event(), Event()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def serve() -> None:
        broker = amqtt.Broker(config)
        await broker.start()
        ready.set()
        await asyncio.to_thread(stop.wait)
        await broker.shutdown()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(START_TIMEOUT_S)
        yield port
    finally:
        stop.set()
        thread.join()
