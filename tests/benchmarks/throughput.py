"""How many readings a second go all the way, and what does one cost?

Ours: a capture of BTHome motion sensors is played to the daemon as fast as it takes them. Each
frame is read from JSON, decoded, sampled, judged by a rule, written to the journal (SQLite in WAL
mode, synchronous=FULL), sent to Mosquitto, and brought by `satomori ingest` through nginx into
InfluxDB 1.6.7. The clock stops when InfluxDB has counted every row.

Theirs: ThingsBoard IoT Gateway stores as many readings in its SQLite store (WAL, NORMAL), and sends
them to the same Mosquitto. A connector hands them over as numbers, all at once: there is nothing to
read or decode, and no rule. The clock stops when a subscriber has received every one.

A reading is one number of one quantity from one sensor at one moment. There is one in each frame,
and it differs from the last: a state, of which each change counts, so that none is thinned out.

Run as `python tests/benchmarks/throughput.py [--json]`. It takes two minutes; the first time
longer, because ThingsBoard's gateway is installed into .bench/thingsboard.
"""

import argparse
import asyncio
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from _measure import (
    ACL,
    THINGSBOARD,
    CannotInstall,
    Satomori,
    cpu_s,
    install_thingsboard,
    machine,
    peak_rss_mb,
    pid_of,
    thingsboard,
)

from drivers.capture import frame_to_json
from drivers.devices.bthome import UUID
from drivers.frame import Advertisement
from drivers.transports.recorded import RecordedTransport
from tests.fakes.servers import (
    Influx,
    InfluxV2,
    MissingServer,
    Mosquitto,
    free_port,
    influxd,
    mosquitto,
    nginx_v2,
    until,
)

SENSORS = 30
START = datetime(2026, 11, 23, tzinfo=UTC)
SPEED = 1_000_000
PAUSE_S = 8
"""Between the first frame of each sensor and the burst: time for everything to be connected."""

SETTLE_S = 2.0
"""What the last readings still cost when they have arrived: confirmations, deleting."""

LIMIT_S = 180.0

CONFIG = """
[gateway]
name = "throughput"
site = "village"

[journal]
path = "journal"
commit_every = "1 s"

[clock]
source = "system"

[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false
send_every = "1 s"
max_mb_per_day = 1000

[page]
port = {page_port}

[recorded]
file = "capture.jsonl"
speed = {speed}

[[rule]]
name = "nobody moves"
condition = "inactive"
sensors = "all"
hold = "12 h"
"""

SENSOR = """
[[sensor]]
name = "motion {n}"
place = "home"
device = "bthome"
address = "{address}"
"""


@dataclass(frozen=True)
class Result:
    """One run of one side."""

    readings_per_s: float
    us_per_reading: Mapping[str, float]
    """CPU time by process, "gateway" and others."""
    us_to_play: float
    """What the gateway spends to play the capture, in place of a radio: "gateway" contains it."""
    peak_rss_mb: float
    """Of the gateway."""
    lost: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--readings", type=int, default=100_000, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="the median counts")
    options = parser.parse_args()
    where = machine()
    try:
        ours, theirs = measure(options.readings, options.runs)
    except MissingServer as missing:
        print(f"skipped: {missing}")
        return
    print(f"{options.readings:,} readings of {SENSORS} sensors at once; median of {options.runs}")
    print(where)
    print_table(ours, theirs)
    if options.json:
        print(json.dumps(as_json(options.readings, options.runs, ours, theirs)))


def measure(readings: int, runs: int) -> tuple[Result, Result | None]:
    """Return the medians of both; None for what cannot be installed. Raises MissingServer."""
    try:
        python = install_thingsboard()
    except CannotInstall as problem:
        print(problem)
        python = None
    ours, theirs = [], []
    with servers() as (broker, influx, nginx):
        for _ in range(runs):
            ours.append(in_folder(lambda folder: run_ours(folder, readings, broker, influx, nginx)))
            if python is not None:
                theirs.append(in_folder(lambda f: run_theirs(python, f, readings, broker)))
    return median(ours), median(theirs) if theirs else None


