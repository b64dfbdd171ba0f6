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
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, cast

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

SESSION_EXPIRY_S = 7 * 86_400
"""How long the broker keeps what comes while no ingester is there."""

CONNACK_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
STEP_S = 0.5

log = logging.getLogger(__name__)


class Connection:
    """Use it in a `with`; `open` it first. All methods raise BrokerError once it is lost."""

    def __init__(self, broker: Broker, client_id: str, protocol: Protocol) -> None:
        self.inbox: deque[MQTTMessage] = deque()
        """What has arrived and was not taken. Its limits are looked at between two readings of the
        socket, each of which may bring as many messages as confirmations are under way."""
        self._inbox_bytes = 0
        self._broker, self._client_id, self._protocol = broker, client_id, protocol
        self._connack: ReasonCode | None = None
        self._loss: ReasonCode | None = None
        self._subscribing: set[int | None] = set()
        self._refused_filter: ReasonCode | None = None
        self._client = broker.client(
            client_id, protocol=protocol, session_expiry_s=SESSION_EXPIRY_S, manual_ack=True
        )
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
        """Say good-bye, after what is still to be sent."""
        deadline = monotonic() + CLOSE_TIMEOUT_S
        self._client.disconnect()
        while self._client.want_write() and self._client.socket() and monotonic() < deadline:
            self._client.loop(STEP_S)

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

    def poll(self, timeout_s: float) -> None:
        """Do one thing that is to be done on the network, or wait for one. Raises BrokerError."""
        if self._is_full:
            sleep(timeout_s)
            result = self._client.loop_misc()
        else:
            result = self._client.loop(timeout_s)
        if self._connack is not None and self._connack.is_failure:
            raise self._broker.refusal(self._connack)
        if self._loss is not None:
            raise self._broker.loss(self._loss, self._client_id)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerUnavailableError(f"the connection to {self._broker} was lost: {result}")
        if self._refused_filter is not None:
            raise BrokerRefusedError(
                f"{self._broker} does not let {self._broker.username or 'nobody'!r} subscribe "
                f"({self._refused_filter}): allow the ingester to read and write satomori/#"
            )

    def receive(self, wait_s: float, *, enough: int) -> None:
        """Put into the inbox what has arrived, until `enough` messages are in it."""
        self.poll(0.0 if self.inbox else wait_s)
        while len(self.inbox) < enough and not self._is_full and self._is_readable():
            self.poll(0.0)

    def take(self) -> MQTTMessage:
        """Take the oldest message out of the inbox."""
        message = self.inbox.popleft()
        self._inbox_bytes -= len(message.payload)
        return message

    def acknowledge(self, message: MQTTMessage) -> None:
        """Tell the broker that this message is dealt with. A failure shows at the next `poll`."""
        self._client.ack(message.mid, message.qos)

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1. A failure shows at the next `poll`."""
        self._client.publish(topic, payload, qos=1, retain=True)

    @property
    def _is_full(self) -> bool:
        return len(self.inbox) >= RECEIVE_MAXIMUM or self._inbox_bytes >= INBOX_BYTES

    def _is_readable(self) -> bool:
        sock = cast("ssl.SSLSocket | None", self._client.socket())
        if sock is None:
            return False
        # TLS unpacks whole records: what it holds is not seen by select.
        pending = sock.pending() if isinstance(sock, ssl.SSLSocket) else 0
        return pending > 0 or bool(select.select([sock], [], [], 0.0)[0])

    def _on_connect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        self._connack = reason

    def _on_subscribe(
        self, _c: Client, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        # Nobody waits for this: with a full inbox the answer is behind what came before it.
        self._subscribing.discard(mid)
        if not self._subscribing:
            log.info("connected to %s as %s", self._broker, self._client_id)
        self._refused_filter = next((r for r in reasons if r.is_failure), self._refused_filter)

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self.inbox.append(message)
        self._inbox_bytes += len(message.payload)

    def _on_disconnect(self, _c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        self._loss = reason
