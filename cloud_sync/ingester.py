"""The cloud side: takes batches from MQTT, writes them to a store, and says so to their gateways.

    broker → connection → one write of many lines → acknowledgement to the broker
                                                  → confirmation to each gateway, retained

One thread and one loop, always in that order: what is confirmed is in the store. Killed at any
moment it loses nothing: the broker sends again what was not acknowledged, the gateway sends again
what was not confirmed, and writing a record twice is writing it once.

Constraints: a write is at most MAX_WRITE_MESSAGES messages, and about MAX_WRITE_LINES lines. While
the store takes nothing, nothing is acknowledged, what has arrived waits in the connection's inbox
(which has a limit), and the rest in the broker and in the gateways. What a store will never take
goes into the set-aside folder, and counts as held from then on.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NamedTuple

from paho.mqtt.client import MQTTMessage

from cloud_sync.broker import Broker, BrokerError, BrokerRefusedError, NoMqtt5Error
from cloud_sync.connection import RECEIVE_MAXIMUM, Connection
from cloud_sync.held import Held
from cloud_sync.set_aside import Oddity, SetAside
from cloud_sync.store import Store
from cloud_sync.topics import PARTITIONS, ROOT, parse_topic, topic
from cloud_sync.wire import Batch, decode_batch, decode_confirmed, written_by
from cloud_sync.writer import Patience, Pause, Piece, Writer, jittered

MAX_WRITE_MESSAGES = RECEIVE_MAXIMUM // 2
"""While one half is being written, the broker sends the other."""

MAX_WRITE_LINES = 5_000
"""From here on a larger write makes a line no cheaper."""

IDLE_S = 0.5
"""How long to wait for a message at a time. As long may a stop take to be noticed."""

EXCERPT_BYTES = 4_096
"""What is kept of a payload that is no batch. It is not confirmed, so its sender has it still."""

log = logging.getLogger(__name__)


class Arrival(NamedTuple):
    """A batch, and whose it is by its topic."""

    gateway: str
    batch: Batch


class _Stopped(Exception):
    """Told to stop while waiting. What is not stored is not acknowledged either."""


class Ingester:
    """Serves a range of partitions, alone; several ingesters share the work by theirs."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        *,
        set_aside: Path,
        now: Callable[[], datetime],
        partitions: range = range(PARTITIONS),
        client_id: str = "",
        patience: Patience | None = None,
    ) -> None:
        """`client_id` names the session in which the broker keeps what comes while we are away.

        By default it follows from the partitions. `now` stamps what is set aside.
        """
        self._broker, self._patience = broker, patience or Patience()
        self._writer = Writer(store, SetAside(set_aside, now), self._patience)
        self._filters = _filters(partitions)
        self._client_id = client_id or f"satomori-ingester-{partitions[0]:02}-{partitions[-1]:02}"
        self._protocols = broker.protocols
        self._held = Held()
        self._news: dict[str, None] = {}
        """Gateways that have to be told what is held by now, each once."""

    def run(self, stop: Event) -> None:
        """Work until `stop` is set. A write under way is finished, acknowledged and confirmed."""
        waits_s = self._patience.waits_s()
        while not stop.is_set():
            try:
                with Connection(self._broker, self._client_id, self._protocols[0]) as connection:
                    connection.open(self._filters)
                    waits_s = self._patience.waits_s()
                    self._serve(connection, stop)
            except NoMqtt5Error as problem:
                log.info("%s", problem)
                self._protocols = self._protocols[1:]  # NoMqtt5Error is only for MQTT 5
            except BrokerRefusedError as problem:
                log.critical("%s", problem)
                stop.wait(jittered(self._patience.refused_s))
            except BrokerError as problem:
                log.warning("%s", problem)
                stop.wait(next(waits_s))
            except _Stopped:
                log.warning("stopped while the store takes nothing: the broker keeps the messages")

    def _serve(self, connection: Connection, stop: Event) -> None:
        pause = partial(_pause, connection, stop)
        self._confirm(connection)
        while not stop.is_set():
            connection.receive(IDLE_S, enough=MAX_WRITE_MESSAGES)
            self._round(connection, pause)
            self._confirm(connection)

    def _round(self, connection: Connection, pause: Pause) -> None:
        """Take a part of the inbox all the way."""
        messages: list[MQTTMessage] = []
        arrivals: list[Arrival] = []
        oddities: list[Oddity] = []
        lines = 0
        while connection.inbox and len(messages) < MAX_WRITE_MESSAGES and lines < MAX_WRITE_LINES:
            message = connection.take()
            messages.append(message)
            try:
                arrival = self._opened(message)
            except ValueError as problem:
                oddities.append(_strange(message, problem))
                continue
            if arrival:
                arrivals.append(arrival)
                lines += len(arrival.batch.sequence)
        self._keep(arrivals, oddities, pause)
        for message in messages:
            connection.acknowledge(message)
        for gateway, batch in arrivals:
            self._held.add(gateway, batch.boot, batch.sequence, batch.floor)
            self._news[gateway] = None

    def _opened(self, message: MQTTMessage) -> Arrival | None:
        """Return the batch; None for a confirmation. Raises ValueError for what is neither."""
        _, gateway, leaf = parse_topic(message.topic)
        if leaf != "confirmed":
            return Arrival(gateway, decode_batch(bytes(message.payload)))
        # Only the one from before our start: what we say ourselves comes back without the flag.
        if message.retain:
            before = decode_confirmed(bytes(message.payload))
            if self._held.recall(gateway, before):
                self._news[gateway] = None
        return None

    def _keep(self, arrivals: Sequence[Arrival], oddities: Sequence[Oddity], pause: Pause) -> None:
        """Return when all of it is on a disk, in the store or aside."""
        pieces = []
        oddities = list(oddities)
        for gateway, batch in arrivals:
            if written_by(gateway, batch.lines):
                pieces.append(Piece(gateway, batch.boot, batch.lines))
            else:
                reason = f"not every line is tagged with gateway={gateway}, whose topic it came by"
                oddities += [
                    Oddity(gateway, batch.boot, reason, line)
                    for line in batch.lines.split(b"\n")[:-1]
                ]
        self._writer.set_aside(oddities, pause)
        self._writer.write(pieces, pause)

    def _confirm(self, connection: Connection) -> None:
        for gateway in self._news:
            connection.publish_retained(
                topic(gateway, "confirmed"), self._held.confirmation(gateway)
            )
        self._news.clear()


def _pause(connection: Connection, stop: Event, wait_s: float) -> None:
    """Wait, keeping the connection alive. Raises _Stopped or BrokerError."""
    until = monotonic() + wait_s
    connection.poll(0.0)
    while not stop.is_set() and (left_s := until - monotonic()) > 0:
        connection.poll(min(left_s, IDLE_S))
    if stop.is_set():
        raise _Stopped


def _filters(partitions: range) -> list[tuple[str, int]]:
    """Return the topic filters, with their QoS."""
    everything = partitions == range(PARTITIONS)
    names = ["+"] if everything else [f"p{number:02}" for number in partitions]
    leaves = {"readings": 1, "events": 1, "confirmed": 0}
    return [(f"{ROOT}/{name}/+/{leaf}", qos) for name in names for leaf, qos in leaves.items()]


def _strange(message: MQTTMessage, problem: ValueError) -> Oddity:
    try:
        gateway = parse_topic(message.topic).gateway
    except ValueError:
        gateway = ""
    return Oddity(gateway, "", str(problem), bytes(message.payload[:EXCERPT_BYTES]))
