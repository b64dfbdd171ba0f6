"""Keeps each part of the daemon running whatever happens to the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0

log = logging.getLogger(__name__)


async def supervise(
    name: str, run: Callable[[], Awaitable[None]], on_fault: Callable[[str], None]
) -> None:
    """Run it again whenever it fails, after a growing pause; return when it returns.

    `on_fault` is told what went wrong, for people. A run that lasted longer than MAX_RETRY_S counts
    as a recovery, and the pause begins small again.
    """
    loop = asyncio.get_running_loop()
    retry_s = FIRST_RETRY_S
    while True:
        started = loop.time()
        try:
            return await run()
        except Exception as problem:
            if loop.time() - started > MAX_RETRY_S:
                retry_s = FIRST_RETRY_S
            log.exception("%s stopped; it starts again in %.0f s", name, retry_s)
            what = str(problem) or type(problem).__name__
            on_fault(f"{name} stopped ({what}) and starts again by itself; see the log")
        await asyncio.sleep(retry_s)
        retry_s = min(retry_s * 2, MAX_RETRY_S)
