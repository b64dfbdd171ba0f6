"""A part that fails is started again, in time that passes at once."""

import asyncio
import logging
from itertools import pairwise

import pytest

from agent.supervise import MAX_RETRY_S, supervise


class Instant(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer, instead of waiting for it."""

    _now = 0.0

    def time(self):
        return self._now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()


class Part:
    """Runs as long as it is told, then fails; at the end of the list it returns."""

    def __init__(self, *runs_s, fault=None):
        self._runs_s, self._fault = list(runs_s), fault or OSError("the stick is gone")
        self.started_at, self.faults = [], []

    async def run(self):
        self.started_at.append(asyncio.get_running_loop().time())
        if self._runs_s:
            await asyncio.sleep(self._runs_s.pop(0))
            raise self._fault

    def supervised(self):
        with asyncio.Runner(loop_factory=Instant) as runner:
            runner.run(supervise("radio", self.run, self.faults.append))
        return self


def test_a_part_that_returns_is_left_alone():
    part = Part().supervised()
    assert (part.started_at, part.faults) == ([0], [])


def test_the_pauses_grow_up_to_a_limit():
    started_at = Part(*[0] * 9).supervised().started_at
    pauses = [b - a for a, b in pairwise(started_at)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_part_that_ran_for_long_has_recovered():
    part = Part(0, 0, 0, MAX_RETRY_S + 1, 0).supervised()
    assert part.started_at == [0, 1, 3, 7, 7 + 61 + 1, 7 + 61 + 1 + 2]


def test_a_part_that_ran_shorter_than_the_longest_pause_has_not_recovered():
    part = Part(0, 0, MAX_RETRY_S - 1, 0).supervised()
    assert part.started_at == [0, 1, 3, 3 + 59 + 4, 3 + 59 + 4 + 8]


def test_the_log_tells_the_pause_that_follows_and_what_happened(caplog):
    Part(0, 0, MAX_RETRY_S + 1).supervised()
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [text.rpartition("in ")[2] for text in told] == ["1 s", "2 s", "1 s"]
    assert caplog.text.count("OSError: the stick is gone") == 3


@pytest.mark.parametrize(
    ("fault", "told"),
    [(OSError("the stick is gone"), "the stick is gone"), (TimeoutError(), "TimeoutError")],
)
def test_people_are_told_what_happened_and_that_nothing_is_to_be_done(fault, told):
    (message,) = Part(0, fault=fault).supervised().faults
    assert message == f"radio stopped ({told}) and starts again by itself; see the log"


async def test_whoever_stops_the_daemon_stops_the_part():
    started = asyncio.Event()

    async def run():
        started.set()
        await asyncio.get_running_loop().create_future()

    faults = []
    task = asyncio.create_task(supervise("radio", run, faults.append))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert faults == []
