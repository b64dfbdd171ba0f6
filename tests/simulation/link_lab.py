"""A link between a gateway and its cloud that can be made as bad as a link in the mountains.

    with open_link(seed=1) as link, mosquitto(folder, extra=link.listener(port)) as broker:
        gateway = [*link.enter, "satomori", "run", …]     # connects to link.address(broker.port)
        link.quality = MOUNTAIN                           # delay, rate, loss
        link.silence()                                    # a black hole
        link.silence("up")                                # half open: nothing gets to the cloud
        link.heal()
        link.reset()                                      # as a router that forgot all connections

With root, iproute2 and /dev/net/tun it is a network of its own (link_tun.py): the gateway's kernel
does all that TCP does on such a way. Elsewhere it is a TCP proxy on the loopback (link_proxy.py),
which takes every byte at once and so shows less: nothing ever waits in the gateway's kernel.
"""

import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from tests.simulation.link_pipe import Quality

Direction: TypeAlias = Literal["up", "down"]
"""From the gateway to the cloud, and back."""

BOTH: tuple[Direction, ...] = ("up", "down")


class Link(Protocol):
    """What both kinds can do. All of it may be called from any thread."""

    quality: Quality
    enter: list[str]
    """What a command begins with so that it runs at the gateway's end."""

    def listener(self, port: int) -> str:
        """Return lines for mosquitto.conf, so that it listens to this link at `port`."""
        ...

    def address(self, broker_port: int) -> tuple[str, int]:
        """Return host and port where the gateway finds the broker that listens on these ports.

        `broker_port` is the one on the loopback of the cloud, which is this machine.
        """
        ...

    def silence(self, *directions: Direction) -> None:
        """Swallow everything, without a word; both directions if none is named."""
        ...

    def heal(self) -> None:
        """Let everything through again, as good as it ever was."""
        ...

    def reset(self) -> None:
        """End all connections that are open now, at both ends, at the latest when they speak."""
        ...


def can_tun() -> bool:
    """Whether a network of one's own is to be had here."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists() and shutil.which("ip") is not None


def open_link(seed: int, *, tun: bool | None = None) -> AbstractContextManager[Link]:
    """Open the better kind of link that can be had here, or the one that is asked for."""
    if can_tun() if tun is None else tun:
        from tests.simulation.link_tun import tun_link  # noqa: PLC0415  # Linux only

        return tun_link(seed)
    from tests.simulation.link_proxy import proxy_link  # noqa: PLC0415

    return proxy_link(seed)
