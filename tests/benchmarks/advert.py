"""What does an advertisement from a device that is not ours cost?

There are far more strangers in the air than sensors of ours: phones, watches, cars that pass by. So
this, and not decoding, is what Bluetooth costs a small computer. CPU time of the receiving process
is measured

- for our callback alone, which drops the stranger;
- for the whole path: D-Bus, bleak and our callback, while another process plays bluetoothd;
- for the decoder of Theengs (GPL-3, so only ever run beside ours), which a gateway that knows no
  list of its own devices has to ask about each advertisement.

Run as `python tests/benchmarks/advert.py [--json]`. It takes half a minute, and as long again the
first time, because the Theengs decoder is compiled into .bench/theengs.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
import venv
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bleak.backends.device import BLEDevice  # noqa: E402
from bleak.backends.scanner import AdvertisementData  # noqa: E402

from drivers.frame import Frame  # noqa: E402
from drivers.transports.ble import BleTransport  # noqa: E402
from tests.fakes.bluez import FakeBluez  # noqa: E402
from tests.fakes.dbus import private_bus  # noqa: E402

OURS = "A4:C1:38:00:00:01"
STRANGERS = [f"5A:00:00:00:{n // 256:02X}:{n % 256:02X}" for n in range(50)]
COMPANY, PAYLOAD = 0x05A7, bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
RATES = {20: 60, 100: 300, 1000: 5000}
"""Advertisements a second, and how many: a lonely house, a street, a railway station."""

CALLS, REPEATS = 20_000, 7
GIVE_UP_S = 120
THEENGS = "theengsdecoder==2.5.0"
THEENGS_CALLS = 1_000

THEENGS_SCRIPT = """
import json, sys, time
from TheengsDecoder import decodeBLE
calls, repeats, advert = json.loads(sys.argv[1])
assert decodeBLE(json.dumps(advert)) is None, "the decoder knows the device"
for _ in range(repeats):
    before = time.process_time()
    for _ in range(calls):
        decodeBLE(json.dumps(advert))
    print((time.process_time() - before) / calls * 1e6)
"""


def measure() -> tuple[dict[int, float], float]:
    """Return the cost of the whole path for each rate, and that of our callback, in µs."""
    with private_bus() as address:
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
        play = [sys.executable, __file__, "--play-bluetoothd"]
        with subprocess.Popen(play, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bluetoothd:
            assert bluetoothd.stdout is not None
            bluetoothd.stdout.readline()
            return asyncio.run(receive())


async def receive() -> tuple[dict[int, float], float]:
    transport = BleTransport(frozenset({OURS}), lambda: datetime(2026, 11, 24, tzinfo=UTC))
    marks: list[tuple[float, int]] = []
    done = asyncio.Event()

    def emit(frame: Frame) -> None:
        marks.append((time.process_time(), transport.strangers))
        if len(marks) > len(RATES):
            done.set()

    task = asyncio.create_task(transport.run(emit, lambda report: None))
    async with asyncio.timeout(GIVE_UP_S):
        await done.wait()
    path_us = {}
    for rate, (before_s, before), (after_s, after) in zip(RATES, marks, marks[1:], strict=False):
        assert after - before == RATES[rate], f"{RATES[rate]} sent, {after - before} heard"
        path_us[rate] = (after_s - before_s) / RATES[rate] * 1e6
    callback_us = measure_callback(transport)
    task.cancel()
    await asyncio.wait([task])
    return path_us, callback_us


def measure_callback(transport: BleTransport) -> float:
    device = BLEDevice(STRANGERS[0], None, {})
    data = AdvertisementData(None, {COMPANY: PAYLOAD}, {}, [], None, -70, ())
    hear = transport._on_advertisement  # what bleak is given to call
    times_us = []
    for _ in range(REPEATS):
        before_s = time.process_time()
        for _ in range(CALLS):
            hear(device, data)
        times_us.append((time.process_time() - before_s) / CALLS * 1e6)
    return statistics.median(times_us)


async def play_bluetoothd() -> None:
    """Be the sending process: for each rate a mark, then strangers at an even pace."""
    loop, luck = asyncio.get_running_loop(), random.Random(1)
    async with FakeBluez(os.environ["DBUS_SYSTEM_BUS_ADDRESS"]) as bluez:
        bluez.add_adapter()
        print("ready", flush=True)
        await bluez.scanning()
        for rate, count in RATES.items():
            bluez.advertise(OURS)
            started_s = loop.time()
            for n in range(count):
                await asyncio.sleep(started_s + n / rate - loop.time())
                address, rssi = luck.choice(STRANGERS), luck.randrange(-95, -40)
                bluez.advertise(address, manufacturer_data={COMPANY: PAYLOAD}, rssi=rssi)
        bluez.advertise(OURS)
        await loop.run_in_executor(None, sys.stdin.read)


def measure_theengs() -> float:
    """Return µs for one call of the Theengs decoder with the stranger's advertisement.

    Raises:
        subprocess.CalledProcessError: it cannot be installed, or does not run.
    """
    folder = ROOT / ".bench" / "theengs"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", THEENGS]
    subprocess.run(install, check=True, capture_output=True, text=True)
    advert = {
        "id": STRANGERS[0],
        "rssi": -70,
        "manufacturerdata": (COMPANY.to_bytes(2, "little") + PAYLOAD).hex(),
    }
    task = json.dumps([THEENGS_CALLS, REPEATS, advert])
    run = [str(python), "-c", THEENGS_SCRIPT, task]
    result = subprocess.run(run, check=True, capture_output=True, text=True)
    return statistics.median(float(line) for line in result.stdout.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--play-bluetoothd", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play_bluetoothd:
        asyncio.run(play_bluetoothd())
        return
    path_us, callback_us = measure()
    try:
        theengs_us = measure_theengs()
    except subprocess.CalledProcessError as error:
        print(f"{THEENGS} cannot be measured: {error}\n{error.stderr or ''}")
        theengs_us = None
    print_table(path_us, callback_us, theengs_us)
    if options.json:
        print(json.dumps(as_json(path_us, callback_us, theengs_us)))


def print_table(path_us: dict[int, float], callback_us: float, theengs_us: float | None) -> None:
    print("one advertisement of an unknown device, µs of CPU time")
    print(f"{'our callback, which drops it':44}{callback_us:9.2f}")
    for rate, us in path_us.items():
        print(f"{f'D-Bus + bleak + our callback at {rate}/s':44}{us:9.1f}")
    if theengs_us is None:
        return
    print(f"{'Theengs decoder, which does not know it':44}{theengs_us:9.1f}")
    print(f"{'Theengs decoder / our callback':44}{theengs_us / callback_us:8.0f}×")
    for rate, us in path_us.items():
        ratio = (us + theengs_us) / us
        print(f"{f'whole path with / without Theengs at {rate}/s':44}{ratio:8.1f}×")


def as_json(
    path_us: dict[int, float], callback_us: float, theengs_us: float | None
) -> dict[str, object]:
    return {
        "benchmark": "advert",
        "callback_us": round(callback_us, 3),
        "path_us": {str(rate): round(us, 1) for rate, us in path_us.items()},
        "theengs_us": None if theengs_us is None else round(theengs_us, 1),
        "theengs_per_callback": None if theengs_us is None else round(theengs_us / callback_us),
    }


if __name__ == "__main__":
    main()
