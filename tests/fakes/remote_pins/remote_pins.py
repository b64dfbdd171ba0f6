"""GPIO pins of one process that another process drives, so that a daemon can be tested whole.

gpiozero finds the factory by its entry point, as it finds that of a real pin library: with this
folder on PYTHONPATH, and GPIOZERO_PIN_FACTORY=remote. The program under test holds no code for it.

On the socket, one line each way:

    17 1    the world drives pin 17 high     ok
    17?     which level has pin 17?          0 or 1
    else, or a pin that nobody opened        not yet: why
"""

import os
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from gpiozero.pins.mock import MockFactory, MockPin

SOCKET_VARIABLE = "REMOTE_PINS_SOCKET"
"""Names the unix socket on which the factory listens."""

PAUSE_S = 0.01
"""Between two attempts to reach a process that is still starting."""


def environment(socket_path: Path, *python_path: Path) -> dict[str, str]:
    """Return the environment variables that the process under test needs in addition.

    python_path: other folders that it has to find modules in.
    """
    folders = [Path(__file__).parent, *python_path]
    return {
        "GPIOZERO_PIN_FACTORY": "remote",
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        SOCKET_VARIABLE: str(socket_path),
    }


def drive(socket_path: Path, pin: int, level: int, *, timeout_s: float = 5.0) -> None:
    """Drive an input pin, once the other process watches it; raises TimeoutError."""
    _until(socket_path, f"{pin} {level}", "ok", timeout_s)


def wait_for_level(socket_path: Path, pin: int, level: int, *, timeout_s: float = 5.0) -> None:
    """Wait until an output pin has this level; raises TimeoutError."""
    _until(socket_path, f"{pin}?", str(level), timeout_s)


def _until(socket_path: Path, request: str, wanted: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while (answer := _ask(socket_path, request)) != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{request!r} on {socket_path}: {answer!r} instead of {wanted!r}")
        time.sleep(PAUSE_S)


def _ask(socket_path: Path, request: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(socket_path))
            client.sendall(f"{request}\n".encode())
            return client.makefile().readline().strip()
        except (FileNotFoundError, ConnectionError) as error:
            return f"not yet: {error}"


class RemotePinFactory(MockFactory):
    """gpiozero's pins without hardware, with a thread that listens for what drives them.

    As with lgpio, edges are therefore told in another thread than that of the program.
    """

    def __init__(self) -> None:
        super().__init__()
        path = os.environ[SOCKET_VARIABLE]
        Path(path).unlink(missing_ok=True)
        self._server = socketserver.UnixStreamServer(path, _Answering)
        self._server.pins = self.pins
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        super().close()


class _Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = self.rfile.readline().decode().strip()
        self.wfile.write(f"{_answer(request, tuple(self.server.pins.values()))}\n".encode())


def _answer(request: str, pins: Iterable[MockPin]) -> str:
    found = re.fullmatch(r"(\d+)(\?| [01])", request)
    if not found:
        return f"not yet: {request!r} is neither '17 1' nor '17?'"
    pin = next((pin for pin in pins if pin.info.name == f"GPIO{found[1]}"), None)
    if found[2] == "?":
        return "not yet: not opened" if pin is None else str(int(pin.state))
    if pin is None or pin.when_changed is None:
        return "not yet: not watched"
    (pin.drive_high if found[2] == " 1" else pin.drive_low)()
    return "ok"
