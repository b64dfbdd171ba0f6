"""From an antenna, a wire and a pin to rows in InfluxDB, and nothing lost whoever is killed.

Every part is the real one: bleak on a D-Bus with a fake BlueZ, pymodbus on a pseudo-terminal,
gpiozero on pins that this test drives, the daemon and the ingester as processes, Mosquitto,
InfluxDB 1.6.7 behind nginx, VictoriaMetrics.
"""

import asyncio
import random

import pytest

from cloud_sync.wire import parse_line
from tests.fakes.servers import influxd, nginx_v2
from tests.fakes.site import Site, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

MEASUREMENTS = ("contact", "soil", "battery", "alert")


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o600)
    return path


def influx_words(url, bucket, token_file):
    return [
        "--influx",
        url,
        "--bucket",
        bucket,
        "--org",
        "village",
        "--token-file",
        str(token_file),
    ]


async def test_an_advertisement_a_register_and_a_pin_edge_become_rows(
    tmp_path, mosquitto_server, influx_bucket, token_file
):
    store = influx_words(influx_bucket.url, influx_bucket.name, token_file)
    async with Site(tmp_path, "way-of-data", mosquitto_server, store) as site:
        site.soil_moisture(15.5)
        await site.door(1)
        await site.window(1)

        def arrived():
            found = {name: influx_bucket.rows(name) for name in MEASUREMENTS}
            enough = len(found["alert"]) == 2 and len(found["contact"]) >= 2 and found["soil"]
            return found if enough else None

        rows = await until(arrived, what="rows")
        assert site.daemon.stop() == 0
    contacts = {row["sensor"]: row for row in rows["contact"] if row["contact_open"] == 1}
    assert contacts["玄関"]["place"] == "home"
    assert contacts["window"]["place"] == "greenhouse"
    soil = rows["soil"][0]
    assert (soil["soil_moisture_percent"], soil["soil_temperature_celsius"]) == (15.5, 18.5)
    assert (soil["gateway"], soil["site"]) == ("way-of-data", "大内")
    alerts = {row["rule"]: row for row in rows["alert"]}
    assert set(alerts) == {"玄関が開きました", "soil is dry"}
    assert alerts["soil is dry"]["phase"] == "firing"
    assert alerts["soil is dry"]["value"] == 15.5
    assert alerts["玄関が開きました"]["time"] == contacts["玄関"]["time"]


async def test_numeric_rows_reach_victoria_metrics_too(
    tmp_path, mosquitto_server, victoria_metrics_server
):
    store = ["--influx", victoria_metrics_server.url, "--bucket", "any"]
    async with Site(tmp_path, "way-of-metrics", mosquitto_server, store) as site:
        await site.door(1)
        await site.window(1)
        site.soil_moisture(15.5)
        await until(lambda: b"soil\\ is\\ dry" in b"".join(site.journal()), what="the alert")
        assert site.daemon.stop() == 0
        values = sum(len(parse_line(line).fields) for line in site.journal())
        site.daemon.start()

        def arrived():
            return victoria_metrics_server.count(site.gateway) >= values

        await until(arrived, what="all values")


async def test_telegraf_could_read_what_is_sent_as_line_protocol(
    tmp_path, mosquitto_server, influx_bucket, token_file
):
    store = influx_words(influx_bucket.url, influx_bucket.name, token_file)
    uplink = 'encoding = "line-protocol"\nprotocol = "3.1.1"'
    async with Site(tmp_path, "way-of-lines", mosquitto_server, store, uplink=uplink) as site:
        await site.door(1)
        rows = await until(lambda: influx_bucket.rows("contact"), what="rows")
    assert rows[0]["contact_open"] in {0, 1}


