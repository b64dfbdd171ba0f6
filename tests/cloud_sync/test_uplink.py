"""The uplink sends what the journal holds, alerts first, until it is proven to be stored.

On a real Mosquitto; a second client stands where the ingester would. What the journal itself
promises is tested elsewhere: here its records are in memory.
"""

import asyncio
import contextlib
import json
import queue
import socket
import struct
import threading
from datetime import UTC, date, datetime, timedelta
from time import monotonic

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.journal import Journal
from cloud_sync.batch import WINDOW
from cloud_sync.broker import Broker
from cloud_sync.columns import SeriesTable
from cloud_sync.home_assistant import HomeAssistant
from cloud_sync.messages import Ask, Sign, Time, decode_hello, encode_ask, encode_sign, encode_time
from cloud_sync.spans import Spans
from cloud_sync.topics import sign_topic, topic
from cloud_sync.uplink import (
    Host,
    LinkState,
    Uplink,
    UplinkSettings,
    backoff,
    listening,
    sending,
    session,
)
from cloud_sync.wire import decode_batch, encode_confirmed
from drivers.reading import Quantity
from tests.fakes.outbox import MemoryOutbox
from tests.fakes.tap import Tap

pytestmark = pytest.mark.servers

PATIENCE_S = 8.0
MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALERT = b"alert,gateway=g firing=1 %d\n"

ACL = """
user g12
topic write satomori/v1/+/g12/state
topic read satomori/v1/+/g12/confirmed
"""

ACL_WITHOUT_SERIES = """
topic readwrite satomori/v1/+/g13/#
topic deny satomori/v1/+/g13/series
"""


class Far:
    """The other end: hears everything of one gateway, and says what it is told to."""

    def __init__(self, port, gateway):
        self.gateway = gateway
        self.heard = queue.Queue()
        self.tables = {}
        self._client = Client(CallbackAPIVersion.VERSION2, f"far-{gateway}")
        self._client.on_message = lambda _c, _u, message: self.heard.put(message)
        self._subscribed = threading.Semaphore(0)
        self._client.on_subscribe = lambda *_: self._subscribed.release()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        for leaf in ("readings", "events", "state", "series", "hello"):
            self.subscribe(topic(gateway, leaf))

    def subscribe(self, topic_filter):
        self._client.subscribe(topic_filter, 1)
        assert self._subscribed.acquire(timeout=PATIENCE_S)

    def close(self):
        self._client.publish(sign_topic("far"), b"", 1, retain=True).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()
        # It knows us and we know it: its sockets would wait for the garbage collector.
        self._client.on_message = self._client.on_subscribe = None

    async def next_message(self, *leaves):
        """Return the next message on one of these topics."""
        while True:
            message = await asyncio.to_thread(self.heard.get, timeout=PATIENCE_S)
            leaf = message.topic.rsplit("/", 1)[1]
            if leaf == "series":
                table = SeriesTable.parse(message.payload)
                self.tables[table.id] = table
            if leaf in (leaves or ("readings", "events")):
                return leaf, message

    async def next(self, *leaves):
        leaf, message = await self.next_message(*leaves)
        return leaf, bytes(message.payload)

    async def next_batch(self):
        leaf, payload = await self.next()
        return leaf, decode_batch(payload, self.tables.get)

    def confirm(self, text, boot):
        self.tell("confirmed", encode_confirmed({boot: Spans.parse(text)}))

    def ask(self, question, **what):
        self.tell("ask", encode_ask(Ask(question, **what)), retain=False)

    def sign(self, *, start="a", online=True):
        payload = encode_sign(Sign(online, start, 0, 63))
        self._client.publish(sign_topic("far"), payload, 1, retain=True).wait_for_publish(5)

    def tell(self, leaf, payload, *, retain=True):
        name = topic(self.gateway, leaf)
        self._client.publish(name, payload, 1, retain=retain).wait_for_publish(5)


class Gateway:
    """What the uplink asks of the gateway and tells it."""

    def __init__(self, gateway):
        self.states = {"gateway": gateway, "broken": []}
        self.today = MONDAY
        self.wants_time = False
        self.times, self.lost = [], []

    @property
    def host(self):
        return Host(
            state=lambda: self.states,
            today=lambda: self.today,
            wants_time=lambda: self.wants_time,
            on_time=lambda at, uncertainty_s: self.times.append((at, uncertainty_s)),
            on_lost=lambda boot, numbers, why: self.lost.append((boot, str(numbers), why)),
        )


