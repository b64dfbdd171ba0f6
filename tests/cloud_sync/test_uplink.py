"""The uplink sends what the journal holds, alerts first, until it is proven to be stored.

On a real Mosquitto, with a real journal; a second client stands where the ingester would.
"""

import asyncio
import contextlib
import json
import queue
import socket
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.journal import Commit, Journal
from cloud_sync.broker import Broker
from cloud_sync.home_assistant import HomeAssistant
from cloud_sync.spans import Spans
from cloud_sync.topics import topic
from cloud_sync.under_way import WINDOW
from cloud_sync.uplink import LinkState, Uplink, UplinkSettings
from cloud_sync.wire import decode_batch
from drivers.reading import Quantity

pytestmark = pytest.mark.servers

PATIENCE_S = 8.0

ACL = """
user g12
topic write satomori/v1/+/g12/state
topic read satomori/v1/+/g12/confirmed
"""


class Far:
    """The other end: hears everything of one gateway, and confirms what it is told to."""

    def __init__(self, port, gateway):
        self.gateway = gateway
        self.heard = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, f"far-{gateway}")
        self._client.on_message = lambda _c, _u, message: self.heard.put(message)
        self._subscribed = threading.Semaphore(0)
        self._client.on_subscribe = lambda *_: self._subscribed.release()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        for leaf in ("readings", "events", "state"):
            self.subscribe(topic(gateway, leaf))

    def subscribe(self, topic_filter):
        self._client.subscribe(topic_filter, 1)
        assert self._subscribed.acquire(timeout=PATIENCE_S)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    async def next(self, *leaves):
        """Return leaf and payload of the next message on one of these topics."""
        while True:
            message = await asyncio.to_thread(self.heard.get, timeout=PATIENCE_S)
            leaf = message.topic.rsplit("/", 1)[1]
            if leaf in (leaves or ("readings", "events")):
                return leaf, bytes(message.payload)

    async def next_batch(self):
        leaf, payload = await self.next()
        return leaf, decode_batch(payload)

    def confirm(self, text, boot):
        body = json.dumps({"v": 1, "boots": {boot: text}})
        self.tell("confirmed", body.encode())

    def tell(self, leaf, payload):
        self._client.publish(topic(self.gateway, leaf), payload, 1, retain=True).wait_for_publish(5)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite", max_bytes=100_000_000)
    yield journal
    journal.close()


@pytest.fixture
def far(mosquitto_server, request):
    far = Far(mosquitto_server.port, f"up-{abs(hash(request.node.name)) % 10**8}")
    yield far
    far.close()


@contextlib.asynccontextmanager
async def sending(journal, port, gateway, timeout_s=30.0, **settings):
    """Run an uplink; yields it once it is connected."""
    settings = {"gateway": gateway, "send_every_s": 0.1, **settings}
    uplink = Uplink(
        Broker("127.0.0.1", port, tls=False),
        UplinkSettings(**settings),
        journal.cursor("uplink"),
        state=lambda: {"gateway": gateway, "broken": []},
        confirm_timeout_s=timeout_s,
    )
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.01)


def lines(*numbers):
    return [b"air,gateway=g t=%d %d\n" % (n, n) for n in numbers]


async def test_alerts_leave_before_readings_that_were_there_first(journal, mosquitto_server, far):
    journal.commit(Commit(readings=lines(1, 2, 3), events=[b"alert,gateway=g firing=1 4\n"]))
    async with sending(journal, mosquitto_server.port, far.gateway):
        first, events = await far.next_batch()
        second, readings = await far.next_batch()
    assert (first, second) == ("events", "readings")
    assert (str(events.sequence), str(readings.sequence)) == ("4", "1-3")
    assert (readings.boot, readings.floor) == (journal.boot, 0)
    assert readings.lines == b"".join(lines(1, 2, 3))


async def test_only_a_confirmation_moves_the_cursor(journal, mosquitto_server, far):
    journal.commit(Commit(readings=lines(1, 2, 3)))
    cursor = journal.cursor("uplink")
    async with sending(journal, mosquitto_server.port, far.gateway) as uplink:
        await far.next_batch()
        assert cursor.unconfirmed == 3
        far.confirm("1-3", journal.boot)
        await until(lambda: cursor.unconfirmed == 0)
        assert uplink.confirmed_at is not None
        journal.commit(Commit(readings=lines(4)))
        uplink.wake()
        _, batch = await far.next_batch()
    assert (str(batch.sequence), batch.floor) == ("4", 3)


async def test_where_the_broker_confirms_its_acknowledgement_is_enough(
    journal, mosquitto_server, far
):
    journal.commit(Commit(readings=lines(1, 2, 3)))
    async with sending(journal, mosquitto_server.port, far.gateway, confirmed_by="broker"):
        await until(lambda: journal.cursor("uplink").unconfirmed == 0)


async def test_what_nobody_confirms_is_sent_again(journal, mosquitto_server, far):
    journal.commit(Commit(readings=lines(1, 2)))
    async with sending(journal, mosquitto_server.port, far.gateway, timeout_s=0.2) as uplink:
        _, first = await far.next_batch()
        _, again = await far.next_batch()
        assert first == again
        assert "the ingester has not confirmed" in uplink.message
        far.confirm("1-2", journal.boot)
        await until(lambda: not uplink.message)


async def test_what_was_confirmed_while_it_was_away_is_not_sent(journal, mosquitto_server, far):
    journal.commit(Commit(readings=lines(1, 2)))
    far.confirm("1-2", journal.boot)
    async with sending(journal, mosquitto_server.port, far.gateway) as uplink:
        await until(lambda: journal.cursor("uplink").unconfirmed == 0)
        journal.commit(Commit(readings=lines(3)))
        uplink.wake()
        batches = []
        while not any(b.sequence.covers(3, 3) for b in batches):
            batches.append((await far.next_batch())[1])
    # The batch that left before the confirmation came is the only one that may repeat.
    assert len(batches) <= 2


