"""A whole site for tests: a daemon and an ingester as processes, with everything around them real.

The radio, the bus and the pins are driven by the test; broker and store are the real servers. Any
part can be killed and started again.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from tests.fakes.bluez import FakeBluez
from tests.fakes.dbus import private_bus
from tests.fakes.journal import kept
from tests.fakes.remote_pins.remote_pins import drive, environment
from tests.fakes.servers import Mosquitto, free_port
from tests.fakes.soil_bus import SoilBus

ROOT = Path(__file__).parents[2]
DOOR = "A4:C1:38:00:00:01"
BTHOME = 0xFCD2
CONTACT_PIN, LAMP_PIN = 17, 22
STOP_TIMEOUT_S = 10.0

CONFIG = """
[gateway]
name = "{gateway}"
site = "大内"

[journal]
path = "journal"
commit_every = "0.2 s"

[clock]
source = "system"

[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false
send_every = "1 s"
{uplink}

[page]
port = {page_port}

[signals]
lamp_pin = 22

[[sensor]]
name = "玄関"
place = "home"
device = "bthome"
address = "A4:C1:38:00:00:01"
interval = "1 s"

[[sensor]]
name = "soil"
place = "paddy"
device = "soil_probe"
port = "{soil_port}"
profile = "dfrobot"
interval = "1 s"

[[sensor]]
name = "window"
place = "greenhouse"
device = "gpio_contact"
pin = 17

[[rule]]
name = "玄関が開きました"
condition = "opened"
sensor = "玄関"

[[rule]]
name = "soil is dry"
condition = "below"
sensor = "soil"
quantity = "soil_moisture_percent"
limit = 20.0
"""


class Process:
    """A satomori command in a process of its own."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
        self._folder, self._words = folder, words
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / f"{self._words[0]}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", *self._words],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._env,
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code; 0 if it was never started."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """All that it has printed."""
        return (self._folder / f"{self._words[0]}.log").read_text(errors="replace")


class Site:
    """One gateway and its cloud. Use it in an `async with`."""

    def __init__(
        self, folder: Path, gateway: str, broker: Mosquitto, store: list[str], **more: str
    ) -> None:
        """`store`: what `satomori ingest` is told about it.

        `more`: `uplink`, more lines of its section; `rules`, more rules.
        """
        self.folder, self.gateway, self.broker = folder, gateway, broker
        self._store, self._more = store, more
        self._packet = 0
        self._page_port = free_port()
        self._pins = folder / "pins"

    async def __aenter__(self) -> Self:
        self._parts = AsyncExitStack()
        bus_address = self._parts.enter_context(private_bus())
        self.bluez = await self._parts.enter_async_context(FakeBluez(bus_address))
        self.bluez.add_adapter()
        bus = self.folder / "bus"
        bus.mkdir()
        self.soil = await self._parts.enter_async_context(
            SoilBus(bus, {1: {0: 300, 1: 185, 2: 420}})
        )
        config = self.folder / "gateway.toml"
        config.write_text(
            CONFIG.format(
                gateway=self.gateway,
                broker_port=self.broker.port,
                page_port=self._page_port,
                soil_port=self.soil.port,
                uplink=self._more.get("uplink", ""),
            )
            + self._more.get("rules", "")
        )
        env = {**environment(self._pins, ROOT), "DBUS_SYSTEM_BUS_ADDRESS": bus_address}
        env["RUNTIME_DIRECTORY"] = str(self.folder)
        self.daemon = Process(self.folder, "run", "--config", str(config), env=env)
        mqtt = f"mqtt://127.0.0.1:{self.broker.port}"
        aside = str(self.folder / "aside")
        self.ingester = Process(
            self.folder, "ingest", "--mqtt", mqtt, "--set-aside", aside, *self._store
        )
        self._parts.callback(self.ingester.stop)
        self.ingester.start()
        # A broker drops what nobody has subscribed to, and it would be sent again only 30 s later.
        await until(lambda: "connected to" in self.ingester.log, what="the ingester listens")
        self._parts.callback(self.daemon.stop)
        self.daemon.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.aclose()

    async def door(self, is_open: int) -> None:
        """Let the front door say its state, once the daemon listens."""
        await asyncio.wait_for(self.bluez.scanning(), 20)
        self._packet = (self._packet + 1) % 256
        body = bytes([0x40, 0x00, self._packet, 0x01, 90, 0x1A, is_open])
        self.bluez.advertise(DOOR, service_data={BTHOME: body})

    async def window(self, is_open: int) -> None:
        """Drive the pin of the greenhouse's window, once the daemon watches it."""
        await asyncio.to_thread(drive, self._pins, CONTACT_PIN, is_open, timeout_s=20.0)

    def soil_moisture(self, percent: float) -> None:
        """What the probe will answer from now on."""
        self.soil.registers[1][0] = round(percent * 10)

    def status(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self._page_port}/status.json", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return None

    def journal(self) -> list[bytes]:
        """All lines in the journal."""
        return kept(self.folder / "journal")


async def until(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "") -> Any:
    """Return the first true value of `condition`, asked again and again."""
    async with asyncio.timeout(timeout_s):
        while not (value := await asyncio.to_thread(condition)):  # noqa: ASYNC110
            # Another process tells nobody when it is done.
            await asyncio.sleep(0.05)
    return value
