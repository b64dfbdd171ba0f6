"""Sends what the journal holds to the cloud, at least once, alerts first, and believes only proof.

A broker's acknowledgement promises little: a killed Mosquitto forgets what it acknowledged, and a
full one says "success" and drops. So a record counts as delivered when the ingester says that
InfluxDB has it (`confirmed_by="ingester"`); until then it is sent again. Sending twice is harmless,
because a record's place in InfluxDB was fixed when it entered the journal.

What is under way, and when it is sent again, is in under_way.py. Nothing waits in memory: the
journal is the queue.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import partial
from threading import Thread
from time import monotonic
from typing import Any, Literal, Protocol, TypeAlias

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.broker import (
    Broker,
    BrokerError,
    BrokerRefusedError,
    BrokerUnavailableError,
    NoMqtt5Error,
    connect_properties,
)
from cloud_sync.broker import Protocol as MqttProtocol
from cloud_sync.spans import Spans
from cloud_sync.topics import Lane, topic
from cloud_sync.under_way import CONFIRM_TIMEOUT_S, Outbox, UnderWay
from cloud_sync.wire import BadPayload, Encoding, decode_confirmed, encode_batch

CONNACK_TIMEOUT_S = 30.0
FIRST_RETRY_S, MAX_RETRY_S = 1.0, 300.0
STATE_EVERY_S = 900.0
SESSION_EXPIRY_S = 7 * 86_400

log = logging.getLogger(__name__)


class LinkState(StrEnum):
    """How the way to the cloud is doing."""

    OFF = auto()
    """None is configured."""
    CONNECTING = auto()
    ONLINE = auto()
    WAITING = auto()
    """Not connected; the next attempt comes by itself."""


Trouble: TypeAlias = Literal["link", "silence", "refusal"]
"""The first is over with the next connection, the others with the next confirmation."""

ConfirmedBy: TypeAlias = Literal["ingester", "broker"]
"""Whose word moves the cursor. "broker" is weaker, for consumers that do not confirm."""


@dataclass(frozen=True)
class UplinkSettings:
    """What the site decides."""

    gateway: str
    encoding: Encoding = "gzip"
    confirmed_by: ConfirmedBy = "ingester"
    send_every_s: float = 10.0
    """How long readings may wait to be sent together. Alerts never wait."""


class Retained(Protocol):
    """What else is told to the broker while connected: state, discovery, last values."""

    def announcements(self) -> Mapping[str, bytes]:
        """Return retained messages by topic, to be sent at each connect."""
        ...

    def changes(self) -> Mapping[str, bytes]:
        """Return retained messages by topic that have changed since the last call."""
        ...


class Uplink:
    """One gateway's way to the cloud. `run` it; `wake` it when something was appended."""

    def __init__(
        self,
        broker: Broker,
        settings: UplinkSettings,
        outbox: Outbox,
        *,
        state: Callable[[], Mapping[str, object]],
        retained: Retained | None = None,
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
    ) -> None:
        """`state` says how the gateway is doing, as JSON for the retained state topic."""
        self.link = LinkState.CONNECTING
        self.confirmed_at: float | None = None
        """time.monotonic() of the last confirmation."""
        self.bytes_sent = 0
        """Payload bytes since the start."""
        self._broker, self._settings = broker, settings
        self._client_id = f"satomori-{settings.gateway}"
        self._state, self._retained = state, retained
        self._trouble: dict[Trouble, str] = {}
        self._protocols = list(broker.protocols)
        self._hung_up = 0
        """How many times in a row the broker hung up on the login."""
        self._wake = asyncio.Event()
        self._inbox: deque[Callable[[], None]] = deque()
        self._under_way = UnderWay(outbox, confirm_timeout_s)
        self._next_readings = self._next_state = 0.0

    @property
    def message(self) -> str:
        """What is wrong and what is done about it; "" when all is well."""
        return "; ".join(self._trouble.values())

    def wake(self) -> None:
        """Look at the journal again: something new may be in it."""
        self._wake.set()

    async def run(self) -> None:
        """Connect, send, and reconnect, until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            self.link = LinkState.CONNECTING
            started = monotonic()
            try:
                await self._session()
            except NoMqtt5Error as problem:
                log.info("%s", problem)
                self._protocols = self._protocols[1:] or list(self._broker.protocols)
                continue
            except BrokerError as problem:
                retry_s = self._next_retry(retry_s, problem, monotonic() - started)
            # Full jitter: after a power cut a thousand gateways must not come at once.
            wait_s = random.uniform(retry_s / 2, retry_s)  # noqa: S311
            self.link = LinkState.WAITING
            await asyncio.sleep(wait_s)

    def _next_retry(self, retry_s: float, problem: BrokerError, lasted_s: float) -> float:
        self._complain("link", str(problem))
        if lasted_s > MAX_RETRY_S:
            return FIRST_RETRY_S
        slow = MAX_RETRY_S if isinstance(problem, BrokerRefusedError) else 0.0
        return min(max(retry_s * 2, slow / 5), MAX_RETRY_S)

    async def _session(self) -> None:
        """Be connected once. Raises BrokerError when it is over."""
        protocol = self._protocols[self._hung_up % len(self._protocols)]
        client = self._client(protocol)
        over: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        connected: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._listen(client, connected, over)
        properties = connect_properties(session_expiry_s=SESSION_EXPIRY_S)
        await _in_thread(partial(self._broker.connect, client, properties))
        client.loop_start()
        try:
            await self._await_connack(connected, over)
            self._begin(client)
            self._hung_up = 0
            await self._talk(client, over)
        finally:
            await _in_thread(partial(_close, client, self._settings.gateway))

    def _client(self, protocol: MqttProtocol) -> Client:
        gateway = self._settings.gateway
        client = self._broker.client(
            self._client_id, protocol=protocol, session_expiry_s=SESSION_EXPIRY_S
        )
        client.will_set(topic(gateway, "state"), _offline(gateway), qos=1, retain=True)
        return client

    def _listen(
        self,
        client: Client,
        connected: "asyncio.Future[ReasonCode]",
        over: "asyncio.Future[ReasonCode]",
    ) -> None:
        """Bring paho's callbacks, which come in its own thread, into the event loop."""
        loop = asyncio.get_running_loop()

        def hand_over(step: Callable[[], None]) -> None:
            self._inbox.append(step)
            loop.call_soon_threadsafe(self._wake.set)

        def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
            payload = bytes(message.payload)
            hand_over(lambda: self._on_confirmed(payload))

        def on_publish(_c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
            hand_over(lambda: self._on_acknowledged(mid, reason))

        def on_connect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
            loop.call_soon_threadsafe(_settle, connected, reason)

        def on_disconnect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
            loop.call_soon_threadsafe(_settle, over, reason)
            loop.call_soon_threadsafe(self._wake.set)

        client.on_message, client.on_publish = on_message, on_publish
        client.on_connect, client.on_disconnect = on_connect, on_disconnect

    async def _await_connack(
        self, connected: "asyncio.Future[ReasonCode]", over: "asyncio.Future[ReasonCode]"
    ) -> None:
        await asyncio.wait(
            {connected, over}, timeout=CONNACK_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not connected.done():
            # Some brokers hang up on a protocol they do not know, instead of saying so.
            self._hung_up += 1
            raise BrokerUnavailableError(f"{self._broker} did not answer the login")
        if connected.result().is_failure:
            raise self._broker.refusal(connected.result())

    def _begin(self, client: Client) -> None:
        """Start afresh: what was under way in the last session may be lost."""
        log.info("connected to %s", self._broker)
        self.link = LinkState.ONLINE
        self._trouble.pop("link", None)
        self._inbox.clear()
        self._under_way.rewind()
        self._next_readings = self._next_state = 0.0
        if self._settings.confirmed_by == "ingester":
            client.subscribe(topic(self._settings.gateway, "confirmed"), qos=1)
        if self._retained is not None:
            _publish_all(client, self._retained.announcements())

    async def _talk(self, client: Client, over: "asyncio.Future[ReasonCode]") -> None:
        while True:
            self._wake.clear()
            # Also when it is over: the broker may have said why.
            while self._inbox:
                self._inbox.popleft()()
            if over.done():
                break
            self._look_for_silence()
            self._publish_state(client)
            self._send_what_fits(client)
            # Not wait_for: in Python 3.11 it can swallow a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_wait_s()):
                    await self._wake.wait()
        raise self._broker.loss(over.result(), self._client_id)

    def _next_wait_s(self) -> float:
        moments = [self._next_state]
        if (deadline_s := self._under_way.next_deadline_s) is not None:
            moments.append(deadline_s)
        # A full window waits for its confirmations or their deadline, not for the next sending.
        if not self._under_way.is_full:
            moments.append(self._next_readings)
        return max(0.01, min(moments) - monotonic())

    def _send_what_fits(self, client: Client) -> None:
        self._send_all(client, "events")
        if monotonic() < self._next_readings:
            return
        self._send_all(client, "readings")
        if not self._under_way.is_full:
            self._next_readings = monotonic() + self._settings.send_every_s
            if self._retained is not None:
                _publish_all(client, self._retained.changes())

    def _send_all(self, client: Client, lane: Lane) -> None:
        while batch := self._under_way.next_batch(lane):
            payload = encode_batch(batch, self._settings.encoding)
            info = client.publish(topic(self._settings.gateway, lane), payload, qos=1)
            self._under_way.sent(info.mid, lane, batch, monotonic())
            self.bytes_sent += len(payload)

    def _look_for_silence(self) -> None:
        """Send again what nobody confirmed in time, more slowly each time."""
        waited_s = self._under_way.timeout_s
        if not self._under_way.give_up_waiting(monotonic()):
            return
        who = "the ingester" if self._settings.confirmed_by == "ingester" else "the broker"
        self._complain(
            "silence",
            f"{who} has not confirmed what was sent {waited_s:.0f} s ago: "
            "sending it again; see whether it runs, and whether InfluxDB takes its writes",
        )
        self._next_readings = 0.0

    def _on_acknowledged(self, mid: int, reason: ReasonCode) -> None:
        batch = self._under_way.of(mid)
        if batch is None:
            return
        if reason.is_failure:
            # It stays under way until its deadline, so that it is tried again, but slowly.
            self._complain(
                "refusal",
                f"{self._broker} refused a batch of {batch.lane} ({reason}): check its access "
                f"list for {topic(self._settings.gateway, batch.lane)} and its message size limit",
            )
        elif self._settings.confirmed_by == "broker":
            self._confirm(batch.boot, batch.numbers)

    def _on_confirmed(self, payload: bytes) -> None:
        try:
            confirmed = decode_confirmed(payload)
        except BadPayload as problem:
            log.warning("a confirmation that cannot be read: %s", problem)
            return
        for boot, numbers in confirmed.items():
            self._confirm(boot, numbers)

    def _confirm(self, boot: str, numbers: Spans) -> None:
        self.confirmed_at = monotonic()
        if self._under_way.confirmed(boot, numbers):
            self._trouble.clear()

    def _complain(self, trouble: Trouble, message: str) -> None:
        """Keep it for the page, and tell the engineer once."""
        if self._trouble.get(trouble) != message:
            log.warning("%s", message)
        self._trouble[trouble] = message

    def _publish_state(self, client: Client) -> None:
        if monotonic() < self._next_state:
            return
        self._next_state = monotonic() + STATE_EVERY_S
        state = {"v": 1, "state": "online", **self._state()}
        payload = json.dumps(state, ensure_ascii=False).encode()
        client.publish(topic(self._settings.gateway, "state"), payload, qos=1, retain=True)


async def _in_thread(work: Callable[[], None]) -> None:
    """Do it in a thread that nobody waits for when the daemon stops: connecting can take long."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(problem: Exception | None) -> None:
        if done.done():
            return
        if problem is None:
            done.set_result(None)
        else:
            done.set_exception(problem)

    def run() -> None:
        problem = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001  # it is raised again where it is waited for
            problem = raised
        # A loop that is closed already waits for nobody.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, problem)

    Thread(target=run, name="uplink", daemon=True).start()
    await done


def _settle(future: "asyncio.Future[ReasonCode]", reason: ReasonCode) -> None:
    if not future.done():
        future.set_result(reason)


def _publish_all(client: Client, messages: Mapping[str, bytes]) -> None:
    for name, payload in messages.items():
        client.publish(name, payload, qos=0, retain=True)


def _offline(gateway: str) -> bytes:
    return json.dumps({"v": 1, "state": "offline", "gateway": gateway}).encode()


def _close(client: Client, gateway: str) -> None:
    """Say good-bye: the will is for those who cannot. Bounded by paho's own timeouts."""
    if client.is_connected():
        info = client.publish(topic(gateway, "state"), _offline(gateway), qos=1, retain=True)
        if info.rc == 0:
            info.wait_for_publish(timeout=1.0)
        client.disconnect()
    client.loop_stop()
