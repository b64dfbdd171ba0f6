"""Stands at the broker beside the ingesters and notes when each alert comes by."""

import time
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from cloud_sync.ingester.known_tables import KnownTables
from cloud_sync.topics import ROOT, parse_topic
from cloud_sync.wire import BadPayload, decode_batch


class Listener:
    """Use it in a `with`. It comes back by itself when the broker does."""

    def __init__(self, port: int, protocol: str) -> None:
        self.arrived_s: dict[tuple[str, int], float] = {}
        """Gateway and number of a record: the Unix time of its first arrival."""
        self.listens_since_s = 0.0
        """Unix time."""
        self.is_there = False
        """Whether it hears everything."""
        self.unread = 0
        """Batches of which the series table had not come yet."""
        self._tables = KnownTables()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            "village-listener",
            protocol=MQTTv5 if protocol == "5" else MQTTv311,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe([(f"{ROOT}/+/+/series", 0), (f"{ROOT}/+/+/events", 0)])

    def _on_subscribe(self, *_: object) -> None:
        self.listens_since_s, self.is_there = time.time(), True

    def _on_disconnect(self, *_: object) -> None:
        self.is_there = False

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        now_s = time.time()
        _, gateway, leaf = parse_topic(message.topic)
        if leaf == "series":
            self._tables.add(gateway, message.payload)
            return
        try:
            batch = decode_batch(message.payload, self._tables.of(gateway))
        except BadPayload:
            self.unread += 1
            return
        for first, last in batch.sequence:
            for number in range(first, last + 1):
                self.arrived_s.setdefault((gateway, number), now_s)
