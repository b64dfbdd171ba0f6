"""A real headless Chromium, driven over its DevTools pipe (NUL-ended JSON on two file descriptors).

The pipe needs neither a port nor a library. The browser runs a page's own Content-Security-Policy
and still answers what it is asked from outside.
"""

import asyncio
import base64
import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NO_CHROMIUM = "no Chromium here: apt-get install chromium fonts-noto-cjk"

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
ANSWER_WITHIN_S = 20


class Tab:
    """One page, as wide as a phone."""

    def __init__(self, reader: asyncio.StreamReader, commands: int) -> None:
        self._reader, self._commands, self._count, self._session = reader, commands, 0, ""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        command = {"id": self._count, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        return await self._until(lambda said: said.get("id") == command["id"])

    async def _until(self, wanted: Any) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while True:
                said = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                assert "error" not in said, said
                if wanted(said):
                    return said.get("result", said)

    async def attach(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        answer = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = answer["sessionId"]
        await self.call("Page.enable")

    async def look_like(
        self, *, width: int, height: int, scheme: str = "light", scale: int = 1
    ) -> None:
        """Become a phone of that size whose owner prefers `scheme`."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=True,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self._until(lambda said: said.get("method") == "Page.loadEventFired")

    async def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def screenshot(self) -> bytes:
        """Return what is seen, as PNG."""
        shot = await self.call("Page.captureScreenshot")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Tab]:
    """Start the browser with an empty profile in `profile`; end it afterwards."""
    assert CHROMIUM, NO_CHROMIUM
    (its_commands, commands), (answers, its_answers) = _high(os.pipe()), _high(os.pipe())
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        f'exec "$@" 3<&{its_commands} 4>&{its_answers}',
        "bash",
        CHROMIUM,
        *SWITCHES,
        f"--user-data-dir={profile}",
        pass_fds=(its_commands, its_answers),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(its_commands)
    os.close(its_answers)
    reader = asyncio.StreamReader(limit=1 << 26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb")
    )
    try:
        tab = Tab(reader, commands)
        await tab.attach()
        yield tab
    finally:
        process.kill()
        await process.wait()
        transport.close()
        os.close(commands)


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """Move both ends to descriptors out of the way of the browser's 3 and 4."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return moved
