"""The page's port: open from the start, while the page itself is loaded when somebody first looks.

Starlette, uvicorn and Jinja2 are 7 MB of memory that a gateway does without as long as nobody
comes, which in most homes is nearly always.
"""

import asyncio
import errno
import socket

MAX_WAITING = 32
"""Connections that the kernel holds until we take them."""

_WHAT_NEXT = {
    errno.EADDRINUSE: "Something else has this port: `ss -ltnp` names it",
    errno.EADDRNOTAVAIL: "This machine has no such address just now: `ip address` lists them",
    errno.EACCES: "Ports below 1024 are for root: take a higher one",
}


class CannotListen(OSError):
    """The page cannot be served there: change its address in gateway.toml, or free the port."""


def listener(listen: str, port: int) -> socket.socket:
    """Return a socket that listens on this address. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    try:
        opened = socket.create_server((listen, port), family=family, backlog=MAX_WAITING)
    except OSError as problem:
        what_next = _WHAT_NEXT.get(problem.errno or 0, "")
        raise CannotListen(f"no page on {listen} port {port}: {problem}. {what_next}") from problem
    # Accepted connections inherit these: a phone that walked away is noticed within a minute.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    opened.setblocking(False)
    return opened


async def somebody_knocks(listening: socket.socket) -> None:
    """Return when a connection waits to be taken."""
    loop = asyncio.get_running_loop()
    knocked = asyncio.Event()
    loop.add_reader(listening, knocked.set)
    try:
        await knocked.wait()
    finally:
        loop.remove_reader(listening)
