"""Runs the demonstration and tells it: recordings, daemon, link, broker, ingester, store.

The daemon and the ingester are the real commands, as processes of their own. Only what a newcomer
does not have stands in: amqtt for Mosquitto, a SQLite file for InfluxDB, recordings for radios; and
between them a link that is cut and healed in the middle, as it will be in the mountains.
"""

import argparse
import asyncio
import contextlib
import heapq
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from string import Template
from time import monotonic

from agent.demo import counts
from agent.demo.link import Link
from agent.demo.recordings import MINUTES
from agent.journal.reader import Unreadable
from drivers.capture import frame_to_json, read_frames
from rules.lifecycle import Phase

HERE = Path(__file__).parent
SCENES = ("home", "paddy", "greenhouse")
PAGE_PORT = 8080

CUT_AT, HEALED_AT = 0.35, 0.6
"""When the link is cut and healed, as parts of the whole."""

LOOK_EVERY_S = 0.5
COUNT_EVERY_S = 5.0

LAST_COMMIT_S = 2.0
"""After the end of the recordings: what was heard last is in the journal by then."""

START_S, DRAIN_S, STOP_S = 20.0, 30.0, 10.0
"""How long the daemon may take to start, the last records to arrive, and a process to stop."""


class DemoFailed(Exception):
    """A part did not start, or ended too early; the message says which, and what it said last."""


