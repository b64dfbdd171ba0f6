"""The ingester between a real Mosquitto and a real InfluxDB behind nginx."""

import itertools
import json
import logging
import re
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from cloud_sync.broker import Broker, connect_properties
from cloud_sync.columns import SeriesTable, pack
from cloud_sync.influx import InfluxStore
from cloud_sync.ingester import Ingester, connection, rounds
from cloud_sync.ingester.writer import Patience
from cloud_sync.messages import Ask, Time, decode_ask, decode_sign, decode_time, encode_hello
from cloud_sync.spans import Spans
from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.topics import INGESTERS, partition, topic
from cloud_sync.wire import Batch, decode_confirmed, encode_batch
from tests.fakes.amqtt_broker import amqtt_broker
from tests.fakes.servers import nginx_v2, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

BOOT, NEXT_BOOT = "5f3a9c01", "5f3a9c02"
TIMEOUT_S = 20.0
HURRY = Patience(first_s=0.05, longest_s=0.2, refused_s=0.2)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(number, gateway="g12", field="t=1"):
    return f"air,gateway={gateway},sensor=m {field} {1764000000 + number}000000000\n".encode()


def batch(first, last, *, gateway="g12", boot=BOOT, floor=0):
    lines = b"".join(line(number, gateway) for number in range(first, last + 1))
    return Batch(boot, Spans([(first, last)]), floor, lines)


class Gateway:
    """What a gateway does: sends batches, and hears what is confirmed."""

    def __init__(self, port, name="g12", protocol=5):
        self.name = name
        self.port = port
        self.confirmed, self.retained = {}, {}
        self.payloads, self.asked, self.times, self.signs = [], [], [], []
        broker = Broker("127.0.0.1", port, tls=False)
        self.client = broker.client(f"gateway-{name}", protocol=protocol, session_expiry_s=0)
        self.client.on_message = self._on_message
        filters = [topic(name, leaf) for leaf in ("confirmed", "time", "ask")] + [f"{INGESTERS}/+"]
        self.client.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in filters])
        self.client.reconnect_delay_set(0.1, 0.1)
        self.client._reconnect_on_failure = True
        broker.connect(self.client, connect_properties(session_expiry_s=0))
        self.client.loop_start()
        until(self.client.is_connected)

    def _on_message(self, _client, _userdata, message):
        if message.topic.startswith(INGESTERS):
            self.signs.append(decode_sign(message.payload))
            return
        leaf = message.topic.rsplit("/", 1)[1]
        if leaf == "time":
            self.times.append(decode_time(message.payload))
        elif leaf == "ask":
            self.asked.append(decode_ask(message.payload))
        else:
            self._on_confirmed(message)

    def _on_confirmed(self, message):
        self.payloads.append(message.payload)
        said = decode_confirmed(message.payload)
        if message.retain:
            self.retained = {boot: str(spans) for boot, spans in said.items()}
        for boot, spans in said.items():
            self.confirmed.setdefault(boot, Spans()).update(spans)

    def send(self, batch, leaf="readings"):
        self.publish(encode_batch(batch), leaf)

    def publish(self, payload, leaf="readings"):
        return self.client.publish(topic(self.name, leaf), payload, qos=1)

    def publish_retained(self, payload, leaf):
        info = self.client.publish(topic(self.name, leaf), payload, qos=1, retain=True)
        info.wait_for_publish(TIMEOUT_S)

    def insists(self, batch):
        """Send it again and again until it is confirmed."""

        def is_confirmed():
            self.send(batch)
            held = self.confirmed.get(batch.boot, Spans())
            return all(held.covers(*span) for span in batch.sequence)

        until(is_confirmed, TIMEOUT_S, f"{batch.sequence} is confirmed")

    def hears(self, spans, boot=BOOT):
        expected = Spans.parse(spans)
        until(
            lambda: all(self.confirmed.get(boot, Spans()).covers(*span) for span in expected),
            TIMEOUT_S,
            f"{spans} is confirmed",
        )

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def gateway(start_mosquitto):
    """A gateway at a broker of its own."""
    server = start_mosquitto()
    with closing(Gateway(server.port)) as gateway:
        yield gateway


