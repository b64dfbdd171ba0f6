"""How the transports are doing, and what systemd is told about the daemon as a whole."""

import logging
import os
import socket
from collections.abc import Callable, Iterable
from datetime import datetime

from agent.status import TransportStatus
from drivers.transport import Report, TransportReport, TransportState

NOTIFY_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)


class Health:
    """The last report of each transport."""

    def __init__(self, transports: Iterable[str], now: Callable[[], datetime]) -> None:
        self._now = now
        starting = TransportState.STARTING
        self._transports = {name: TransportStatus(name, starting, "", now()) for name in transports}

    @property
    def transports(self) -> tuple[TransportStatus, ...]:
        return tuple(self._transports.values())

    def reporter(self, name: str) -> Report:
        """Return what the transport of this name reports to."""

        def report(reported: TransportReport) -> None:
            before = self._transports[name]
            if (before.state, before.message) == (reported.state, reported.message):
                return
            broken = reported.state is TransportState.BROKEN
            log.log(
                logging.WARNING if broken else logging.INFO,
                "%s is %s%s",
                name,
                reported.state,
                f": {reported.message}" if reported.message else "",
            )
            since = before.since if before.state is reported.state else self._now()
            self._transports[name] = TransportStatus(name, reported.state, reported.message, since)

        return report


def notify_systemd(message: str) -> None:
    """Tell the service manager, if there is one: "READY=1", "WATCHDOG=1", "STOPPING=1".

    One that does not listen is none of our faults: if it waits for the message, it acts by itself.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(NOTIFY_TIMEOUT_S)
        try:
            # A leading @ is an address in the abstract name space.
            channel.connect(f"\0{address[1:]}" if address[0] == "@" else address)
            channel.sendall(message.encode())
        except OSError as problem:
            log.debug("nobody takes %s at %s: %s", message, address, problem)
