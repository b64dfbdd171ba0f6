"""One gateway and its cloud, of real processes, where every part can be broken and mended.

    FakeBluez (D-Bus) → satomori run → link → Mosquitto → satomori ingest → nginx → InfluxDB

The gateway is in a network of its own where that can be had (link_lab.py), its journal on a small
card of its own (a tmpfs), and its clocks are made up (whole_path_daemon.py). Mosquitto keeps
nothing: when it is killed, all is forgotten.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.fakes.bluez import FakeBluez
from tests.fakes.dbus import private_bus
from tests.fakes.servers import free_port, influxd, mosquitto, nginx_v2, until
from tests.fakes.site import ROOT, Process
from tests.simulation.link_lab import open_link
from tests.simulation.link_pipe import MOUNTAIN
from tests.simulation.whole_path_check import Row, row_of_influx, rows_of_lines
from tests.simulation.whole_path_daemon import Clocks
from tests.simulation.whole_path_feeder import Feeder, Sensors
from tests.simulation.whole_path_gateway import Gateway, card, fill
from tests.simulation.whole_path_story import Step

MEASUREMENTS = ("air", "contact", "battery", "alert", "loss")

COMMIT_EVERY_S = 5.0
KILL_S = 0.5
"""What was heard so shortly before a kill may still be on its way through D-Bus."""

FULL_S = 60.0
"""So long after the card was full the daemon may wait before it writes to it again."""

CONFIG = f"""
[gateway]
name = "oouchi-07"
site = "大内"

[journal]
path = "card/journal"
commit_every = "{COMMIT_EVERY_S:.0f} s"

[uplink]
host = "{{host}}"
port = {{port}}
tls = false
send_every = "1 s"
max_mb_per_day = 1000