@pytest.fixture
def store(influx_bucket):
    with closing(InfluxStore(influx_bucket.url, bucket=influx_bucket.name)) as store:
        yield store


@pytest.fixture
def aside(tmp_path):
    return tmp_path / "aside"


@pytest.fixture
def ingest(store, aside, caplog):
    """Puts an ingester to work, waits for it to be connected, and ends it as SIGTERM would."""
    caplog.set_level(logging.INFO, "cloud_sync.ingester.connection")

    @contextmanager
    def ingest(port, *, store=store, wait=True, **options):
        broker = options.pop("broker", Broker("127.0.0.1", port, tls=False))
        options = {"patience": HURRY, "now": lambda: NOON, **options}
        work = Ingester(store, broker, set_aside=aside, **options)
        caplog.clear()
        stop = Event()
        thread = Thread(target=work.run, args=[stop])
        thread.start()
        try:
            if wait:
                until_logged(caplog, "connected to", logging.INFO)
            yield
        finally:
            stop.set()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()

    return ingest


def set_aside(folder):
    return [
        json.loads(text)
        for file in folder.glob("*.jsonl")
        for text in file.read_text(encoding="utf-8").splitlines()
    ]


def until_logged(caplog, words, level=logging.WARNING):
    until(
        lambda: any(
            r.levelno >= level and re.search(words, r.getMessage()) for r in caplog.records
        ),
        TIMEOUT_S,
        f"{words!r} is logged",
    )


# The way of a batch


def test_a_batch_arrives_is_stored_and_confirmed(ingest, gateway, influx_bucket):
    with ingest(gateway.port):
        gateway.send(batch(118, 120, floor=117))
        gateway.hears("1-120")
    assert [row["time"] for row in influx_bucket.rows("air")] == [
        1764000118000000000,
        1764000119000000000,
        1764000120000000000,
    ]


def test_a_confirmation_waits_for_a_gateway_that_is_away(ingest, gateway):
    with ingest(gateway.port):
        gateway.send(batch(118, 120, floor=117))
        gateway.hears("1-120")
    with closing(Gateway(gateway.port)) as later:
        later.hears("1-120")
        assert later.retained == {BOOT: "1-120"}


def test_events_and_readings_are_confirmed_together(ingest, gateway):
    with ingest(gateway.port):
        gateway.send(batch(7, 7), "events")
        gateway.send(batch(1, 6))
        gateway.hears("1-7")


@pytest.mark.parametrize("encoding", ["gzip", "line-protocol"])
def test_both_text_encodings_are_understood(ingest, gateway, encoding):
    with ingest(gateway.port):
        gateway.publish(encode_batch(batch(1, 3), encoding))
        gateway.hears("1-3")


def test_a_batch_with_qos_0_is_stored_and_confirmed_too(ingest, gateway, influx_bucket):
    with ingest(gateway.port):
        gateway.client.publish(topic("g12", "readings"), encode_batch(batch(1, 3)), qos=0)
        gateway.hears("1-3")
    assert len(influx_bucket.rows("air")) == 3


def test_a_confirmation_is_short_and_says_only_what_is_new(ingest, gateway):
    with ingest(gateway.port):
        for number in range(1, 6):
            gateway.send(batch(number, number))
            gateway.hears(f"1-{number}")
    with closing(Gateway(gateway.port)) as later:
        until(lambda: later.payloads)
    assert later.payloads == [b"1 5f3a9c01=1-5"]


# Series tables


def test_columns_are_read_with_the_table_that_was_published(ingest, gateway, influx_bucket):
    table = SeriesTable()
    payload = pack(batch(1, 3), table)
    with ingest(gateway.port):
        gateway.publish_retained(table.payload(), "series")
        gateway.publish(payload)
        gateway.hears("1-3")
    assert len(influx_bucket.rows("air")) == 3


