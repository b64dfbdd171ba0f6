"""Gateways and an ingester on a three-node NATS cluster, each node of which is killed in turn.

The uplinks and the ingester are the real ones, and so are the cluster and the store; only the
journals are in memory.
"""

import asyncio
import re
import subprocess
from contextlib import AsyncExitStack, ExitStack, closing
from datetime import date
from pathlib import Path

import pytest

from cloud_sync.broker import Broker
from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.uplink import Host, Uplink, UplinkSettings, backoff, session
from tests.fakes.any_of import any_of
from tests.fakes.outbox import MemoryOutbox
from tests.fakes.servers import MissingServer, binary, nats_cluster
from tests.fakes.site import Process, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

GATEWAYS = 4
RECORDS_PER_S = 20
CONFIRM_TIMEOUT_S = 3.0
PATIENCE_S = 90.0
HOST = Host(state=dict, today=lambda: date(2026, 11, 23))


class Home:
    """One gateway: its journal, and its way to the cloud."""

    def __init__(self, number, broker):
        self.name = f"home-{number}"
        self.outbox = MemoryOutbox(boot=f"{number:08x}")
        settings = UplinkSettings(self.name, send_every_s=0.5)
        self.uplink = Uplink(
            broker, settings, self.outbox, HOST, confirm_timeout_s=CONFIRM_TIMEOUT_S
        )

    async def live(self):
        """Say something, for ever: a reading most of the time, an alert now and then."""
        while True:
            number = self.outbox.newest + 1
            at_ns = 1_764_000_000_000_000_000 + number * 1_000_000
            if number % 25:
                head = f"air,gateway={self.name},sensor=m temperature_celsius={number / 10:.1f}"
                self.outbox.keep(f"{head} {at_ns}\n".encode())
            else:
                head = f"alert,gateway={self.name},rule=r firing=1"
                self.outbox.keep(f"{head} {at_ns}\n".encode(), lane="events")
            self.uplink.wake()
            await asyncio.sleep(1 / RECORDS_PER_S)


@pytest.fixture
def cluster(tmp_path):
    with ExitStack() as stack:
        try:
            yield stack.enter_context(nats_cluster(tmp_path / "nats"))
        except MissingServer as missing:
            pytest.skip(str(missing))


async def test_each_node_killed_in_turn_loses_nothing_and_doubles_nothing(
    cluster, tmp_path, monkeypatch
):
    # A node that is just back takes a login and answers it when it has found the others.
    monkeypatch.setattr(session, "CONNACK_TIMEOUT_S", 3.0)
    monkeypatch.setattr(backoff, "MAX_S", 4.0)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(any_of([node.mqtt_port for node in cluster]))
        ingester = Process(
            tmp_path,
            "ingest",
            *("--mqtt", f"mqtt://127.0.0.1:{port}", "--mqtt-protocol", "3.1.1"),
            *("--sqlite", str(tmp_path / "store.sqlite"), "--set-aside", str(tmp_path / "aside")),
        )
        stack.callback(ingester.stop)
        ingester.start()
        await until(lambda: "connected to" in ingester.log, what="the ingester listens")
        homes = [
            Home(n, Broker("127.0.0.1", port, tls=False, protocol="3.1.1", keepalive_s=10))
            for n in range(GATEWAYS)
        ]
        uplinks = [asyncio.create_task(home.uplink.run()) for home in homes]
        lives = [asyncio.create_task(home.live()) for home in homes]
        for node in cluster:
            now = [home.outbox.newest + 1 for home in homes]
            await until(lambda n=now: confirmed(homes, n), PATIENCE_S, "all is well again")
            await asyncio.to_thread(node.kill)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(node.start)
        for task in lives:
            task.cancel()
        try:
            await until(lambda: not any(home.outbox.unconfirmed for home in homes), PATIENCE_S)
        finally:
            for task in uplinks:
                task.cancel()
            await asyncio.gather(*uplinks, *lives, return_exceptions=True)
        assert ingester.stop() == 0
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        for home in homes:
            assert stored(store, home) == said(home)


def confirmed(homes, numbers):
    """Whether each home has heard that all its records up to this number are stored."""
    return all(
        home.outbox.newest >= number and home.outbox.floor(home.outbox.boot) >= number
        for home, number in zip(homes, numbers, strict=True)
    )


def stored(store, home):
    return [
        (measurement, point.time_ns, value)
        for measurement in ("air", "alert")
        for point in store.points(measurement)
        if point.tags["gateway"] == home.name
        for value in point.fields.values()
    ]


def said(home):
    records = []
    for lane, line in home.outbox.records:
        _, fields, time = line.decode().split(" ")
        records.append(
            ("air" if lane == "readings" else "alert", int(time), float(fields.split("=")[1]))
        )
    return sorted(records, key=lambda record: record[:2])


def test_nats_understands_the_configuration_in_the_document(tmp_path):
    document = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```nats\n(.*?)```", document, re.DOTALL)
    config = tmp_path / "nats.conf"
    # The files of the certificate are not here.
    config.write_text(re.sub(r"\n *tls .*", "", text))
    try:
        command = [binary("nats-server"), "-t", "-c", str(config)]
    except MissingServer as missing:
        pytest.skip(str(missing))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