@pytest.fixture
def outbox():
    return MemoryOutbox()


@pytest.fixture
def name(request):
    return f"up-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def far(mosquitto_server, name):
    far = Far(mosquitto_server.port, name)
    yield far
    far.close()


@pytest.fixture
def gateway(name):
    return Gateway(name)


@pytest.fixture
def soon(monkeypatch):
    """The first readings leave soon after connecting, whatever send_every is."""
    monkeypatch.setattr(sending, "FIRST_SYNC_WITHIN_S", 0.1)


@pytest.fixture
def impatient(monkeypatch):
    """Tries to reconnect come at once."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    monkeypatch.setattr(backoff, "MAX_S", 0.02)


def uplink_of(outbox, port, name, gateway=None, *, timeout_s=30.0, retained=None, **settings):
    login = {key: settings.pop(key) for key in ("username", "password_file") if key in settings}
    settings = {"gateway": name, "send_every_s": 0.1, **settings}
    return Uplink(
        Broker("127.0.0.1", port, tls=False, **login),
        UplinkSettings(**settings),
        outbox,
        (gateway or Gateway(name)).host,
        retained=retained,
        confirm_timeout_s=timeout_s,
    )


@contextlib.asynccontextmanager
async def running(uplink):
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def sending_to(outbox, port, name, *words, **settings):
    """Run an uplink."""
    return running(uplink_of(outbox, port, name, *words, **settings))


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.01)


def lines(*numbers):
    return [b"air,gateway=g,sensor=s t=%d %d000\n" % (n, n) for n in numbers]


def large(count, size=15_000):
    return [b"air,gateway=g t=%d %s\n" % (n, b"9" * size) for n in range(count)]


# Order and confirmation


@pytest.mark.parametrize("encoding", ["columns", "gzip", "line-protocol"])
async def test_alerts_leave_before_readings_that_were_there_first(
    outbox, mosquitto_server, far, encoding
):
    outbox.keep(*lines(1, 2, 3))
    outbox.keep(ALERT % 4, lane="events")
    async with sending_to(outbox, mosquitto_server.port, far.gateway, encoding=encoding):
        first, events = await far.next_batch()
        second, readings = await far.next_batch()
    assert (first, second) == ("events", "readings")
    assert (str(events.sequence), str(readings.sequence)) == ("4", "1-3")
    assert (readings.boot, readings.floor) == (outbox.boot, 0)
    assert readings.lines == b"".join(lines(1, 2, 3))


async def test_an_alert_leaves_first_when_both_are_due_at_the_same_moment(
    outbox, mosquitto_server, far, monkeypatch
):
    # Then the broker is connected, and everything goes in the first turn.
    monkeypatch.setattr(sending, "FIRST_SYNC_WITHIN_S", 0.0)
    outbox.keep(*lines(1, 2, 3))
    outbox.keep(ALERT % 4, lane="events")
    async with sending_to(outbox, mosquitto_server.port, far.gateway, confirmed_by="broker"):
        assert [(await far.next_batch())[0] for _ in range(2)] == ["events", "readings"]


async def test_an_alert_leaves_before_readings_whose_turn_it_is(
    outbox, mosquitto_server, far, soon
):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway, send_every_s=3_600):
        await far.next_batch()
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        outbox.keep(*lines(2))
        outbox.keep(ALERT % 3, lane="events")
        far.ask("look", look_for=timedelta(minutes=2))
        assert [(await far.next_batch())[0] for _ in range(2)] == ["events", "readings"]


async def test_fresh_readings_leave_before_older_ones(outbox, mosquitto_server, far):
    outbox.keep(*large(2))
    uplink = uplink_of(outbox, mosquitto_server.port, far.gateway, encoding="line-protocol")
    async with running(uplink):
        await until(lambda: uplink.link is LinkState.ONLINE)
        outbox.keep(*large(1))
        numbers = [str((await far.next_batch())[1].sequence) for _ in range(3)]
    assert numbers == ["3", "1", "2"]


async def test_only_a_confirmation_moves_the_cursor(outbox, mosquitto_server, far):
    outbox.keep(*lines(1, 2, 3))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await far.next_batch()
        assert len(outbox.unconfirmed) == 3
        far.confirm("1-3", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        assert uplink.confirmed_at is not None
        outbox.keep(*lines(4))
        uplink.wake()
        _, batch = await far.next_batch()
    assert (str(batch.sequence), batch.floor) == ("4", 3)


async def test_where_the_broker_confirms_its_acknowledgement_is_enough(
    outbox, mosquitto_server, far
):
    outbox.keep(*lines(1, 2, 3))
    async with sending_to(outbox, mosquitto_server.port, far.gateway, confirmed_by="broker"):
        await until(lambda: not outbox.unconfirmed)


async def test_what_nobody_confirms_is_sent_again(outbox, mosquitto_server, far):
    outbox.keep(*lines(1, 2))
    async with sending_to(outbox, mosquitto_server.port, far.gateway, timeout_s=0.2) as uplink:
        _, first = await far.next_batch()
        _, again = await far.next_batch()
        assert first == again
        assert "the ingester has not confirmed" in uplink.message
        far.confirm("1-2", outbox.boot)
        await until(lambda: not uplink.message)


async def test_what_was_confirmed_while_it_was_away_is_not_sent(outbox, mosquitto_server, far):
    outbox.keep(*lines(1, 2))
    far.confirm("1-2", outbox.boot)
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await until(lambda: not outbox.unconfirmed)
        outbox.keep(*lines(3))
        uplink.wake()
        _, batch = await far.next_batch()
    assert str(batch.sequence) == "3"


async def test_no_more_than_the_window_is_under_way_and_alerts_have_their_own(
    outbox, mosquitto_server, far
):
    outbox.keep(*large(30))
    async with sending_to(
        outbox, mosquitto_server.port, far.gateway, encoding="line-protocol"
    ) as uplink:
        batches = [(await far.next_batch())[1] for _ in range(WINDOW)]
        assert [str(b.sequence) for b in batches] == [str(n) for n in range(1, 9)]
        outbox.keep(ALERT % 9, lane="events")
        uplink.wake()
        leaf, batch = await far.next_batch()
        assert (leaf, str(batch.sequence)) == ("events", "31")
        far.confirm("1", outbox.boot)
        assert str((await far.next_batch())[1].sequence) == "9"


async def test_an_alert_overtakes_a_days_backlog_on_a_slow_link(outbox, mosquitto_server, far):
    outbox.keep(*large(6, 8_000))
    async with Tap(mosquitto_server.port) as tap:
        tap.bytes_per_s = 32_000
        async with sending_to(outbox, tap.port, far.gateway, encoding="line-protocol") as uplink:
            await far.next_batch()
            outbox.keep(ALERT % 9, lane="events")
            uplink.wake()
            leaves = [(await far.next_batch())[0] for _ in range(2)]
    # One packet was on its way already.
    assert "events" in leaves


async def test_what_was_held_back_is_sent_when_it_is_ready(outbox, mosquitto_server, far):
    outbox.keep(*lines(1, 2, 3))
    outbox.hidden = Spans([(1, 2)])
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        assert str((await far.next_batch())[1].sequence) == "3"
        outbox.hidden = Spans()
        uplink.look_again()
        assert str((await far.next_batch())[1].sequence) == "1-2"


# How often, and at what cost


async def test_readings_are_acknowledged_until_they_are_confirmed_and_not_any_more_then(
    outbox, mosquitto_server, far, soon
):
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        qos = []
        for n in range(1, 4):
            outbox.keep(*lines(n))
            uplink.wake()
            qos.append((await far.next_message("readings"))[1].qos)
            far.confirm(f"1-{n}", outbox.boot)
            await until(lambda: not outbox.unconfirmed)
        outbox.keep(ALERT % 9, lane="events")
        uplink.wake()
        assert (await far.next_message("events"))[1].qos == 1
    assert qos == [1, 0, 0]


async def test_what_is_not_acknowledged_is_on_its_way_until_it_is_confirmed(
    outbox, mosquitto_server, far, soon
):
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        for n in (1, 2):
            outbox.keep(*lines(n))
            uplink.wake()
            _, message = await far.next_message("readings")
            if n == 1:
                far.confirm("1", outbox.boot)
                await until(lambda: not outbox.unconfirmed)
        assert message.qos == 0
        standing = uplink._standing
        far.ask("look", look_for=timedelta(minutes=2))
        await until(lambda: standing.look_until_s)  # what came before it has been taken in
        assert standing.under_way.on_its_way_until_s(monotonic())
        far.confirm("1-2", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        assert not standing.under_way.on_its_way_until_s(monotonic())


async def test_after_a_silence_they_are_acknowledged_again(outbox, mosquitto_server, far):
    async with sending_to(outbox, mosquitto_server.port, far.gateway, timeout_s=0.5) as uplink:
        for n in (1, 2):
            outbox.keep(*lines(n))
            uplink.wake()
            _, message = await far.next_message("readings")
            if n == 1:
                far.confirm("1", outbox.boot)
                await until(lambda: not outbox.unconfirmed)
        assert message.qos == 0
        assert (await far.next_message("readings"))[1].qos == 1


async def test_each_packet_of_a_backlog_is_acknowledged_but_the_last(
    outbox, mosquitto_server, far, soon
):
    outbox.keep(*lines(1))
    async with sending_to(
        outbox, mosquitto_server.port, far.gateway, encoding="line-protocol"
    ) as uplink:
        await far.next_message("readings")
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        outbox.keep(*large(3))
        uplink.wake()
        assert [(await far.next_message("readings"))[1].qos for _ in range(3)] == [1, 1, 0]


async def test_a_broker_whose_word_counts_is_always_asked_for_it(outbox, mosquitto_server, far):
    async with sending_to(
        outbox, mosquitto_server.port, far.gateway, confirmed_by="broker"
    ) as uplink:
        for n in range(1, 4):
            outbox.keep(*lines(n))
            uplink.wake()
            assert (await far.next_message("readings"))[1].qos == 1


async def test_readings_wait_for_each_other_unless_somebody_looks(
    outbox, mosquitto_server, far, soon
):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway, send_every_s=3_600) as uplink:
        await far.next_batch()
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        outbox.keep(*lines(2))
        uplink.wake()
        standing = uplink._standing
        assert standing.interval_s(0.0) == 3_600
        far.ask("look", look_for=timedelta(minutes=2))
        assert str((await far.next_batch())[1].sequence) == "2"
        looked_until_s = standing.look_until_s
        assert standing.interval_s(looked_until_s - 1) == 10
        assert standing.interval_s(looked_until_s) == 3_600


async def test_the_topic_of_readings_is_sent_once_where_the_broker_takes_a_number(
    outbox, mosquitto_server, far
):
    async with Tap(mosquitto_server.port) as tap, sending_to(outbox, tap.port, far.gateway) as up:
        for n in range(1, 4):
            outbox.keep(*lines(n))
            up.wake()
            leaf, batch = await far.next_batch()
            assert (leaf, str(batch.sequence)) == ("readings", str(n))
            far.confirm(f"1-{n}", outbox.boot)
            await until(lambda: not outbox.unconfirmed)
        assert tap.up.count(topic(far.gateway, "readings").encode()) == 1


async def test_the_state_is_said_again_only_when_it_has_changed(
    outbox, mosquitto_server, far, gateway, monkeypatch
):
    monkeypatch.setattr(sending, "STATE_EVERY_S", 0.01)
    async with sending_to(outbox, mosquitto_server.port, far.gateway, gateway):
        await far.next("state")
        for n in range(20):
            gateway.states = {**gateway.states, "at": str(n), "unconfirmed": n}
            await asyncio.sleep(0.005)
        gateway.states = {**gateway.states, "broken": ["ble"]}
        assert json.loads((await far.next("state"))[1])["broken"] == ["ble"]


async def test_the_bytes_of_the_link_are_counted_and_outlive_a_restart(
    outbox, mosquitto_server, far, gateway
):
    outbox.keep(*lines(*range(1, 100)))
    async with Tap(mosquitto_server.port) as tap:
        async with sending_to(outbox, tap.port, far.gateway, gateway) as uplink:
            await far.next_batch()
        payload = len(tap.up) + len(tap.down)
    # At least ten packets went each way, at most one for every 20 bytes.
    assert payload + 20 * 52 < uplink.budget.used < payload * 4
    again = uplink_of(outbox, 1, far.gateway)
    again.load(uplink.dump())
    assert again.budget.used == uplink.budget.used


@contextlib.contextmanager
def sniffed(port):
    """Yield a list that has, afterwards, the size of every IP packet from or to this port."""
    sizes, is_over = [], threading.Event()
    try:
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    except PermissionError:
        pytest.skip("only root sees the packets of others")

    def sniff():
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                packet, (_, _, direction, *_) = sniffer.recvfrom(70_000)
                ports = struct.unpack_from("!HH", packet, (packet[0] & 15) * 4)
                if direction == 0 and packet[9] == socket.IPPROTO_TCP and port in ports:
                    sizes.append(len(packet))

    with sniffer:
        sniffer.bind(("lo", 0x0800))
        sniffer.settimeout(0.2)
        thread = threading.Thread(target=sniff)
        thread.start()
        yield sizes
        is_over.set()
        thread.join()


async def test_the_count_is_that_of_all_packets_on_the_wire(outbox, mosquitto_server, far):
    async with Tap(mosquitto_server.port) as tap:
        with sniffed(tap.port) as sizes:
            async with sending_to(
                outbox, tap.port, far.gateway, confirmed_by="broker", send_every_s=0.02
            ) as uplink:
                for n in range(1, 20):
                    outbox.keep(*lines(*range(n * 20, n * 20 + 20)))
                    uplink.wake()
                    await until(lambda: not outbox.unconfirmed)
            # What comes after the counter's last look are some packets of the farewell, or none.
            await until(lambda: sum(sizes) > uplink.budget.used - 300)
    assert uplink.budget.used == pytest.approx(sum(sizes), abs=300)
    assert sum(sizes) > 3_000


async def test_when_the_bytes_of_a_day_are_used_up_readings_wait_and_alerts_do_not(
    outbox, mosquitto_server, far, gateway
):
    uplink = uplink_of(
        outbox, mosquitto_server.port, far.gateway, gateway, max_bytes_per_day=20_000
    )
    uplink.budget.spend(18_500, MONDAY)
    outbox.keep(*lines(1))
    async with running(uplink):
        await until(lambda: uplink.waits_for_tomorrow and uplink.message)
        assert "are used up: readings wait for tomorrow" in uplink.message
        outbox.keep(ALERT % 9, lane="events")
        uplink.wake()
        assert (await far.next_batch())[0] == "events"
        gateway.today = TUESDAY
        assert (await far.next_batch())[0] == "readings"
        assert not uplink.waits_for_tomorrow
        await until(lambda: not uplink.message)


# What the cloud says


async def test_a_confirmation_that_is_garbage_changes_nothing(outbox, mosquitto_server, far):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await far.next_batch()
        for leaf in ("confirmed", "time", "ask"):
            for payload in (b"", b"\xff", b"[]", b'{"v":1}', b"1 0b00700b=5-1", b"9" * 70_000):
                far.tell(leaf, payload, retain=False)
        assert len(outbox.unconfirmed) == 1
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        assert uplink.link is LinkState.ONLINE


async def test_an_ingester_that_starts_anew_gets_what_is_under_way_at_once(
    outbox, mosquitto_server, far
):
    far.sign(start="a")
    outbox.keep(*lines(1, 2))
    async with sending_to(outbox, mosquitto_server.port, far.gateway):
        _, first = await far.next_batch()
        far.sign(start="a")
        far.sign(start="b")
        _, again = await far.next_batch()
        assert first == again


async def test_readings_wait_while_no_ingester_is_there_and_alerts_do_not(
    outbox, mosquitto_server, far
):
    far.sign(online=False)
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await until(lambda: "no ingester is there" in uplink.message)
        outbox.keep(ALERT % 9, lane="events")
        uplink.wake()
        assert (await far.next_batch())[0] == "events"
        far.confirm("2", outbox.boot)
        await until(lambda: len(outbox.unconfirmed) == 1)
        far.sign()
        assert (await far.next_batch())[0] == "readings"
        await until(lambda: not uplink.message)


async def test_the_series_table_is_there_before_the_batch_that_needs_it(
    outbox, mosquitto_server, far
):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        assert (await far.next("series", "readings"))[0] == "series"
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        outbox.keep(*lines(2))
        uplink.wake()
        while (found := await far.next("series", "readings"))[0] == "readings":
            if decode_batch(found[1], far.tables.get).sequence.covers(2, 2):
                break
        assert found[0] == "readings", "a table that is known is not told again"


async def test_an_ingester_that_lacks_the_series_table_gets_it_with_the_batch(
    outbox, mosquitto_server, far, monkeypatch
):
    monkeypatch.setattr(listening, "SERIES_PATIENCE_S", 0.0)
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway):
        await far.next_batch()
        far.ask("series")
        assert [(await far.next("series", "readings"))[0] for _ in range(2)] == [
            "series",
            "readings",
        ]


async def test_an_ingester_that_asks_for_each_batch_gets_the_table_once(
    outbox, mosquitto_server, far
):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await far.next_batch()
        for _ in range(20):
            far.ask("series")
        outbox.keep(*lines(2))
        uplink.wake()
        assert (await far.next("series", "readings"))[0] == "readings"
        assert not uplink.message


async def test_an_ingester_that_never_gets_the_table_gets_batches_without(
    outbox, mosquitto_server, far, monkeypatch
):
    monkeypatch.setattr(listening, "SERIES_PATIENCE_S", 0.0)
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        for _ in range(4):
            await far.next_batch()
            far.ask("series")
        _, payload = await far.next("readings")
        assert decode_batch(payload).lines == b"".join(lines(1))
        assert "the series table does not arrive" in uplink.message


async def test_a_table_that_the_broker_forbids_is_done_without(outbox, start_mosquitto, impatient):
    port = start_mosquitto(acl=ACL_WITHOUT_SERIES).port
    outbox.keep(*lines(1))
    far = Far(port, "g13")
    try:
        async with sending_to(outbox, port, "g13") as uplink:
            while (payload := (await far.next("readings"))[1])[:2] != b"\x1f\x8b":
                pass
            assert str(decode_batch(payload).sequence) == "1"
            assert "check the broker's access list" in uplink.message
    finally:
        far.close()


async def test_the_cloud_can_have_again_what_it_has_confirmed(outbox, mosquitto_server, far):
    outbox.keep(*lines(1, 2, 3))
    async with sending_to(outbox, mosquitto_server.port, far.gateway):
        await far.next_batch()
        far.confirm("1-3", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        far.ask("resend", numbers=Spans([(2, 9)]))
        _, batch = await far.next_batch()
        assert (str(batch.sequence), batch.boot != outbox.boot) == ("2-3", True)
        far.confirm("1-3", outbox.boot)
        far.confirm("2-3", batch.boot)
        await until(lambda: not outbox.unconfirmed)


async def test_the_time_is_asked_for_when_it_is_wanted(outbox, mosquitto_server, far, gateway):
    gateway.wants_time = True
    async with sending_to(outbox, mosquitto_server.port, far.gateway, gateway):
        nonce = decode_hello((await far.next("hello"))[1])
        far.tell("time", encode_time(Time("another", NOON)), retain=False)
        far.tell("time", encode_time(Time(nonce, NOON)), retain=False)
        await until(lambda: gateway.times)
        ((at, uncertainty_s),) = gateway.times
        assert timedelta(0) < at - NOON < timedelta(seconds=PATIENCE_S)
        assert 0 < uncertainty_s < PATIENCE_S
        far.sign()
        assert (await far.next("hello"))[0] == "hello", "somebody new may know it better"


async def test_the_time_is_not_asked_for_when_it_is_known(outbox, mosquitto_server, far):
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway):
        assert (await far.next("hello", "readings"))[0] == "readings"


# What the broker refuses


async def test_the_state_is_retained_and_says_offline_when_it_ends(outbox, mosquitto_server, far):
    async with sending_to(outbox, mosquitto_server.port, far.gateway):
        _, online = await far.next("state")
    _, offline = await far.next("state")
    assert json.loads(online) == {
        "v": 1,
        "state": "online",
        "gateway": far.gateway,
        "broken": [],
    }
    assert json.loads(offline)["state"] == "offline"


async def test_a_broker_that_refuses_the_password_is_named_and_tried_again(outbox, start_mosquitto):
    broker = start_mosquitto(passwords={"g12": "right"})
    async with sending_to(outbox, broker.port, "g12") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert "refused the user name or password" in uplink.message


async def test_a_broker_that_is_not_there_is_waited_for(outbox, start_mosquitto, impatient):
    broker = start_mosquitto()
    broker.kill()
    outbox.keep(*lines(1))
    async with sending_to(outbox, broker.port, "late", confirmed_by="broker") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert "cannot be reached" in uplink.message
        await asyncio.to_thread(broker.start)
        await until(lambda: not outbox.unconfirmed)
        assert (uplink.link, uplink.message) == (LinkState.ONLINE, "")


async def test_a_topic_that_the_broker_forbids_is_said_and_nothing_is_lost(
    outbox, start_mosquitto, tmp_path
):
    broker = start_mosquitto(passwords={"g12": "right"}, acl=ACL)
    outbox.keep(*lines(1))
    (tmp_path / "password").write_text("right")
    async with sending_to(
        outbox,
        broker.port,
        "g12",
        encoding="gzip",
        username="g12",
        password_file=tmp_path / "password",
    ) as uplink:
        await until(lambda: "refused a batch of readings" in uplink.message)
        assert "check its access list" in uplink.message
        assert len(outbox.unconfirmed) == 1


@pytest.mark.parametrize("limit", ["max_packet_size 3000", "message_size_limit 3000"])
async def test_batches_are_as_small_as_the_broker_wants_them(outbox, start_mosquitto, limit):
    port = start_mosquitto(extra=limit).port
    outbox.keep(*large(30, 300))
    far, received = Far(port, "small"), Spans()
    try:
        async with sending_to(outbox, port, "small", encoding="line-protocol") as uplink:
            while len(received) < 30:
                _, payload = await far.next("readings")
                assert len(payload) <= 3_000
                received.update(decode_batch(payload).sequence)
                far.confirm(str(received), outbox.boot)
            assert uplink._standing.packer.max_bytes < 16_384, "it is remembered"
    finally:
        far.close()


async def test_a_single_record_that_is_too_large_is_lost_and_said_and_nothing_else(
    outbox, start_mosquitto, gateway, impatient
):
    port = start_mosquitto(extra="message_size_limit 3000").port
    outbox.keep(*large(2, 300), *large(1, 9_000), *large(5, 300))
    async with sending_to(
        outbox, port, "poison", gateway, encoding="line-protocol", confirmed_by="broker"
    ):
        await until(lambda: not outbox.unconfirmed)
    ((boot, numbers, why),) = gateway.lost
    assert (boot, numbers) == (outbox.boot, "3")
    assert "each time that it was sent" in why


async def test_a_record_at_which_the_broker_hangs_up_is_found_and_skipped(
    outbox, mosquitto_server, gateway, impatient
):
    outbox.keep(*lines(*range(1, 31)))
    async with Tap(mosquitto_server.port) as tap:
        tap.poison = b"t=7 "
        async with sending_to(
            outbox,
            tap.port,
            gateway.states["gateway"],
            gateway,
            encoding="line-protocol",
            confirmed_by="broker",
        ):
            await until(lambda: not outbox.unconfirmed)
    assert [(boot, numbers) for boot, numbers, _ in gateway.lost] == [(outbox.boot, "7")]


# What is no broker, or not there any more


async def test_a_broker_that_never_answers_does_not_hold_up_the_end(outbox):
    def connecting():
        return [thread for thread in threading.enumerate() if thread.name == "uplink"]

    with contextlib.ExitStack() as stack:
        # Its backlog is full: the kernel lets whoever comes now wait.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        uplink = uplink_of(outbox, full.getsockname()[1], "g12")
        task = asyncio.create_task(uplink.run())
        await until(connecting)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1.0)
        assert done
        assert connecting()
    for thread in connecting():
        await asyncio.to_thread(thread.join, PATIENCE_S)


async def test_something_that_takes_a_login_and_says_nothing_is_left(outbox, monkeypatch):
    monkeypatch.setattr(session, "CONNACK_TIMEOUT_S", 0.2)

    async def mute(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server, sending_to(outbox, server.sockets[0].getsockname()[1], "g12") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert "did not answer the login" in uplink.message


async def test_the_login_page_of_a_guest_network_is_no_broker(outbox):
    async def portal(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(portal, "127.0.0.1", 0)
    async with server, sending_to(outbox, server.sockets[0].getsockname()[1], "g12") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert uplink.message


@pytest.mark.parametrize("part", ["readings", "events"])
@pytest.mark.usefixtures("impatient")
async def test_a_link_that_goes_dead_is_noticed_and_left(
    outbox, mosquitto_server, far, monkeypatch, part
):
    monkeypatch.setattr(sending, "ACKNOWLEDGE_S", 0.3)
    # The first try to connect again may still meet the silence.
    monkeypatch.setattr(session, "CONNACK_TIMEOUT_S", 0.5)
    async with (
        Tap(mosquitto_server.port) as tap,
        sending_to(outbox, tap.port, far.gateway, timeout_s=0.3) as uplink,
    ):
        outbox.keep(*lines(1))
        uplink.wake()
        await far.next_batch()
        far.confirm("1", outbox.boot)
        await until(lambda: not outbox.unconfirmed)
        tap.is_silent = True
        outbox.keep(*lines(2), lane=part)
        uplink.wake()
        await until(lambda: "the link is dead" in uplink.message)
        tap.is_silent = False
        while not (await far.next_batch())[1].sequence.covers(2, 2):
            pass
        assert tap.connections >= 2


async def test_home_assistant_is_told_anew_at_each_connect(outbox, mosquitto_server, far):
    values = {"玄関 1/2": {Quantity.CONTACT_OPEN: 1.0}}
    home_assistant = HomeAssistant(far.gateway, "大内", lambda: values)
    far.subscribe("homeassistant/binary_sensor/+/+/config")
    far.subscribe(topic(far.gateway, "latest/+"))
    async with sending_to(outbox, mosquitto_server.port, far.gateway, retained=home_assistant):
        _, config = await far.next("config")
        state_topic = json.loads(config)["state_topic"]
        _, state = await far.next(state_topic.rsplit("/", 1)[1])
        assert json.loads(state) == {"contact_open": 1.0}
        values["玄関 1/2"] = {Quantity.CONTACT_OPEN: 0.0}
        _, state = await far.next(state_topic.rsplit("/", 1)[1])
        assert json.loads(state) == {"contact_open": 0.0}


async def test_waiting_costs_no_cpu(outbox, mosquitto_server, far, monkeypatch):
    """Readings wait for an ingester, for their turn, for a confirmation: nothing is asked often."""
    turns = []
    turn = sending.Sending.turn
    monkeypatch.setattr(sending.Sending, "turn", lambda self: (turns.append(1), turn(self)))
    far.sign(online=False)
    outbox.keep(*lines(1))
    async with sending_to(outbox, mosquitto_server.port, far.gateway) as uplink:
        await until(lambda: "no ingester is there" in uplink.message)
        before = len(turns)
        await asyncio.sleep(0.3)
        assert len(turns) - before < 5
        far.sign()
        await far.next_batch()
        before = len(turns)
        await asyncio.sleep(0.3)
        assert len(turns) - before < 15


async def test_a_broker_that_knows_mqtt_3_only_gets_the_same(outbox, mosquitto_server, far):
    outbox.keep(*lines(1))
    broker = Broker("127.0.0.1", mosquitto_server.port, tls=False, protocol="3.1.1")
    settings = UplinkSettings(far.gateway, send_every_s=0.1)
    async with running(Uplink(broker, settings, outbox, Gateway(far.gateway).host)) as uplink:
        for n in range(1, 4):
            _, batch = await far.next_batch()
            assert str(batch.sequence) == str(n)
            far.confirm(f"1-{n}", outbox.boot)
            await until(lambda: not outbox.unconfirmed)
            outbox.keep(*lines(n + 1))
            uplink.wake()


async def test_all_that_a_real_journal_holds_gets_there(tmp_path, mosquitto_server, far):
    def opened():
        return Journal(tmp_path / "journal", max_bytes=100_000_000)

    journal = opened()
    journal.append([*lines(1, 2, 3), ALERT % 4, *lines(5)])
    journal.commit(journal.take())
    cursor, received = journal.cursor("uplink"), Spans()
    async with sending_to(cursor, mosquitto_server.port, far.gateway):
        while len(received) < 5:
            _, batch = await far.next_batch()
            received.update(batch.sequence)
        far.confirm(str(received), batch.boot)
        await until(lambda: not cursor.unconfirmed)
    journal.close()
    again = opened()
    assert again.cursor("uplink").unconfirmed == 0
    again.close()