def show(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 if everything that was recorded arrived, once."""
    if args.influx and not args.bucket:
        print("--influx needs --bucket: which bucket to write to", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="satomori-demo-") as folder:
        try:
            return asyncio.run(Demo(args, Path(folder)).run())
        except (DemoFailed, Unreadable, OSError, TimeoutError) as problem:
            print(f"the demonstration stopped: {problem}", file=sys.stderr)
            return 1


class Demo:
    """One run."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args, self._folder = args, folder
        self._journal, self._store = folder / "journal", folder / "store.sqlite"
        self._page_port = _free_port(PAGE_PORT)
        # amqtt knows no MQTT 5, and does not say so.
        self._protocol = "auto" if args.mqtt else "3.1.1"
        self._started = monotonic()
        self._alerts_told = 0
        self._waited = 0
        """Records that had to wait in the journal while the link was cut."""

    async def run(self) -> int:
        """Play the recordings to the end, and sum up."""
        self._say("starting a broker, the link, the ingester, and the daemon on recordings")
        async with contextlib.AsyncExitStack() as parts:
            host, port = await self._broker(parts)
            link = Link(host, port)
            self._write_config(await link.start())
            parts.push_async_callback(link.stop)
            ingester = await parts.enter_async_context(
                self._process("ingest", *self._sink(host, port))
            )
            await _until(self._ingester_is_connected)
            config = str(self._folder / "gateway.toml")
            daemon = await parts.enter_async_context(self._process("run", "--config", config))
            await _until(self._daemon_answers)
            self._say(f"the page is at http://127.0.0.1:{self._page_port}/")
            await self._tell(link, (daemon, ingester))
            return await self._sum_up()

    async def _broker(self, parts: contextlib.AsyncExitStack) -> tuple[str, int]:
        if self._args.mqtt:
            _, host, port = self._args.mqtt
            return str(host), int(port)
        try:
            from agent.demo.broker import broker  # noqa: PLC0415  # an optional extra
        except ImportError as problem:
            raise DemoFailed(
                f"its broker is not installed ({problem}): pip install 'satomori[demo]', "
                "or name a real one with --mqtt mqtt://HOST:1883"
            ) from problem
        port = _free_port(0)
        await parts.enter_async_context(broker(port))
        return "127.0.0.1", port

    def _write_config(self, link_port: int) -> None:
        recordings = (read_frames(HERE / f"{scene}.jsonl") for scene in SCENES)
        with (self._folder / "capture.jsonl").open("w", encoding="utf-8") as capture:
            for frame in heapq.merge(*recordings, key=lambda frame: frame.at):
                print(frame_to_json(frame), file=capture)
        text = Template((HERE / "demo.toml").read_text(encoding="utf-8")).substitute(
            link_port=link_port,
            protocol=self._protocol,
            page_port=self._page_port,
            speed=float(MINUTES * 60 / self._args.seconds),
        )
        (self._folder / "gateway.toml").write_text(text, encoding="utf-8")

    def _sink(self, host: str, port: int) -> list[str]:
        args = self._args
        words = ["--mqtt", f"mqtt://{host}:{port}", "--mqtt-protocol", self._protocol]
        words += ["--set-aside", str(self._folder / "aside")]
        if not args.influx:
            return [*words, "--sqlite", str(self._store)]
        words += ["--influx", args.influx, "--bucket", args.bucket, "--org", args.org]
        return words + (["--token-file", str(args.token_file)] if args.token_file else [])

    @contextlib.asynccontextmanager
    async def _process(self, command: str, *words: str) -> AsyncIterator[Process]:
        """Run a command of ours; at the end it is asked to stop, and must do so cleanly."""
        log = self._folder / f"{command}.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent", command, *words, stdout=file, stderr=file
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), STOP_S)
            if code:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                print(f"`satomori {command}` ended with {code}:\n{last}", file=sys.stderr)

    async def _ingester_is_connected(self) -> bool:
        return "connected to" in (self._folder / "ingest.log").read_text(errors="replace")

    async def _daemon_answers(self) -> bool:
        try:
            await self._unconfirmed()
        except OSError:
            return False
        return True

    async def _tell(self, link: Link, processes: tuple[Process, ...]) -> None:
        """Say what happens until everything recorded has arrived, or DRAIN_S is over."""
        begun = next_count = monotonic()
        cut_at, healed_at = (begun + part * self._args.seconds for part in (CUT_AT, HEALED_AT))
        over_at = begun + self._args.seconds
        steps = [(cut_at, self._cut), (healed_at, self._heal)]
        while (now := monotonic()) < over_at + DRAIN_S:
            if any(process.returncode is not None for process in processes):
                raise DemoFailed("the daemon or the ingester ended too early")
            if steps and now >= steps[0][0]:
                await steps.pop(0)[1](link)
            self._tell_alerts()
            if now >= next_count:
                next_count += COUNT_EVERY_S
                self._say(
                    f"  {counts.entered(self._journal)} records, {await self._stored()} stored"
                )
            if now > over_at + LAST_COMMIT_S and not await self._unconfirmed():
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _cut(self, link: Link) -> None:
        link.cut()
        self._say("✂ the link is cut; the daemon goes on without it")

    async def _heal(self, link: Link) -> None:
        self._waited = await self._unconfirmed()
        link.heal()
        self._say(f"✓ the link is back; {self._waited} records waited for it")

    def _tell_alerts(self) -> None:
        events = counts.alerts(self._journal)
        for event in events[self._alerts_told :]:
            mark = "⚠ alert:" if event.phase is Phase.FIRING else "○ over: "
            self._say(f"{mark} {event.rule}")
        self._alerts_told = len(events)

    async def _sum_up(self) -> int:
        entered, stored = counts.entered(self._journal), await self._stored()
        unconfirmed = await self._unconfirmed()
        raised = sum(e.phase is Phase.FIRING for e in counts.alerts(self._journal))
        print(
            f"\n  records in the gateway's journal  {entered:6}"
            f"\n  records stored at the other end   {stored:6}"
            f"\n  waited while the link was cut     {self._waited:6}"
            f"\n  not confirmed by the ingester     {unconfirmed:6}"
            f"\n  alerts raised                     {raised:6}\n"
        )
        if entered == stored and not unconfirmed and raised:
            print("  Everything arrived, once.")
            return 0
        print("  That is not as it should be.", file=sys.stderr)
        return 1

    async def _unconfirmed(self) -> int:
        return await asyncio.to_thread(counts.unconfirmed, self._page_port)

    async def _stored(self) -> int:
        """Return how many records the store has; of a real InfluxDB, what was confirmed."""
        if self._args.influx:
            return counts.entered(self._journal) - await self._unconfirmed()
        return counts.stored(self._store)

    def _say(self, words: str) -> None:
        print(f"{monotonic() - self._started:5.1f} s  {words}", flush=True)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when it holds. Raises TimeoutError after START_S."""
    async with asyncio.timeout(START_S):
        while not await holds():  # noqa: ASYNC110  # other processes tell nobody
            await asyncio.sleep(LOOK_EVERY_S)


def _free_port(wanted: int) -> int:
    """Return `wanted` if it is free on the loopback, else another one."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
