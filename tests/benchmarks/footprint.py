"""What does a gateway cost that has little to do, as most of them most of the time?

Ours: 20 Bluetooth sensors, each heard about every ten seconds, through the real bleak from a fake
BlueZ on a private D-Bus; rules that watch them; the journal; connected to Mosquitto; the page on.
Measured twice: before anybody has looked at the page, and after.

Theirs: ThingsBoard IoT Gateway, connected to the same Mosquitto, with its SQLite store, and without
any connector, since its Bluetooth connector does not read advertisements: nothing comes in.

Both run at the same time. RSS counts every page that is mapped, those of libraries that others use
too; PSS counts such pages by the share, USS not at all.

Run as `python tests/benchmarks/footprint.py [--json] [--seconds 30]`. It takes four minutes; the
first time longer, because ThingsBoard's gateway is installed into .bench/thingsboard.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from _measure import (
    ACL,
    THINGSBOARD,
    CannotInstall,
    Satomori,
    ThingsBoard,
    cpu_s,
    install_thingsboard,
    machine,
    memory,
    thingsboard,
)

from cloud_sync.wire import parse_line
from tests.fakes.bluez import FakeBluez
from tests.fakes.dbus import private_bus
from tests.fakes.journal import kept
from tests.fakes.servers import MissingServer, Mosquitto, free_port, mosquitto
from tests.fakes.site import until

BTHOME = 0xFCD2
EVERY_S = 10.0
"""How often each sensor is heard."""

SETTLE_S = 10.0
"""Between the start and the measurement."""

DOORS, MOTIONS, METERS = 6, 6, 8
SENSORS = DOORS + MOTIONS + METERS

CONFIG = """
[gateway]
name = "footprint"
site = "village"

[journal]
path = "journal"
commit_every = "5 s"

[clock]
source = "system"

[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false

[page]
port = {page_port}

[presence]
doors = ["door 0"]
interior = ["motion 0", "motion 1"]

[[rule]]
name = "a door stands open"
condition = "opened"
sensors = {doors}
hold = "10 min"

[[rule]]
name = "nobody moves"
condition = "inactive"
sensors = {motions}
hold = "12 h"
presence = "home"

[[rule]]
name = "frost"
condition = "below"
sensors = {meters}
quantity = "temperature_celsius"
limit = 3.0
hold = "10 min"

[[rule]]
name = "a sensor is silent"
condition = "silent"
sensors = "all"
hold = "6 h"
"""

SENSOR = """
[[sensor]]
name = "{name}"
place = "home"
device = "bthome"
address = "{address}"
"""

NAMES = [
    *(f"door {n}" for n in range(DOORS)),
    *(f"motion {n}" for n in range(MOTIONS)),
    *(f"meter {n}" for n in range(METERS)),
]


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    rss_mb: float
    pss_mb: float
    uss_mb: float
    cpu_percent: float
    """Of one core."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of one run")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="the median counts")
    options = parser.parse_args()
    where = machine()
    if shutil.which("dbus-daemon") is None:
        print("skipped: dbus-daemon is not installed: sudo apt-get install dbus-daemon")
        return
    try:
        ours, looked_at, theirs = measure(options.seconds, options.runs)
    except MissingServer as missing:
        print(f"skipped: {missing}")
        return
    print(f"idle for {options.seconds:.0f} s, {SENSORS} sensors; median of {options.runs}")
    print(where)
    print_table(ours, looked_at, theirs)
    if options.json:
        print(json.dumps(as_json(options.seconds, options.runs, ours, looked_at, theirs)))


def measure(seconds: float, runs: int) -> tuple[Cost, Cost, Cost | None]:
    """Return the medians: ours, ours once the page was looked at, theirs (None: not installed).

    Raises MissingServer.
    """
    try:
        python = install_thingsboard()
    except CannotInstall as problem:
        print(problem)
        python = None
    ours, looked_at, theirs = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="satomori-") as folder, ExitStack() as stack:
            broker = stack.enter_context(mosquitto(Path(folder, "mosquitto"), acl=ACL))
            other = python and stack.enter_context(
                thingsboard(python, Path(folder, "thingsboard"), broker.port)
            )
            costs = asyncio.run(run(Path(folder), broker, other, seconds))
        ours.append(costs[0])
        looked_at.append(costs[1])
        theirs += costs[2:]
    return median(ours), median(looked_at), median(theirs) if theirs else None


