"""A thousand gateways lose the same broker, and have a day's backlog when it is back.

    python -m tests.simulation.village [--gateways 1000] [--ingesters 2] [--cluster] [--json]

The uplinks are the real ones, 250 to a process, each before a journal in memory. They connect to
one Mosquitto that keeps nothing, from which ingesters, each with some of the partitions, write to
SQLite. While the backlog drains, the broker is killed, which cuts all connections at once, and is
started again some seconds later. Alerts come up all the time. With `--cluster` it is one of three
nodes of NATS that is killed; its gateways go over to the others.

Asserted: everything is stored once, and nothing else is. Measured: how alerts overtake the backlog
(from the moment one comes up until a listener at the broker has it), and how the gateways spread
their reconnecting.
"""

import argparse
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloud_sync.topics import PARTITIONS
from tests.fakes.servers import until
from tests.fakes.site import ROOT, Process
from tests.simulation.village_cloud import Cloud, one_mosquitto, three_nodes
from tests.simulation.village_gateways import Orders
from tests.simulation.village_listener import Listener

PER_PROCESS = 250
FILES_PER_GATEWAY = 8
"""A socket and what paho wakes itself with."""

DRAINED_BEFORE_CUT = 0.3
"""Share of the records that are stored when the broker is killed."""

START_S, PATIENCE_S = 120.0, 900.0
FIELDS_PER_READING, FIELDS_PER_ALERT = 2, 3


@dataclass(frozen=True)
class Village:
    """What is simulated."""

    gateways: int = 1_000
    ingesters: int = 2
    readings: int = 300
    """In the backlog of each gateway."""
    alert_every_s: float = 20.0
    """Of each gateway."""
    alerts_for_s: float = 60.0
    down_s: float = 10.0
    """How long the broker is away."""
    seed: int = 1


@dataclass(frozen=True)
class Result:
    """What came of it.

    Latencies are of alerts that came up behind readings that waited, while their gateway was
    connected, if the broker was not killed before the listener had them.
    """

    records: int
    stored: int
    """Fields in all stores."""
    expected: int
    unconfirmed: int
    alerts: int
    overtaking: int
    latency_p50_s: float
    latency_p99_s: float
    latency_max_s: float
    reconnect_p50_s: float
    """From the restart of the broker; of a cluster, from the kill of its node."""
    reconnect_p99_s: float
    most_in_a_second: int
    """How many reconnected within the same second."""
    took_s: float


def simulate(
    village: Village, folder: Path, cloud: Callable[[Path], AbstractContextManager[Cloud]]
) -> Result:
    """Raises TimeoutError if it does not come to an end."""
    began_s = time.monotonic()
    with ExitStack() as stack:
        broker = stack.enter_context(cloud(folder / "broker"))
        for ingester in _ingesters(village, folder, broker):
            stack.enter_context(_running(ingester))
        listener = stack.enter_context(Listener(broker.port, broker.protocol))
        diaries = stack.enter_context(_gateways(village, folder, broker))
        total = village.gateways * village.readings
        until(
            lambda: _unconfirmed(diaries) <= (1 - DRAINED_BEFORE_CUT) * total,
            PATIENCE_S,
            "the backlog is draining",
        )
        cut_s = time.time()
        broker.kill()
        time.sleep(village.down_s)
        broker.start()
        back_s = time.time() if broker.is_gone else cut_s
        until(lambda: listener.is_there, START_S, "the listener is back")
        there_s = time.time()
        until(
            lambda: (
                time.monotonic() - began_s > village.alerts_for_s + 2 and _unconfirmed(diaries) == 0
            ),
            PATIENCE_S,
            "everything is stored",
        )
        took_s = time.monotonic() - began_s
    stored = sum(_fields(store) for store in sorted(folder.glob("ingester*/store.sqlite")))
    took = _latencies(diaries, listener.arrived_s, away_s=(cut_s, there_s))
    return _result(village, diaries, took, back_s=back_s, stored=stored, took_s=took_s)


def _ingesters(village: Village, folder: Path, broker: Cloud) -> Iterator[Process]:
    each = PARTITIONS // village.ingesters
    for n in range(village.ingesters):
        last = PARTITIONS - 1 if n == village.ingesters - 1 else (n + 1) * each - 1
        own = folder / f"ingester{n}"
        own.mkdir()
        yield Process(
            own,
            "ingest",
            *("--mqtt", f"mqtt://127.0.0.1:{broker.port}"),
            *("--mqtt-protocol", broker.protocol),
            *("--sqlite", str(own / "store.sqlite")),
            *("--partitions", f"{n * each}-{last}"),
            *("--set-aside", str(own / "aside")),
        )


@contextmanager
def _running(ingester: Process) -> Iterator[None]:
    ingester.start()
    try:
        until(lambda: "connected to" in ingester.log, START_S, "an ingester listens")
        yield
    finally:
        ingester.stop()


