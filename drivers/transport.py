"""What every file in drivers/transports/ offers to the daemon."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Protocol, TypeAlias

from drivers.frame import Frame


class TransportState(StrEnum):
    """How a transport is doing. "Silent" and "broken" are kept apart on purpose."""

    STARTING = auto()
    HEARING = auto()
    """It works, and something was heard lately."""
    SILENT = auto()
    """It seems to work, but nothing is heard."""
    BROKEN = auto()
    """It does not work; repair is being tried."""


@dataclass(frozen=True, slots=True)
class TransportReport:
    """A change in how a transport is doing."""

    state: TransportState
    message: str = ""
    """What was tried, on what, what went wrong, and what to do next. Empty when all is well."""


Emit: TypeAlias = Callable[[Frame], None]
"""Takes a frame at once, never blocks, never raises; call it from the event loop's thread."""

Report: TypeAlias = Callable[[TransportReport], None]


class Transport(Protocol):
    """One radio, one port or the pins."""

    @property
    def name(self) -> str:
        """For people and logs: "ble", "modbus /dev/serial/by-id/…"."""
        ...

    async def run(self, emit: Emit, report: Report) -> None:
        """Hear until cancelled. Repairs what it can itself, and raises only for what it cannot."""
        ...