@contextmanager
def servers() -> Iterator[tuple[Mosquitto, Influx, InfluxV2]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="satomori-")))
        broker = stack.enter_context(mosquitto(folder / "mosquitto", acl=ACL))
        influx = stack.enter_context(influxd(folder / "influx"))
        nginx = stack.enter_context(nginx_v2(influx.url, folder / "nginx"))
        yield broker, influx, nginx


def in_folder(run: Callable[[Path], Result]) -> Result:
    with tempfile.TemporaryDirectory(prefix="satomori-") as folder:
        return run(Path(folder))


def run_ours(
    folder: Path, readings: int, broker: Mosquitto, influx: Influx, nginx: InfluxV2
) -> Result:
    write_capture(folder / "capture.jsonl", readings)
    page_port, database = free_port(), influx.new_database()
    gateway = Satomori(folder, "run", "--config", str(configured(folder, broker, page_port)))
    ingester = Satomori(
        folder,
        "ingest",
        *("--mqtt", f"mqtt://127.0.0.1:{broker.port}"),
        *("--influx", nginx.url, "--bucket", f"{database}/autogen"),
        *("--set-aside", str(folder / "aside")),
    )
    with ExitStack() as stack:
        for process in (ingester, gateway):
            process.start()
            stack.callback(process.stop)
        pids = {
            "gateway": gateway.pid,
            "broker": pid_of(broker),
            "ingester": ingester.pid,
            "nginx": pid_of(nginx),
            "influxdb": pid_of(influx),
        }
        until(lambda: count(influx, database) == SENSORS, PAUSE_S, "the first readings arrive")
        paused_ns = time.time_ns()
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        arrived = wait_for(lambda: count(influx, database) - SENSORS, readings)
        stopped_s = time.time()
        if arrived < readings:
            logs = "\n".join([gateway.log[-2000:], ingester.log[-2000:]])
            raise RuntimeError(f"{arrived} of {readings} arrived within {LIMIT_S:.0f} s\n{logs}")
        time.sleep(SETTLE_S)
        us = {name: (cpu_s(pid) - before[name]) / readings * 1e6 for name, pid in pids.items()}
        peak_mb = peak_rss_mb(gateway.pid)
        assert unconfirmed(page_port) == 0, "stored, but not confirmed"
    # A row's time is the moment at which its frame was played.
    after_pause = f"SELECT first(motion_detected) FROM motion WHERE time > {paused_ns}"
    (first,) = influx.query(after_pause, database)
    took_s = stopped_s - first["time"] / 1e9
    played_us = playing_us(folder / "capture.jsonl", SENSORS + readings)
    return Result(readings / took_s, us, played_us, peak_mb, lost=0)


def configured(folder: Path, broker: Mosquitto, page_port: int) -> Path:
    config = folder / "gateway.toml"
    sensors = (SENSOR.format(n=n, address=address(n)) for n in range(SENSORS))
    head = CONFIG.format(broker_port=broker.port, page_port=page_port, speed=SPEED)
    config.write_text("".join([head, *sensors]))
    return config


def write_capture(path: Path, readings: int) -> None:
    """Write a frame of each sensor, then a pause, then frames in turn, each a change."""
    with path.open("w") as file:
        for n in range(SENSORS + readings):
            turn, sensor = divmod(n, SENSORS)
            body = bytes([0x40, 0x00, turn % 256, 0x21, turn % 2])
            at = START + timedelta(seconds=PAUSE_S * SPEED if turn else 0)
            print(
                frame_to_json(Advertisement(address(sensor), {}, {UUID: body}, at, -60)), file=file
            )


def playing_us(capture: Path, frames: int) -> float:
    """Return what the transport alone costs for each frame, measured here."""
    transport = RecordedTransport(capture, lambda: datetime.now(UTC), speed=math.inf)
    before_s = time.process_time()
    asyncio.run(transport.run(lambda frame: None, lambda report: None))
    return (time.process_time() - before_s) / frames * 1e6


def address(sensor: int) -> str:
    return f"A4:C1:38:00:00:{sensor:02X}"


def count(influx: Influx, database: str) -> int:
    rows = influx.query("SELECT count(motion_detected) FROM motion", database)
    return rows[0]["count"] if rows else 0


def wait_for(arrived: Callable[[], int], readings: int) -> int:
    """Return how many arrived: when all have, or when no more come."""
    deadline = time.monotonic() + LIMIT_S
    while (now := arrived()) < readings and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


