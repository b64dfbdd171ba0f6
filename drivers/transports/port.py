"""Finds, opens and reopens a serial port, and says in plain words why that did not work.

A USB adapter gets another number after replugging, so the name in gateway.toml is looked up afresh
at every opening. serial.py and modbus.py differ in what they do with an open port; how they come by
one, and what happens when it is pulled out, is here.
"""

import asyncio
import errno
import glob
import os
import termios
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Never

import serial
from serial.tools import list_ports

from drivers.device import Bus
from drivers.transport import Report, TransportReport, TransportState

BY_ID = Path("/dev/serial/by-id")
"""Where udev keeps a name for each USB adapter that survives replugging."""

FIRST_RETRY_S = 0.5
"""udev needs this long after replugging until the name is back."""

SLOWEST_RETRY_S = 10.0
"""A port that is missing or failing is never looked for less often than this."""

PORT_FAULTS = (OSError, termios.error)
"""All that an unplugged port raises: serial.SerialException is an OSError, termios.error is not."""

_ADVICE: Mapping[object, str] = {
    errno.EACCES: "This user may not open it: put the user into the group dialout.",
    errno.EAGAIN: "Another program has it open: stop that program.",
    errno.EBUSY: "Another program has it open: stop that program.",
    errno.ENODEV: "The adapter is gone: plug it in again.",
    errno.ENXIO: "There is no hardware behind this name: correct `port` in gateway.toml.",
    errno.EIO: "The adapter does not work: plug it in again.",
}


class PortError(Exception):
    """The port cannot be had just now. Its text says what was tried, on what, and what to do."""


def find_port(name: str) -> str:
    """Return the path of the one port that `name` stands for, in which `*` stands for anything.

    Raises PortError unless there is exactly one.
    """
    pattern = "*".join(glob.escape(part) for part in name.split("*"))
    paths = glob.glob(pattern)  # noqa: PTH207  # to Path.glob, "**" is more than "*"
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise PortError(
            f"There is no serial port {name}. There are now: {_ports_now()}. "
            "Plug the adapter in, or correct `port` in gateway.toml."
        )
    raise PortError(
        f"{name} fits {len(paths)} serial ports: {', '.join(sorted(paths))}. "
        "Write more of the name in gateway.toml, so that it fits one only."
    )


def _ports_now() -> str:
    """List the ports of this machine, each by its lasting name where it has one."""
    links = sorted(BY_ID.glob("*"))
    linked = {str(link.resolve()) for link in links}
    others = sorted(port.device for port in list_ports.comports() if port.device not in linked)
    return ", ".join([*map(str, links), *others]) or "none at all"


def open_port(bus: Bus) -> Any:  # serial.Serial, which has no type information
    """Return the port of this bus, opened for this program alone and never blocking.

    Raises PortError.
    """
    path = find_port(bus.port)
    try:
        return serial.Serial(
            path, bus.baud, parity=bus.parity, stopbits=bus.stop_bits, timeout=0, exclusive=True
        )
    except (*PORT_FAULTS, ValueError) as error:
        raise port_error("open", path, error) from error


def port_error(verb: str, path: str, error: Exception) -> PortError:
    """Put into words that we could not open, read or set this port."""
    number = error.args[0] if error.args else None
    reason = os.strerror(number) if isinstance(number, int) else error
    advice = _ADVICE.get(number, "Plug the adapter in again, and check `port` and `baud`.")
    return PortError(f"Could not {verb} the serial port {path}: {reason}. {advice}")


async def keep_open(
    hear: Callable[[], Awaitable[None]],
    report: Report,
    *,
    first_retry_s: float = FIRST_RETRY_S,
    slowest_retry_s: float = SLOWEST_RETRY_S,
) -> Never:
    """Call `hear`, which opens the port and raises PortError when it is lost, again and again.

    The pause between two attempts starts with first_retry_s and doubles up to slowest_retry_s. It
    starts anew once the port has stayed open for longer than the longest pause.
    """
    clock = asyncio.get_running_loop().time
    pause_s = first_retry_s
    while True:
        began = clock()
        try:
            await hear()
        except PortError as error:
            report(TransportReport(TransportState.BROKEN, str(error)))
        if clock() - began > slowest_retry_s:
            pause_s = first_retry_s
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, slowest_retry_s)