def test_after_a_restart_the_table_comes_before_the_batches_that_waited(
    ingest, gateway, influx_bucket
):
    table = SeriesTable()
    payload = pack(batch(1, 3), table)
    with ingest(gateway.port):
        gateway.publish_retained(table.payload(), "series")
    gateway.publish(payload).wait_for_publish(TIMEOUT_S)
    with ingest(gateway.port):
        gateway.hears("1-3")
    assert gateway.asked == []


def test_an_unknown_table_is_asked_for_once_and_its_batch_is_not_confirmed(
    ingest, gateway, influx_bucket, aside
):
    table = SeriesTable()
    payload = pack(batch(1, 3), table)
    with ingest(gateway.port):
        for _ in range(5):
            gateway.publish(payload)
        until(lambda: gateway.asked)
        gateway.send(batch(4, 4))
        gateway.hears("4")
        assert gateway.asked == [Ask("series")]
        assert str(gateway.confirmed[BOOT]) == "4"
        gateway.publish_retained(table.payload(), "series")
        gateway.publish(payload)
        gateway.hears("1-4")
    assert set_aside(aside) == []
    assert len(influx_bucket.rows("air")) == 4


# The time, and the sign


def test_a_gateway_that_asks_is_told_the_time(ingest, gateway):
    with ingest(gateway.port):
        gateway.publish(encode_hello("n1"), "hello")
        until(lambda: gateway.times)
    assert gateway.times == [Time("n1", NOON)]


def test_a_server_that_does_not_know_the_time_says_so_to_its_log_only(ingest, gateway, caplog):
    with ingest(gateway.port, is_clock_right=lambda: False):
        gateway.publish(encode_hello("n1"), "hello")
        until_logged(caplog, "'g12' asks for the time, and nothing has set the clock")
        gateway.send(batch(1, 1))
        gateway.hears("1")
    assert gateway.times == []


def test_the_time_is_told_during_an_outage_of_the_store(ingest, gateway, influx_bucket, caplog):
    influx_bucket.answer(503)
    with ingest(gateway.port, patience=Patience(60, 60, 60)):
        gateway.send(batch(1, 1))
        until_logged(caplog, "trying again")
        gateway.publish(encode_hello("n1"), "hello")
        until(lambda: gateway.times)


def test_the_sign_says_online_and_offline_and_each_connection_is_a_new_start(ingest, gateway):
    for _ in range(2):
        with ingest(gateway.port, partitions=range(32)):
            until(lambda: gateway.signs and gateway.signs[-1].online)
        until(lambda: not gateway.signs[-1].online)
    assert [sign.online for sign in gateway.signs] == [True, False, True, False]
    assert len({sign.start for sign in gateway.signs}) == 2
    assert {(s.first_partition, s.last_partition) for s in gateway.signs} == {(0, 31)}


def test_a_killed_ingester_is_offline(gateway, influx_bucket, tmp_path):
    with ingest_command(gateway.port, influx_bucket, tmp_path) as process:
        until(lambda: gateway.signs and gateway.signs[-1].online)
        process.kill()
        until(lambda: not gateway.signs[-1].online)


def test_a_sign_that_may_not_be_put_up_stops_nothing(ingest, start_mosquitto):
    acl = "topic readwrite satomori/v1/+/+/#"
    with closing(Gateway(start_mosquitto(acl=acl).port)) as gateway, ingest(gateway.port):
        gateway.send(batch(1, 1))
        gateway.hears("1")


def test_what_comes_again_is_confirmed_again_and_stored_once(ingest, gateway, influx_bucket):
    with ingest(gateway.port):
        for _ in range(5):
            gateway.send(batch(1, 10))
        gateway.hears("1-10")
        gateway.confirmed.clear()
        gateway.send(batch(1, 10))
        gateway.hears("1-10")
    assert len(influx_bucket.rows("air")) == 10


