"""What does a gateway lose when the link goes silent, and when it is killed?

Four cases, at 50 readings/s each, for Satomori and for ThingsBoard IoT Gateway (SQLite store):

- silent: connected, then the link swallows everything for 40 s, and the router has forgotten the
  connection when it is back, as after a mobile outage;
- swallowed: the same with something in between that acknowledges every byte by itself, as proxies
  and some carriers' middleboxes do: to the gateway's kernel all seems well;
- killed: kill -9 five times, every few seconds, while all is well, and started again at once;
- offline: the link is silent from the start; kill -9 five times, then the link is well.

Both gateways stand behind the same kind of link (tests/simulation/link_lab.py; a proxy if it has to
swallow, or where no other can be had) before a Mosquitto.
Ours hears Bluetooth sensors: real bleak, a fake BlueZ; what counts as accepted is what a scan has
heard, until the moment of the kill. Theirs is handed numbers by a connector, which writes down each
one that it has handed over. Ours has arrived when it is a row in InfluxDB, theirs when a subscriber
has it. Doubled is what is stored under two times; a copy with the same time replaces the first.

Run as `python tests/benchmarks/faults.py [--json]`. It takes fifteen minutes; the first time more,
because ThingsBoard's gateway is installed into .bench/thingsboard.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from _measure import (
    ACL,
    LAUNCHER,
    THINGSBOARD,
    CannotInstall,
    Platform,
    _config,
    _package,
    install_thingsboard,
    machine,
)

from tests.fakes.servers import MissingServer, Mosquitto, free_port, mosquitto, until
from tests.simulation.link_lab import Link, open_link
from tests.simulation.whole_path_check import matched
from tests.simulation.whole_path_feeder import Sensors
from tests.simulation.whole_path_site import Site

SEED = 1
SENSORS = Sensors(meters=75, doors=0, moment_s=0.02)
KILLS = 5
WELL_S, SILENT_S = 10.0, 40.0
BETWEEN_KILLS_S = 8.0
START_S = 60.0
PATIENCE_S = 150.0
QUIET_S = 25.0
"""When nothing has arrived for so long, nothing will. Longer than what either waits to reconnect
in these cases."""

STEADY = '''
import os
import sys
import time
from threading import Thread

from thingsboard_gateway.gateway.entities.converted_data import ConvertedData
from thingsboard_gateway.gateway.entities.datapoint_key import DatapointKey
from thingsboard_gateway.gateway.entities.telemetry_entry import TelemetryEntry
from thingsboard_gateway.connectors.connector import Connector

N = DatapointKey("n")


class Burst(Connector):
    """Hands over each number on stdin, and writes down which."""

    def __init__(self, gateway, config, connector_type):
        self.gateway, self.config, self.type = gateway, config, connector_type
        self.name = config["name"]
        self.stopped = False

    def open(self):
        Thread(target=self.run, daemon=True).start()

    def run(self):
        handed = os.open(self.config["handed"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for line in sys.stdin:
            data = ConvertedData(f"meter {int(line) % self.config['sensors']}", "bthome")
            data.add_to_telemetry(TelemetryEntry({N: int(line)}, ts=int(time.time() * 1000)))
            self.gateway.send_to_storage(self.name, self.get_id(), data)
            os.write(handed, line.encode())

    def close(self):
        self.stopped = True

    def get_id(self):
        return self.config["id"]

    def get_name(self):
        return self.name

    def get_type(self):
        return self.type

    def get_config(self):
        return self.config

    def is_connected(self):
        return True

    def is_stopped(self):
        return self.stopped

    def on_attributes_update(self, content):
        pass

    def server_side_rpc_handler(self, content):
        pass
'''


@dataclass(frozen=True)
class Result:
    """One case, one side. All are numbers of readings."""

    accepted: int
    lost: int
    doubled: int


class Side(Protocol):
    """A gateway that is fed, with what a case can do to it."""

    link: Link

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    async def ready(self) -> None:
        """Return when it is connected and readings come in."""
        ...

    async def feed(self, for_s: float) -> None: ...

    def arrived(self) -> int: ...

    def result(self) -> Result: ...


async def silent(side: Side) -> None:
    await side.start()
    await side.ready()
    await side.feed(WELL_S)
    side.link.silence()
    await side.feed(SILENT_S)
    side.link.reset()
    side.link.heal()
    await side.feed(WELL_S)


async def killed(side: Side) -> None:
    await side.start()
    await side.ready()
    for _ in range(KILLS):
        await side.feed(BETWEEN_KILLS_S)
        await side.kill()
        await side.start()
        await side.ready()
    await side.feed(BETWEEN_KILLS_S)


async def offline(side: Side) -> None:
    side.link.silence()
    for _ in range(KILLS):
        await side.start()
        await side.feed(BETWEEN_KILLS_S)
        await side.kill()
    side.link.heal()
    await side.start()
    await side.ready()
    await side.feed(BETWEEN_KILLS_S)


RUN: Mapping[str, Callable[[Side], Awaitable[None]]] = {
    "silent": silent,
    "swallowed": silent,
    "killed": killed,
    "offline": offline,
}


def tun(case: str) -> bool | None:
    """Return which kind of link a case needs."""
    return False if case == "swallowed" else None


async def settled(side: Side) -> None:
    """Return when nothing more arrives."""
    deadline_s = time.monotonic() + PATIENCE_S
    arrived, quiet_since_s = side.arrived(), time.monotonic()
    while time.monotonic() < min(deadline_s, quiet_since_s + QUIET_S):
        await asyncio.sleep(0.5)
        if (now := side.arrived()) != arrived:
            arrived, quiet_since_s = now, time.monotonic()


class Ours:
    """Satomori, on the site of the whole-path simulation."""

    def __init__(self, site: Site) -> None:
        self.link, self._site = site.link, site

    async def start(self) -> None:
        await asyncio.to_thread(self._site.gateway.start)
        await asyncio.wait_for(self._site.bluez.scanning(), START_S)

    async def kill(self) -> None:
        await asyncio.to_thread(self._site.gateway.kill)

    async def ready(self) -> None:
        before = self.arrived()
        deadline_s = time.monotonic() + START_S
        while self.arrived() == before and time.monotonic() < deadline_s:
            await self.feed(0.5)

    async def feed(self, for_s: float) -> None:
        talking = asyncio.create_task(self._site.feeder.run())
        await asyncio.sleep(for_s)
        talking.cancel()

    def arrived(self) -> int:
        return len(self._site.stored())

    def result(self) -> Result:
        said = self._site.feeder.said
        rows, _ = matched(said, self._site.stored())
        lost = sum(not found for found in rows)
        return Result(len(said), lost, sum(len(found) - 1 for found in rows if found))


async def ours(case: str, folder: Path) -> Result:
    async with Site(folder, SEED, SENSORS, tun=tun(case)) as site:
        side = Ours(site)
        await RUN[case](side)
        await settled(side)
        return side.result()


class Theirs:
    """ThingsBoard's gateway, with a connector that hands over numbers."""

    def __init__(self, python: Path, folder: Path, broker: Mosquitto, link: Link) -> None:
        self.link = link
        self._python, self._folder = python, folder
        self._handed = folder / "handed"
        self._handed.touch()
        self._next = 0
        config = _config(_package(python), folder, broker.port, SENSORS.meters)
        host, port = link.address(broker.port)
        settings = json.loads((config / "tb_gateway.json").read_text())
        settings["thingsboard"] |= {"host": host, "port": port}
        (config / "tb_gateway.json").write_text(json.dumps(settings))
        burst = json.loads((config / "burst.json").read_text()) | {"handed": str(self._handed)}
        (config / "burst.json").write_text(json.dumps(burst))
        (folder / "burst" / "burst.py").write_text(STEADY)
        self._env = {**os.environ, "TB_GW_CONFIG_DIR": str(config)}
        self._platform = Platform(broker.port)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = self._started()
        # Its connector reads before it is connected, and even if it never is.
        before = len(self.handed())
        self._hand_over()
        await asyncio.to_thread(until, lambda: len(self.handed()) > before, START_S, "a reader")

    def _started(self) -> "subprocess.Popen[bytes]":
        with (self._folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [*self.link.enter, str(self._python), "-c", LAUNCHER, str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._env,
            )

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        self._process.stdin.close()

    async def ready(self) -> None:
        before = self.arrived()
        deadline_s = time.monotonic() + START_S
        while self.arrived() == before and time.monotonic() < deadline_s:
            await self.feed(0.5)

    async def feed(self, for_s: float) -> None:
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            self._hand_over()
            await asyncio.sleep(SENSORS.moment_s)

    def handed(self) -> list[int]:
        return [int(line) for line in self._handed.read_text().split("\n")[:-1]]

    def arrived(self) -> int:
        return self._platform.arrived

    def result(self) -> Result:
        handed = set(self.handed())
        times: dict[int, set[int]] = defaultdict(set)
        for payload in self._platform.payloads:
            for entries in json.loads(payload).values():
                for entry in entries:
                    times[entry["values"]["n"]].add(entry["ts"])
        doubled = sum(len(found) - 1 for found in times.values())
        return Result(len(handed), len(handed - set(times)), doubled)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._platform.close()

    def _hand_over(self) -> None:
        self._process.stdin.write(b"%d\n" % self._next)
        self._process.stdin.flush()
        self._next += 1


async def theirs(case: str, folder: Path, python: Path) -> Result:
    with ExitStack() as stack:
        link = stack.enter_context(open_link(SEED, tun=tun(case)))
        extra = link.listener(free_port())
        broker = stack.enter_context(mosquitto(folder / "mosquitto", acl=ACL, extra=extra))
        side = Theirs(python, folder, broker, link)
        stack.callback(side.close)
        await RUN[case](side)
        await settled(side)
        return side.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--case", choices=list(RUN), action="append", help="only this one")
    options = parser.parse_args()
    print(machine())
    try:
        python = install_thingsboard()
    except CannotInstall as problem:
        print(problem)
        python = None
    results: dict[str, dict[str, Result | None]] = {}
    try:
        for case in options.case or RUN:
            results[case] = {"ours": in_folder(lambda folder, case=case: ours(case, folder))}
            results[case]["theirs"] = python and in_folder(
                lambda folder, case=case: theirs(case, folder, python)
            )
            print_case(case, results[case])
    except MissingServer as missing:
        print(f"skipped: {missing}")
        return
    if options.json:
        print(json.dumps(as_json(results)))


def in_folder(run: Callable[[Path], Awaitable[Result]]) -> Result:
    with tempfile.TemporaryDirectory(prefix="satomori-") as folder:
        return asyncio.run(run(Path(folder)))


def print_case(case: str, results: Mapping[str, Result | None]) -> None:
    print(f"{case:10}" + "".join(f"{word:>16}" for word in ("accepted", "lost", "", "doubled")))
    for name, result in zip(("Satomori", "ThingsBoard"), results.values(), strict=True):
        if result is None:
            continue
        share = f"{result.lost / result.accepted:.1%}"
        cells = (f"{result.accepted:,}", f"{result.lost:,}", share, f"{result.doubled:,}")
        print(f"  {name:12}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def as_json(results: Mapping[str, Mapping[str, Result | None]]) -> dict[str, Any]:
    return {
        "benchmark": "faults",
        "readings_per_s": round(1 / SENSORS.moment_s),
        "silent_s": SILENT_S,
        "kills": KILLS,
        "cases": {
            case: {name: result and asdict(result) for name, result in both.items()}
            for case, both in results.items()
        },
        "theirs_is": THINGSBOARD,
    }


if __name__ == "__main__":
    main()
