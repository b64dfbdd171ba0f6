"""What travels: lines of line protocol, and which records of which boot they are."""

from dataclasses import dataclass

from cloud_sync.spans import Spans

MAX_PAYLOAD_BYTES = 1 << 20
"""No payload is ever this large when unpacked; a larger one is a mistake or an attack."""


WINDOW = 8
"""So many batches of events of a gateway are under way at most, and as many of readings: enough to
fill a slow link while the ingester writes."""


class BadPayload(ValueError):
    """These bytes are not a batch of ours. Set them aside: sending them again will not help."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one boot of one gateway, and which they are."""

    boot: str
    """Which start of the daemon numbered them: 8 digits of 0-9 and a-f."""

    sequence: Spans
    """The records' numbers, in the order of the lines."""

    floor: int
    """All numbers of this boot up to here are confirmed already, or were never given."""

    lines: bytes
    """One record a line, each ended by a newline."""
