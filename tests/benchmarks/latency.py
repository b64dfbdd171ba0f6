"""How long does it take from an event to its alert on the broker?

The real daemon hears a door open and shut by Bluetooth (real bleak, a fake BlueZ), judges it,
brings the alert into its journal, synced, and sends it to Mosquitto over the loopback; a subscriber
sees it. The clock starts before the advertisement is given to BlueZ and stops when the subscriber
has the alert. Readings come in beside it, and a real ingester stores and confirms them (SQLite).

- idle: nothing else is to be sent;
- draining: a day's backlog (20 sensors, each minute, 3 fields) is on its way all the time: when it
  has arrived, the cloud asks for all of it again.

Run as `python tests/benchmarks/latency.py [--json]`. It takes two minutes.
"""

import argparse
import asyncio
import json
import logging
import queue
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _measure import machine
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.journal import Journal
from cloud_sync.messages import Ask, encode_ask
from cloud_sync.spans import Spans
from cloud_sync.topics import topic
from cloud_sync.wire import LineWriter, decode_batch
from drivers.reading import Quantity
from tests.fakes.servers import MissingServer, Mosquitto, mosquitto
from tests.fakes.site import Site, until

GATEWAY = "latency"
SENSORS, MINUTES = 20, 1_440
START = datetime(2026, 11, 22, tzinfo=UTC)
PATIENCE_S = 20.0
PAUSE_S = (0.05, 0.15)
"""Between an alert and the next event: anywhere in between, so that they meet every moment."""

AIM_MS = {"idle": 100.0, "draining": 300.0}


@dataclass(frozen=True)
class Result:
    """One kind of day."""

    alerts: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    packets_of_backlog: int
    """That the broker took meanwhile."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--alerts", type=int, default=300, metavar="N", help="of each kind of day")
    options = parser.parse_args()
    where = machine()
    # The fake BlueZ complains when its bus ends before it does; that is not what is measured.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        results = asyncio.run(measure(options.alerts))
    except MissingServer as missing:
        print(f"skipped: {missing}")
        return
    print(f"event to alert on the broker, {options.alerts} alerts each")
    print(where)
    print_table(results)
    if options.json:
        print(json.dumps({kind: asdict(result) for kind, result in results.items()}))


async def measure(alerts: int) -> dict[str, Result]:
    """Return what was measured on both kinds of day. Raises MissingServer."""
    results = {}
    for kind in AIM_MS:
        with (
            tempfile.TemporaryDirectory(prefix="satomori-") as folder,
            mosquitto(Path(folder) / "mosquitto") as broker,
        ):
            site = Path(folder) / "site"
            site.mkdir()
            if kind == "draining":
                fill_journal(site / "journal")
            results[kind] = await run(site, broker, alerts, is_draining=kind == "draining")
    return results


def fill_journal(folder: Path) -> None:
    """Write a day of readings that nobody has confirmed."""
    chance = random.Random(1)
    writer = LineWriter(GATEWAY, "village", {f"sensor {n}": "field" for n in range(SENSORS)})
    journal = Journal(folder, max_bytes=500_000_000)
    values = [[20.0, 60.0, 400.0] for _ in range(SENSORS)]
    quantities = (
        Quantity.SOIL_TEMPERATURE_CELSIUS,
        Quantity.SOIL_MOISTURE_PERCENT,
        Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM,
    )
    for minute in range(MINUTES):
        lines = []
        for n in range(SENSORS):
            values[n] = [round(v + chance.choice((-0.1, 0, 0, 0.1)), 1) for v in values[n]]
            at = START + timedelta(
                minutes=minute, seconds=3 * n, milliseconds=chance.randrange(999)
            )
            now = dict(zip(quantities, values[n], strict=True))
            lines += writer.readings(f"sensor {n}", now, at)
        journal.append(lines)
        if minute % 30 == 29:
            commit(journal)
    commit(journal)
    journal.close()


def commit(journal: Journal) -> None:
    if (block := journal.take()) is not None:
        journal.commit(block)


class Subscriber:
    """Notes when an alert arrives, and how many packets of readings came."""

    def __init__(self, port: int) -> None:
        self.alerts: queue.Queue[float] = queue.Queue()
        self.packets = 0
        self._newest = 0
        self._client = Client(CallbackAPIVersion.VERSION2, "latency-subscriber")
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(topic(GATEWAY, leaf), 0) for leaf in ("events", "readings")])
        self._client.loop_start()

    def _on_message(self, _client: object, _userdata: object, message: object) -> None:
        if message.topic.endswith("/events"):
            arrived_s = time.perf_counter()
            newest = max(last for _, last in decode_batch(message.payload).sequence)
            # What was sent before somebody could confirm it comes again.
            if newest > self._newest:
                self._newest = newest
                self.alerts.put(arrived_s)
        else:
            self.packets += len(message.payload) > 400

    def want_again(self) -> None:
        """As the cloud does after a disaster."""
        ask = encode_ask(Ask("resend", numbers=Spans([(1, SENSORS * MINUTES)])))
        self._client.publish(topic(GATEWAY, "ask"), ask, 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@asynccontextmanager
async def subscribed(port: int) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(port)
    try:
        yield subscriber
    finally:
        subscriber.close()


async def run(folder: Path, broker: Mosquitto, alerts: int, *, is_draining: bool) -> Result:
    store = ["--sqlite", str(folder / "store.sqlite")]
    async with (
        subscribed(broker.port) as subscriber,
        Site(folder, GATEWAY, broker, store) as site,
    ):
        draining = asyncio.create_task(keep_draining(site, subscriber)) if is_draining else None
        await open_and_shut(site, subscriber, 4)
        if is_draining:
            await until(lambda: subscriber.packets > 1, PATIENCE_S, "the backlog begins to leave")
        before = subscriber.packets
        waits_ms = await open_and_shut(site, subscriber, alerts)
        packets = subscriber.packets - before
        if draining is not None:
            draining.cancel()
            if not packets:
                raise RuntimeError("nothing was draining")
    cuts = statistics.quantiles(waits_ms, n=100)
    return Result(len(waits_ms), cuts[49], cuts[98], max(waits_ms), packets)


async def keep_draining(site: Site, subscriber: Subscriber) -> None:
    """Ask for all of it again whenever it has arrived."""
    while True:
        status = await asyncio.to_thread(site.status)
        if status is not None and status["link"]["unconfirmed"] < SENSORS * MINUTES / 10:
            subscriber.want_again()
            await asyncio.sleep(1.0)
        await asyncio.sleep(0.2)


async def open_and_shut(site: Site, subscriber: Subscriber, times: int) -> list[float]:
    """Return how many milliseconds each of so many events took."""
    waits_ms = []
    for n in range(times):
        await asyncio.sleep(random.uniform(*PAUSE_S))
        begun_s = time.perf_counter()
        await site.door((n + 1) % 2)
        arrived_s = await asyncio.to_thread(subscriber.alerts.get, timeout=PATIENCE_S)
        waits_ms.append((arrived_s - begun_s) * 1e3)
    return waits_ms


def print_table(results: dict[str, Result]) -> None:
    print(f"{'':10}{'p50, ms':>10}{'p99, ms':>10}{'max, ms':>10}{'aim p99':>10}{'packets':>10}")
    for kind, result in results.items():
        figures = (result.p50_ms, result.p99_ms, result.max_ms, AIM_MS[kind])
        columns = "".join(f"{figure:>10.0f}" for figure in figures)
        print(f"{kind:10}{columns}{result.packets_of_backlog:>10}")


if __name__ == "__main__":
    main()
