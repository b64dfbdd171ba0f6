"""What the benchmarks share: what a process costs, and ThingsBoard IoT Gateway to compare it with.

ThingsBoard's gateway is what comes nearest to ours: Python, many kinds of sensors, MQTT, a SQLite
store. It runs as it is published, from PyPI, in an environment of its own; only its server is
played here: it connects to the same Mosquitto, where `Platform` answers what it asks for at its
start, with limits that are at least as generous as those of a ThingsBoard server, and takes its
telemetry.
"""

import compileall
import json
import os
import platform
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from paho.mqtt import client as mqtt  # noqa: E402
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402

from tests.fakes.servers import Server, until  # noqa: E402
from tests.fakes.site import Process  # noqa: E402

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

THINGSBOARD = "thingsboard-gateway==3.8.5"
THINGSBOARD_USER = "gateway"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

ACL = f"""\
topic readwrite #
user {THINGSBOARD_USER}
topic write v1/gateway/#
topic write v1/devices/me/#
topic read v1/devices/me/attributes/response/+
topic read v1/devices/me/rpc/response/+
"""
"""For Mosquitto: ThingsBoard's gateway must not hear its own questions, which have the topics of
questions to it. Everybody else may do anything."""

LIMITS = {
    "maxPayloadSize": 65_536,
    "maxInflightMessages": 100,
    "rateLimits": {},
    "gatewayRateLimits": {},
}
"""What the gateway may do, as its server tells it: everything."""