def run_theirs(python: Path, folder: Path, readings: int, broker: Mosquitto) -> Result:
    with thingsboard(python, folder, broker.port, SENSORS) as gateway:
        time.sleep(SETTLE_S)
        pids = {"gateway": gateway.pid, "broker": pid_of(broker)}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        started_s = time.monotonic()
        gateway.burst(readings)
        wait_for(lambda: gateway.platform.arrived, readings)
        stopped_s = time.monotonic()
        time.sleep(SETTLE_S)
        us = {name: (cpu_s(pid) - before[name]) / readings * 1e6 for name, pid in pids.items()}
        lost = readings - gateway.platform.distinct()
        per_s = readings / (stopped_s - started_s)
        return Result(per_s, us, 0.0, peak_rss_mb(gateway.pid), lost)


def unconfirmed(page_port: int) -> int:
    with urlopen(f"http://127.0.0.1:{page_port}/status.json", timeout=10) as answer:
        return json.load(answer)["link"]["unconfirmed"]


def median(runs: list[Result]) -> Result:
    return Result(
        statistics.median(run.readings_per_s for run in runs),
        {
            k: statistics.median(run.us_per_reading[k] for run in runs)
            for k in runs[0].us_per_reading
        },
        statistics.median(run.us_to_play for run in runs),
        statistics.median(run.peak_rss_mb for run in runs),
        sum(run.lost for run in runs),
    )


def per_cpu_s(result: Result) -> float:
    """Return how many readings a second of the gateway's CPU time carries."""
    return 1e6 / result.us_per_reading["gateway"]


def per_cpu_s_handed(result: Result) -> float:
    """Return the same, but from where frames are handed over, as numbers are to theirs."""
    return 1e6 / (result.us_per_reading["gateway"] - result.us_to_play)


def print_table(ours: Result, theirs: Result | None) -> None:
    def row(what: str, *values: str) -> None:
        print(f"{what:36}" + "".join(f"{value:>18}" for value in values))

    def figure(what: str, of: Callable[[Result], float], digits: int = 0) -> None:
        row(what, *(f"{of(r):,.{digits}f}" if r else "-" for r in (ours, theirs)))

    row("", "Satomori", "ThingsBoard")
    row("synced to the disk", "each commit", "at checkpoints")
    row("measured up to", "rows in InfluxDB", "MQTT subscriber")
    figure("readings/s", lambda r: r.readings_per_s)
    figure("gateway: readings per CPU second", per_cpu_s)
    figure("gateway: peak RSS, MB", lambda r: r.peak_rss_mb)
    figure("lost, in all runs", lambda r: r.lost)
    for name in ours.us_per_reading:
        figure(f"{name}: CPU µs per reading", lambda r, n=name: r.us_per_reading.get(n, 0.0), 1)
    figure("gateway: … to play the capture", lambda r: r.us_to_play, 1)
    if theirs:
        row("readings per CPU second, ratio", f"{per_cpu_s(ours) / per_cpu_s(theirs):.1f}×")
        row("… without playing the capture", f"{per_cpu_s_handed(ours) / per_cpu_s(theirs):.1f}×")


def as_json(readings: int, runs: int, ours: Result, theirs: Result | None) -> dict[str, Any]:
    return {
        "benchmark": "throughput",
        "readings": readings,
        "runs": runs,
        "ours": figures(ours),
        "theirs": figures(theirs) if theirs else None,
        "theirs_is": THINGSBOARD,
        "ratio": round(per_cpu_s(ours) / per_cpu_s(theirs), 2) if theirs else None,
        "ratio_handed": round(per_cpu_s_handed(ours) / per_cpu_s(theirs), 2) if theirs else None,
    }


def figures(result: Result) -> dict[str, Any]:
    return {
        "readings_per_s": round(result.readings_per_s),
        "readings_per_cpu_s": round(per_cpu_s(result)),
        "us_per_reading": {k: round(v, 1) for k, v in result.us_per_reading.items()},
        "us_to_play": round(result.us_to_play, 1),
        "peak_rss_mb": result.peak_rss_mb,
        "lost": result.lost,
    }


if __name__ == "__main__":
    main()
