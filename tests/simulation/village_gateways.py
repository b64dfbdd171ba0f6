"""Many simulated gateways in one process: the real uplink of each, before a journal in memory.

    python -m tests.simulation.village_gateways ORDERS

ORDERS is a JSON file (see `Orders`). Each gateway has a backlog at the start, and an alert comes up
every now and then, among them while the backlog is on its way. The process ends when it is told so
by the end of its stdin; every connection and every alert is written down in a file.
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud_sync.broker import Broker
from cloud_sync.uplink import LinkState, Uplink
from cloud_sync.uplink.standing import Host, UplinkSettings
from cloud_sync.wire import LineWriter
from drivers.reading import Quantity
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase
from tests.fakes.outbox import MemoryOutbox

SENSORS = 5
START = datetime(2026, 11, 22, tzinfo=UTC)
LOOK_S = 0.4
"""A thousand gateways are looked at 2,500 times a second."""

SEND_EVERY_S = 5.0


@dataclass(frozen=True)
class Orders:
    """What one process simulates."""

    host: str
    port: int
    gateways: list[str]
    readings: int
    """In the backlog of each gateway."""
    alert_every_s: float
    """Of each gateway, on average."""
    alerts_for_s: float
    """So long there are alerts."""
    start_within_s: float
    """The gateways start one after the other within so long; 0: all at once."""
    protocol: str
    seed: int
    diary: str
    """The file that events are written to, as JSON Lines."""

    def save(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)))
        return path


class Gateway:
    """One of them."""

    def __init__(self, name: str, orders: Orders, diary: "Diary") -> None:
        self.name, self._orders, self._diary = name, orders, diary
        self._chance = random.Random(f"{orders.seed} {name}")
        self.outbox = MemoryOutbox(f"{self._chance.getrandbits(32):08x}")
        self._lines = LineWriter(name, "village")
        self._alerts = 0
        self._is_online = False
        self._keep_backlog()
        self.uplink = Uplink(
            Broker(orders.host, orders.port, tls=False, protocol=orders.protocol),
            UplinkSettings(name, send_every_s=SEND_EVERY_S),
            self.outbox,
            Host(state=dict, today=lambda: None),
        )

    async def run(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._orders.start_within_s))
        await asyncio.gather(self.uplink.run(), self._watch())

    def _keep_backlog(self) -> None:
        for n in range(self._orders.readings):
            turn, sensor = divmod(n, SENSORS)
            values = {
                Quantity.TEMPERATURE_CELSIUS: round(20 + self._chance.gauss(0, 0.3), 2),
                Quantity.HUMIDITY_PERCENT: float(round(50 + self._chance.gauss(0, 1))),
            }
            at = START + timedelta(minutes=turn)
            self.outbox.keep(*self._lines.readings(f"meter {sensor}", values, at))

    async def _watch(self) -> None:
        """Let alerts come up, and write down when the link comes and goes."""
        next_alert_s = self._next_alert_s()
        last_alert_s = time.time() + self._orders.alerts_for_s
        while True:
            self._look_at_link()
            if last_alert_s > time.time() >= next_alert_s:
                self._alert()
                next_alert_s = self._next_alert_s()
            await asyncio.sleep(LOOK_S * self._chance.uniform(0.5, 1.5))

    def _look_at_link(self) -> None:
        was_online, self._is_online = self._is_online, self.uplink.link is LinkState.ONLINE
        if self._is_online and not was_online:
            self._diary.write("online", self.name)

    def _next_alert_s(self) -> float:
        return time.time() + self._chance.uniform(0, 2 * self._orders.alert_every_s)

    def _alert(self) -> None:
        self._alerts += 1
        at = START + timedelta(seconds=self._alerts)
        event = AlertEvent(
            rule="frost",
            sensor="meter 0",
            severity=Severity.WARNING,
            phase=Phase.FIRING,
            at=at,
            since=at,
            value=1.5,
        )
        behind = len(self.outbox.unconfirmed)
        self.outbox.keep(self._lines.event(event), lane="events")
        self._diary.write("alert", self.name, self.outbox.newest, self._is_online, behind)
        self.uplink.wake()


class Diary:
    """What happened, as JSON Lines: time, kind, gateway, and more."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def write(self, *what: object) -> None:
        self._file.write(json.dumps([time.time(), *what]) + "\n")


async def simulate(orders: Orders) -> None:
    diary = Diary(Path(orders.diary))
    gateways = [Gateway(name, orders, diary) for name in orders.gateways]
    tasks = [asyncio.create_task(gateway.run()) for gateway in gateways]
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not end.done():
        unconfirmed = sum(len(gateway.outbox.unconfirmed) for gateway in gateways)
        diary.write("unconfirmed", unconfirmed, sum(each.outbox.newest for each in gateways))
        await asyncio.wait({end, *tasks}, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    asyncio.run(simulate(Orders(**json.loads(Path(sys.argv[1]).read_text()))))
