"""A private D-Bus daemon, so that tests have a system bus that nobody else is on.

The real bus would need root, and would be shared with the real bluetoothd. Nothing outside the
daemon's own temporary folder changes: who wants to use this bus is given its address, and a process
takes it for the system bus when DBUS_SYSTEM_BUS_ADDRESS says so:

    with private_bus() as address:
        subprocess.Popen([...], env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address})

Needs the program dbus-daemon (Debian: the package of that name).
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class DbusDaemon:
    """One dbus-daemon; it can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        """Take a folder whose path is short: that of a socket has at most 107 bytes."""
        self.address = f"unix:path={folder / 'socket'}"
        self._config = folder / "bus.conf"
        self._config.write_text(_CONFIG.format(address=self.address), encoding="utf-8")
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the daemon, and return when it listens."""
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"dbus-daemon stopped with exit code {self._process.wait()}")

    def kill(self) -> None:
        """End the daemon as a crash would; without effect when it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


@contextmanager
def private_dbus_daemon() -> Iterator[DbusDaemon]:
    """Run a daemon of one's own; for tests that also kill it."""
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        daemon = DbusDaemon(Path(folder))
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.kill()


@contextmanager
def private_bus() -> Iterator[str]:
    """Run a daemon of one's own, and yield its address."""
    with private_dbus_daemon() as daemon:
        yield daemon.address