[page]
enabled = false
"""

RULE = """
[[rule]]
name = "a door was opened"
condition = "opened"
sensors = [{doors}]
"""

SENSOR = """
[[sensor]]
name = "{name}"
place = "home"
device = "bthome"
address = "{address}"
interval = "1 s"
"""


class Site:
    """All of it. Use it in an `async with`; `step` breaks something, and mends it later."""

    def __init__(
        self, folder: Path, seed: int, sensors: Sensors | None = None, *, tun: bool | None = None
    ) -> None:
        """`tun`: which kind of link; None: the better one that can be had."""
        self.folder, self._seed, self._tun = folder, seed, tun
        self._sensors = sensors or Sensors()
        self._chance = random.Random(seed)
        self.chronicle: list[str] = []
        """What was done, and when."""
        self._began_s = time.monotonic()
        self._full: tuple[float, float] | None = None
        """Unix times between which the card was full last."""
        self._clocks = Clocks.of_a_start()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as parts:
            await self._build(parts)
            self._parts = parts.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        # In a thread, so that BlueZ can answer it to the last.
        await asyncio.to_thread(self.gateway.stop)
        await self._parts.aclose()

    async def _build(self, parts: AsyncExitStack) -> None:
        folder, enter = self.folder, parts.enter_context
        self.has_card = enter(card(folder / "card"))
        self.link = enter(open_link(self._seed, tun=self._tun))
        extra = self.link.listener(free_port())
        self.broker = enter(mosquitto(folder / "mosquitto", extra=extra))
        self.influx = enter(influxd(folder / "influx"))
        self.nginx = enter(nginx_v2(self.influx.url, folder / "nginx"))
        self.database = self.influx.new_database()
        bus = enter(private_bus())
        self.bluez = await parts.enter_async_context(FakeBluez(bus))
        self.bluez.add_adapter()
        self.feeder = Feeder(self.bluez, self._sensors, self._seed)
        self._config = self._configured()
        self.gateway = Gateway(folder, self._config, self.link.enter, bus, self.note)
        self._clocks.save(self.gateway.clock)
        self.ingester = Process(
            folder,
            "ingest",
            *("--mqtt", f"mqtt://127.0.0.1:{self.broker.port}"),
            *("--influx", self.nginx.url, "--bucket", f"{self.database}/autogen"),
            *("--set-aside", str(folder / "aside"), "--trust-clock"),
        )
        parts.callback(self.ingester.stop)
        parts.callback(self.gateway.stop)
        self.ingester.start()
        await asyncio.to_thread(until, lambda: "connected to" in self.ingester.log)

    def _configured(self) -> Path:
        host, port = self.link.address(self.broker.port)
        sensors = self._sensors
        text = CONFIG.format(host=host, port=port)
        for name in sensors.names:
            text += SENSOR.format(name=name, address=sensors.address(name))
        if sensors.doors:
            doors = ", ".join(f'"door {n}"' for n in range(sensors.doors))
            text += RULE.format(doors=doors)
        config = self.folder / "gateway.toml"
        config.write_text(text)
        return config

    async def step(self, step: Step) -> None:
        """Do what a step of the story says, and mend it when its time is over."""
        if step.part == "card" and not self.has_card:
            return
        self.note(f"{step.part}: {step.fault}")
        mend = await asyncio.to_thread(self._action(step))
        if mend is not None:
            await asyncio.sleep(step.for_s)
            self.note(f"{step.part}: {step.fault} is over")
            await asyncio.to_thread(mend)

    def _action(self, step: Step) -> Callable[[], Callable[[], None] | None]:
        """Return what breaks it; that returns what mends it."""
        actions: dict[str, Callable[[], Callable[[], None] | None]] = {
            "link": lambda: self._spoil_link(step.fault),
            "card": self._fill_card,
            "answers": lambda: self._answer(int(step.fault)),
            "clock": lambda: self._set_clock(step.fault),
            "gateway kill": self._kill_gateway,
            "gateway reboot": self._reboot_gateway,
        }
        named = actions.get(step.part) or actions.get(f"{step.part} {step.fault}")
        return named or (lambda: self._end(getattr(self, step.part), step.fault))

    def _kill_gateway(self) -> Callable[[], None]:
        self.gateway.kill()
        self.feeder.may_be_lost(time.time() - KILL_S)
        return self.gateway.start

    def _reboot_gateway(self) -> Callable[[], None]:
        """Cut the power; what is only in memory is lost, and the machine wakes up in 1970."""
        self.gateway.cut_power()
        now_s = time.time()
        self.feeder.may_be_lost(now_s - KILL_S, routine_after_s=now_s - COMMIT_EVERY_S - KILL_S)
        if self._full and now_s < self._full[1] + FULL_S:
            self.feeder.may_be_lost(self._full[0] - COMMIT_EVERY_S - KILL_S)
        return self._boot_gateway

    def _boot_gateway(self) -> None:
        self._let_clocks_be(Clocks.of_a_start(wall_s=self._chance.uniform(10, 60)))
        self.gateway.start()

    def _set_clock(self, how: str) -> Callable[[], None] | None:
        hours = self._chance.uniform(1, 48) * 3_600
        if how == "ntp":
            self._let_clocks_be(replace(self._clocks, wall_ahead_s=0.0, synchronised=True))
            return lambda: self._let_clocks_be(replace(self._clocks, synchronised=False))
        ahead_s = self._clocks.wall_ahead_s
        ahead_s = {
            "hours forward": ahead_s + hours,
            "hours back": ahead_s - hours,
            "1970": hours - time.time(),
        }[how]
        self._let_clocks_be(replace(self._clocks, wall_ahead_s=ahead_s, synchronised=False))
        return None

    def _let_clocks_be(self, clocks: Clocks) -> None:
        self._clocks = clocks
        clocks.save(self.gateway.clock)

    def _fill_card(self) -> Callable[[], None]:
        empty = fill(self.folder / "card")
        self._full = time.time(), float("inf")

        def mend() -> None:
            self._full = self._full[0], time.time()
            empty()

        return mend

    def _end(self, part: Process, how: str) -> Callable[[], None]:
        """Kill or stop it, and return what starts it again."""
        getattr(part, how)()
        return part.start

    def _spoil_link(self, fault: str) -> Callable[[], None] | None:
        kind, _, way = fault.partition(" ")
        if kind == "reset":
            self.link.reset()
            return None
        if kind == "mountain":
            self.link.quality = MOUNTAIN
        else:
            self.link.silence(*([way] if way else []))
        return self.link.heal

    def _answer(self, status: int) -> Callable[[], None]:
        self.nginx.answer(status)
        return lambda: self.nginx.answer(None)

    def note(self, what: str) -> None:
        self.chronicle.append(f"{time.monotonic() - self._began_s:6.2f} s  {what}")

    def stored(self) -> list[Row]:
        """All rows in InfluxDB."""
        return [
            row_of_influx(name, row)
            for name in MEASUREMENTS
            for row in self.influx.rows(self.database, name)
        ]

    def journal(self) -> list[Row]:
        """All records of the gateway, as an engineer gets them; it must not run."""
        words = ["journal", "export", "--format", "line-protocol", "--config", str(self._config)]
        command = [sys.executable, "-m", "agent", *words]
        exported = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return rows_of_lines(exported.stdout.splitlines(keepends=True))

    def aside(self) -> list[str]:
        """What the ingester has set aside."""
        files = sorted((self.folder / "aside").glob("*.jsonl"))
        return [line for file in files for line in file.read_text().splitlines()]