async def test_no_more_than_the_window_is_under_way(journal, mosquitto_server, far):
    for n in range(30):
        journal.commit(Commit(readings=[b"air,gateway=g t=%d %s\n" % (n, b"9" * 15_000)]))
    async with sending(journal, mosquitto_server.port, far.gateway) as uplink:
        batches = [(await far.next_batch())[1] for _ in range(WINDOW)]
        assert uplink._under_way.is_full
        assert [str(b.sequence) for b in batches] == [str(n) for n in range(1, 9)]
        journal.commit(Commit(events=[b"alert,gateway=g firing=1 9\n"]))
        uplink.wake()
        far.confirm("1", journal.boot)
        leaf, batch = await far.next_batch()
    # A backlog delays an alert by one packet at most.
    assert (leaf, str(batch.sequence)) == ("events", "31")


async def test_a_confirmation_that_is_garbage_changes_nothing(journal, mosquitto_server, far):
    journal.commit(Commit(readings=lines(1)))
    async with sending(journal, mosquitto_server.port, far.gateway):
        await far.next_batch()
        for payload in (b"", b"\xff", b"[]", b'{"boots":3}', b'{"v":1,"boots":{"x":"5-1"}}'):
            far.tell("confirmed", payload)
        assert journal.cursor("uplink").unconfirmed == 1
        far.confirm("1", journal.boot)
        await until(lambda: journal.cursor("uplink").unconfirmed == 0)


async def test_the_state_is_retained_and_says_offline_when_it_ends(journal, mosquitto_server, far):
    async with sending(journal, mosquitto_server.port, far.gateway):
        _, online = await far.next("state")
    _, offline = await far.next("state")
    assert json.loads(online) == {
        "v": 1,
        "state": "online",
        "gateway": far.gateway,
        "broken": [],
    }
    assert json.loads(offline)["state"] == "offline"


async def test_a_broker_that_refuses_the_password_is_named_and_tried_again(
    journal, start_mosquitto
):
    broker = start_mosquitto(passwords={"g12": "right"})
    async with sending(journal, broker.port, "g12") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert "refused the user name or password" in uplink.message


async def test_a_broker_that_is_not_there_is_waited_for(journal, start_mosquitto):
    broker = start_mosquitto()
    broker.kill()
    journal.commit(Commit(readings=lines(1)))
    async with sending(journal, broker.port, "late", confirmed_by="broker") as uplink:
        await until(lambda: uplink.link is LinkState.WAITING)
        assert "cannot be reached" in uplink.message
        await asyncio.to_thread(broker.start)
        await until(lambda: journal.cursor("uplink").unconfirmed == 0)
        assert (uplink.link, uplink.message) == (LinkState.ONLINE, "")


async def test_a_topic_that_the_broker_forbids_is_said_and_nothing_is_lost(
    journal, start_mosquitto
):
    broker = start_mosquitto(passwords={"g12": "right"}, acl=ACL)
    journal.commit(Commit(readings=lines(1)))
    password = journal.path.with_name("password")
    password.write_text("right")
    uplink = Uplink(
        Broker("127.0.0.1", broker.port, tls=False, username="g12", password_file=password),
        UplinkSettings("g12", send_every_s=0.1),
        journal.cursor("uplink"),
        state=dict,
    )
    task = asyncio.create_task(uplink.run())
    await until(lambda: "refused a batch of readings" in uplink.message)
    assert "check its access list" in uplink.message
    assert journal.cursor("uplink").unconfirmed == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_broker_that_never_answers_does_not_hold_up_the_end(journal):
    def connecting():
        return [thread for thread in threading.enumerate() if thread.name == "uplink"]

    with contextlib.ExitStack() as stack:
        # Its backlog is full: the kernel lets whoever comes now wait.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        uplink = Uplink(
            Broker("127.0.0.1", full.getsockname()[1], tls=False),
            UplinkSettings("g12"),
            journal.cursor("uplink"),
            state=dict,
        )
        task = asyncio.create_task(uplink.run())
        await until(connecting)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1.0)
        assert done
        assert connecting()
    for thread in connecting():
        await asyncio.to_thread(thread.join, PATIENCE_S)


def test_the_outbox_offers_what_the_numbers_say(journal):
    journal.commit(Commit(readings=lines(1, 2)))
    (entry,) = journal.cursor("uplink").pending("readings", 0, 1)
    assert Spans([(entry.first, entry.last)]) == Spans.parse("1-2")


async def test_home_assistant_is_told_anew_at_each_connect(journal, mosquitto_server, far):
    values = {"玄関 1/2": {Quantity.CONTACT_OPEN: 1.0}}
    home_assistant = HomeAssistant(far.gateway, "大内", lambda: values)
    uplink = Uplink(
        Broker("127.0.0.1", mosquitto_server.port, tls=False),
        UplinkSettings(far.gateway, send_every_s=0.1),
        journal.cursor("uplink"),
        state=dict,
        retained=home_assistant,
    )
    far.subscribe("homeassistant/binary_sensor/+/+/config")
    far.subscribe(topic(far.gateway, "latest/+"))
    task = asyncio.create_task(uplink.run())
    _, config = await far.next("config")
    state_topic = json.loads(config)["state_topic"]
    _, state = await far.next(state_topic.rsplit("/", 1)[1])
    assert json.loads(state) == {"contact_open": 1.0}
    values["玄関 1/2"] = {Quantity.CONTACT_OPEN: 0.0}
    _, state = await far.next(state_topic.rsplit("/", 1)[1])
    assert json.loads(state) == {"contact_open": 0.0}
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
