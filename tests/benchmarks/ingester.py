"""How many points a second does the ingester bring into InfluxDB, and what does one cost?

Beside it, in the same run: the same lines posted straight to InfluxDB's /write, in bodies of as
many lines as the ingester writes at most, one after the other. A point is a line: one measurement
of one sensor at one moment, of one or two fields, as a home with ten sensors makes them.

1. Into InfluxDB 1.6.7, through nginx as a client of 2.x: all batches wait in Mosquitto, as they do
   after an outage; the clock runs from the first confirmation to the last. With fewer than four
   cores InfluxDB and the ingester take them from each other, which posting straight does not; so
   there is also what one core of the ingester carries by its CPU time, as a share of the same.
2. Into a sink that costs next to nothing (nginx answers 204), one process and then two with half of
   the partitions each: how far the ingester itself scales, and its own CPU time per point. On a
   machine without a core for each of broker, sink and ingesters the clock says little of that; so
   there is also what two processes would do with a core each, by their CPU time.

Run as `python tests/benchmarks/ingester.py [--json]`. It takes about four minutes.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, get_args
from urllib.request import Request, urlopen

from _measure import Satomori, cpu_s, machine, peak_rss_mb
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from cloud_sync.columns import SeriesTable, pack
from cloud_sync.ingester.rounds import MAX_WRITE_LINES
from cloud_sync.spans import Spans
from cloud_sync.topics import parse_topic, partition, topic
from cloud_sync.wire import Batch, Encoding, decode_confirmed, encode_batch
from tests.fakes.servers import (
    Influx,
    InfluxV2,
    MissingServer,
    Mosquitto,
    influxd,
    mosquitto,
    nginx_v2,
    until,
)

GATEWAYS = 64
LINES_IN_BATCH = 200
"""About what 16 kB hold, which is the most that a gateway sends together."""

BOOT = "5f3a9c01"
START_NS = 1_764_000_000_000_000_000
LIMIT_S = 60.0
HALVES = (range(32), range(32, 64))


@dataclass(frozen=True)
class Result:
    """One run."""

    points_per_s: float
    us_per_point: float
    """CPU time of the ingesters, or of the poster."""
    peak_rss_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--points", type=int, default=400_000, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="the median counts")
    options = parser.parse_args()
    where = machine()
    try:
        results = measure(options.points, options.runs)
    except MissingServer as missing:
        print(f"skipped: {missing}")
        return
    print(f"{options.points:,} points of {GATEWAYS} gateways; median of {options.runs}")
    print(where)
    print_table(results)
    if options.json:
        print(json.dumps(as_json(options.points, options.runs, results)))


def measure(points: int, runs: int) -> dict[str, Result]:
    """Return the medians by name. Raises MissingServer."""
    work: dict[str, Callable[[Bench], Result]] = {"posted straight": post_straight}
    for encoding in get_args(Encoding):
        work[encoding] = lambda bench, e=encoding: into_influx(bench, e)
    for encoding in get_args(Encoding):
        for count in (1, 2):
            work[f"{encoding} ×{count}"] = lambda b, e=encoding, n=count: into_sink(b, e, n)
    found: dict[str, list[Result]] = {name: [] for name in work}
    with servers() as (influx, nginx):
        bench = Bench(influx, nginx, batches(points), points)
        # In turn, so that whatever else the machine does falls upon all of them.
        for _ in range(runs):
            for name, run in work.items():
                found[name].append(run(bench))
    return {name: median(results) for name, results in found.items()}


@dataclass
class Bench:
    """What all runs share."""

    influx: Influx
    nginx: InfluxV2
    batches: list[tuple[str, Batch]]
    """With the gateway of each."""
    points: int
    _payloads: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)

    def messages(self, encoding: Encoding) -> list[tuple[str, bytes]]:
        """Return what the gateways publish: topics and payloads, series tables first."""
        if encoding not in self._payloads:
            tables: dict[str, SeriesTable] = {}
            readings = [
                (topic(gateway, "readings"), encoded(gateway, batch, encoding, tables))
                for gateway, batch in self.batches
            ]
            series = [(topic(name, "series"), table.payload()) for name, table in tables.items()]
            self._payloads[encoding] = series + readings
        return self._payloads[encoding]


@contextmanager
def servers() -> Iterator[tuple[Influx, InfluxV2]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="satomori-")))
        influx = stack.enter_context(influxd(folder / "influx"))
        nginx = stack.enter_context(nginx_v2(influx.url, folder / "nginx"))
        yield influx, nginx


def batches(points: int) -> list[tuple[str, Batch]]:
    """Return batches of all gateways in turn, half of them in each half of the partitions."""
    names = [f"home-{n}" for n in range(1000)]
    halves = [[n for n in names if int(partition(n)[1:]) in half] for half in HALVES]
    gateways = [name for half in halves for name in half[: GATEWAYS // 2]]
    found = []
    for n in range(points // LINES_IN_BATCH):
        turn, which = divmod(n, len(gateways))
        first = turn * LINES_IN_BATCH + 1
        numbers = range(first, first + LINES_IN_BATCH)
        lines = b"".join(line(gateways[which], number) for number in numbers)
        batch = Batch(BOOT, Spans([(numbers[0], numbers[-1])]), first - 1, lines)
        found.append((gateways[which], batch))
    return found


def line(gateway: str, number: int) -> bytes:
    """Return what a home's sensors say, one after the other."""
    sensor, turn = number % 10, number // 10
    at_ns = START_NS + turn * 60_000_000_000 + sensor * 1_000_000
    head = f"gateway={gateway},place=room{sensor},sensor=sensor{sensor},site=village"
    match sensor % 3:
        case 0:
            wave = turn % 50
            fields = f"temperature_celsius={21 + wave / 10:.1f},humidity_percent={48 + wave % 7}"
            text = f"air,{head} {fields} {at_ns}\n"
        case 1:
            text = f"motion,{head} motion_detected={turn % 2} {at_ns}\n"
        case _:
            text = f"battery,{head} battery_percent={90 - turn % 5} {at_ns}\n"
    return text.encode()


