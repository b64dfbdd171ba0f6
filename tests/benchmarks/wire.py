"""How many bytes does a reading cost on its way to the cloud?

Recordings that nobody on this project made are sent as they would have been: the **field** is ten
stations that measure five values every five minutes (air temperature, humidity, pressure, rain,
wind), each at its own moment of the five minutes, a second early or late; the **soil** is ten
probes with three values every 15 minutes; the **home** is motion, doors and power of one person
living alone, sent within five minutes if there is something to send. A reading is one number.

First part: payloads alone, of all the recording. As columns they are unpacked again and compared.
Beside them JSON (one object a reading, as most gateways send it), line protocol, the same with
gzip, deltas as varints in zstd where Python has it (that is what columns were to be at first), and
the entropy of the deltas: what the numbers alone would take if every bit was well spent, without
their first values, times, and order.

Second part: everything that an internet provider counts, on a real connection with TLS 1.3 to
Mosquitto, with the uplink and an ingester as they are: payload, MQTT, TLS, TCP and IP headers,
acknowledgements, confirmations; then the rest of the month is reckoned from it: pings, and a new
connection and a new series table a day.

Run as `python tests/benchmarks/wire.py [--data FOLDER] [--json] [--payload-only]`. FOLDER holds
fields/ and homes/; without it nothing is measured.
"""

import argparse
import asyncio
import csv
import gzip
import json
import math
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from _measure import ROOT, machine

from cloud_sync.broker import Broker
from cloud_sync.columns import SeriesTable, pack, unpack
from cloud_sync.ingester import Ingester
from cloud_sync.spans import Spans
from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.uplink import Host, LinkState, Uplink, UplinkSettings
from cloud_sync.wire import Batch, encode_batch
from tests.fakes.outbox import MemoryOutbox
from tests.fakes.servers import MissingServer, binary, free_port, mosquitto

try:
    import zstandard
except ImportError:
    zstandard = None

DATA = ROOT.parent / "shared" / "data"
GATEWAY = "reference"
FIVE_MINUTES_S = 300
NODES = 10
JITTER_S = 1.0
START_S = 1_767_225_600
"""Recordings begin here, so that they can be laid beside each other."""

HEADER_BYTES = 15
"""Boot, table, and numbers, which every encoding needs."""

WRITE_S = 0.1
"""What the ingester's store takes: so long that the broker acknowledges a batch by itself first."""

SETTLE_S = 0.3
LIMIT_S = 30.0
KEEPALIVES_S = (240, 1200, 4000)
DAYS = 30

AIMS = {"15 min": 3.0, "1 h": 1.0}
"""Bytes per reading of the field, everything included."""


@dataclass(frozen=True)
class Frame:
    """What one sensor says at one moment."""

    at_ns: int
    head: str
    """Measurement and tags."""
    values: dict[str, str]
    """As they stand in the recording, without zeros at the end."""

    @cached_property
    def line(self) -> str:
        fields = ",".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.head} {fields} {self.at_ns}\n"