async def run(
    folder: Path, broker: Mosquitto, other: ThingsBoard | None, seconds: float
) -> list[Cost]:
    """Return what ours costs before and after a look at the page, and theirs if it runs."""
    page_port = free_port()
    config = folder / "gateway.toml"
    config.write_text(configuration(broker.port, page_port))
    with private_bus() as bus:
        gateway = Satomori(
            folder, "run", "--config", str(config), env={"DBUS_SYSTEM_BUS_ADDRESS": bus}
        )
        async with FakeBluez(bus) as bluez:
            bluez.add_adapter()
            gateway.start()
            advertising = asyncio.create_task(advertise(bluez))
            try:
                journal = folder / "journal"
                await until(lambda: all_heard(journal), what="every sensor is heard")
                pids = [gateway.pid, *([other.pid] if other else [])]
                ours, *theirs = await costs(pids, seconds)
                await asyncio.to_thread(read, f"http://127.0.0.1:{page_port}/")
                looked_at = await costs([gateway.pid], seconds)
                return [ours, *looked_at, *theirs]
            finally:
                advertising.cancel()
                await asyncio.to_thread(gateway.stop)


def configuration(broker_port: int, page_port: int) -> str:
    kinds = ("door", "motion", "meter")
    groups = {f"{k}s": json.dumps([n for n in NAMES if n.startswith(k)]) for k in kinds}
    sensors = (SENSOR.format(name=name, address=address(n)) for n, name in enumerate(NAMES))
    head = CONFIG.format(broker_port=broker_port, page_port=page_port, **groups)
    return "".join([head, *sensors])


def address(sensor: int) -> str:
    return f"A4:C1:38:00:00:{sensor:02X}"


async def advertise(bluez: FakeBluez) -> None:
    """Let all sensors be heard in turn, without end: doors and motion rarely change."""
    loop = asyncio.get_running_loop()
    await bluez.scanning()
    started_s, packet = loop.time(), 0
    while True:
        for sensor, name in enumerate(NAMES):
            payload = bytes([0x40, 0x00, packet % 256]) + said(name, packet)
            bluez.advertise(address(sensor), service_data={BTHOME: payload})
            # All at once at first, so that the page knows them all.
            due_s = started_s + (packet + sensor / SENSORS) * EVERY_S if packet else 0.0
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        packet += 1


def said(name: str, packet: int) -> bytes:
    """Return the BTHome objects that a sensor sends."""
    kind, _, number = name.partition(" ")
    changes = packet // 30 + int(number)
    match kind:
        case "door":
            return bytes([0x01, 90, 0x1A, changes % 2])
        case "motion":
            return bytes([0x01, 90, 0x21, changes % 2])
        case _:
            celsius = (2150 + packet % 50).to_bytes(2, "little")
            percent = (5500 + packet % 90).to_bytes(2, "little")
            return bytes([0x01, 90, 0x02, *celsius, 0x03, *percent])


def all_heard(journal: Path) -> bool:
    """Whether the daemon has heard every sensor."""
    return len({parse_line(line).tags["sensor"] for line in kept(journal)}) == SENSORS


def read(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        return answer.read()


async def costs(pids: list[int], seconds: float) -> list[Cost]:
    await asyncio.sleep(SETTLE_S)
    before_s = [cpu_s(pid) for pid in pids]
    await asyncio.sleep(seconds)
    used_s = [cpu_s(pid) - before for pid, before in zip(pids, before_s, strict=True)]
    return [
        Cost(*astuple(memory(pid)), cpu_percent=used / seconds * 100)
        for pid, used in zip(pids, used_s, strict=True)
    ]


def median(runs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(run, f.name) for run in runs) for f in fields(Cost)))


def print_table(ours: Cost, looked_at: Cost, theirs: Cost | None) -> None:
    print(f"{'':28}{'Satomori':>12}{'… page seen':>14}{'ThingsBoard':>14}")
    for name, says in (
        ("rss_mb", "resident memory, MB"),
        ("pss_mb", "… shared pages by the share"),
        ("uss_mb", "… without shared pages"),
        ("cpu_percent", "CPU, % of a core"),
    ):
        digits = 2 if name == "cpu_percent" else 1
        other = f"{getattr(theirs, name):.{digits}f}" if theirs else "-"
        seen = f"{getattr(looked_at, name):14.{digits}f}"
        print(f"{says:28}{getattr(ours, name):12.{digits}f}{seen}{other:>14}")


def as_json(
    seconds: float, runs: int, ours: Cost, looked_at: Cost, theirs: Cost | None
) -> dict[str, Any]:
    return {
        "benchmark": "footprint",
        "seconds": seconds,
        "runs": runs,
        "sensors": SENSORS,
        "ours": figures(ours),
        "ours_page_seen": figures(looked_at),
        "theirs": figures(theirs) if theirs else None,
        "theirs_is": THINGSBOARD,
    }


def figures(result: Cost) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(result).items()}


if __name__ == "__main__":
    main()