def test_each_gateway_hears_of_its_own_records_only(ingest, gateway, influx_bucket):
    with (
        ingest(gateway.port),
        closing(Gateway(gateway.port, "g13")) as other,
    ):
        gateway.send(batch(1, 3))
        other.send(batch(7, 8, gateway="g13"))
        gateway.hears("1-3")
        other.hears("7-8")
    assert str(gateway.confirmed[BOOT]) == "1-3"
    assert str(other.confirmed[BOOT]) == "7-8"
    assert len(influx_bucket.rows("air")) == 5


def test_a_write_takes_up_what_many_messages_brought(ingest, gateway, influx_bucket):
    with ingest(gateway.port):
        for first in range(1, 3001, 10):
            gateway.send(batch(first, first + 9))
        gateway.hears("1-3000")
    assert len(influx_bucket.rows("air")) == 3000


def test_an_ingester_serves_its_own_partitions_only(ingest, gateway, influx_bucket):
    own = int(partition("g12")[1:])
    assert partition("g13") != partition("g12")
    with (
        closing(Gateway(gateway.port, "g13")) as other,
        ingest(gateway.port, partitions=range(own, own + 1)),
    ):
        other.send(batch(1, 3, gateway="g13"))
        gateway.send(batch(1, 3))
        gateway.hears("1-3")
        assert {row["gateway"] for row in influx_bucket.rows("air")} == {"g12"}


def test_two_ingesters_share_the_work(ingest, gateway, influx_bucket):
    with (
        closing(Gateway(gateway.port, "g14")) as other,
        ingest(gateway.port, partitions=range(32)),
        ingest(gateway.port, partitions=range(32, 64)),
    ):
        assert partition("g12") < "p32" <= partition("g14")
        other.send(batch(1, 3, gateway="g14"))
        gateway.send(batch(1, 3))
        gateway.hears("1-3")
        other.hears("1-3")


def test_partitions_can_be_divided_anew_without_losing_what_waits(ingest, gateway, influx_bucket):
    """As docs/scale.md says: the halves come, then the whole one ends, and serves none at last."""
    with closing(Gateway(gateway.port, "g14")) as other:
        with ingest(gateway.port):
            gateway.send(batch(1, 1))
            gateway.hears("1")
        # What comes while nobody is there waits in the old session.
        gateway.send(batch(2, 3))
        other.send(batch(1, 3, gateway="g14"))
        with (
            ingest(gateway.port, partitions=range(32)),
            ingest(gateway.port, partitions=range(32, 64)),
        ):
            gateway.send(batch(4, 4))
            gateway.hears("4")
            assert 2 not in {row["time"] for row in influx_bucket.rows("air")}
            with ingest(gateway.port):
                gateway.hears("1-4")
                other.hears("1-3")
    assert len(influx_bucket.rows("air")) == 7


def test_ranges_that_overlap_cost_work_and_nothing_else(ingest, gateway, influx_bucket):
    with (
        ingest(gateway.port, partitions=range(40)),
        ingest(gateway.port, partitions=range(64)),
    ):
        for first in range(1, 101, 10):
            gateway.send(batch(first, first + 9))
        gateway.hears("1-100")
    assert len(influx_bucket.rows("air")) == 100


# Restarts


def test_after_a_restart_it_goes_on_from_what_was_confirmed(ingest, gateway):
    with ingest(gateway.port):
        gateway.send(batch(1, 5))
        gateway.send(batch(8, 9))
        gateway.send(batch(1, 2, boot=NEXT_BOOT))
        gateway.hears("1-5,8-9")
        gateway.hears("1-2", NEXT_BOOT)
    with ingest(gateway.port):
        gateway.send(batch(6, 6))
        gateway.hears("6")
    with closing(Gateway(gateway.port)) as later:
        later.hears("1-6,8-9")
        later.hears("1-2", NEXT_BOOT)