@dataclass(frozen=True)
class Load:
    """A recording, and how often it is sent."""

    name: str
    frames: list[Frame]
    sync_s: int

    def batches(self) -> Iterator[list[Frame]]:
        """Return what is sent together, without what is not full at the end."""
        together: dict[int, list[Frame]] = defaultdict(list)
        for frame in self.frames:
            together[frame.at_ns // 10**9 // self.sync_s].append(frame)
        yield from list(together.values())[1:-1]


@dataclass
class Payloads:
    """Bytes of the payloads of a load, by encoding."""

    readings: int = 0
    batches: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    table_bytes: int = 0
    entropy_bytes: float = 0.0
    pack_us: float = 0.0
    """Per line."""
    unpack_us: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER")
    parser.add_argument("--syncs", type=int, default=40, metavar="N", help="in the second part")
    parser.add_argument("--payload-only", action="store_true", help="leave out the second part")
    options = parser.parse_args()
    if not (options.data / "fields").is_dir():
        print(f"skipped: no recordings in {options.data}; say where they are with --data")
        return
    print(machine())
    found = {load.name: payloads(load) for load in loads(options.data)}
    print_payloads(found)
    links = {} if options.payload_only else measure_links(options.data, options.syncs)
    if links:
        print_links(links)
    if options.json:
        figures = {name: asdict(link) | {"months": link.months()} for name, link in links.items()}
        print(json.dumps({"benchmark": "wire", "payloads": as_json(found), "links": figures}))


def loads(data: Path) -> Iterator[Load]:
    """Return the recordings at the intervals at which they are sent."""
    nodes, probes, home = field_frames(data), soil_frames(data), home_frames(data)
    for name, sync_s in (("5 min", 300), ("15 min", 900), ("1 h", 3600)):
        yield Load(f"field, {name}", nodes, sync_s)
    for name, sync_s in (("15 min", 900), ("1 h", 3600)):
        yield Load(f"soil, {name}", probes, sync_s)
    yield Load("home, 5 min", home, FIVE_MINUTES_S)


def field_frames(data: Path) -> list[Frame]:
    """Return ten stations; each sends at its own moment of the five minutes, not quite in time."""
    rng = random.Random(12)
    names = ["temperature_celsius", "humidity_percent", "pressure_pascal", "rain_sum_mm"]
    return nodes(rows(data / "fields" / "vlinder_5min.csv.gz"), "station", "air", rng, names)


def soil_frames(data: Path) -> list[Frame]:
    """Return ten probes every 15 minutes; the raw count is made into a water content."""
    rng = random.Random(13)
    some = rows(data / "fields" / "owc_w_321__teros12_15min.csv.gz")
    for row in some:
        count = row.pop("raw_count")
        # The manufacturer's formula for mineral soils.
        row["moisture_percent"] = f"{3.879e-2 * float(count) - 69.56:.1f}" if count else ""
    names = ["moisture_percent", "temperature_celsius", "bulk_ec_us_cm"]
    return nodes(some, "probe", "soil", rng, names)


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def nodes(
    table: Sequence[dict[str, str]],
    key: str,
    measurement: str,
    rng: random.Random,
    names: list[str],
) -> list[Frame]:
    wanted = sorted({row[key] for row in table}, key=lambda name: (len(name), name))[:NODES]
    phase_s = {name: rng.randrange(FIVE_MINUTES_S) for name in wanted}
    if "wind_speed_m_s" in table[0]:
        names = [*names, "wind_speed_m_s"]
    begin_s = seconds(table[0]["at"])
    frames = []
    for row in table:
        values = {name: decimal(row[name]) for name in names if row[name]}
        if row[key] in phase_s and values:
            jitter_s = rng.uniform(-JITTER_S, JITTER_S)
            at_s = START_S + seconds(row["at"]) - begin_s + phase_s[row[key]] + jitter_s
            frames.append(Frame(round(at_s) * 10**9, head(measurement, row[key]), values))
    return sorted(frames, key=lambda frame: frame.at_ns)


def home_frames(data: Path) -> list[Frame]:
    """Return what a person's home says, to the millisecond, as it was recorded."""
    kinds = {"motion": "motion_detected", "contact": "contact_open", "power": "power_watt"}
    table = rows(data / "homes" / "homeassist1.csv.gz")
    begin_s = seconds(table[0]["at"])
    return sorted(
        (
            Frame(
                round((START_S + seconds(row["at"]) - begin_s) * 1000) * 10**6,
                head(row["kind"], row["sensor"]),
                {kinds[row["kind"]]: decimal(row["value"])},
            )
            for row in table
            if row["kind"] in kinds
        ),
        key=lambda frame: frame.at_ns,
    )


def head(measurement: str, sensor: str) -> str:
    return f"{measurement},gateway={GATEWAY},place=north,sensor={sensor},site=village"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def decimal(text: str) -> str:
    return repr(float(text)).removesuffix(".0")


def payloads(load: Load) -> Payloads:
    """Return the bytes of all batches, in each encoding."""
    found, table, number = Payloads(), SeriesTable(), 1
    for frames in load.batches():
        lines = "".join(frame.line for frame in frames).encode()
        batch = Batch("5f3a9c01", Spans([(number, number + len(frames) - 1)]), number - 1, lines)
        number += len(frames)
        found.batches += 1
        found.readings += sum(len(frame.values) for frame in frames)
        found.sizes["JSON"] += sum(len(text) for frame in frames for text in as_objects(frame))
        found.sizes["line protocol"] += len(encode_batch(batch, "line-protocol"))
        found.sizes["… gzip"] += len(encode_batch(batch, "gzip"))
        if zstandard:
            found.sizes["deltas, zstd"] += HEADER_BYTES + len(with_zstd(frames))
        before_s = time.process_time()
        payload = pack(batch, table)
        between_s = time.process_time()
        assert unpack(payload, {table.id: table}.get) == batch
        found.pack_us += (between_s - before_s) * 1e6
        found.unpack_us += (time.process_time() - between_s) * 1e6
        found.sizes["columns"] += len(payload)
    found.pack_us, found.unpack_us = found.pack_us / number, found.unpack_us / number
    found.table_bytes = len(table.payload())
    found.entropy_bytes = entropy_of_deltas(load.frames) / 8
    return found


def as_objects(frame: Frame) -> Iterator[str]:
    """Return one JSON object for each reading."""
    tags = dict(pair.split("=") for pair in frame.head.split(",")[1:])
    at = datetime.fromtimestamp(frame.at_ns / 1e9, UTC).isoformat()
    for name, value in frame.values.items():
        yield json.dumps({**tags, "quantity": name, "value": float(value), "at": at})


def with_zstd(frames: Sequence[Frame]) -> bytes:
    """Return numbers and times as deltas in varints, column by column, in zstd: no more than that.

    The order of the lines is left out.
    """
    numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        numbers[""][frame.head].append(frame.at_ns // 10**6)
        for name, value in frame.values.items():
            numbers[name][frame.head].append(round(float(value) * 100))
    octets = bytearray()
    for columns in numbers.values():
        divisor = math.gcd(*(number for column in columns.values() for number in column)) or 1
        before = 0
        for column in columns.values():
            for number in column:
                octets += varint(number // divisor - before)
                before = number // divisor
            before = column[0] // divisor
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(octets))


def varint(number: int) -> bytes:
    code, octets = number << 1 if number >= 0 else ~(number << 1), bytearray()
    while code > 127:
        octets.append(code & 127 | 128)
        code >>= 7
    return bytes([*octets, code])


def entropy_of_deltas(frames: Sequence[Frame]) -> float:
    """Return bits per reading: of the differences in each field of each sensor, taken together."""
    last: dict[tuple[str, str], float] = {}
    deltas: dict[str, Counter[float]] = defaultdict(Counter)
    for frame in frames:
        for name, text in frame.values.items():
            value = float(text)
            before = last.get((frame.head, name))
            if before is not None:
                deltas[name][round(value - before, 6)] += 1
            last[frame.head, name] = value
    bits = -sum(n * math.log2(n / some.total()) for some in deltas.values() for n in some.values())
    return bits / sum(some.total() for some in deltas.values())


def print_payloads(found: dict[str, Payloads]) -> None:
    names = list(next(iter(found.values())).sizes)
    print("\nPayload alone, bytes per reading:")
    print(f"{'':16}{'readings':>9}" + "".join(f"{n:>15}" for n in [*names, "entropy", "a batch"]))
    for name, one in found.items():
        cells = [f"{one.sizes[n] / one.readings:.3f}" for n in names]
        cells += [f"{one.entropy_bytes:.3f}", f"{one.sizes['columns'] / one.batches:.0f} B"]
        print(f"{name:16}{one.readings:>9,}" + "".join(f"{cell:>15}" for cell in cells))
    for name, one in found.items():
        print(
            f"{name}: columns take {one.pack_us:.1f} µs a line to pack and {one.unpack_us:.1f}"
            f" to unpack; the series table has {one.table_bytes} bytes"
        )


@dataclass
class Link:
    """What the link costs, in IP bytes both ways."""

    sync_s: int
    readings: int
    """In a sync, on average."""
    payload: float
    sync: float
    """One batch and its confirmation, on average."""
    login: int
    """TCP, TLS, CONNECT, subscriptions, state, series table, and the first batch."""
    ping: int

    def month(self, keepalive_s: int) -> float:
        """Return the bytes of a month: syncs, pings between them, a login a day."""
        syncs = DAYS * 86_400 / self.sync_s
        pings = syncs * (math.ceil(self.sync_s / keepalive_s) - 1)
        return syncs * self.sync + pings * self.ping + DAYS * self.login

    def months(self) -> dict[str, dict[str, float]]:
        """Return bytes of a month and of a reading, for each keepalive."""
        readings = DAYS * 86_400 / self.sync_s * self.readings
        return {
            str(keepalive_s): {
                "bytes": round(self.month(keepalive_s)),
                "bytes_per_reading": round(self.month(keepalive_s) / readings, 3),
            }
            for keepalive_s in KEEPALIVES_S
        }


class Slowed:
    """A store that takes its time, as one behind a network does."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def write(self, lines: bytes) -> None:
        time.sleep(WRITE_S)
        self._store.write(lines)


def measure_links(data: Path, syncs: int) -> dict[str, Link]:
    """Return what a real connection costs with the field; nothing where a server is missing."""
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="satomori-")))
            far = stack.enter_context(cloud(folder))
            nodes = field_frames(data)
            return {
                name: asyncio.run(measure_link(Load(name, nodes, sync_s), far, syncs))
                for name, sync_s in (("5 min", 300), ("15 min", 900), ("1 h", 3600))
            }
    except MissingServer as missing:
        print(f"second part skipped: {missing}")
        return {}


@contextmanager
def cloud(folder: Path) -> Iterator[Broker]:
    """Run Mosquitto with TLS and an ingester; returns how a gateway reaches them."""
    certify(folder)
    tls_port = free_port()
    tls = f"""
    listener {tls_port} 127.0.0.1
    certfile {folder}/server.pem
    keyfile {folder}/server.key
    """
    password = folder / "password"
    password.write_text("s3cret")
    passwords = dict.fromkeys(["ingester", "gateway"], "s3cret")
    stop = threading.Event()
    with mosquitto(folder / "mosquitto", passwords=passwords, extra=tls) as server:
        near = Broker("127.0.0.1", server.port, False, username="ingester", password_file=password)
        store = Slowed(SqliteStore(folder / "readings.sqlite"))
        ingester = Ingester(store, near, set_aside=folder / "aside", now=lambda: datetime.now(UTC))
        thread = threading.Thread(target=ingester.run, args=(stop,))
        thread.start()
        try:
            ca = folder / "ca.pem"
            yield Broker(
                "localhost", tls_port, ca_file=ca, username="gateway", password_file=password
            )
        finally:
            stop.set()
            thread.join()


def certify(folder: Path) -> None:
    """Write a server's certificate and the authority that signed it; keys are of P-256."""

    def openssl(*words: str) -> None:
        subprocess.run([binary("openssl"), *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=village ca")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "ext").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)


async def measure_link(load: Load, broker: Broker, syncs: int) -> Link:
    """Send some batches of a load, one after the other, and count what passes the socket."""
    outbox = MemoryOutbox()
    name = f"{GATEWAY}-{load.sync_s}"
    settings = UplinkSettings(name, send_every_s=0.1)
    host = Host(state=lambda: {"sensors": NODES}, today=lambda: date(2026, 11, 23))
    uplink = Uplink(broker, settings, outbox, host)
    batches = list(load.batches())
    step = len(batches) // (syncs + 1)
    login, costs, readings, payload, table = 0, [], 0, 0, SeriesTable()
    async with running(uplink):
        for frames in batches[: step * (syncs + 1) : step]:
            lines = [f.line.replace(f"={GATEWAY}", f"={name}", 1).encode() for f in frames]
            first = outbox.newest + 1
            before = await used(uplink) if first > 1 else 0
            outbox.keep(*lines)
            uplink.wake()
            await until_async(lambda: not outbox.unconfirmed)
            cost = await used(uplink) - before
            batch = Batch(outbox.boot, Spans([(first, outbox.newest)]), first - 1, b"".join(lines))
            size = len(pack(batch, table))
            if not login:
                login = cost
                continue
            costs.append(cost)
            payload += size
            readings += sum(len(frame.values) for frame in frames)
    ping = await measure_ping(replace(broker, keepalive_s=2), name)
    count = len(costs)
    return Link(
        load.sync_s, round(readings / count), payload / count, sum(costs) / count, login, ping
    )


async def measure_ping(broker: Broker, name: str) -> int:
    """Return what a ping and its answer cost, on a connection that has nothing else to say."""
    host = Host(state=dict, today=lambda: date(2026, 11, 23))
    uplink = Uplink(broker, UplinkSettings(f"{name}-idle"), MemoryOutbox(), host)
    async with running(uplink):
        await until_async(lambda: uplink.link is LinkState.ONLINE)
        await asyncio.sleep(3)
        steps, before = [], await used(uplink)
        while len(steps) < 3:
            await asyncio.sleep(0.2)
            now = await used(uplink)
            if now > before:
                steps.append(now - before)
            before = now
    return round(statistics.median(steps))


@asynccontextmanager
async def running(uplink: Uplink) -> AsyncIterator[None]:
    task = asyncio.create_task(uplink.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def used(uplink: Uplink) -> int:
    """Return the bytes so far, when the last acknowledgement is in."""
    await asyncio.sleep(SETTLE_S)
    uplink.wake()
    await asyncio.sleep(0.02)
    return uplink.budget.used


async def until_async(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nothing was confirmed within {LIMIT_S:.0f} s")
        await asyncio.sleep(0.01)


def print_links(links: dict[str, Link]) -> None:
    print("\nThe field on a real connection (TLS 1.3), IP bytes both ways:")
    for name, link in links.items():
        print(
            f"{name:8}{link.readings} readings a sync: {link.payload:.0f} B of payload,"
            f" {link.sync:.0f} B in all; login {link.login} B, ping {link.ping} B"
        )
    heads = "".join(f"{f'keepalive {keepalive_s} s':>34}" for keepalive_s in KEEPALIVES_S)
    print(f"{'':8}{'syncs alone':>16}{heads}")
    for name, link in links.items():
        cells = [
            f"{of['bytes_per_reading']:.2f} B/reading, {of['bytes'] / 1e6:.2f} MB/month"
            for of in link.months().values()
        ]
        alone = f"{link.sync / link.readings:.2f} B/reading"
        aim = f"   (aim: {AIMS[name]:g})" if name in AIMS else ""
        print(f"{name:8}{alone:>16}" + "".join(f"{cell:>34}" for cell in cells) + aim)


def as_json(found: dict[str, Payloads]) -> dict[str, Any]:
    return {
        name: {
            "readings": one.readings,
            "batches": one.batches,
            "bytes_per_reading": {k: round(v / one.readings, 4) for k, v in one.sizes.items()},
            "bytes_per_batch": round(one.sizes["columns"] / one.batches, 1),
            "entropy_of_deltas": round(one.entropy_bytes, 4),
            "table_bytes": one.table_bytes,
            "pack_us_per_line": round(one.pack_us, 2),
            "unpack_us_per_line": round(one.unpack_us, 2),
        }
        for name, one in found.items()
    }


if __name__ == "__main__":
    main()
