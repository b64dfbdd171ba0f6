"""One direction of a link: what becomes of packets on a slow, long, lossy or silent way.

Pure: the time is an argument, and chance comes from a seed, so that the same packets at the same
times have the same fate.
"""

import math
import random
from collections import deque
from dataclasses import dataclass

QUEUE_BYTES = 32_768
"""What waits for a slow way at most; what comes then is dropped, as a modem does."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a way is, in each direction."""

    delay_s: float = 0.0
    """From end to end: half of what a ping says."""
    bytes_per_s: float = math.inf
    loss: float = 0.0
    """Share of packets that never arrive, 0 to 1."""


GOOD = Quality()
MOUNTAIN = Quality(delay_s=0.3, bytes_per_s=4_000, loss=0.1)
"""32 kbit/s, 600 ms and 10 % loss: the worst that the gateways are made for."""


class Pipe:
    """Packets go in, and come out in the same order, later, or never."""

    def __init__(self, seed: int) -> None:
        self.quality = GOOD
        self._silent = False
        self._chance = random.Random(seed)
        self._packets: deque[tuple[float, bytes]] = deque()
        """With the moment at which each one arrives."""
        self._waiting_bytes = 0
        self._free_at_s = -math.inf
        """When the way has sent all that was put in."""

    @property
    def silent(self) -> bool:
        """Whether it swallows everything. What was on its way when it became silent is gone."""
        return self._silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._silent = silent
        if silent:
            self._packets.clear()
            self._waiting_bytes = 0

    def put(self, packet: bytes, now_s: float) -> None:
        # Chance is asked for every packet, so that the fate of one is not changed by the others.
        is_lost = self._chance.random() < self.quality.loss
        is_full = self._waiting_bytes + len(packet) > QUEUE_BYTES and self._free_at_s > now_s
        if self._silent or is_lost or is_full:
            return
        sent_at_s = max(now_s, self._free_at_s) + len(packet) / self.quality.bytes_per_s
        self._free_at_s = sent_at_s
        # A way that becomes shorter lets nothing overtake.
        latest_s = self._packets[-1][0] if self._packets else -math.inf
        self._packets.append((max(sent_at_s + self.quality.delay_s, latest_s), packet))
        self._waiting_bytes += len(packet)

    @property
    def next_due_s(self) -> float:
        """When the next packet comes out; infinity if none is on its way."""
        return self._packets[0][0] if self._packets else math.inf

    def due(self, now_s: float) -> list[bytes]:
        """Take out what has arrived by now."""
        arrived = []
        while self._packets and self._packets[0][0] <= now_s:
            packet = self._packets.popleft()[1]
            self._waiting_bytes -= len(packet)
            arrived.append(packet)
        return arrived