def test_what_was_sent_while_it_was_away_waits_in_the_broker(ingest, gateway, influx_bucket):
    with ingest(gateway.port):
        gateway.send(batch(1, 1))
        gateway.hears("1")
    gateway.send(batch(2, 5))
    with ingest(gateway.port):
        gateway.hears("1-5")
    assert len(influx_bucket.rows("air")) == 5


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_more_than_the_inbox_takes_may_wait_in_the_broker(
    ingest, gateway, influx_bucket, monkeypatch, protocol
):
    monkeypatch.setattr(connection, "RECEIVE_MAXIMUM", 10)
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 1.0)
    broker = Broker("127.0.0.1", gateway.port, tls=False, protocol=protocol)
    with ingest(gateway.port, broker=broker):
        gateway.send(batch(1, 1))
        gateway.hears("1")
    for number in range(2, 101):
        gateway.send(batch(number, number))
    with ingest(gateway.port, broker=broker):
        gateway.hears("1-100")
    assert len(influx_bucket.rows("air")) == 100


def test_what_was_confirmed_does_not_come_again(ingest, gateway, influx_bucket, tmp_path):
    with ingest(gateway.port):
        gateway.send(batch(1, 5))
        gateway.hears("1-5")
    with closing(SqliteStore(tmp_path / "empty.sqlite")) as empty:
        with ingest(gateway.port, store=empty):
            gateway.send(batch(6, 6))
            gateway.hears("6")
        assert empty.count() == 1


SATOMORI_INGEST = """
import argparse, sys
from agent.ingest import add_arguments, run
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run(parser.parse_args()))
"""


@contextmanager
def ingest_command(port, store, folder):
    """`satomori ingest` in a process of its own; `store` is a bucket, or what names one."""
    if not isinstance(store, list):
        store = ["--influx", store.url, "--bucket", store.name]
    words = ["--mqtt", f"mqtt://127.0.0.1:{port}", *store]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SATOMORI_INGEST, *words, "--set-aside", str(folder / "aside")],
            cwd=Path(__file__).parents[2],
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_killed_again_and_again_it_loses_nothing(gateway, influx_bucket, tmp_path):
    numbers = itertools.count(0)
    for _ in range(4):
        with ingest_command(gateway.port, influx_bucket, tmp_path) as process:
            gateway.insists(batch(10 * (n := next(numbers)) + 1, 10 * n + 10))
            for n in itertools.islice(numbers, 20):
                gateway.send(batch(10 * n + 1, 10 * n + 10))
            process.kill()
    with ingest_command(gateway.port, influx_bucket, tmp_path):
        last = 10 * next(numbers)
        # Not what is confirmed: killed between write and confirmation, it says nothing of the rest.
        until(lambda: len(influx_bucket.rows("air")) == last, TIMEOUT_S, "everything is stored")


def test_killed_again_and_again_with_sqlite_it_loses_nothing(gateway, tmp_path):
    path = tmp_path / "store.sqlite"
    store = ["--sqlite", str(path)]
    for n in range(4):
        with ingest_command(gateway.port, store, tmp_path) as process:
            gateway.insists(batch(100 * n + 1, 100 * n + 10))
            for first in range(100 * n + 11, 100 * n + 101, 10):
                gateway.send(batch(first, first + 9))
            process.kill()
    with ingest_command(gateway.port, store, tmp_path), closing(SqliteStore(path)) as stored:
        until(lambda: stored.count() == 400, TIMEOUT_S, "everything is stored")


def test_sigterm_ends_it_in_order(gateway, influx_bucket, tmp_path):
    with ingest_command(gateway.port, influx_bucket, tmp_path) as process:
        gateway.insists(batch(1, 5))
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def test_a_killed_broker_that_forgets_everything_costs_only_time(
    ingest, start_mosquitto, influx_bucket
):
    server = start_mosquitto()
    with closing(Gateway(server.port)) as gateway, ingest(server.port):
        for number in range(1, 31):
            gateway.send(batch(number, number))
            if number in (10, 20):
                server.kill()
                server.start()
        for number in range(1, 31):
            gateway.insists(batch(number, number))
    assert len(influx_bucket.rows("air")) == 30