def post_straight(bench: Bench) -> Result:
    """Post the lines as the best simple program would, next to InfluxDB."""
    database = bench.influx.new_database()
    per_body = MAX_WRITE_LINES // LINES_IN_BATCH
    bodies = [
        b"".join(batch.lines for _, batch in bench.batches[n : n + per_body])
        for n in range(0, len(bench.batches), per_body)
    ]
    url = f"{bench.influx.url}/write?db={database}&precision=n"
    before_s, used_s = time.monotonic(), time.process_time()
    for body in bodies:
        with urlopen(Request(url, body), timeout=60) as response:
            assert response.status == 204
    took_s, used_s = time.monotonic() - before_s, time.process_time() - used_s
    assert stored(bench.influx, database) == bench.points
    bench.influx.query(f'DROP DATABASE "{database}"')
    return Result(bench.points / took_s, used_s / bench.points * 1e6, 0.0)


def into_influx(bench: Bench, encoding: Encoding) -> Result:
    """Let one ingester bring what waits in the broker into InfluxDB."""
    database = bench.influx.new_database()
    with loaded(bench, encoding, [range(64)]) as (broker, folder):
        store = ["--influx", bench.nginx.url, "--bucket", f"{database}/autogen"]
        result = ingest(broker, folder, store, [range(64)], bench)
    assert stored(bench.influx, database) == bench.points
    bench.influx.query(f'DROP DATABASE "{database}"')
    return result


def into_sink(bench: Bench, encoding: Encoding, count: int) -> Result:
    """The same, but nginx says that all is stored; `count` ingesters share the partitions."""
    shares = [range(64)] if count == 1 else list(HALVES)
    bench.nginx.answer(204)
    try:
        with loaded(bench, encoding, shares) as (broker, folder):
            store = ["--influx", bench.nginx.url, "--bucket", "sink"]
            return ingest(broker, folder, store, shares, bench)
    finally:
        bench.nginx.answer(None)


@contextmanager
def loaded(
    bench: Bench, encoding: Encoding, shares: list[range]
) -> Iterator[tuple[Mosquitto, Path]]:
    """Yield a broker in which everything waits for the ingesters' sessions."""
    with tempfile.TemporaryDirectory(prefix="satomori-") as name, ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(mosquitto(folder / "mosquitto"))
        for process in ingesters(broker, folder, ["--sqlite", str(folder / "none")], shares):
            process.start()
            until(lambda p=process: "connected to" in p.log, what="a session")
            process.stop()
        fill(broker, bench.messages(encoding))
        yield broker, folder


def ingesters(
    broker: Mosquitto, folder: Path, store: list[str], shares: list[range]
) -> list[Satomori]:
    processes = []
    for share in shares:
        own = folder / f"ingester-{share[0]}"
        own.mkdir(exist_ok=True)
        words = ["--mqtt", f"mqtt://127.0.0.1:{broker.port}", *store]
        words += ["--partitions", f"{share[0]}-{share[-1]}", "--set-aside", str(own / "aside")]
        processes.append(Satomori(own, "ingest", *words))
    return processes


