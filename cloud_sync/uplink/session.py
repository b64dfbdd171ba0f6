"""One connection of the gateway to its broker, as the event loop sees it.

paho calls back in a thread of its own; here all of it becomes steps that the uplink takes in its
loop, in the order in which they came. Connecting and closing can take long: they have threads that
nobody waits for when the daemon stops.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event as ThreadEvent
from threading import Thread
from time import monotonic
from typing import Any, Protocol, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud_sync.broker import Broker, connect_properties
from cloud_sync.broker import Protocol as MqttProtocol
from cloud_sync.uplink.link_bytes import LOGIN_BYTES, LinkMeter

CONNACK_TIMEOUT_S = 30.0
SESSION_EXPIRY_S = 7 * 86_400
GOODBYE_S = 1.0

MAX_STEPS = 1_000
"""What waits to be taken in. Acknowledgements always find room: they have a window of their own."""

MAX_UNACKNOWLEDGED = 10
"""With QoS 1: what every broker takes (its Receive Maximum). paho lets the rest wait its turn."""

PUBLISH_BYTES = 200
"""What a message costs besides its payload, where the kernel does not tell."""


class Ear(Protocol):
    """Who is told what happens, in the event loop."""

    def on_message(self, topic: str, payload: bytes, heard_s: float) -> None:
        """Something came on a topic that was subscribed to."""
        ...

    def on_acknowledged(self, mid: int, reason: ReasonCode) -> None:
        """The broker answered a message with QoS 1."""
        ...

    def on_subscribed(self, reasons: Sequence[ReasonCode]) -> None:
        """The broker answered a subscription."""
        ...


class Session:
    """Open it once; then call `take_in` whenever `wake` is set. `close` it in any case."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        protocol: MqttProtocol,
        will: tuple[str, bytes],
        wake: asyncio.Event,
    ) -> None:
        """`will` is a retained topic and payload: what is said at the end, however it comes.

        Raises BrokerRefusedError for a file that cannot be used.
        """
        self.client_id = client_id
        self.meter = LinkMeter()
        self.max_packet_bytes: int | None = None
        """What the broker takes; None: it did not say."""
        self._broker, self._will, self._wake = broker, will, wake
        self._steps: deque[Callable[[Ear], None]] = deque()
        self._aliases: dict[str, int] = {}
        self._max_alias = 0
        self._ended = ThreadEvent()
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[ReasonCode] = loop.create_future()
        self._over: asyncio.Future[ReasonCode] = loop.create_future()
        self._client = broker.client(
            client_id, protocol=protocol, session_expiry_s=SESSION_EXPIRY_S
        )
        self._client.max_inflight_messages_set(MAX_UNACKNOWLEDGED)
        topic, payload = will
        self._client.will_set(topic, payload, qos=1, retain=True)
        self._listen(loop)

    async def open(self) -> None:
        """Connect and log in. Raises BrokerError; TimeoutError if nobody answers the login."""
        properties = connect_properties(session_expiry_s=SESSION_EXPIRY_S)
        await in_thread(partial(self._connect, properties))
        self._client.loop_start()
        await asyncio.wait(
            {self._connected, self._over},
            timeout=CONNACK_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not self._connected.done():
            raise TimeoutError
        if self._connected.result().is_failure:
            raise self._broker.refusal(self._connected.result())

    @property
    def end(self) -> ReasonCode | None:
        """Why the connection is over; None: it is not."""
        return self._over.result() if self._over.done() else None

    def take_in(self, ear: Ear) -> None:
        """Tell all that has happened, in its order."""
        while self._steps:
            self._steps.popleft()(ear)

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to topic filters with their QoS, all in one packet."""
        if self._client.protocol == 5:
            wanted: Any = [(name, SubscribeOptions(qos)) for name, qos in filters]
        else:
            wanted = list(filters)
        self._client.subscribe(wanted)

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool = False, again: bool = False
    ) -> int:
        """Hand a message to paho; returns what its acknowledgement will name.

        With `again` the topic will be used again: it is sent once, and then a number in its place,
        if the broker takes that.
        """
        properties = None
        if again and (topic in self._aliases or len(self._aliases) < self._max_alias):
            known, alias = (
                topic in self._aliases,
                self._aliases.setdefault(topic, len(self._aliases) + 1),
            )
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.TopicAlias = alias
            topic = "" if known else topic
        self.meter.estimate(len(payload) + PUBLISH_BYTES)
        return self._client.publish(topic, payload, qos, retain, properties).mid

    def measure(self) -> int:
        """Return how many bytes the link has cost since this was called last."""
        self.meter.read(self._socket)
        return self.meter.taken()

    async def close(self) -> None:
        """Say good-bye, if anybody listens, and let go of the socket. Bounded by GOODBYE_S."""
        await in_thread(self._close)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        def hand_over(step: Callable[[Ear], None]) -> None:
            self._steps.append(step)
            loop.call_soon_threadsafe(self._wake.set)

        def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
            if len(self._steps) >= MAX_STEPS:
                return
            topic, payload, heard_s = message.topic, bytes(message.payload), monotonic()
            hand_over(lambda ear: ear.on_message(topic, payload, heard_s))

        def on_publish(_c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
            hand_over(lambda ear: ear.on_acknowledged(mid, reason))

        def on_subscribe(_c: Client, _u: Any, _m: int, reasons: list[ReasonCode], _p: Any) -> None:
            hand_over(lambda ear: ear.on_subscribed(reasons))

        def on_connect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, properties: Any) -> None:
            self._max_alias = getattr(properties, "TopicAliasMaximum", 0)
            self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
            loop.call_soon_threadsafe(_settle, self._connected, reason)

        def on_disconnect(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
            # Called when the loop is closed already, too: the daemon does not wait for us.
            self._ended.set()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, self._over, reason)
                loop.call_soon_threadsafe(self._wake.set)

        self._client.on_message, self._client.on_publish = on_message, on_publish
        self._client.on_connect, self._client.on_disconnect = on_connect, on_disconnect
        self._client.on_subscribe = on_subscribe
        self._client.on_socket_close = lambda _c, _u, sock: self.meter.close(
            cast("socket.socket", sock)
        )

    def _connect(self, properties: Properties) -> None:
        try:
            self._broker.connect(self._client, properties)
        except Exception:
            if self._broker.tls:
                self.meter.total += LOGIN_BYTES
            raise
        self.meter.read(self._socket)
        self.meter.estimate(LOGIN_BYTES)

    @property
    def _socket(self) -> socket.socket | None:
        return cast("socket.socket | None", self._client.socket())

    def _close(self) -> None:
        if self._client.is_connected() and self._says_goodbye():
            self._client.disconnect()
        elif (sock := self._socket) is not None:
            # Not SSLSocket.shutdown: paho's thread is still reading what that would take away.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if self._socket is not None:
            self._ended.wait(GOODBYE_S)
        self._client.loop_stop()
        # They know us, and we know the client: its sockets would wait for the garbage collector.
        self._client.on_message = self._client.on_publish = self._client.on_subscribe = None
        self._client.on_connect = self._client.on_disconnect = None
        self._client.on_socket_close = None

    def _says_goodbye(self) -> bool:
        topic, payload = self._will
        info = self._client.publish(topic, payload, qos=1, retain=True)
        if info.rc:
            return False
        with contextlib.suppress(RuntimeError):
            info.wait_for_publish(timeout=GOODBYE_S)
            return info.is_published()
        return False


async def in_thread(work: Callable[[], None]) -> None:
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