def test_a_restarted_broker_with_persistence_delivers_what_it_kept(
    ingest, start_mosquitto, influx_bucket
):
    server = start_mosquitto(persistence=True)
    with ingest(server.port), closing(Gateway(server.port)) as gateway:
        gateway.send(batch(1, 1))
        gateway.hears("1")
    with closing(Gateway(server.port)) as gateway:
        gateway.client.publish(
            topic("g12", "readings"), encode_batch(batch(2, 5)), qos=1
        ).wait_for_publish(TIMEOUT_S)
    server.stop()
    server.start()
    with ingest(server.port), closing(Gateway(server.port)) as gateway:
        gateway.hears("1-5")
    assert len(influx_bucket.rows("air")) == 5


# A store in trouble


def test_an_outage_of_influx_confirms_nothing_and_loses_nothing(
    ingest, gateway, influx_bucket, caplog
):
    influx_bucket.answer(500)
    with ingest(gateway.port):
        gateway.send(batch(1, 5))
        until_logged(caplog, "answered 500.*trying again")
        assert gateway.confirmed == {}
        influx_bucket.answer(None)
        gateway.send(batch(6, 9))
        gateway.hears("1-9")
    assert len(influx_bucket.rows("air")) == 9


def test_a_missing_bucket_is_an_alarm_until_somebody_makes_it(
    ingest, gateway, influx_bucket, aside, caplog
):
    influx_bucket.influx.query(f'DROP DATABASE "{influx_bucket.database}"')
    with ingest(gateway.port):
        gateway.send(batch(1, 5))
        until_logged(caplog, "There is no bucket .* create it", logging.CRITICAL)
        assert gateway.confirmed == {}
        influx_bucket.influx.query(f'CREATE DATABASE "{influx_bucket.database}"')
        gateway.hears("1-5")
    assert set_aside(aside) == []


def test_stopped_during_an_outage_it_leaves_everything_to_the_broker(
    ingest, gateway, influx_bucket, caplog
):
    influx_bucket.answer(500)
    with ingest(gateway.port, patience=Patience(60, 60, 60)):
        gateway.send(batch(1, 5))
        until_logged(caplog, "trying again")
    assert gateway.confirmed == {}
    influx_bucket.answer(None)
    with ingest(gateway.port):
        gateway.hears("1-5")


def test_during_an_outage_only_so_much_is_taken_in(
    ingest, gateway, influx_bucket, caplog, monkeypatch
):
    monkeypatch.setattr(connection, "RECEIVE_MAXIMUM", 10)
    monkeypatch.setattr(rounds, "MAX_WRITE_MESSAGES", 5)
    taken = []
    on_message = connection.Connection._on_message

    def count(self, *arguments):
        on_message(self, *arguments)
        taken.append(self)

    monkeypatch.setattr(connection.Connection, "_on_message", count)
    influx_bucket.answer(500)
    with ingest(gateway.port):
        for number in range(1, 301):
            sent = gateway.publish(encode_batch(batch(number, number)))
        sent.wait_for_publish(TIMEOUT_S)
        until_logged(caplog, "trying again")
        assert len(taken) <= 10
        influx_bucket.answer(None)
        gateway.hears("1-300")
    assert len(influx_bucket.rows("air")) == 300


def test_an_outage_that_lasts_longer_than_the_keepalive_keeps_the_connection(
    ingest, gateway, influx_bucket, caplog, monkeypatch
):
    monkeypatch.setattr(connection, "RECEIVE_MAXIMUM", 10)
    influx_bucket.answer(503)
    broker = Broker("127.0.0.1", gateway.port, tls=False, keepalive_s=1)
    with ingest(gateway.port, broker=broker):
        for number in range(1, 31):
            gateway.send(batch(number, number))
        until_logged(caplog, "trying again")
        started_s = monotonic()
        until(lambda: monotonic() > started_s + 3.5)
        influx_bucket.answer(None)
        gateway.hears("1-30")
    assert [sign.online for sign in gateway.signs if sign.online] == [True]


