"""A serial port that can be pulled out and plugged in again: a pseudo-terminal behind a link.

To the kernel it is a terminal like that of a USB adapter. A program that has it open sees the same
errors when it is unplugged (measured against a real cdc-acm device), and finds another device
behind the same name when it is back, as with udev's names. Speed has no effect; use 8N1.
"""

import asyncio
import os
import tty
from pathlib import Path
from typing import Self


class PtyPort:
    """The far end of a cable; `path` is the near end, which the program under test opens.

    A program that opens a port throws away what came before: write when it says that it listens.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master: int | None = None
        self._slave: int | None = None
        self.plug()

    @property
    def path(self) -> str:
        return str(self.link)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.master is not None:
            self.unplug()

    def plug(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Make the port vanish under whoever has it open."""
        self.link.unlink()
        # A slave that stays open here would keep the line alive.
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = None

    def write(self, data: bytes) -> None:
        """Send to the program, all at once; the kernel takes 4 kB before somebody reads."""
        written = os.write(self.master, data)
        assert written == len(data)


class PtyCable:
    """Two ports, and what is written into one comes out of the other, while the loop runs.

    The near end can be unplugged; the far end stays, like the devices on a bus do.
    """

    def __init__(self, folder: Path) -> None:
        self.near = PtyPort(folder / "near")
        self.far = PtyPort(folder / "far")
        self._loop = asyncio.get_running_loop()
        self._connect()

    def close(self) -> None:
        if self.near.master is not None:
            self.unplug()
        self.far.unplug()

    def unplug(self) -> None:
        self._loop.remove_reader(self.near.master)
        self._loop.remove_reader(self.far.master)
        self.near.unplug()

    def plug(self) -> None:
        self.near.plug()
        self._connect()

    def _connect(self) -> None:
        self._loop.add_reader(self.near.master, self._carry, self.near, self.far)
        self._loop.add_reader(self.far.master, self._carry, self.far, self.near)

    @staticmethod
    def _carry(source: PtyPort, target: PtyPort) -> None:
        target.write(os.read(source.master, 4096))
