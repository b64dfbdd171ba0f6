"""The cloud side: takes batches from MQTT, writes them to a store, and says so to their gateways.

    broker → connection → a round of many batches → its one write → acknowledgement to the broker
                                                                  → confirmation to each gateway

Always in that order: what is confirmed is in the store. Killed at any moment it loses nothing: the
broker sends again what was not acknowledged, the gateway sends again what was not confirmed, and
writing a record twice is writing it once.

The loop reads, opens and answers; a second thread writes. Constraints: two rounds, of at most
MAX_WRITE_MESSAGES messages and about MAX_WRITE_LINES lines each, and the connection's inbox, which
has a limit. While the store takes nothing, nothing is acknowledged, and the rest waits in the
broker and in the gateways. What a store will never take goes into the set-aside folder, and counts
as held from then on.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from threading import Event
from time import monotonic

from paho.mqtt.client import MQTTMessage

from cloud_sync.broker import Broker, BrokerError, BrokerRefusedError, NoMqtt5Error
from cloud_sync.columns import UnknownSeries
from cloud_sync.ingester.connection import Connection, Signs
from cloud_sync.ingester.held import Held
from cloud_sync.ingester.known_tables import KnownTables, Questions
from cloud_sync.ingester.rounds import Arrival, Round, WriterThread
from cloud_sync.ingester.writer import Patience, Writer, jittered
from cloud_sync.messages import (
    Ask,
    Sign,
    Time,
    decode_hello,
    encode_ask,
    encode_sign,
    encode_time,
)
from cloud_sync.set_aside import Oddity, SetAside
from cloud_sync.store import Store
from cloud_sync.topics import PARTITIONS, ROOT, parse_topic, sign_topic, topic
from cloud_sync.wire import decode_batch, decode_confirmed

LEAVES = {"readings": 1, "events": 1, "confirmed": 0, "series": 0, "hello": 0}
"""What is subscribed to, with which QoS.