def test_during_an_outage_batches_with_qos_0_are_dropped_above_the_limit(
    ingest, gateway, influx_bucket, caplog, monkeypatch
):
    monkeypatch.setattr(connection, "RECEIVE_MAXIMUM", 10)
    monkeypatch.setattr(rounds, "MAX_WRITE_MESSAGES", 5)
    caplog.set_level(logging.DEBUG, "cloud_sync.ingester.connection")
    influx_bucket.answer(503)
    with ingest(gateway.port):
        for number in range(1, 101):
            payload = encode_batch(batch(number, number))
            gateway.client.publish(topic("g12", "readings"), payload, qos=0)
        until_logged(caplog, "no room for a batch with QoS 0", logging.DEBUG)
        influx_bucket.answer(None)
        gateway.send(batch(1, 100))
        gateway.hears("1-100")
    assert len(influx_bucket.rows("air")) == 100


def test_retry_after_is_honoured_and_nothing_is_acknowledged_meanwhile(
    ingest, gateway, influx_bucket, tmp_path, caplog
):
    with (
        nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", retry_after="77") as busy,
        closing(InfluxStore(busy.url, bucket=influx_bucket.name)) as store,
    ):
        busy.answer(429)
        with ingest(gateway.port, store=store):
            gateway.send(batch(1, 5))
            until_logged(caplog, r"answered 429.*trying again in 77\.\d s")
    assert gateway.confirmed == {}
    with ingest(gateway.port):
        gateway.hears("1-5")


def test_a_body_that_is_too_large_for_the_server_is_split_and_confirmed(
    ingest, gateway, influx_bucket, tmp_path
):
    with (
        nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", max_body_bytes=2000) as narrow,
        closing(InfluxStore(narrow.url, bucket=influx_bucket.name)) as store,
        ingest(gateway.port, store=store),
    ):
        gateway.send(batch(1, 2000))
        gateway.hears("1-2000")
    assert len(influx_bucket.rows("air")) == 2000


# What no store will take


def test_a_bad_line_is_set_aside_and_the_others_are_stored(ingest, gateway, influx_bucket, aside):
    with ingest(gateway.port):
        gateway.send(batch(1, 3))
        gateway.hears("1-3")
        poison = [line(4), line(5, field='t="x"'), line(6)]
        gateway.send(Batch(BOOT, Spans([(4, 6)]), 0, b"".join(poison)))
        gateway.send(batch(7, 9))
        gateway.hears("1-9")
    assert len(influx_bucket.rows("air")) == 8
    (document,) = set_aside(aside)
    assert document["line"] == poison[1].decode().rstrip()
    assert (document["gateway"], document["boot"]) == ("g12", BOOT)
    assert "field type conflict" in document["reason"]


@pytest.mark.parametrize("forged", [line(2, "g13"), b"air t=1 1\n", b"\n"])
def test_lines_of_another_gateway_are_set_aside_with_their_whole_batch(
    ingest, gateway, influx_bucket, aside, forged
):
    with ingest(gateway.port):
        gateway.send(Batch(BOOT, Spans([(1, 3)]), 0, line(1) + forged + line(3)))
        gateway.send(batch(4, 4))
        gateway.hears("1-4")
    assert len(influx_bucket.rows("air")) == 1
    documents = set_aside(aside)
    assert len(documents) == 3
    assert all("tagged with gateway=g12" in document["reason"] for document in documents)


def test_a_payload_that_is_no_batch_is_set_aside_and_never_confirmed(
    ingest, gateway, influx_bucket, aside
):
    with ingest(gateway.port):
        for payload in (b"", b"\x1f\x8bzip", b"21.5", b"21.5", b"x" * 100_000):
            gateway.publish(payload)
        gateway.send(batch(1, 1))
        gateway.hears("1")
    assert str(gateway.confirmed[BOOT]) == "1"
    assert sorted(len(document["line"]) for document in set_aside(aside)) == [0, 4, 8, 4096]


