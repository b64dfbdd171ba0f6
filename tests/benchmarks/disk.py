"""How many bytes reach the card for each reading? That is what wears it out.

Ours: recorded frames are played to `satomori run` as they come, one number each, at a steady rate;
journal and log are on the disk that is measured; an ingester confirms what InfluxDB has.

Theirs: ThingsBoard IoT Gateway with its SQLite storage, handed as many numbers at the same rate,
with its log on the same disk, connected to the same Mosquitto.

Each runs on an ext4 of its own, with 4 kB blocks as on a card (mke2fs takes 1 kB for disks this
small), noatime, on a loop device. Counted are the bytes and flushes that reach that device,
everything included, and what the kernel blames on the process (/proc/PID/io; since Linux 6.16 that
is a whole folio of up to 256 kB for one changed byte, so that only the device tells the truth). All
run at the same time, for a few minutes; a day is that, times as many.

Run as `python tests/benchmarks/disk.py [--json] [--seconds 300]`, as root. It takes seven minutes;
the first time longer, because ThingsBoard's gateway is installed into .bench/thingsboard.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from _measure import (
    ACL,
    THINGSBOARD,
    CannotInstall,
    Satomori,
    ThingsBoard,
    install_thingsboard,
    machine,
    thingsboard,
)

from agent.journal.files import Files
from drivers.capture import frame_to_json
from drivers.devices.bthome import UUID
from drivers.frame import Advertisement
from tests.fakes.servers import (
    MissingServer,
    Mosquitto,
    free_port,
    influxd,
    mosquitto,
    nginx_v2,
    until,
)
from tests.simulation.disk_device import (
    BLOCK_BYTES,
    ROOM,
    CannotSimulate,
    blank_disk,
    check_machine,
    memory_file,
    mounted,
    private_mounts,
    sync,
)

DISK_BYTES = 256 << 20
SECTOR_BYTES = 512
START = datetime(2026, 11, 23, tzinfo=UTC)
SETTLE_S = 20.0
"""Between the start and the measurement."""

START_TIMEOUT_S = 60.0
LEAST = 0.7
"""The share of the readings that must have been committed in the end: some wait for their turn."""

FEWEST = 5
"""Sensors at least."""

HOME_SENSORS = 20
HOME_NUMBERS = 3
HOME_EVERY_S = 60.0
HOME_EVENTS_A_DAY = 320
DAY_S = 86_400.0

CONFIG = """
[gateway]
name = "{name}"
site = "village"

[journal]
path = "journal"