What is retained comes with each connection and is not worth a queue; with QoS 0 it also overtakes
batches that wait there.
"""

IDLE_S = 0.5
"""How long to wait for a message at a time. As long may a stop take to be noticed."""

QUIET_S, MAX_LISTEN_S = 0.2, 5.0
"""A connection begins with what is retained. When none of it has come for so long, that is over; at
the latest after the second."""

EXCERPT_BYTES = 4_096
"""What is kept of a payload that is no batch. It is not confirmed, so its sender has it still."""

log = logging.getLogger(__name__)


class Ingester:
    """Serves a range of partitions, alone; several ingesters share the work by theirs."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        *,
        set_aside: Path,
        now: Callable[[], datetime],
        is_clock_right: Callable[[], bool] = lambda: True,
        partitions: range = range(PARTITIONS),
        client_id: str = "",
        patience: Patience | None = None,
    ) -> None:
        """`client_id` names the session in which the broker keeps what comes while we are away.

        By default it follows from the partitions. `now` is told to gateways that ask, as long as
        `is_clock_right`, and stamps what is set aside.
        """
        self._broker, self._patience = broker, patience or Patience()
        self._writer = Writer(store, SetAside(set_aside, now), self._patience)
        self._now, self._is_clock_right = now, is_clock_right
        self._partitions = partitions
        self._client_id = client_id or f"satomori-ingester-{partitions[0]:02}-{partitions[-1]:02}"
        self._protocols = broker.protocols
        self._held, self._tables, self._questions = Held(), KnownTables(), Questions()
        self._waits_s = self._patience.waits_s()
        self._news: dict[str, None] = {}
        """Gateways that have to be told what is held by now, each once."""

    def run(self, stop: Event) -> None:
        """Work until `stop` is set. A write under way is finished, acknowledged and confirmed."""
        with closing(WriterThread(self._writer)) as thread:
            while not stop.is_set():
                try:
                    self._session(thread, stop)
                except NoMqtt5Error as problem:
                    log.info("%s", problem)
                    self._protocols = self._protocols[1:]  # NoMqtt5Error is only for MQTT 5
                except BrokerRefusedError as problem:
                    log.critical("%s", problem)
                    stop.wait(jittered(self._patience.refused_s))
                except BrokerError as problem:
                    log.warning("%s", problem)
                    stop.wait(next(self._waits_s))

    def _session(self, thread: WriterThread, stop: Event) -> None:
        """Be connected once, until told to stop. Raises BrokerError."""
        # Each connection is a new start: batches that were sent with QoS 0 meanwhile are lost, and
        # their gateways send them again when they see it, instead of waiting in vain.
        start = token_hex(4)
        signs = Signs(
            sign_topic(self._client_id),
            online=self._sign(start, online=True),
            offline=self._sign(start, online=False),
        )
        with Connection(self._broker, self._client_id, self._protocols[0], signs) as connection:
            connection.open(_filters(self._partitions))
            self._waits_s = self._patience.waits_s()
            self._listen(connection, stop)
            self._serve(connection, thread, stop)
            thread.halt()
            self._settle(connection, thread)

    def _sign(self, start: str, *, online: bool) -> bytes:
        return encode_sign(Sign(online, start, self._partitions[0], self._partitions[-1]))

    def _listen(self, connection: Connection, stop: Event) -> None:
        """Take in what is retained, before the batches that may need it. Raises BrokerError."""
        until_s = monotonic() + MAX_LISTEN_S
        quiet_s = until_s
        while monotonic() < min(quiet_s, until_s) and not connection.is_full:
            if stop.is_set():
                return
            connection.poll(QUIET_S / 4)
            if self._take_notes(connection) or not connection.is_granted:
                quiet_s = monotonic() + QUIET_S

    def _serve(self, connection: Connection, thread: WriterThread, stop: Event) -> None:
        """Read and write until told to stop. Raises BrokerError."""
        coming = Round(connection)
        while not stop.is_set():
            self._settle(connection, thread)
            self._take_batches(connection, coming)
            if coming and not thread.is_busy:
                thread.give(coming)
                coming = Round(connection)
            can_go_on = connection.inbox and not coming.is_full
            connection.poll(0.0 if can_go_on else IDLE_S, [thread.fileno()])
            self._take_notes(connection)

    def _settle(self, connection: Connection, thread: WriterThread) -> None:
        """Acknowledge and confirm what is on a disk now."""
        if done := thread.take_back():
            if done.connection is connection:
                for message in done.messages:
                    connection.acknowledge(message)
            for gateway, batch in done.arrivals:
                self._held.add(gateway, batch.boot, batch.sequence, batch.floor)
                self._news[gateway] = None
        for gateway in self._news:
            said = self._held.confirmation(gateway)
            connection.publish(topic(gateway, "confirmed"), said, retain=True)
        self._news.clear()

    def _take_notes(self, connection: Connection) -> bool:
        """Do what they are for; returns whether there were any."""
        were_any = bool(connection.notes)
        while connection.notes:
            note = connection.notes.popleft()
            try:
                _, gateway, leaf = parse_topic(note.topic)
                self._take_note(connection, gateway, leaf, note)
            except ValueError as problem:
                log.warning("a message at %r is left aside: %s", _topic(note), problem)
        return were_any

    def _take_note(
        self, connection: Connection, gateway: str, leaf: str, note: MQTTMessage
    ) -> None:
        """Do what a message that is no batch is for. Raises ValueError."""
        payload = bytes(note.payload)
        if leaf == "hello":
            self._answer(connection, gateway, decode_hello(payload))
        elif leaf == "series" and payload:
            self._tables.add(gateway, payload)
        # Only what is from before our start: what we say ourselves comes back without the flag.
        elif (
            leaf == "confirmed"
            and note.retain
            and self._held.recall(gateway, decode_confirmed(payload))
        ):
            self._news[gateway] = None

    def _answer(self, connection: Connection, gateway: str, nonce: str) -> None:
        if self._is_clock_right():
            answer = encode_time(Time(nonce, self._now()))
            connection.publish(topic(gateway, "time"), answer)
        else:
            log.warning(
                "gateway %r asks for the time, and nothing has set the clock of this machine: let "
                "NTP set it, or say --trust-clock if it is right all the same",
                gateway,
            )

    def _take_batches(self, connection: Connection, coming: Round) -> None:
        """Move batches from the inbox to the round, as many as fit in."""
        while connection.inbox and not coming.is_full:
            message = connection.take()
            coming.messages.append(message)
            try:
                _, gateway, _ = parse_topic(message.topic)
                self._take_batch(connection, gateway, message, coming)
            except ValueError as problem:
                coming.oddities.append(_strange(message, problem))

    def _take_batch(
        self, connection: Connection, gateway: str, message: MQTTMessage, coming: Round
    ) -> None:
        """Add it, or ask for what is needed to read it. Raises ValueError for what is no batch."""
        try:
            batch = decode_batch(bytes(message.payload), self._tables.of(gateway))
        except UnknownSeries as problem:
            # Acknowledged to the broker, and not confirmed: it comes again with the table.
            if self._questions.may_ask(gateway, monotonic()):
                log.info("gateway %r is asked for its series table: %s", gateway, problem)
                connection.publish(topic(gateway, "ask"), encode_ask(Ask("series")))
        else:
            self._questions.answered(gateway)
            coming.add(Arrival(gateway, batch))


def _filters(partitions: range) -> list[tuple[str, int]]:
    """Return the topic filters, with their QoS."""
    everything = partitions == range(PARTITIONS)
    names = ["+"] if everything else [f"p{number:02}" for number in partitions]
    return [(f"{ROOT}/{name}/+/{leaf}", qos) for name in names for leaf, qos in LEAVES.items()]


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""


def _strange(message: MQTTMessage, problem: ValueError) -> Oddity:
    try:
        gateway = parse_topic(message.topic).gateway
    except ValueError:
        gateway = ""
    return Oddity(gateway, "", str(problem), bytes(message.payload[:EXCERPT_BYTES]))