def test_a_topic_that_is_not_consistent_is_set_aside(ingest, gateway, influx_bucket, aside):
    with ingest(gateway.port):
        wrong = topic("g13", "readings").replace("g13", "g12")
        gateway.client.publish(wrong, encode_batch(batch(1, 3)), qos=1)
        gateway.send(batch(4, 4))
        gateway.hears("4")
    assert len(influx_bucket.rows("air")) == 1
    assert "not a topic of a gateway" in set_aside(aside)[0]["reason"]


@pytest.mark.parametrize("leaf", ["confirmed", "series", "hello"])
def test_what_is_retained_and_cannot_be_read_is_logged_and_stops_nothing(
    ingest, gateway, aside, caplog, leaf
):
    info = gateway.client.publish(topic("g13", leaf), b"{}", qos=1, retain=True)
    info.wait_for_publish(TIMEOUT_S)
    with ingest(gateway.port):
        gateway.send(batch(1, 1))
        gateway.hears("1")
        until_logged(caplog, f"g13/{leaf}' is left aside: not a")
    assert set_aside(aside) == []


# A broker in trouble, and other brokers


def test_a_wrong_password_is_an_alarm_until_it_is_put_right(
    ingest, start_mosquitto, tmp_path, caplog
):
    server = start_mosquitto(passwords={"ingester": "s3cret"})
    password_file = tmp_path / "password"
    password_file.write_text("wrong")
    broker = Broker(
        "127.0.0.1", server.port, tls=False, username="ingester", password_file=password_file
    )
    with ingest(server.port, broker=broker, wait=False):
        until_logged(caplog, "refused the user name or password", logging.CRITICAL)
        password_file.write_text("s3cret")
        until_logged(caplog, "connected to", logging.INFO)


def test_a_broker_that_is_not_there_yet_is_waited_for(ingest, start_mosquitto, caplog):
    server = start_mosquitto()
    server.stop()
    with ingest(server.port, wait=False):
        until_logged(caplog, "cannot be reached")
        server.start()
        with closing(Gateway(server.port)) as gateway:
            gateway.insists(batch(1, 1))


@pytest.mark.parametrize("max_inflight", [1, 20])
def test_a_broker_with_little_in_flight_is_slow_but_served(
    ingest, start_mosquitto, influx_bucket, max_inflight
):
    server = start_mosquitto(max_inflight=max_inflight)
    with closing(Gateway(server.port)) as gateway, ingest(server.port):
        for number in range(1, 51):
            gateway.send(batch(number, number))
        gateway.hears("1-50")
    assert len(influx_bucket.rows("air")) == 50


def test_mqtt_3_1_1_does_everything_too(ingest, start_mosquitto, influx_bucket):
    server = start_mosquitto()
    broker = Broker("127.0.0.1", server.port, tls=False, protocol="3.1.1")
    with closing(Gateway(server.port, protocol=4)) as gateway:
        with ingest(server.port, broker=broker):
            gateway.send(batch(1, 5))
            gateway.hears("1-5")
        gateway.send(batch(6, 9))
        with ingest(server.port, broker=broker):
            gateway.hears("1-9")
    assert len(influx_bucket.rows("air")) == 9


def test_a_broker_that_knows_only_mqtt_3_1_1_is_spoken_to_in_it(ingest, influx_bucket, monkeypatch):
    monkeypatch.setattr(connection, "CONNACK_TIMEOUT_S", 0.5)
    with (
        amqtt_broker() as port,
        ingest(port),
        closing(Gateway(port, protocol=4)) as gateway,
    ):
        gateway.send(batch(1, 5))
        gateway.hears("1-5")
    assert len(influx_bucket.rows("air")) == 5
