"""Each fault of a link, on both kinds of it, felt by real sockets and by MQTT on real Mosquitto."""

import socket
import subprocess
import sys
import threading
import time

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.fakes.servers import free_port, until
from tests.simulation.link_lab import can_tun, open_link
from tests.simulation.link_pipe import GOOD, MOUNTAIN, QUEUE_BYTES, Pipe, Quality

SHORT_S = 0.3
"""So long nothing must arrive where everything is swallowed."""

ECHO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as connection:
    for line in sys.stdin:
        try:
            connection.sendall(line.encode())
            print(connection.makefile().readline().strip(), flush=True)
        except OSError as problem:
            print(type(problem).__name__, flush=True)
"""
"""The gateway's end: says each line of stdin to the other end, and prints what comes back."""


def pipe_with(seed=1, **quality):
    pipe = Pipe(seed)
    pipe.quality = Quality(**quality)
    return pipe


def test_a_packet_takes_its_delay_and_the_time_of_its_bytes():
    pipe = pipe_with(delay_s=0.5, bytes_per_s=1_000)
    pipe.put(b"a" * 100, 10.0)
    pipe.put(b"b" * 100, 10.0)
    assert pipe.next_due_s == pytest.approx(10.6)
    assert pipe.due(10.59) == []
    assert pipe.due(10.61) == [b"a" * 100]
    assert pipe.due(10.71) == [b"b" * 100]


def test_losses_follow_from_the_seed_alone():
    def arrived(seed):
        pipe = pipe_with(seed, loss=0.1)
        for n in range(1_000):
            pipe.put(b"%d" % n, n)
        return pipe.due(1_000)

    assert arrived(1) == arrived(1) != arrived(2)
    assert 850 < len(arrived(1)) < 950


def test_a_slow_way_queues_so_much_and_no_more():
    pipe = pipe_with(bytes_per_s=1_000)
    for _ in range(100):
        pipe.put(b"x" * 1_000, 0.0)
    assert len(pipe.due(1_000)) == QUEUE_BYTES // 1_000
    pipe.put(b"later", 1_000.0)
    assert pipe.due(1_001) == [b"later"]


def test_a_way_that_becomes_shorter_lets_nothing_overtake():
    pipe = pipe_with(delay_s=1.0)
    pipe.put(b"first", 0.0)
    pipe.quality = GOOD
    pipe.put(b"second", 0.1)
    assert pipe.due(0.9) == []
    assert pipe.due(1.0) == [b"first", b"second"]


def test_silence_swallows_what_is_on_its_way_too():
    pipe = pipe_with(delay_s=1.0)
    pipe.put(b"on its way", 0.0)
    pipe.silent = True
    pipe.put(b"later", 0.5)
    pipe.silent = False
    pipe.put(b"last", 0.6)
    assert pipe.due(2.0) == [b"last"]


KINDS = [
    pytest.param(
        True, id="tun", marks=pytest.mark.skipif(not can_tun(), reason="needs root, ip and TUN")
    ),
    pytest.param(False, id="proxy"),
]