@contextmanager
def _gateways(village: Village, folder: Path, broker: Cloud) -> Iterator[list[Path]]:
    """Run all of them; yields their diaries."""
    names = [f"g{n}" for n in range(village.gateways)]
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    assert most_files > min(village.gateways, PER_PROCESS) * FILES_PER_GATEWAY, "see ulimit -n"
    processes, diaries = [], []
    try:
        for first in range(0, len(names), PER_PROCESS):
            diaries.append(folder / f"diary{first}")
            orders = Orders(
                host="127.0.0.1",
                port=broker.port,
                gateways=names[first : first + PER_PROCESS],
                readings=village.readings,
                alert_every_s=village.alert_every_s,
                alerts_for_s=village.alerts_for_s,
                start_within_s=2.0,
                protocol=broker.protocol,
                seed=village.seed,
                diary=str(diaries[-1]),
            )
            processes.append(_started(orders.save(folder / f"orders{first}")))
        yield diaries
    finally:
        for process in processes:
            process.stdin.close()
        for process in processes:
            process.wait(60)


def _started(orders: Path) -> "subprocess.Popen[bytes]":
    with orders.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.village_gateways", str(orders)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )


def _entries(diary: Path, kind: str) -> list[list[Any]]:
    """Return the entries of a kind, without those that are only half written."""
    lines = diary.read_text().split("\n")[:-1] if diary.exists() else []
    return [entry for line in lines if f'"{kind}"' in line and (entry := json.loads(line))]


def _unconfirmed(diaries: Sequence[Path]) -> float:
    latest = [_entries(diary, "unconfirmed")[-1:] for diary in diaries]
    return sum(entry[0][2] for entry in latest) if all(latest) else float("inf")


def _result(
    village: Village,
    diaries: Sequence[Path],
    latencies_s: Iterable[float],
    *,
    back_s: float,
    stored: int,
    took_s: float,
) -> Result:
    counts = [_entries(diary, "unconfirmed")[-1] for diary in diaries]
    records = sum(entry[3] for entry in counts)
    alerts = sum(len(_entries(diary, "alert")) for diary in diaries)
    online = [entry[0] - back_s for diary in diaries for entry in _entries(diary, "online")]
    readings = village.gateways * village.readings
    took = sorted(latencies_s) or [float("nan")]
    back = sorted(moment_s for moment_s in online if moment_s > 0) or [float("nan")]
    return Result(
        records=records,
        stored=stored,
        expected=readings * FIELDS_PER_READING + alerts * FIELDS_PER_ALERT,
        unconfirmed=sum(entry[2] for entry in counts),
        alerts=alerts,
        overtaking=len(took),
        latency_p50_s=round(statistics.median(took), 3),
        latency_p99_s=round(_percentile(took, 99), 3),
        latency_max_s=round(took[-1], 3),
        reconnect_p50_s=round(statistics.median(back), 1),
        reconnect_p99_s=round(_percentile(back, 99), 1),
        most_in_a_second=max(Counter(moment_s // 1 for moment_s in back).values()),
        took_s=round(took_s, 1),
    )


def _latencies(
    diaries: Sequence[Path],
    arrived_s: Mapping[tuple[str, int], float],
    away_s: tuple[float, float],
) -> Iterator[float]:
    """Yield how long those alerts took that came up behind readings, while all were connected.

    `away_s`: between these two there was no broker, or nobody who listened to it.
    """
    for diary in diaries:
        for at_s, _, gateway, number, is_online, behind in _entries(diary, "alert"):
            there_s = arrived_s.get((gateway, number), float("inf"))
            is_cut = at_s < away_s[1] and there_s > away_s[0]
            if is_online and behind and not is_cut:
                yield there_s - at_s


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _fields(store: Path) -> int:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM points").fetchone()[0])


def violations(result: Result, village: Village) -> list[str]:
    """Return what is wrong, in words."""
    found = []
    if result.stored != result.expected:
        found.append(f"{result.stored} fields are stored, not {result.expected}")
    if result.unconfirmed:
        found.append(f"{result.unconfirmed} records are not confirmed")
    if result.records - village.gateways * village.readings != result.alerts:
        found.append(f"{result.alerts} alerts and the backlog do not make {result.records} records")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    for name, default in asdict(Village()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, metavar="N")
    parser.add_argument("--cluster", action="store_true", help="three nodes of NATS, one is killed")
    options = vars(parser.parse_args())
    as_json, cluster = options.pop("json"), options.pop("cluster")
    village = Village(**options)
    with tempfile.TemporaryDirectory(prefix="satomori-village-") as folder:
        result = simulate(village, Path(folder), three_nodes if cluster else one_mosquitto)
    for name, value in asdict(result).items():
        print(f"{name:20} {value:>12,}")
    found = violations(result, village)
    print("\n".join(found) or "nothing lost, nothing twice")
    if as_json:
        print(
            json.dumps(
                {"simulation": "village", "cluster": cluster, **asdict(village), **asdict(result)}
            )
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