BURST = '''
import sys
import time
from threading import Thread

from thingsboard_gateway.connectors.connector import Connector
from thingsboard_gateway.gateway.entities.converted_data import ConvertedData
from thingsboard_gateway.gateway.entities.datapoint_key import DatapointKey
from thingsboard_gateway.gateway.entities.telemetry_entry import TelemetryEntry

MOTION = DatapointKey("motion_detected")


class Burst(Connector):
    """Hands over as many readings as a line on stdin says, at once."""

    def __init__(self, gateway, config, connector_type):
        self.gateway, self.config, self.type = gateway, config, connector_type
        self.name = config["name"]
        self.stopped = False

    def open(self):
        Thread(target=self.run, daemon=True).start()

    def run(self):
        sensors = self.config["sensors"]
        for line in sys.stdin:
            start_ms = int(time.time() * 1000)
            for n in range(int(line)):
                data = ConvertedData(f"motion {n % sensors}", "bthome")
                values = {MOTION: n // sensors % 2}
                data.add_to_telemetry(TelemetryEntry(values, ts=start_ms + n // sensors))
                self.gateway.send_to_storage(self.name, self.get_id(), data)

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
"""A connector for their gateway, as its documentation shows them: readings come in by it."""

LAUNCHER = """
import sys
from thingsboard_gateway.tb_gateway import daemon
from thingsboard_gateway.tb_utility.tb_loader import TBModuleLoader
TBModuleLoader.find_paths()
TBModuleLoader.PATHS.insert(0, sys.argv[1])
daemon()
"""


class CannotInstall(RuntimeError):
    """ThingsBoard's gateway is not to be had here; the message says how to get it."""


class Satomori(Process):
    """One of our commands as a process, whose cost is measured."""

    def start(self) -> None:
        # As pip does when it installs; what is compiled at each start costs 4 MB more.
        for package in ("agent", "cloud_sync", "drivers", "gateway_config", "rules"):
            compileall.compile_dir(ROOT / package, quiet=1)
        super().start()

    @property
    def pid(self) -> int:
        return self._process.pid


def pid_of(server: Server) -> int:
    return server._process.pid


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used so far, in user and kernel mode."""
    # The name in parentheses may contain spaces; utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass(frozen=True)
class Memory:
    """What a process keeps in memory, in megabytes (10^6 bytes)."""

    rss: float
    """Every page it has mapped, those shared with others too."""
    pss: float
    """Shared pages by the share."""
    uss: float
    """What its end would give back."""


def memory(pid: int) -> Memory:
    kb = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"))
    uss = kb["Private_Clean"] + kb["Private_Dirty"]
    return Memory(*(round(n * 1.024e-3, 1) for n in (kb["Rss"], kb["Pss"], uss)))


def peak_rss_mb(pid: int) -> float:
    return round(_kilobytes(Path(f"/proc/{pid}/status"))["VmHWM"] * 1.024e-3, 1)


def _kilobytes(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def machine() -> str:
    """Return what this was measured on, for the figures' sake."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load before: {os.getloadavg()[0]:.1f}"
    )


class Platform:
    """Plays the ThingsBoard server on a broker: answers questions, takes telemetry."""

    def __init__(self, port: int) -> None:
        self.limits_told = False
        self.payloads: list[bytes] = []
        """Telemetry as it came."""
        self.arrived = 0
        """Values in it, counted without reading it, since this takes CPU from the gateway."""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "platform")
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(
            [
                ("v1/gateway/telemetry", 1),
                ("v1/gateway/attributes/request", 1),
                ("v1/devices/me/attributes/request/+", 1),
                ("v1/devices/me/rpc/request/+", 1),
            ]
        )
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def distinct(self) -> int:
        """Return how many different values have arrived: device and time make one."""
        return len(
            {
                (device, entry["ts"])
                for payload in self.payloads
                for device, entries in json.loads(payload).items()
                for entry in entries
            }
        )

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        kind, _, number = message.topic.rpartition("/")
        if message.topic == "v1/gateway/telemetry":
            self.payloads.append(message.payload)
            self.arrived += message.payload.count(b'"ts"')
        elif kind == "v1/devices/me/rpc/request":
            limits = json.loads(message.payload)["method"] == "getSessionLimits"
            self._answer(f"v1/devices/me/rpc/response/{number}", LIMITS if limits else {})
            self.limits_told = self.limits_told or limits
        elif kind == "v1/devices/me/attributes/request":
            self._answer(f"v1/devices/me/attributes/response/{number}", {})
        else:
            asked = json.loads(message.payload)
            answer = {"id": asked["id"], "device": asked["device"], "values": {}}
            self._answer("v1/gateway/attributes/response", answer)

    def _answer(self, topic: str, content: object) -> None:
        self._client.publish(topic, json.dumps(content), qos=1)


@dataclass
class ThingsBoard:
    """Their gateway, connected and idle, until it is given a burst of readings."""

    platform: Platform
    process: "subprocess.Popen[str]"

    @property
    def pid(self) -> int:
        return self.process.pid

    def burst(self, readings: int) -> None:
        """Let readings come in at once, through the connector."""
        print(readings, file=self.process.stdin, flush=True)


def install_thingsboard() -> Path:
    """Return the Python that has their gateway; at the first call it is installed.

    Raises CannotInstall.
    """
    folder = ROOT / ".bench" / "thingsboard"
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", THINGSBOARD]
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        output = getattr(problem, "stderr", None) or problem
        raise CannotInstall(
            f"{THINGSBOARD} is left out, because it cannot be installed: {output}\n"
            f"try: {' '.join(install)}"
        ) from problem
    return python


@contextmanager
def thingsboard(
    python: Path, folder: Path, port: int, sensors: int | None = None
) -> Iterator[ThingsBoard]:
    """Run their gateway, storing to SQLite, on the broker at `port` (with ACL).

    With `sensors` it has a connector that waits for bursts of that many devices, otherwise none.
    """
    package = _package(python)
    config = _config(package, folder, port, sensors)
    output = folder / "output.txt"
    played = Platform(port)
    with output.open("w") as file:
        process = subprocess.Popen(
            [str(python), "-c", LAUNCHER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            text=True,
            cwd=folder,
            env={**os.environ, "TB_GW_CONFIG_DIR": str(config)},
        )
    try:
        until(lambda: played.limits_told or process.poll() is not None, START_TIMEOUT_S, "a login")
        if process.poll() is not None:
            raise RuntimeError(f"{THINGSBOARD}: {output.read_text()[-2000:]}")
        yield ThingsBoard(played, process)
    finally:
        _end(process)
        played.close()


def _package(python: Path) -> Path:
    (package,) = python.parents[1].glob("lib/python*/site-packages/thingsboard_gateway")
    return package


def _config(package: Path, folder: Path, port: int, sensors: int | None) -> Path:
    """Write its configuration: as shipped, but for the broker, the store and the connector."""
    config = folder / "config"
    config.mkdir(parents=True)
    (folder / "logs").mkdir()
    (config / "logs.json").write_text((package / "config" / "logs.json").read_text())
    settings = json.loads((package / "config" / "tb_gateway.json").read_text())
    security = {"type": "accessToken", "accessToken": THINGSBOARD_USER}
    settings["thingsboard"] |= {"host": "127.0.0.1", "port": port, "security": security}
    # The shipped values are for its file store; without them its SQLite store has its own defaults.
    settings["storage"] = {"type": "sqlite", "data_file_path": f"{folder}/data/"}
    if sensors is not None:
        burst = {"type": "burst", "name": "burst", "class": "Burst", "configuration": "burst.json"}
        settings["connectors"] = [burst]
        (config / "burst.json").write_text(json.dumps({"name": "burst", "sensors": sensors}))
        (folder / "burst").mkdir()
        (folder / "burst" / "burst.py").write_text(BURST)
    (config / "tb_gateway.json").write_text(json.dumps(settings))
    return config


def _end(process: "subprocess.Popen[str]") -> None:
    # It goes by SIGINT; where that fails nothing is worth keeping.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdin.close()
