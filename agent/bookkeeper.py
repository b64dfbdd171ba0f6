"""Brings what the pipeline made into the journal: routine readings together, the rest at once."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agent.journal import Journal, JournalFull
from agent.journal.block import Block
from agent.pipeline import Pipeline

TICK_S = 1.0
"""How often rules are told the time. They act at their due moment whatever this is."""

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0

log = logging.getLogger(__name__)


class Bookkeeper:
    """Commits, in a thread of its own, so that a slow card never keeps a radio waiting."""

    def __init__(
        self,
        pipeline: Pipeline,
        journal: Journal,
        *,
        commit_every_s: float,
        on_commit: Callable[[], None],
        on_tick: Callable[[], None],
    ) -> None:
        """`on_commit` follows each commit; `on_tick` comes about once a second, between commits."""
        self.message = ""
        """Why records cannot be written just now; "" when all is well."""
        self._pipeline, self._journal = pipeline, journal
        self._commit_every_s = commit_every_s
        self._on_commit, self._on_tick = on_commit, on_tick
        self._waits_since_s: float | None = None
        """Since when something waits, on the loop's clock; None: nothing does, as far as known."""
        self._urgent = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "journal")

    def hurry(self) -> None:
        """Commit now: something came that must not wait."""
        self._urgent.set()

    async def run(self) -> None:
        """Tick and commit until cancelled; call `finish` after that."""
        loop = asyncio.get_running_loop()
        # The first one at once: from when on it listens must not be forgotten with the next kill.
        self.hurry()
        retry_at, retry_s = 0.0, FIRST_RETRY_S
        while True:
            hurried = await self._hurried(min(TICK_S, self._commit_every_s, retry_s))
            self._on_tick()
            # Nothing is so urgent that a journal which cannot be written is tried more often.
            if loop.time() < retry_at or not (hurried or self._is_due(loop.time())):
                continue
            if await self._commit():
                retry_at, retry_s = 0.0, FIRST_RETRY_S
            else:
                retry_at, retry_s = loop.time() + retry_s, min(retry_s * 2, MAX_RETRY_S)
                self.hurry()

    def _is_due(self, now_s: float) -> bool:
        """Whether something has waited for so long, or so much waits, that it goes to the card.

        Counted from the oldest that waits, not from the last commit: each commit costs kilobytes.
        """
        if not self._journal.waiting and not self._pipeline.is_state_due:
            self._waits_since_s = None
            return False
        if self._waits_since_s is None:
            # It may have come at any time since the last look.
            self._waits_since_s = now_s - min(TICK_S, self._commit_every_s)
        is_late = now_s - self._waits_since_s >= self._commit_every_s
        return is_late or self._journal.wants_commit

    async def finish(self) -> None:
        """Commit what is left, and let go of the journal."""
        self._pipeline.keep_state_now()
        await self._commit()
        if self._pipeline.waiting:
            log.error("%d records could not be kept: %s", self._pipeline.waiting, self.message)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.close)
        self._thread.shutdown()

    async def _hurried(self, within_s: float) -> bool:
        """Wait, and return whether something came that must not wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._urgent.wait()
        hurried = self._urgent.is_set()
        self._urgent.clear()
        return hurried

    async def _commit(self) -> bool:
        """Commit all that waits by now; returns whether nothing waits because of a fault."""
        self._waits_since_s = None
        waiting = self._pipeline.waiting
        while (block := self._pipeline.take()) is not None:
            if not await self._shielded(block):
                return False
            waiting -= len(block.lines)
            if waiting <= 0:
                break
        return True

    async def _shielded(self, block: Block) -> bool:
        """Write it even if the daemon is told to stop: it must not be committed twice."""
        work = asyncio.ensure_future(self._write(block))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise

    async def _write(self, block: Block) -> bool:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._journal.commit, block)
        except JournalFull as problem:
            if not self.message:
                log.error("%s", problem)  # noqa: TRY400  # the message is what the engineer needs
            self.message = str(problem)
            self._pipeline.commit_failed(block)
            return False
        if self.message:
            log.info("the journal can be written again")
        self.message = ""
        self._on_commit()
        return True