[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false

[page]
port = {page_port}

[recorded]
file = "{capture}"
speed = 1

[[rule]]
name = "frost"
condition = "below"
sensors = "all"
quantity = "temperature_celsius"
limit = -30.0
hold = "10 min"
"""

SENSOR = """
[[sensor]]
name = "sensor {n}"
place = "home"
device = "bthome"
address = "{address}"
interval = "{interval}"
"""


class Case(NamedTuple):
    """What one gateway has to do, on which disk."""

    name: str
    rate: float
    """Readings a second."""
    ours: bool = True
    block_bytes: int = BLOCK_BYTES
    options: str = ""
    is_home: bool = False


HOME_RATE = HOME_SENSORS * HOME_NUMBERS / HOME_EVERY_S

CASES = (
    Case("1/s", 1),
    Case("10/s", 10),
    Case("200/s", 200),
    Case("1/s, mounted with commit=120", 1, options="commit=120"),
    Case("1/s, blocks of 1 kB", 1, block_bytes=1024),
    Case("home", HOME_RATE, is_home=True),
    Case("home, mounted with commit=120", HOME_RATE, options="commit=120", is_home=True),
    Case("1/s", 1, ours=False),
    Case("10/s", 10, ours=False),
    Case("200/s", 200, ours=False),
)


class Counters(NamedTuple):
    """What has happened so far."""

    process_bytes: int
    device_bytes: int
    flushes: int
    records: int
    """That are known to have come through: to the journal; from theirs, to the broker."""


@dataclass(frozen=True)
class Cost:
    """What one gateway wrote."""

    readings: int
    process_bytes: float
    """Per reading."""
    device_bytes: float
    """Per reading."""
    flushes_per_hour: float
    device_mb_per_day: float
    came_through: float
    """Which share is known to be committed, or with theirs to have arrived, meanwhile: some wait
    for their turn at the end, and some did at the beginning."""


class Running(NamedTuple):
    """A gateway at work."""

    pid: int
    folder: Path
    device: str
    records: Callable[[], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--seconds", type=float, default=300.0, metavar="S")
    options = parser.parse_args()
    where = machine()
    try:
        check_machine()
        costs = measure(options.seconds)
    except (MissingServer, CannotSimulate) as missing:
        print(f"skipped: {missing}")
        return
    print(f"{options.seconds:.0f} s each, at the same time; bytes per reading")
    print(where)
    print_table(costs)
    if options.json:
        print(json.dumps(as_json(options.seconds, costs)))


def measure(seconds: float) -> list[tuple[Case, Cost]]:
    """Let all gateways work at the same time. Raises MissingServer and CannotSimulate."""
    python = None
    try:
        python = install_thingsboard()
    except CannotInstall as problem:
        print(problem)
    cases = [case for case in CASES if case.ours or python]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        private_mounts()
        broker = stack.enter_context(mosquitto(folder / "mosquitto"))
        stack.enter_context(ingester(folder, broker))
        running = [
            stack.enter_context(
                gateway(case, ROOM / f"{n}", broker, seconds)
                if case.ours
                else other_gateway(python, case, ROOM / f"{n}")
            )
            for n, case in enumerate(cases)
        ]
        time.sleep(SETTLE_S)
        return list(zip(cases, compared(cases, running, seconds), strict=True))


def compared(cases: Sequence[Case], running: Sequence[Running], seconds: float) -> list[Cost]:
    """Return what each wrote in that time. What waits in the kernel's memory belongs to it."""
    for one in running:
        sync(one.folder)
    before = [counters(one) for one in running]
    time.sleep(seconds)
    flushes = [counters(one).flushes for one in running]
    for one in running:
        sync(one.folder)
    after = [counters(o)._replace(flushes=f) for o, f in zip(running, flushes, strict=True)]
    return [cost(c, b, a, seconds) for c, b, a in zip(cases, before, after, strict=True)]


def cost(case: Case, before: Counters, after: Counters, seconds: float) -> Cost:
    readings = case.rate * seconds
    process, device, flushes, records = (b - a for a, b in zip(before, after, strict=True))
    came_through = records / (frames_per_s(case) * seconds)
    if case.ours and came_through < LEAST:
        raise RuntimeError(f"{case.name}: only {came_through:.0%} of the readings were committed")
    return Cost(
        round(readings),
        process / readings,
        device / readings,
        flushes / seconds * 3600,
        device / seconds * DAY_S / 1e6,
        came_through,
    )


def counters(running: Running) -> Counters:
    io = dict(line.split(": ") for line in Path(f"/proc/{running.pid}/io").read_text().splitlines())
    # Documentation/block/stat.rst: the 7th is sectors written, the 16th flushes.
    stat = Path(f"/sys/block/{running.device}/stat").read_text().split()
    device_bytes = int(stat[6]) * SECTOR_BYTES
    return Counters(int(io["write_bytes"]), device_bytes, int(stat[15]), running.records())


@contextmanager
def disk(case: Case, folder: Path) -> Iterator[str]:
    """Mount a disk as the case wants it; yields its device."""
    image = memory_file(blank_disk(DISK_BYTES, case.block_bytes))
    with mounted(image, folder, case.options) as device:
        yield device


@contextmanager
def ingester(folder: Path, broker: Mosquitto) -> Iterator[None]:
    """Run one for all gateways."""
    with ExitStack() as stack:
        influx = stack.enter_context(influxd(folder / "influx"))
        nginx = stack.enter_context(nginx_v2(influx.url, folder / "nginx"))
        process = Satomori(
            folder,
            "ingest",
            *("--mqtt", f"mqtt://127.0.0.1:{broker.port}"),
            *("--influx", nginx.url, "--bucket", f"{influx.new_database()}/autogen"),
            *("--set-aside", str(folder / "aside")),
        )
        process.start()
        stack.callback(process.stop)
        yield


@contextmanager
def gateway(case: Case, folder: Path, broker: Mosquitto, seconds: float) -> Iterator[Running]:
    """Run ours, until its first readings are confirmed and on."""
    with disk(case, folder) as device, tempfile.TemporaryDirectory() as elsewhere:
        capture = Path(elsewhere, "capture.jsonl")
        write_capture(capture, case, seconds + 2 * SETTLE_S + START_TIMEOUT_S)
        page_port = free_port()
        name = f"gateway-{folder.name}"
        config = folder / "gateway.toml"
        config.write_text(configured(case, name, broker.port, page_port, capture))
        process = Satomori(folder, "run", "--config", str(config))
        process.start()
        try:
            until(lambda: list(folder.glob("journal/*")), START_TIMEOUT_S, f"{name} has a journal")
            yield Running(process.pid, folder, device, lambda: newest(folder / "journal"))
            assert process._process.poll() is None, process.log[-2000:]
        finally:
            process.stop()


def newest(journal: Path) -> int:
    """Return the number of the newest record in a journal that somebody else writes to."""
    return Files(journal, segment_bytes=0, writable=False).manifest.next - 1


def configured(case: Case, name: str, broker_port: int, page_port: int, capture: Path) -> str:
    head = CONFIG.format(name=name, broker_port=broker_port, page_port=page_port, capture=capture)
    interval = "1 min" if case.is_home else "1 s"
    sensors = [
        SENSOR.format(n=n, address=address(n), interval=interval) for n in range(sensors_of(case))
    ]
    return "".join([head, *sensors])


def sensors_of(case: Case) -> int:
    return HOME_SENSORS if case.is_home else max(FEWEST, round(case.rate))


def frames_per_s(case: Case) -> float:
    return case.rate / (HOME_NUMBERS if case.is_home else 1)


def write_capture(path: Path, case: Case, seconds: float) -> None:
    """Write frames in turn, as evenly as they are to come."""
    sensors = sensors_of(case)
    with path.open("w") as file:
        for n in range(int(seconds * frames_per_s(case))):
            turn, sensor = divmod(n, sensors)
            body = bytes([0x40, 0x00, turn % 256, *said(case, turn, sensor)])
            at = START + timedelta(seconds=n / frames_per_s(case))
            frame = Advertisement(address(sensor), {}, {UUID: body}, at, -60)
            print(frame_to_json(frame), file=file)


def said(case: Case, turn: int, sensor: int) -> bytes:
    """Return the BTHome objects that a sensor sends: numbers that change slowly, now and then."""
    hundredths = 2000 + 37 * sensor % 500 + turn % 97
    temperature = bytes([0x02, *hundredths.to_bytes(2, "little")])
    if not case.is_home:
        return temperature
    humidity = bytes([0x03, *(5500 + turn % 90).to_bytes(2, "little")])
    illuminance = bytes([0x05, *(10_000 + 100 * (turn % 31)).to_bytes(3, "little")])
    numbers = b"".join([temperature, humidity, illuminance])
    if sensor:
        return numbers
    # A door with a thermometer, which says each time whether it is open.
    return numbers + bytes([0x1A, round(turn * HOME_EVERY_S * HOME_EVENTS_A_DAY / DAY_S) % 2])


def address(sensor: int) -> str:
    return f"A4:C1:38:00:{sensor >> 8:02X}:{sensor & 255:02X}"


@contextmanager
def other_gateway(python: Path, case: Case, folder: Path) -> Iterator[Running]:
    """Run theirs, with readings coming in."""
    with (
        tempfile.TemporaryDirectory() as elsewhere,
        # Each of them has to have its own: they, and what plays their server, have one name.
        mosquitto(Path(elsewhere), acl=ACL) as broker,
        disk(case, folder) as device,
        thingsboard(python, folder / "it", broker.port, FEWEST) as other,
    ):
        stop = Event()
        feeder = Thread(target=feed, args=(other, case.rate, stop))
        feeder.start()
        try:
            yield Running(other.pid, folder, device, lambda: other.platform.arrived)
        finally:
            stop.set()
            feeder.join()


def feed(other: ThingsBoard, rate: float, stop: Event) -> None:
    """Hand readings over evenly."""
    started_s, given = time.monotonic(), 0
    with suppress(BrokenPipeError):
        while not stop.wait(max(0.0, started_s + given / rate - time.monotonic())):
            other.burst(1)
            given += 1


def print_table(costs: Sequence[tuple[Case, Cost]]) -> None:
    head = ("process", "device", "flushes/h", "MB a day", "through")
    print(f"{'':48}" + "".join(f"{word:>12}" for word in head))
    for case, its in costs:
        who = "Satomori" if case.ours else "ThingsBoard"
        figures = (its.process_bytes, its.device_bytes, its.flushes_per_hour, its.device_mb_per_day)
        row = "".join(f"{figure:12,.0f}" for figure in figures)
        print(f"{who + ', ' + case.name:48}{row}{its.came_through:12.0%}")
    for rate, ratio in ratios(costs).items():
        print(f"ThingsBoard's bytes at the device, as multiples of ours, {rate}: {ratio:.0f}")


def ratios(costs: Sequence[tuple[Case, Cost]]) -> dict[str, float]:
    ours = {case.name: its.device_bytes for case, its in costs if case.ours}
    return {case.name: its.device_bytes / ours[case.name] for case, its in costs if not case.ours}


def as_json(seconds: float, costs: Sequence[tuple[Case, Cost]]) -> dict[str, Any]:
    return {
        "benchmark": "disk",
        "seconds": seconds,
        "ours": {case.name: figures(its) for case, its in costs if case.ours},
        "theirs": {case.name: figures(its) for case, its in costs if not case.ours},
        "theirs_is": THINGSBOARD,
        "ratio": {rate: round(ratio, 1) for rate, ratio in ratios(costs).items()},
    }


def figures(its: Cost) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(its).items()}


if __name__ == "__main__":
    main()
