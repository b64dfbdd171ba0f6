"""What was heard gets into a real journal once and in order, also when that fails for a while."""

import asyncio
import errno
import os
import threading
from contextlib import asynccontextmanager, contextmanager, nullcontext
from itertools import pairwise
from time import monotonic

import pytest

from agent import bookkeeper as bookkeeper_module
from agent.bookkeeper import Bookkeeper
from agent.clock import now
from agent.journal import Journal
from agent.journal import journal as journal_module
from agent.journal import waiting as waiting_module
from agent.journal.block import is_event
from tests.agent.home import OPENED, celsius, door, meter, pipeline, points
from tests.fakes.journal import kept

PATIENCE_S = 5.0
HOUR_S = 3600.0


class Gated(Journal):
    """A journal on a card that is as slow and as broken as the test wants."""

    def __init__(self, path):
        super().__init__(path, max_bytes=100_000_000)
        self.is_broken = False
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.tried_at = []

    def commit(self, block):
        self.tried_at.append(monotonic())
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        with read_only_card() if self.is_broken else nullcontext():
            super().commit(block)

    def protect(self):
        """Make the card read-only, as a failing one makes itself."""
        self.is_broken = True

    def mend(self):
        self.is_broken = False


@contextmanager
def read_only_card():
    """Let every write fail as on a card that has made itself read-only."""

    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        yield


