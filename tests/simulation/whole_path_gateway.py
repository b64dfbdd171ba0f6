"""The gateway of the whole-path simulation: its daemon, as systemd runs it, and its card."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

from tests.fakes.site import ROOT, Process
from tests.simulation.link_lab import can_tun

CARD_BYTES = 12_000_000
RESTART_S = 1.0
"""systemd waits for 5 s before it starts a daemon again that gave up."""

LOOK_S = 0.1


class Gateway(Process):
    """`satomori run` at the gateway's end of the link; started again when it ends by itself."""

    def __init__(
        self, folder: Path, config: Path, enter: list[str], bus: str, note: Callable[[str], None]
    ) -> None:
        """`note` is told when the daemon gives up by itself."""
        self._memory = folder / "run"
        self._memory.mkdir()
        self.clock = folder / "clock.json"
        """See whole_path_daemon.py."""
        env = {"DBUS_SYSTEM_BUS_ADDRESS": bus, "RUNTIME_DIRECTORY": str(self._memory)}
        super().__init__(folder, "run", "--config", str(config), env=env)
        program = [sys.executable, "-m", "tests.simulation.whole_path_daemon", str(self.clock)]
        self._command, self._note = [*enter, *program], note
        self._ending = Event()
        self._watch: Thread | None = None

    def start(self) -> None:
        self._launch()
        self._ending.clear()
        self._watch = Thread(target=self._keep_running, name="systemd")
        self._watch.start()

    def kill(self) -> None:
        """kill -9: what it keeps in memory for its next start is still there."""
        self._leave_alone()
        super().kill()

    def cut_power(self) -> None:
        """Kill it, and let its memory be gone. (What was not synced is tested elsewhere.)"""
        self.kill()
        shutil.rmtree(self._memory)
        self._memory.mkdir()

    def stop(self) -> int:
        self._leave_alone()
        return super().stop()

    def _launch(self) -> None:
        with (self._folder / "run.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *self._words], stdout=log, stderr=log, cwd=ROOT, env=self._env
            )

    def _keep_running(self) -> None:
        while not self._ending.wait(LOOK_S):
            if self._process.poll() is not None:
                self._note(f"gateway: gave up with exit code {self._process.returncode}")
                if self._ending.wait(RESTART_S):
                    return
                self._launch()

    def _leave_alone(self) -> None:
        self._ending.set()
        if self._watch is not None:
            self._watch.join()


@contextlib.contextmanager
def card(folder: Path) -> Iterator[bool]:
    """Give the journal a small file system of its own; False where that cannot be had."""
    folder.mkdir()
    if not can_tun():
        yield False
        return
    options = f"size={CARD_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield True
    finally:
        # Lazily: a process that was killed a moment ago may still be on its way out.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Callable[[], None]:
    """Leave no byte free, and return what gives all of it back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65_536, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    os.sync()
    return filler.unlink