class Echo:
    """Says everything back, at the cloud's end; what it heard is kept."""

    def __init__(self):
        self.heard = []
        self._listening = socket.create_server(("0.0.0.0", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._listening.close()

    def _serve(self):
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rw") as file:
            try:
                for line in file:
                    self.heard.append(line.strip())
                    file.write(line)
                    file.flush()
            except OSError as problem:
                self.heard.append(type(problem).__name__)


class Caller:
    """The gateway's end, a process of its own; `say` and then see what it `heard`."""

    def __init__(self, link, host, port):
        self.heard = []
        self._process = subprocess.Popen(
            [*link.enter, sys.executable, "-c", ECHO, host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def say(self, line):
        print(line, file=self._process.stdin, flush=True)

    def close(self):
        self._process.kill()
        self._process.communicate()
        self._thread.join()

    def _listen(self):
        for line in self._process.stdout:
            self.heard.append(line.strip())


@pytest.fixture(params=KINDS)
def link(request):
    with open_link(seed=1, tun=request.param) as link:
        yield link


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def caller(link, echo):
    link.listener(echo.port)
    caller = Caller(link, *link.address(echo.port))
    caller.say("hello")
    until(lambda: caller.heard == ["hello"])
    yield caller
    caller.close()


def test_delay_is_felt_in_both_directions(link, caller):
    link.quality = Quality(delay_s=0.2)
    started_s = time.monotonic()
    caller.say("slow")
    until(lambda: caller.heard[-1] == "slow")
    assert 0.4 <= time.monotonic() - started_s < 1.5


def test_rate_is_felt(link, caller):
    link.quality = Quality(bytes_per_s=10_000)
    started_s = time.monotonic()
    caller.say("x" * 3_000)
    until(lambda: len(caller.heard[-1]) == 3_000)
    assert 0.6 <= time.monotonic() - started_s < 2.0


def test_loss_delays_and_spoils_nothing(link, caller, echo):
    link.quality = Quality(loss=0.3)
    for n in range(10):
        caller.say(f"line {n}")
    until(lambda: len(caller.heard) == 11)
    assert caller.heard[1:] == [f"line {n}" for n in range(10)]


def test_a_black_hole_swallows_and_tells_nobody(link, caller, echo):
    link.silence()
    caller.say("anybody there?")
    caller._thread.join(SHORT_S)
    assert (caller.heard, echo.heard) == (["hello"], ["hello"])


def test_half_open_to_the_cloud_nothing_is_heard_there(link, caller, echo):
    link.silence("up")
    caller.say("up")
    caller._thread.join(SHORT_S)
    assert (caller.heard, echo.heard) == (["hello"], ["hello"])


def test_half_open_from_the_cloud_only_the_answer_is_missing(link, caller, echo):
    link.silence("down")
    caller.say("down")
    until(lambda: echo.heard == ["hello", "down"])
    caller._thread.join(SHORT_S)
    assert caller.heard == ["hello"]


def test_a_reset_is_felt_at_both_ends(link, caller, echo):
    link.reset()
    caller.say("too late")
    until(lambda: len(caller.heard) == 2)
    assert caller.heard[1] in {"ConnectionResetError", "BrokenPipeError", ""}
    until(lambda: echo.heard == ["hello", "ConnectionResetError"])


@pytest.mark.skipif(not can_tun(), reason="needs root, ip and TUN")
def test_behind_tun_a_short_silence_is_mended_by_tcp_itself(echo):
    with open_link(seed=1, tun=True) as link:
        link.listener(echo.port)
        caller = Caller(link, *link.address(echo.port))
        try:
            link.silence()
            caller.say("kept by the kernel")
            caller._thread.join(SHORT_S)
            link.heal()
            until(lambda: caller.heard == ["kept by the kernel"])
        finally:
            caller.close()


PUBLISH = """
import sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
client = Client(CallbackAPIVersion.VERSION2, "gateway")
client.connect(sys.argv[1], int(sys.argv[2]), 60)
client.loop_start()
for n in range(20):
    client.publish("lab", str(n), 1)
client.publish("lab", "end", 1).wait_for_publish(20)
client.disconnect()
"""


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_mqtt_gets_through_a_mountain_link(link, start_mosquitto):
    broker = start_mosquitto(extra=link.listener(free_port()))
    heard = []
    subscribed = threading.Event()
    cloud = Client(CallbackAPIVersion.VERSION2, "cloud")
    cloud.on_message = lambda _c, _u, message: heard.append(message.payload.decode())
    cloud.on_subscribe = lambda *_: subscribed.set()
    cloud.connect("127.0.0.1", broker.port)
    cloud.subscribe("lab", 1)
    cloud.loop_start()
    assert subscribed.wait(5)
    host, port = link.address(broker.port)
    link.quality = MOUNTAIN
    command = [*link.enter, sys.executable, "-c", PUBLISH, host, str(port)]
    subprocess.run(command, check=True, timeout=50)
    until(lambda: "end" in heard)
    cloud.disconnect()
    cloud.loop_stop()
    assert heard == [*map(str, range(20)), "end"]