class Desk:
    """A bookkeeper between a pipeline and a journal."""

    def __init__(self, path, commit_every_s):
        self.path = path
        self.journal = Gated(path)
        self.pipeline = pipeline(OPENED, journal=self.journal, on_urgent=self._hurry)
        self.commits = self.ticks = 0
        self._happened = asyncio.Event()
        self.bookkeeper = Bookkeeper(
            self.pipeline,
            self.journal,
            commit_every_s=commit_every_s,
            on_commit=self._committed,
            on_tick=self._ticked,
        )
        self.task = asyncio.create_task(self.bookkeeper.run())

    def _hurry(self):
        self.bookkeeper.hurry()

    def _committed(self):
        self.commits += 1
        self._happened.set()

    def _ticked(self):
        self.ticks += 1
        self._happened.set()

    def hear(self, *temperatures):
        for value in temperatures:
            self.pipeline.receive(meter(value, now()))

    def door(self, is_open):
        self.pipeline.receive(door(is_open, now()))

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._happened.clear()
                await self._happened.wait()

    async def ticked(self):
        """Wait until it has looked at least once whether something is due."""
        since = self.ticks
        await self.until(lambda: self.ticks >= since + 2)

    async def until_writing(self):
        assert await asyncio.to_thread(self.journal.entered.wait, PATIENCE_S)

    async def stop(self):
        """Stop as the daemon stops."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=PATIENCE_S)
        await asyncio.wait_for(self.bookkeeper.finish(), PATIENCE_S)

    def kept(self):
        """Return the lines of readings that are on the card."""
        return [line for line in kept(self.path) if not is_event(line)]

    def kept_phases(self):
        return [point.tags["phase"] for point in points(filter(is_event, kept(self.path)))]


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(bookkeeper_module, "TICK_S", 0.01)
    monkeypatch.setattr(bookkeeper_module, "FIRST_RETRY_S", 0.01)


@pytest.fixture
async def open_desk(tmp_path):
    """Opens a desk on a journal that is up to date; what is still open is closed."""
    desks = []

    @asynccontextmanager
    async def opened(commit_every_s=HOUR_S):
        desk = Desk(tmp_path / "journal", commit_every_s)
        desks.append(desk)
        yield desk
        desk.journal.gate.set()
        if not desk.task.done():
            await desk.stop()

    return opened


async def test_readings_are_committed_together(open_desk):
    async with open_desk(HOUR_S) as desk:
        await desk.ticked()
        for celsius_heard in (1, 2, 3):
            desk.hear(celsius_heard)
            await desk.ticked()
        assert desk.commits == 0
        desk.bookkeeper._commit_every_s = 0.01
        await desk.until(lambda: desk.commits)
        assert celsius(desk.kept()) == [1, 2, 3]
        assert desk.commits == 1


async def test_what_is_urgent_is_committed_at_once_and_takes_the_rest_along(open_desk):
    async with open_desk(HOUR_S) as desk:
        desk.hear(1)
        desk.door(1)
        await desk.until(lambda: desk.commits)
        assert len(desk.kept()) == 2
        assert desk.kept_phases() == ["firing"]


async def test_what_comes_during_a_commit_comes_with_the_next(open_desk):
    async with open_desk() as desk:
        desk.journal.gate.clear()
        desk.door(1)
        await desk.until_writing()
        desk.door(0)
        desk.journal.gate.set()
        await desk.until(lambda: desk.commits == 2)
        assert desk.kept_phases() == ["firing", "quiet"]


async def test_a_heap_is_committed_in_pieces_at_once_up_to_the_alert_at_its_end(
    open_desk, monkeypatch
):
    monkeypatch.setattr(waiting_module, "COMMIT_BYTES", 500)
    async with open_desk() as desk:
        desk.hear(*range(35))
        desk.door(1)
        await desk.until(lambda: desk.kept_phases() == ["firing"])
        assert desk.commits > 3
        assert len(desk.kept()) == 36


async def test_much_is_not_kept_waiting_for_the_next_time(open_desk, monkeypatch):
    monkeypatch.setattr(journal_module, "COMMIT_BYTES", 500)
    async with open_desk() as desk:
        desk.hear(*range(35))
        await desk.until(lambda: desk.commits)
        assert celsius(desk.kept()) == list(range(35))


async def test_while_the_card_is_read_only_nothing_is_lost_and_the_order_is_kept(open_desk):
    async with open_desk(0.01) as desk:
        desk.journal.protect()
        desk.hear(1)
        desk.door(1)
        await desk.until(lambda: desk.bookkeeper.message)
        assert "could not be written" in desk.bookkeeper.message
        desk.hear(2)
        desk.door(0)
        desk.journal.mend()
        await desk.until(lambda: len(desk.kept()) == 4)
        assert desk.bookkeeper.message == ""
        assert [p.measurement for p in points(desk.kept())] == ["air", "contact"] * 2
        assert desk.kept_phases() == ["firing", "quiet"]


async def test_a_fault_of_the_card_is_told_once_and_so_is_its_end(open_desk, caplog):
    caplog.set_level("INFO", "agent.bookkeeper")
    async with open_desk(0.01) as desk:
        desk.journal.protect()
        desk.hear(1)
        await desk.until(lambda: len(desk.journal.tried_at) >= 3)
        desk.journal.mend()
        await desk.until(lambda: desk.commits)
    told = [r.getMessage() for r in caplog.records if r.name == "agent.bookkeeper"]
    assert len(told) == 2
    assert "could not be written" in told[0]
    assert told[1] == "the journal can be written again"


async def test_attempts_become_rarer_however_urgent_it_is(open_desk, monkeypatch):
    monkeypatch.setattr(bookkeeper_module, "MAX_RETRY_S", 0.08)
    async with open_desk(0.01) as desk:
        desk.journal.protect()
        desk.door(1)
        while len(tried := desk.journal.tried_at) < 6:
            desk.bookkeeper.hurry()
            await desk.until(lambda count=desk.ticks: desk.ticks > count)
    pauses = [b - a for a, b in pairwise(tried[:6])]
    at_least = [0.01, 0.02, 0.04, 0.08, 0.08]
    assert all(pause > least - 0.002 for pause, least in zip(pauses, at_least, strict=True))


async def test_rules_and_lamp_are_told_the_time_while_the_card_cannot_be_written(
    open_desk, monkeypatch
):
    monkeypatch.setattr(bookkeeper_module, "FIRST_RETRY_S", HOUR_S)
    async with open_desk() as desk:
        desk.journal.protect()
        desk.door(1)
        await desk.until(lambda: desk.bookkeeper.message)
        ticks = desk.ticks
        await desk.until(lambda: desk.ticks >= ticks + 5)
        assert len(desk.journal.tried_at) == 1


async def test_a_commit_under_way_when_the_daemon_stops_is_written_once(open_desk):
    async with open_desk() as desk:
        desk.journal.gate.clear()
        desk.door(1)
        await desk.until_writing()
        desk.task.cancel()
        await asyncio.sleep(0)
        desk.door(0)
        desk.journal.gate.set()
        await desk.stop()
        assert len(desk.kept()) == 2
        assert desk.kept_phases() == ["firing", "quiet"]


async def test_a_commit_that_fails_while_the_daemon_stops_is_tried_once_more(open_desk):
    async with open_desk() as desk:
        desk.journal.gate.clear()
        desk.journal.protect()
        desk.door(1)
        await desk.until_writing()
        desk.task.cancel()
        desk.journal.gate.set()
        await asyncio.wait([desk.task], timeout=PATIENCE_S)
        assert desk.task.cancelled()
        assert desk.pipeline.waiting == 2
        desk.journal.mend()
        await desk.stop()
        assert desk.kept_phases() == ["firing"]


async def test_a_daemon_that_is_in_a_hurry_to_stop_still_writes_once(open_desk):
    async with open_desk() as desk:
        desk.journal.gate.clear()
        desk.door(1)
        await desk.until_writing()
        for _ in range(3):
            desk.task.cancel()
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, desk.journal.gate.set)
        await desk.stop()
        assert desk.kept_phases() == ["firing"]


@pytest.mark.parametrize("steps", range(6))
async def test_it_stops_also_in_the_moment_when_something_urgent_comes(open_desk, steps):
    async with open_desk() as desk:
        await desk.until(lambda: desk.ticks)
        desk.bookkeeper.hurry()
        for _ in range(steps):
            await asyncio.sleep(0)
        desk.task.cancel()
        done, _ = await asyncio.wait([desk.task], timeout=0.5)
        assert done
        await desk.bookkeeper.finish()


async def test_at_the_end_everything_is_in_the_journal_and_the_journal_is_closed(open_desk):
    async with open_desk() as desk:
        desk.hear(*range(100))
        await desk.stop()
        assert celsius(desk.kept()) == list(range(100))
        Journal(desk.path, max_bytes=100_000_000).close()  # which nobody else holds any more


async def test_a_card_that_cannot_be_written_does_not_keep_the_daemon_from_stopping(
    open_desk, caplog
):
    async with open_desk() as desk:
        desk.journal.protect()
        desk.hear(1, 2, 3)
        started = monotonic()
        await desk.stop()
        assert monotonic() - started < 1
        assert "3 records could not be kept: the journal" in caplog.text
