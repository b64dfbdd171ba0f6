"""Two hands instead of one: while one round is being written, the ingester reads the next.

A round is what one write takes: messages of the broker, the batches in them, and what turned out
to be no batch. The writer's thread has one round at a time and gives it back when all of it is on
a disk, in the store or aside; only then may it be acknowledged and confirmed. So at most two rounds
are in memory, beside the connection's inbox.
"""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import NamedTuple

from paho.mqtt.client import MQTTMessage

from cloud_sync.ingester.connection import RECEIVE_MAXIMUM, Connection
from cloud_sync.ingester.writer import Pause, Piece, Writer
from cloud_sync.set_aside import Oddity
from cloud_sync.wire import Batch, written_by

MAX_WRITE_MESSAGES = RECEIVE_MAXIMUM // 2
"""While one half is being written, the broker sends the other."""

MAX_WRITE_LINES = 5_000
"""From here on a larger write makes a line no cheaper."""

log = logging.getLogger(__name__)


class Arrival(NamedTuple):
    """A batch, and whose it is by its topic."""

    gateway: str
    batch: Batch


@dataclass
class Round:
    """What one write takes."""

    connection: Connection
    """By which the messages came: message ids mean nothing to another one."""
    messages: list[MQTTMessage] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    lines: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.messages) >= MAX_WRITE_MESSAGES or self.lines >= MAX_WRITE_LINES

    def __bool__(self) -> bool:
        return bool(self.messages or self.oddities)

    def add(self, arrival: Arrival) -> None:
        """Add a batch."""
        self.arrivals.append(arrival)
        self.lines += len(arrival.batch.sequence)

    def keep(self, writer: Writer, pause: Pause) -> None:
        """Return when all of it is on a disk, in the store or aside. Raises what `pause` raises."""
        pieces = []
        for gateway, batch in self.arrivals:
            if written_by(gateway, batch.lines):
                pieces.append(Piece(gateway, batch.boot, batch.lines))
            else:
                reason = f"not every line is tagged with gateway={gateway}, whose topic it came by"
                self.oddities += [
                    Oddity(gateway, batch.boot, reason, line)
                    for line in batch.lines.split(b"\n")[:-1]
                ]
        writer.set_aside(self.oddities, pause)
        writer.write(pieces, pause)


class _Stopped(Exception):
    """Told to stop while the store takes nothing. What is not stored is not acknowledged either."""


class WriterThread:
    """Has one round at a time. `close` it: until then it keeps on trying."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._work: Future[Round] | None = None
        self._halt = Event()
        self._readable, self._writable = os.pipe()

    @property
    def is_busy(self) -> bool:
        """Whether it has a round that was not taken back."""
        return self._work is not None

    def fileno(self) -> int:
        """Return what becomes readable when a round is finished."""
        return self._readable

    def give(self, work: Round) -> None:
        """Let it be written. Only when it is not busy."""
        assert self._work is None
        self._work = self._thread.submit(self._keep, work)
        self._work.add_done_callback(lambda _: os.write(self._writable, b"."))

    def take_back(self) -> Round | None:
        """Return the round if it is finished. Raises what nobody has expected."""
        if self._work is None or not self._work.done():
            return None
        work, self._work = self._work, None
        os.read(self._readable, 1)
        try:
            return work.result()
        except _Stopped:
            log.warning("stopped while the store takes nothing: the broker keeps the messages")
            return None

    def halt(self) -> None:
        """Return when nothing is being written: what waits for the store is given up.

        What was stored can still be taken back.
        """
        self._halt.set()
        self._thread.shutdown()

    def close(self) -> None:
        """End it."""
        self.halt()
        os.close(self._readable)
        os.close(self._writable)

    def _keep(self, work: Round) -> Round:
        work.keep(self._writer, self._pause)
        return work

    def _pause(self, wait_s: float) -> None:
        if self._halt.wait(wait_s):
            raise _Stopped
