"""Makes batches into payloads that fit into one packet.

How well lines pack is only known when they are packed. What fitted last tells how many bytes of
lines to ask for; what is too large all the same loses its end, and that is sent next.
"""

from cloud_sync.batch import Batch
from cloud_sync.columns import SeriesTable, pack
from cloud_sync.uplink.under_way import first_records
from cloud_sync.wire import Encoding, encode_batch

MAX_PACKET_BYTES = 16_384
"""Packed: well under what the slowest link moves in a keepalive, and one TLS record."""

MAX_RAW_BYTES = 65_536
"""Lines: an alert has to wait as long as the event loop packs them. Of twice as many it takes 20 ms
on a PC, and ten times that on the smallest Raspberry Pi, and saves a tenth of the bytes."""

MIN_PACKET_BYTES = 256
TOPIC_BYTES = 128
"""Of a packet besides the payload: topic, header, properties."""

FIRST_RATIO = 4.0
CAUTION = 0.9


class Packer:
    """Packs for one broker."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.table = SeriesTable()
        """What the columns name their series by; it has to reach the other end before them."""
        self.max_bytes = MAX_PACKET_BYTES
        """What a payload may have. A broker may want less."""
        self._ratio = FIRST_RATIO
        """Bytes of lines in a byte of payload, at the last batch."""

    def raw_bytes(self, room: float) -> int:
        """Return how many bytes of lines will probably fit into a payload of `room` bytes."""
        limit = min(self.max_bytes, room)
        return min(MAX_RAW_BYTES, max(1, int(limit * self._ratio * CAUTION)))

    def fit(self, batch: Batch, room: float) -> tuple[Batch, bytes]:
        """Return as many of the first records as fit, at least one, and their payload."""
        limit = min(self.max_bytes, room)
        while True:
            payload = self._packed(batch)
            self._ratio = max(1.0, len(batch.lines) / len(payload))
            if len(payload) <= limit or len(batch.sequence) == 1:
                return batch, payload
            share = limit / len(payload) * CAUTION
            batch = first_records(batch, int(len(batch.sequence) * share))

    def broker_takes(self, packet_bytes: int) -> None:
        """Keep to a limit of the broker: of packets, all included."""
        wanted = max(MIN_PACKET_BYTES, packet_bytes - TOPIC_BYTES)
        self.max_bytes = min(self.max_bytes, wanted)

    def was_too_large(self, payload_bytes: int) -> None:
        """Make smaller ones: the broker did not take this one."""
        self.max_bytes = max(MIN_PACKET_BYTES, min(self.max_bytes, payload_bytes // 2))

    def _packed(self, batch: Batch) -> bytes:
        if self.encoding == "columns":
            return pack(batch, self.table)
        return encode_batch(batch, self.encoding)