def fill(broker: Mosquitto, messages: list[tuple[str, bytes]]) -> None:
    """Publish everything, as the gateways would."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "gateways")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for name, payload in messages:
        info = client.publish(name, payload, qos=1, retain=name.endswith("/series"))
    info.wait_for_publish(LIMIT_S)
    client.disconnect()
    client.loop_stop()


def encoded(
    gateway: str, batch: Batch, encoding: Encoding, tables: dict[str, SeriesTable]
) -> bytes:
    if encoding == "columns":
        return pack(batch, tables.setdefault(gateway, SeriesTable()))
    return encode_batch(batch, encoding)


def ingest(
    broker: Mosquitto, folder: Path, store: list[str], shares: list[range], bench: Bench
) -> Result:
    """Start the ingesters, and stop the clock when everything is confirmed."""
    expected = {}
    for gateway, batch in bench.batches:
        expected[gateway] = max(expected.get(gateway, 0), list(batch.sequence)[-1][1])
    processes = ingesters(broker, folder, store, shares)
    with ExitStack() as stack, Confirmations(broker.port, expected) as confirmations:
        for process in processes:
            (process._folder / "ingest.log").unlink()
            stack.callback(process.stop)
            process.start()
        until(lambda: all("connected to" in p.log for p in processes), what="a login")
        used_s = sum(cpu_s(p.pid) for p in processes)
        until(lambda: confirmations.is_complete, LIMIT_S, "everything is confirmed")
        used_s = sum(cpu_s(p.pid) for p in processes) - used_s
        rss_mb = max(peak_rss_mb(p.pid) for p in processes)
    return Result(confirmations.points_per_s, used_s / bench.points * 1e6, rss_mb)


class Confirmations:
    """Hears what is confirmed, as all gateways together."""

    def __init__(self, port: int, expected: dict[str, int]) -> None:
        self._expected = expected
        self._confirmed = dict.fromkeys(expected, 0)
        self._began = self._ended = (0.0, 0)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "confirmations")
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("satomori/v1/+/+/confirmed")

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def is_complete(self) -> bool:
        return self._confirmed == self._expected

    @property
    def points_per_s(self) -> float:
        """From the first confirmation to the last."""
        (began_s, before), (ended_s, after) = self._began, self._ended
        return (after - before) / (ended_s - began_s)

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        gateway = parse_topic(message.topic).gateway
        held = decode_confirmed(message.payload)[BOOT]
        self._confirmed[gateway] = held.through(0)
        self._ended = time.monotonic(), sum(self._confirmed.values())
        if not self._began[0]:
            self._began = self._ended


def stored(influx: Influx, database: str) -> int:
    """Return how many points have arrived."""
    counts = influx.query("SELECT count(*) FROM air, motion, battery", database)
    return sum(
        row.get("count_temperature_celsius", 0)
        or row.get("count_motion_detected", 0)
        or row.get("count_battery_percent", 0)
        or 0
        for row in counts
    )


def median(runs: list[Result]) -> Result:
    return Result(
        statistics.median(run.points_per_s for run in runs),
        statistics.median(run.us_per_point for run in runs),
        max(run.peak_rss_mb for run in runs),
    )


def share(results: dict[str, Result], name: str) -> float:
    """Return the speed into InfluxDB as a share of posting straight."""
    return results[name].points_per_s / results["posted straight"].points_per_s


def core_share(results: dict[str, Result], name: str) -> float:
    """Return what one core of the ingester carries, as a share of posting straight."""
    return 1e6 / results[name].us_per_point / results["posted straight"].points_per_s


def speedup(results: dict[str, Result], encoding: str) -> float:
    """Return what the second process brings."""
    return results[f"{encoding} ×2"].points_per_s / results[f"{encoding} ×1"].points_per_s


def cpu_speedup(results: dict[str, Result], encoding: str) -> float:
    """Return what it would bring if each process had a core of its own."""
    return 2 * results[f"{encoding} ×1"].us_per_point / results[f"{encoding} ×2"].us_per_point


def print_table(results: dict[str, Result]) -> None:
    def row(what: str, *values: str) -> None:
        print(f"{what:28}" + "".join(f"{value:>16}" for value in values))

    row("into InfluxDB", "points/s", "of straight", "by CPU time", "CPU µs/point", "peak RSS, MB")
    for name in ("posted straight", *get_args(Encoding)):
        one = results[name]
        shares = f"{share(results, name):.0%}", f"{core_share(results, name):.0%}"
        values = f"{one.us_per_point:.2f}", f"{one.peak_rss_mb:.0f}"
        row(name, f"{one.points_per_s:,.0f}", *shares, *values)
    row("into a sink", "1 process", "2 processes", "ratio", "by CPU time", "CPU µs/point")
    for encoding in get_args(Encoding):
        one, two = results[f"{encoding} ×1"], results[f"{encoding} ×2"]
        values = f"{one.points_per_s:,.0f}", f"{two.points_per_s:,.0f}"
        ratios = f"{speedup(results, encoding):.2f}×", f"{cpu_speedup(results, encoding):.2f}×"
        row(encoding, *values, *ratios, f"{one.us_per_point:.2f}")


def as_json(points: int, runs: int, results: dict[str, Result]) -> dict[str, object]:
    return {
        "benchmark": "ingester",
        "points": points,
        "runs": runs,
        "results": {
            name: {
                "points_per_s": round(one.points_per_s),
                "us_per_point": round(one.us_per_point, 2),
                "peak_rss_mb": one.peak_rss_mb,
            }
            for name, one in results.items()
        },
        "share_of_posting_straight": {e: round(share(results, e), 3) for e in get_args(Encoding)},
        "share_of_one_core": {e: round(core_share(results, e), 3) for e in get_args(Encoding)},
        "speedup_by_a_second_process": {
            e: round(speedup(results, e), 2) for e in get_args(Encoding)
        },
        "speedup_by_cpu_time": {e: round(cpu_speedup(results, e), 2) for e in get_args(Encoding)},
    }


if __name__ == "__main__":
    main()
