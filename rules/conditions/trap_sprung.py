"""A trap for boar or deer has sprung: told once, with whether something is in it (or 空はじき).

Who has to walk an hour for it, and may not go alone to a living boar, wants to know which. With a
motion sensor at the trap it is told as soon as that sees something move when what only ran away is
gone, or after `watch_for` that it saw nothing; if it moves after that, it is told again. Without
one, or for a trap that springs while another lies sprung, it is told at once.

That nothing is in it is never said on the word of a sensor that may be dead: one that was not heard
for a day leaves it open. Traps have to be visited anyway.

A trap says it by a sensor of its own, or by a magnetic contact whose magnet the wire pulls away:
open is sprung. A rule with a motion sensor is for one trap; without one it may be for several.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory, SensorName
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time, load_time_if_any

SPRUNG: Final = frozenset({Quantity.TRAP_SPRUNG, Quantity.CONTACT_OPEN})

GONE: Final = timedelta(minutes=2)
"""So soon after it sprung it moves anyway: the trap itself, and what got away. A motion sensor goes
on to say "moves" for about a minute after that."""

ALIVE: Final = timedelta(days=1)
"""A motion sensor that was heard within that time is taken to work. Wired ones speak at changes
only, but outdoors something moves each day."""


@dataclass(frozen=True)
class TrapSprung:
    """Breached when a trap has sprung, until all are set again."""

    watches: ClassVar[frozenset[Quantity]] = SPRUNG | {Quantity.MOTION_DETECTED}
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (SPRUNG,)

    motion: tuple[SensorName, ...] = ()
    """Those of the rule's sensors that see what moves in the trap."""

    watch_for: timedelta = timedelta(minutes=10)
    """How long after it sprung it is watched for what moves in it, 5 minutes to 2 hours."""

    def __post_init__(self) -> None:
        if not timedelta(minutes=5) <= self.watch_for <= timedelta(hours=2):
            raise ValueError(f"watch_for {self.watch_for} is not from 5 min to 2 h")

    def remember(self, dumped: Any = None) -> Memory:
        """Return which traps have sprung."""
        return _Traps(self, dumped)


class _Traps(Memory):
    """Those that have sprung, and what was seen after the first. Woken when it was watched enough.

    Bounded by the rule's sensors.
    """

    __slots__ = ("_caught", "_motion", "_settings", "_since", "due")

    def __init__(self, settings: TrapSprung, dumped: Any) -> None:
        since, caught, motion, due = ({}, None, {}, None) if dumped is None else dumped
        self._settings = settings
        self._since = {str(sensor): load_time(at) for sensor, at in dict(since).items()}
        """By the trap."""
        self._caught = None if caught is None else bool(caught)
        """None: not known."""
        self._motion = {
            str(sensor): (load_time(at), bool(moves))
            for sensor, (at, moves) in dict(motion).items()
            if sensor in settings.motion
        }
        """By the motion sensor: its last word."""
        self.due: datetime | None = load_time_if_any(due)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Tell a trap from what moves in it."""
        # One sensor may be both: a contact that also sees what moves in front of it.
        if reading.quantity in SPRUNG:
            return self._spring(reading) if reading.value else self._set(reading)
        return self._move(reading) if reading.sensor in self._settings.motion else Verdict.UNDECIDED

    def _move(self, reading: Reading) -> Verdict:
        _, moved = self._motion.get(reading.sensor, (None, False))
        moves = bool(reading.value)
        self._motion[reading.sensor] = (reading.at, moves)
        # Of two traps nobody knows in which of them it moves.
        if len(self._since) != 1 or self._caught or not (moves or moved):
            return Verdict.UNDECIDED
        (since,) = self._since.values()
        return self._tell(caught=True) if reading.at - since >= GONE else Verdict.UNDECIDED

    def _spring(self, reading: Reading) -> Verdict:
        if reading.sensor in self._since:
            return Verdict.UNDECIDED
        is_first = not self._since
        self._since[reading.sensor] = reading.at
        if not is_first or not self._settings.motion:
            return self._tell(caught=None)
        self._caught, self.due = None, reading.at + self._settings.watch_for
        # It is told later: nothing fires yet, and the alert is about this trap.
        return Verdict.CLEAR

    def _set(self, reading: Reading) -> Verdict:
        self._since.pop(reading.sensor, None)
        if self._since:
            return Verdict.UNDECIDED
        self.due = self._caught = None
        return Verdict.CLEAR

    def _tell(self, *, caught: bool | None) -> Verdict:
        self.due, self._caught = None, caught
        return Verdict.REPEATED

    def advance(self, at: datetime) -> Verdict:
        """Say that it has sprung, and whether it still moves, if somebody can know."""
        recent = [moves for heard, moves in self._motion.values() if at - heard <= ALIVE]
        is_known = any(recent) or len(recent) == len(self._settings.motion)
        return self._tell(caught=any(recent) if is_known else None)

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Watch for as long as was left: what moved meanwhile was not seen."""
        if since is not None:
            self._motion.clear()
            self.due = None if self.due is None else self.due + (at - since)

    def evidence(self, at: datetime) -> Evidence:
        """Return since when, how many, and whether something is in it (1) or not (0)."""
        found: dict[str, float] = {"sprung_traps": len(self._since)}
        if self._since:
            found["sprung_s"] = (at - max(self._since.values())).total_seconds()
        if self._caught is not None:
            found["caught"] = float(self._caught)
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._since = {sensor: at + by for sensor, at in self._since.items()}
        self._motion = {sensor: (at + by, moves) for sensor, (at, moves) in self._motion.items()}
        self.due = None if self.due is None else self.due + by

    def dump(self) -> Any:
        """Return it as plain data."""
        since = {sensor: at.isoformat() for sensor, at in self._since.items()}
        motion = {sensor: [at.isoformat(), moves] for sensor, (at, moves) in self._motion.items()}
        return [since, self._caught, motion, dump_time(self.due)]
