"""A process that works with the journal as the daemon does, only faster, until it is killed.

It writes down what it does and what it is promised (power_promises.py), and never ends cleanly.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent.journal import Journal, Loss
from cloud_sync.spans import Spans
from tests.simulation.disk_device import die_with_parent
from tests.simulation.power_promises import LANES, STATE, Diary, offered

START_US = 1_795_392_000_000_000
"""2026-11-23. Each record is a second younger than the one before."""


class Workload(NamedTuple):
    """What is done; the same again for the same seed, but for the timing."""

    seed: str
    steps: int
    first: int
    """The number of the first record in its text."""
    max_bytes: int
    segment_bytes: int
    after_power_cut: bool


def opened(folder: Path, tail: Path, work: Workload) -> Journal:
    """Open the journal as the workload does."""
    return Journal(
        folder,
        max_bytes=work.max_bytes,
        tail=tail,
        segment_bytes=work.segment_bytes,
        write_loss=loss_line,
    )


def loss_line(loss: Loss) -> bytes:
    """Return a record of a loss."""
    fields = f'reason="{loss.reason}",readings={loss.readings}i,from_us={loss.from_us}i'
    # Every record is one of a kind, so that none is taken for another.
    return f"loss,gateway=g {fields},until_us={loss.until_us}i {time.monotonic_ns()}\n".encode()


def in_process(work: Workload, folder: Path, tail: Path, diary: Diary) -> int:
    """Start it; returns its process id."""
    process = os.fork()
    if process:
        return process
    try:
        die_with_parent()
        Worker(work, folder, tail, diary).run()
        os.kill(os.getpid(), signal.SIGKILL)
    except BaseException:  # noqa: BLE001 - this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(1)


class Worker:
    """Does one thing after the other, by chance."""

    def __init__(self, work: Workload, folder: Path, tail: Path, diary: Diary) -> None:
        self._work, self._diary = work, diary
        self._rnd = Random(work.seed)
        self._next = work.first
        self._journal = opened(folder, tail, work)
        self._cursor = self._journal.cursor("uplink")

    def run(self) -> None:
        """Do it all."""
        found = offered(self._cursor)
        self._say("opened", records=found, state=self._journal.state(STATE))
        steps: dict[Callable[[], None], int] = {
            self._few: 40,
            self._many: 3,
            self._alert: 12,
            self._commit: 20,
            self._confirm: self._rnd.choice((0, 5, 15)),
            self._rest: 9,
        }
        for step in self._rnd.choices([*steps], [*steps.values()], k=self._work.steps):
            step()

    def _few(self) -> None:
        self._append([self._reading() for _ in range(self._rnd.randint(1, 4))])

    def _many(self) -> None:
        self._append([self._reading() for _ in range(self._rnd.randint(50, 200))])
        self._commit()

    def _alert(self) -> None:
        text = self._rnd.randbytes(self._rnd.choice((0, 20, 2000))).hex()
        self._append([self._line("alert", f'state="firing",message="{text}"')])
        self._commit()

    def _commit(self) -> None:
        states = {STATE: self._state()} if self._rnd.random() < 0.5 else None
        while (block := self._journal.take(states)) is not None:
            self._say("committing", lines=block.lines, state=block.states.get(STATE))
            self._journal.commit(block)
            self._say("committed", lines=block.lines, state=block.states.get(STATE))
            states = states if states and not block.states else None

    def _confirm(self) -> None:
        """Confirm some of what is offered: mostly the oldest, sometimes with gaps."""
        lane = self._rnd.choice(LANES)
        records = offered(self._cursor, [lane])
        if not records:
            return
        boot = records[0].boot
        of_boot = [record for record in records if record.boot == boot]
        some = of_boot[: self._rnd.randint(1, len(of_boot))]
        if self._rnd.random() < 0.3:
            some = [record for record in some if self._rnd.random() < 0.7]
        self._say("offered", records=records)
        self._say("confirming", records=some)
        self._cursor.confirm(boot, Spans((r.number, r.number) for r in some))

    def _rest(self) -> None:
        """Let the kernel do something of its own."""
        time.sleep(self._rnd.uniform(0, 0.02))

    def _append(self, lines: list[bytes]) -> None:
        self._say("appending", lines=lines)
        self._journal.append(lines)
        self._say("appended", lines=lines)

    def _reading(self) -> bytes:
        if self._rnd.random() < 0.2:
            return self._line("contact", f"contact_open={self._rnd.randrange(2)}")
        value = self._rnd.gauss(20, 5)
        return self._line("air", f"temperature_celsius={value:.{self._rnd.choice((1, 2, 15))}g}")

    def _line(self, measurement: str, fields: str) -> bytes:
        self._next += 1
        time_us = START_US + self._next * 1_000_000
        return f"{measurement},gateway=g,sensor=s{self._next % 7} {fields} {time_us}000\n".encode()

    def _state(self) -> bytes:
        return b"%d " % self._next + self._rnd.randbytes(self._rnd.choice((10, 1000, 5000)))

    def _say(self, kind: str, **what: object) -> None:
        if kind == "opened":
            what["after_power_cut"] = self._work.after_power_cut
        self._diary.say(kind, **what)
