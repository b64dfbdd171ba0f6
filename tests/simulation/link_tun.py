"""A link made of two TUN devices, with user-space in between: the gateway has a network namespace.

The kernel's own `netem` is not everywhere; this works wherever there are root and /dev/net/tun. The
cloud's end is in the namespace of the tests.
"""

import fcntl
import math
import os
import select
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock, Thread
from time import monotonic

from tests.simulation.link_lab import BOTH, Direction
from tests.simulation.link_pipe import GOOD, Pipe, Quality
from tests.simulation.link_reset import Flow, reset_for, seen

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MAX_PACKET = 65_535
LINKS = 256

NETWORK = "198.18"
"""Set aside for such laboratories by RFC 2544; each link has one number in it."""


class TunLink:
    """See link_lab.py for what it does. Made by `tun_link`."""

    def __init__(self, seed: int, number: int, ends: dict[Direction, int]) -> None:
        """`ends`: the file from which packets in each direction are read."""
        self.enter = ["ip", "netns", "exec", _namespace(number)]
        self._cloud = f"{NETWORK}.{number}.1"
        self._port = 0
        self._pipes = {way: Pipe(seed * 2 + n) for n, way in enumerate(BOTH)}
        self._ends = ends
        self._targets: dict[Direction, int] = {"up": ends["down"], "down": ends["up"]}
        self._open: dict[Flow, tuple[Direction, bytes]] = {}
        """The last packet of each flow."""
        self._forgotten: set[Flow] = set()
        self._lock = Lock()
        self._wake, self._woken = os.pipe()
        self._thread = Thread(target=self._forward, name="link")
        self._thread.start()

    @property
    def quality(self) -> Quality:
        return self._pipes["up"].quality

    @quality.setter
    def quality(self, quality: Quality) -> None:
        with self._lock:
            for pipe in self._pipes.values():
                pipe.quality = quality

    def listener(self, port: int) -> str:
        self._port = port
        return f"listener {port} {self._cloud}"

    def address(self, broker_port: int) -> tuple[str, int]:
        return self._cloud, self._port

    def silence(self, *directions: Direction) -> None:
        with self._lock:
            for way in directions or BOTH:
                self._pipes[way].silent = True

    def heal(self) -> None:
        with self._lock:
            for pipe in self._pipes.values():
                pipe.silent, pipe.quality = False, GOOD

    def reset(self) -> None:
        with self._lock:
            self._forgotten |= set(self._open)
            last, self._open = list(self._open.values()), {}
            # An idle end hears it now; one whose last packet said less than it knows by now, when
            # it speaks: see _take.
            for way, packet in last:
                self._answer_with_reset(way, packet)

    def close(self) -> None:
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)

    def _forward(self) -> None:
        ways = {fd: way for way, fd in self._ends.items()}
        while True:
            with self._lock:
                due_s = min(pipe.next_due_s for pipe in self._pipes.values())
            wait_s = None if due_s == math.inf else max(0.0, due_s - monotonic())
            readable, _, _ = select.select([*ways, self._wake], [], [], wait_s)
            if self._wake in readable:
                return
            with self._lock:
                for fd in readable:
                    self._take(ways[fd], os.read(fd, MAX_PACKET))
                for way, pipe in self._pipes.items():
                    for packet in pipe.due(monotonic()):
                        os.write(self._targets[way], packet)

    def _take(self, way: Direction, packet: bytes) -> None:
        segment = seen(packet)
        if segment is None:
            return
        if segment.is_syn:
            self._forgotten -= {segment.flow, segment.flow.back}
        if segment.flow in self._forgotten:
            if not self._pipes[way].silent:
                self._answer_with_reset(way, packet)
            return
        self._open[segment.flow] = way, packet
        self._pipes[way].put(packet, monotonic())

    def _answer_with_reset(self, way: Direction, packet: bytes) -> None:
        segment = seen(packet)
        assert segment is not None
        os.write(self._ends[way], reset_for(segment))


@contextmanager
def tun_link(seed: int) -> Iterator[TunLink]:
    """Make both ends, and take them away afterwards. Raises OSError without root."""
    with ExitStack() as stack:
        number, cloud_end = _first_free()
        stack.callback(os.close, cloud_end)
        gateway_end = _tun(f"satomori{number}g")
        stack.callback(os.close, gateway_end)
        namespace = _namespace(number)
        if Path(f"/run/netns/{namespace}").exists():
            # The number was free: whoever had it was killed before it could tidy up.
            _ip("netns", "delete", namespace)
        _ip("netns", "add", namespace)
        stack.callback(_ip, "netns", "delete", namespace)
        _ip("link", "set", f"satomori{number}g", "netns", namespace)
        here, there = f"{NETWORK}.{number}.1", f"{NETWORK}.{number}.2"
        _ip("address", "add", here, "peer", there, "dev", f"satomori{number}")
        _ip("link", "set", f"satomori{number}", "up")
        inside = ("-n", namespace)
        _ip(*inside, "address", "add", there, "peer", here, "dev", f"satomori{number}g")
        _ip(*inside, "link", "set", f"satomori{number}g", "up")
        _ip(*inside, "link", "set", "lo", "up")
        link = TunLink(seed, number, {"up": gateway_end, "down": cloud_end})
        stack.callback(link.close)
        yield link


def _namespace(number: int) -> str:
    return f"satomori-link-{number}"


def _first_free() -> tuple[int, int]:
    """Return the number of a link that nobody uses, and the cloud's end of it, which claims it."""
    for number in range(LINKS):
        try:
            return number, _tun(f"satomori{number}")
        except OSError as problem:
            taken = problem
    raise taken


def _tun(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI)
    try:
        fcntl.ioctl(handle, TUNSETIFF, request)
    except OSError:
        os.close(handle)
        raise
    return handle


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