@pytest.mark.parametrize("seed", [1, 2])
async def test_kill_9_of_anything_at_any_moment_loses_nothing_and_doubles_nothing(
    tmp_path, start_mosquitto, token_file, seed
):
    chance = random.Random(seed)
    broker = start_mosquitto()
    with (
        influxd(tmp_path / "influx") as influx,
        nginx_v2(influx.url, tmp_path / "nginx") as nginx,
    ):
        database = influx.new_database()
        store = influx_words(nginx.url, f"{database}/autogen", token_file)
        async with Site(tmp_path, f"killed-{seed}", broker, store) as site:
            await site.door(0)
            toggling = asyncio.create_task(_toggle(site))
            victims = [site.daemon, broker, site.ingester, influx] * 2
            chance.shuffle(victims)
            for victim in victims:
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                await asyncio.to_thread(victim.kill)
                await asyncio.sleep(chance.uniform(0.0, 0.8))
                await asyncio.to_thread(victim.start)
            await until(site.status, what="the daemon is back")
            toggling.cancel()
            await until(lambda: site.status()["link"]["unconfirmed"] == 0, 120, "all confirmed")
            assert site.daemon.stop() == 0
            accepted = [_identity(parse_line(line)) for line in site.journal()]
            # What the last second brought, after the status was asked, is sent by the next start.
            site.daemon.start()
            await until(lambda: len(_stored(influx, database)) >= len(accepted), 60, "the rest")
            stored = _stored(influx, database)
        assert len(set(accepted)) == len(accepted)
        assert set(accepted) <= set(stored)
        assert len(set(stored)) == len(stored)
        assert len([line for line in accepted if line[0] == "contact"]) > 20


LEFT_OPEN = """
[[rule]]
name = "left open"
condition = "opened"
sensor = "玄関"
hold = "4 s"
"""


async def test_power_that_fails_while_an_alert_waits_neither_loses_it_nor_tells_it_twice(
    tmp_path, mosquitto_server, influx_bucket, token_file
):
    store = influx_words(influx_bucket.url, influx_bucket.name, token_file)
    more = {"rules": LEFT_OPEN}

    def told(site):
        points = map(parse_line, site.journal())
        alerts = [p for p in points if p.measurement == "alert" and p.tags["rule"] == "left open"]
        return sorted((p.time_ns, p.tags["phase"]) for p in alerts)

    def states(site):
        points = map(parse_line, site.journal())
        doors = [p for p in points if p.measurement == "contact" and p.tags["sensor"] == "玄関"]
        return [p.fields["contact_open"] for p in doors]

    async with Site(tmp_path, "cut-while-waiting", mosquitto_server, store, **more) as site:
        await site.door(0)
        await until(lambda: states(site) == [0], what="a closed door")
        await site.door(1)
        await until(lambda: states(site) == [0, 1], what="an open door")
        for _ in range(2):  # while it waits
            assert told(site) == []
            await asyncio.to_thread(site.daemon.kill)
            await asyncio.to_thread(site.daemon.start)
            await until(site.status, what="the daemon is back")
        await until(lambda: told(site), what="the alert")
        await asyncio.to_thread(site.daemon.kill)  # just when it was told
        await asyncio.to_thread(site.daemon.start)
        await until(site.status, what="the daemon is back")
        await site.door(0)
        await until(lambda: len(told(site)) > 1, what="that it is over")
        assert site.daemon.stop() == 0
        opened = min(
            p.time_ns
            for p in map(parse_line, site.journal())
            if p.tags["sensor"] == "玄関" and p.fields.get("contact_open") == 1
        )
        (fired_ns, fired), (_, over) = told(site)
    assert (fired, over) == ("firing", "quiet")
    assert fired_ns - opened == 4_000_000_000


async def _toggle(site):
    """Open and close the door, and change the soil, without end."""
    for n in range(100_000):
        await site.door(n % 2)
        site.soil_moisture(15 + n % 10)
        await asyncio.sleep(0.05)


def _identity(point):
    return point.measurement, point.tags["sensor"], point.tags.get("phase"), point.time_ns


def _stored(influx, database):
    return [
        (name, row["sensor"], row.get("phase"), row["time"])
        for name in MEASUREMENTS
        for row in influx.rows(database, name)
    ]
