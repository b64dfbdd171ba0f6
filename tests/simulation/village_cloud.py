"""What the village connects to: one Mosquitto, or three nodes of NATS behind one address."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tests.fakes.any_of import any_of
from tests.fakes.servers import mosquitto, nats_cluster


@dataclass(frozen=True)
class Cloud:
    """A broker that can be killed."""

    port: int
    protocol: str
    """The version of MQTT that it speaks."""
    kill: Callable[[], None]
    """Kill it, or one of its nodes."""
    start: Callable[[], None]
    """Start it again; returns when it answers."""
    is_gone: bool
    """Whether nothing answers after a kill."""


@contextmanager
def one_mosquitto(folder: Path) -> Iterator[Cloud]:
    """Run a Mosquitto that keeps nothing."""
    with mosquitto(folder) as broker:
        yield Cloud(broker.port, "5", broker.kill, broker.start, is_gone=True)


@contextmanager
def three_nodes(folder: Path) -> Iterator[Cloud]:
    """Run a NATS cluster, with a load balancer before it; the first node is the one to kill."""
    with nats_cluster(folder) as nodes, _balancer([node.mqtt_port for node in nodes]) as port:
        yield Cloud(port, "3.1.1", nodes[0].kill, nodes[0].start, is_gone=False)


@contextmanager
def _balancer(ports: list[int]) -> Iterator[int]:
    """Run `any_of` in a thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="balancer")
    thread.start()
    balancer = any_of(ports)
    try:
        yield asyncio.run_coroutine_threadsafe(balancer.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(balancer.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
