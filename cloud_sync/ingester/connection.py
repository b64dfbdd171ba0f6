"""One connection of the ingester to the broker, driven by hand: nothing happens between calls.

paho's own thread would take messages in as fast as they come, and reconnect behind our back. Here
the ingester's loop reads when it has room, so that what it cannot take waits in the broker; and
what it has not written when the connection ends is dropped with the connection, together with its
message ids: the broker sends it again, or, if it forgot the session, the gateway does.
"""

import logging
import select
import ssl
from collections import deque
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud_sync.broker import (
    Broker,
    BrokerRefusedError,
    BrokerUnavailableError,
    Protocol,
    connect_properties,
)

RECEIVE_MAXIMUM = 2_000
"""Messages that the broker may send before one is acknowledged. The broker has a limit of its own
(Mosquitto: max_inflight_messages), and keeps to the lower one."""

INBOX_BYTES = 64 << 20

READ_AT_ONCE = 100
"""Messages taken from the socket before anything else gets its turn."""

SESSION_EXPIRY_S = 7 * 86_400
"""How long the broker keeps what comes while no ingester is there."""

CONNACK_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
STEP_S = 0.5

BATCHES: Final = ("/readings", "/events")

log = logging.getLogger(__name__)


class Signs(NamedTuple):
    """What is said, retained, of the connection: when all is subscribed, and when it has ended."""

    topic: str
    online: bytes
    offline: bytes


