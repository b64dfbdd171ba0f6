"""Runs the `satomori` command on a machine whose clocks are made up.

    python -m tests.simulation.whole_path_daemon CLOCK run --config …

CLOCK is a JSON file that is read at each question: what the wall clock is ahead of the right time,
when the machine was started (on this machine's CLOCK_BOOTTIME), whether NTP keeps the clock right,
and the name of that start. So the simulation can set the clock under a running daemon, and can
start "the machine" again in 1970.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from agent import cli, clock


@dataclass(frozen=True)
class Clocks:
    """What the machine believes, and what its kernel knows."""

    boot_id: str
    started_boottime_s: float
    wall_ahead_s: float
    """Of the right time."""
    synchronised: bool

    @classmethod
    def of_a_start(cls, wall_s: float | None = None) -> "Clocks":
        """Return those of a machine that starts now, with that wall clock; None: the right one."""
        system = clock.System()
        ahead_s = 0.0 if wall_s is None else wall_s - system.wall_s()
        return cls(str(uuid4()), system.boottime_s(), ahead_s, synchronised=False)

    def save(self, path: Path) -> None:
        """Let it count from now on."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


class MadeUpSystem(clock.System):
    """The machine's clocks, through the file."""

    def wall_s(self) -> float:
        return super().wall_s() + self._clocks.wall_ahead_s

    def boottime_s(self) -> float:
        return super().boottime_s() - self._clocks.started_boottime_s

    def synchronised(self) -> bool:
        return self._clocks.synchronised

    def boot_id(self) -> str:
        return self._clocks.boot_id

    @property
    def _clocks(self) -> Clocks:
        return Clocks(**json.loads(CLOCK.read_text()))


if __name__ == "__main__":
    CLOCK = Path(sys.argv[1])
    clock.System = MadeUpSystem  # type: ignore[misc]
    sys.exit(cli.main(sys.argv[2:]))