class Connection:
    """Use it in a `with`; `open` it first. `poll` raises BrokerError once it is lost."""

    def __init__(self, broker: Broker, client_id: str, protocol: Protocol, signs: Signs) -> None:
        self.inbox: deque[MQTTMessage] = deque()
        """Batches that have arrived and were not taken. Above its limits, those with QoS 0 are
        dropped (their gateways send them again), and those with QoS 1 are left in the broker."""
        self.notes: deque[MQTTMessage] = deque()
        """All else that has arrived: small, rare, and to be taken after each `poll`."""
        self.is_granted = False
        """Whether the broker has granted all subscriptions."""
        self._signs = signs
        self._inbox_bytes = 0
        self._unacknowledged: set[int] = set()
        self._dropped = 0
        self._broker, self._client_id, self._protocol = broker, client_id, protocol
        self._connack: ReasonCode | None = None
        self._loss: ReasonCode | None = None
        self._subscribing: set[int | None] = set()
        self._refused_filter: ReasonCode | None = None
        self._client = broker.client(
            client_id, protocol=protocol, session_expiry_s=SESSION_EXPIRY_S, manual_ack=True
        )
        self._client.will_set(signs.topic, signs.offline, qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Say good-bye, after what is still to be sent: the will is for those who cannot."""
        deadline_s = monotonic() + CLOSE_TIMEOUT_S
        if self.is_granted and self._loss is None:
            said = self._client.publish(self._signs.topic, self._signs.offline, qos=1, retain=True)
            while not said.is_published() and self._step(deadline_s):
                pass
        self._client.disconnect()
        while self._client.want_write() and self._step(deadline_s):
            pass

    def _step(self, deadline_s: float) -> bool:
        """Do one thing on the network, whatever it is; False if there is nothing to wait for."""
        sock = cast("ssl.SSLSocket | None", self._client.socket())
        left_s = deadline_s - monotonic()
        if sock is None or left_s <= 0:
            return False
        readable, writable = self._ready(sock, left_s, ())
        result = self._client.loop_write() if writable else MQTTErrorCode.MQTT_ERR_SUCCESS
        return not (result or (readable and self._client.loop_read()))

    def open(self, filters: Iterable[tuple[str, int]]) -> None:
        """Log in, and subscribe to these topic filters with these QoS. Raises BrokerError."""
        properties = connect_properties(
            session_expiry_s=SESSION_EXPIRY_S, receive_maximum=RECEIVE_MAXIMUM
        )
        self._broker.connect(self._client, properties)
        deadline = monotonic() + CONNACK_TIMEOUT_S
        while self._connack is None:
            if monotonic() > deadline:
                raise self._broker.unanswered(self._protocol)
            self.poll(STEP_S)
        for topic_filter, qos in filters:
            options = SubscribeOptions(qos, noLocal=True) if self._protocol == 5 else None
            _, mid = self._client.subscribe(topic_filter, 0 if options else qos, options)
            self._subscribing.add(mid)

    def poll(self, timeout_s: float, also: Iterable[int] = ()) -> None:
        """Wait until something can be done on the network, and do it. Raises BrokerError.

        It also returns when there is something to read from one of the file descriptors `also`.
        """
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        if sock := cast("ssl.SSLSocket | None", self._client.socket()):
            readable, writable = self._ready(sock, timeout_s, also)
            if writable:
                self._client.loop_write()
            if readable:
                result = self._read()
            result = self._client.loop_misc() or result
        self._raise_what_is_wrong(result, is_connected=sock is not None)

    def _ready(
        self, sock: "ssl.SSLSocket", timeout_s: float, also: Iterable[int]
    ) -> tuple[bool, bool]:
        """Return whether the socket can be read from and written to, after waiting for it."""
        # TLS unpacks whole records: what it holds is not seen by select.
        pending = sock.pending() if isinstance(sock, ssl.SSLSocket) else 0
        if pending and not self.is_full:
            timeout_s = 0.0
        reading: list[Any] = [] if self.is_full else [sock]
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select([*reading, *also], writing, [], timeout_s)
        return not self.is_full and (sock in readable or pending > 0), bool(writable)

    def _read(self) -> MQTTErrorCode:
        """Take in what has arrived. paho reads one message at a time, and says not whether."""
        for _ in range(READ_AT_ONCE):
            before = len(self.inbox), len(self.notes), self._dropped
            result = self._client.loop_read()
            nothing = before == (len(self.inbox), len(self.notes), self._dropped)
            if result or nothing or self.is_full:
                return result
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _raise_what_is_wrong(self, result: MQTTErrorCode, *, is_connected: bool) -> None:
        if self._connack is not None and self._connack.is_failure:
            raise self._broker.refusal(self._connack)
        if self._loss is not None:
            raise self._broker.loss(self._loss, self._client_id)
        if result or not is_connected:
            raise BrokerUnavailableError(f"the connection to {self._broker} was lost: {result}")
        if self._refused_filter is not None:
            raise BrokerRefusedError(
                f"{self._broker} does not let {self._broker.username or 'nobody'!r} subscribe "
                f"({self._refused_filter}): allow the ingester to read and write satomori/#"
            )

    def take(self) -> MQTTMessage:
        """Take the oldest message out of the inbox."""
        message = self.inbox.popleft()
        self._inbox_bytes -= len(message.payload)
        return message

    def acknowledge(self, message: MQTTMessage) -> None:
        """Tell the broker that this message is dealt with. A failure shows at the next `poll`."""
        self._unacknowledged.discard(message.mid)
        self._client.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish without waiting. A failure shows at the next `poll`."""
        self._client.publish(topic, payload, qos, retain)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is read.

        Within the limit it was told, the broker stops by itself, and the connection stays alive.
        """
        return (
            len(self._unacknowledged) > RECEIVE_MAXIMUM
            or len(self.inbox) > RECEIVE_MAXIMUM
            or self._inbox_bytes >= INBOX_BYTES
        )

    def _on_connect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        self._connack = reason

    def _on_subscribe(
        self, _c: Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        # Nobody waits for this: with a full inbox the answer is behind what came before it.
        self._subscribing.discard(mid)
        self._refused_filter = next((r for r in reasons if r.is_failure), self._refused_filter)
        if not self._subscribing and self._refused_filter is None:
            self.is_granted = True
            log.info("connected to %s as %s", self._broker, self._client_id)
            self.publish(self._signs.topic, self._signs.online, qos=1, retain=True)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        if not _is_batch(message):
            self.notes.append(message)
        elif message.qos:
            # Some brokers send again, on the same connection, what is not acknowledged in time.
            if message.mid in self._unacknowledged:
                self._dropped += 1
                return
            self._unacknowledged.add(message.mid)
            self._put(message)
        elif self._has_room:
            self._put(message)
        else:
            self._dropped += 1
            log.debug("no room for a batch with QoS 0: its gateway will send it again")

    def _put(self, message: MQTTMessage) -> None:
        self.inbox.append(message)
        self._inbox_bytes += len(message.payload)

    @property
    def _has_room(self) -> bool:
        return len(self.inbox) < RECEIVE_MAXIMUM // 2 and self._inbox_bytes < INBOX_BYTES // 2

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        self._loss = reason


def _is_batch(message: MQTTMessage) -> bool:
    try:
        return message.topic.endswith(BATCHES)
    except UnicodeDecodeError:
        return True  # whoever opens it will see that it is none
