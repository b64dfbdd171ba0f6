"""Appends, commits, reads: the journal as its users see it.

Constraints. What `append` took survives a kill of the daemon (tail.py); what `commit` took survives
a power cut, and a commit is there whole or not at all. Rule state travels in the commit of the
records it was made of. Numbers go on counting from boot to boot and are never given twice. The
files together stay within `max_bytes` (room.py), and every loss becomes a record.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Any, Final

from agent.journal.block import AT_ONCE, Block, Stamp, is_event
from agent.journal.cursor import Cursor
from agent.journal.files import Files, Loss, first_and_last
from agent.journal.manifest import Filed, Manifest, NewerVersion, Place, Settlement
from agent.journal.room import NO_NUMBERS, Thinned, next_to_thin, thin
from agent.journal.segment import sync_folder
from agent.journal.tail import Left
from agent.journal.waiting import COMMIT_BYTES, Waiting, fitting
from cloud_sync.spans import Spans
from cloud_sync.topics import Lane

SEGMENT_BYTES: Final = 1 << 20
"""A file is complete when it is this long."""

NEW_STAMP_US: Final = 100_000
"""So far may a clock that is right be moved before records get a new stamp, in microseconds."""

WRITE_TRIES: Final = 3
"""Each after making room, if there is too little."""

NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

log = logging.getLogger(__name__)


class NotOurJournal(Exception):
    """The folder is something else, somebody else's, or newer than this program: leave it alone."""


class JournalFull(Exception):
    """Nothing was written: the disk is full, or the card fails. Try again later."""


class Journal:
    """Open it once, at the start: each opening is a new boot.

    `commit` may run in another thread than everything else, one at a time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        tail: Path | None = None,
        kernel: str = "",
        segment_bytes: int = SEGMENT_BYTES,
        write_loss: Callable[[Loss], bytes] | None = None,
    ) -> None:
        """Open or create the journal. Raises NotOurJournal, or JournalFull if it cannot be written.

        `kernel` names the start of the machine; `write_loss` makes a record of a loss.
        """
        self.folder, self.max_bytes = folder, max_bytes
        self.lost = 0
        """Readings given up since the start."""
        self._write_loss, self._kernel = write_loss, kernel
        self.stamp = Stamp(kernel, 0, settled=not kernel)
        """What is known about the times of the records that come now."""
        self._waiting = Waiting(tail)
        self._cursors: dict[str, Cursor] = {}
        self._written_places: dict[str, Place] = {}
        self._notes: dict[str, list[Any]] = {}
        self._losses: list[Loss] = []
        """Not yet made into records."""
        self._losses_lock = Lock()
        self._plan: tuple[Filed, Thinned] | None = None
        """What makes room next, once its loss is a record on the card."""
        self._plan_after = 0
        """The number of that record, once it has one."""
        self._heal_after = 0
        """The number of the newest record of a loss; 0: there is none yet."""
        with ExitStack() as opened:
            try:
                _make_folder(folder)
                opened.callback(os.close, _locked(folder))
                self._files = Files(folder, segment_bytes=min(segment_bytes, max_bytes // 8))
                self._begin_boot()
            except OSError as problem:
                raise JournalFull(
                    f"the journal {folder} cannot be opened or written ({problem}): check that the "
                    "folder exists, who owns it, and that the disk has room"
                ) from problem
            except NewerVersion as problem:
                raise NotOurJournal(
                    f"{folder} was written by a newer Satomori (version {problem}): install that "
                    "version again, or move the folder away to begin a new journal"
                ) from problem
            self._opened = opened.pop_all()

    # ---- in

    def append(self, lines: Sequence[bytes], stamp: Stamp | None = None) -> None:
        """Take records: they have their numbers, and survive a kill from now on.

        `stamp`: what is known about their times, if they are not of now.
        """
        if lines:
            self._lose_lines("memory", self._waiting.append(lines, stamp or self.stamp))

    def set_stamp(self, stamp: Stamp) -> None:
        """Say what is known about the times of the records that come from now on."""
        # A clock that is right is moved a little all the time; nobody needs each of its offsets.
        is_same = stamp._replace(offset_us=self.stamp.offset_us) == self.stamp
        if (
            not stamp.settled
            or not is_same
            or abs(stamp.offset_us - self.stamp.offset_us) >= NEW_STAMP_US
        ):
            self.stamp = stamp

    def note(
        self, anchors: Sequence[tuple[str, int, int]], settlements: Sequence[Settlement] = ()
    ) -> None:
        """Keep, with the next commit, when a clock was right and how times are put right."""
        self._notes.setdefault("anchors", []).extend(anchors)
        self._notes.setdefault("settlements", []).extend(settlements)

    @property
    def waiting(self) -> int:
        """How many records wait to be committed."""
        return len(self._waiting)

    def lose(self, loss: Loss) -> None:
        """Let a loss become a record."""
        log.error("lost: %d readings (%s)", loss.readings, loss.reason)
        self.lost += loss.readings
        with self._losses_lock:
            self._losses.append(loss)

    def _lose_found(self) -> None:
        losses, self._files.losses = self._files.losses, []
        for loss in losses:
            self.lose(loss)

    def times_of(self, numbers: Spans) -> tuple[int, int]:
        """Return from when to when these records are, in microseconds since 1970; 0, 0 if gone."""
        lines = [
            line
            for first, last in numbers
            for block in self._files.blocks(first - 1, last)
            for number, line, _ in block.numbered()
            if first <= number <= last
        ]
        return first_and_last(lines)

    @property
    def wants_commit(self) -> bool:
        """Whether so much waits, or is to be said about losses, that it should not wait longer."""
        return self._waiting.bytes >= COMMIT_BYTES or bool(self._losses and self._write_loss)

    def take(self, states: Mapping[str, bytes] | None = None) -> Block | None:
        """Return the next commit, or None if there is nothing. `give_back` undoes it.

        Large amounts come in several: states and notes go with the one that leaves nothing waiting.
        """
        self._record_losses()
        notes = {key: value for key, value in self._notes.items() if value}
        if not self._waiting and not states and not notes:
            return None
        if states:
            notes["state_stamp"] = list(self.stamp)
        block = self._waiting.take(notes, states or {})
        if not self._waiting:
            self._notes = {}
        return block

    def give_back(self, block: Block) -> None:
        """Take back what `take` returned: it could not be committed."""
        for key in block.notes.keys() - {"state_stamp"}:
            self._notes[key] = [*block.notes[key], *self._notes.get(key, [])]
        self._lose_lines("memory", self._waiting.give_back(block))

    def commit(self, block: Block) -> None:
        """Write it all, and sync. Raises JournalFull, and then nothing has changed."""
        try:
            self._write_or_make_room(block)
        except OSError as problem:
            raise JournalFull(
                f"the journal {self.folder} could not be written ({problem}): see whether the disk "
                "is full or the card fails; until then records wait in memory"
            ) from problem
        self._waiting.renew_tail()
        try:
            self._heal()
            self._keep_within_budget()
        except OSError as problem:
            log.warning("the journal could not make room this time: %s", problem)

    # ---- out

    @property
    def manifest(self) -> Manifest:
        """What is known besides the records. Only for looking at."""
        return self._files.manifest

    @property
    def newest(self) -> int:
        """The number of the newest record that is on the card; 0 if there is none."""
        return self.manifest.next - 1

    @property
    def records(self) -> int:
        """How many records are in the journal, about: what was thinned is not subtracted."""
        return max(0, self.manifest.next - self._files.first)

    @property
    def used_bytes(self) -> int:
        """How much of the budget is used."""
        return self._files.used_bytes

    def cursor(self, name: str) -> Cursor:
        """Return the named reader; a new one starts at the oldest record."""
        if name not in self._cursors:
            self._cursors[name] = Cursor(name, self)
        return self._cursors[name]

    def state(self, name: str) -> bytes | None:
        """Return what the last commit with a state of this name wrote."""
        return self.manifest.states.get(name)

    @property
    def state_stamp(self) -> Stamp | None:
        """What was known about the time when the states were written; None if they never were."""
        return self.manifest.state_stamp

    def since_state(self) -> Iterator[tuple[Stamp, bytes]]:
        """Yield the records that the states know nothing of, oldest first."""
        state_at = self.manifest.state_at
        for block in self._files.blocks(state_at - 1, self.newest):
            for number, line, stamp in block.numbered():
                if number >= state_at:
                    yield stamp, line

    def lines(self, lane: Lane, after: int, through: int) -> Iterator[tuple[str, int, list[bytes]]]:
        """Yield (boot, number of the first, lines) of runs of records with consecutive numbers.

        Readings and losses whose time is not settled are left out.
        """
        for segment, head in self._files.heads(after, through, events=lane == "events"):
            if head.events == (0 if lane == "events" else head.records):
                continue
            if (block := self._files.block(segment, head)) is not None:
                for first, lines in _runs(self._offered(block, lane, after, through)):
                    yield head.boot, first, lines

    def missing(self, after: int) -> int:
        """Return the number up to which, from `after` on, there is nothing, whatever it was."""
        for segment, head in self._files.heads(after, self.newest):
            block = self._files.block(segment, head)
            has_gaps = head.records < head.last - head.first + 1
            numbers = block.numbers if block and has_gaps else Spans([(head.first, head.last)])
            return next(max(first - 1, after) for first, last in numbers if last > after)
        return max(after, self.newest)

    def close(self) -> None:
        """Keep the confirmations and let go of the files."""
        try:
            self._write(Block(self.boot, self.manifest.next, notes={"closed": True}))
        except OSError as problem:
            log.warning("confirmations since the last commit are not kept: %s", problem)
        self._waiting.close()
        self._files.close()
        self._opened.close()

    # ---- inside

    def _begin_boot(self) -> None:
        left, boots = self._waiting.left(), self.manifest.boots
        is_killed = left is not None and bool(boots) and left.boot == boots[-1].label
        if left and is_killed:
            self._keep(left)
        elif not self._files.was_closed:
            newest_us = max(
                (k.last_us + k.offset_us for k in self.manifest.kernels.values()), default=0
            )
            self.lose(Loss("power_cut", 0, newest_us, newest_us))
        self._lose_found()
        self.is_machine_restarted = bool(boots) and boots[-1].kernel != self._kernel
        """Whether the machine was off since the last boot."""
        self.boot = token_hex(4)
        opening = Block(self.boot, self.manifest.next, notes={"boot": self._kernel})
        self._files.write(opening, with_manifest=True)
        self._waiting.begin(self.boot, self.manifest.next)

    def _keep(self, left: Left) -> None:
        """Commit what a daemon that was killed had accepted, and had not committed."""
        if (gone := left.first - self.manifest.next) > 0:
            self.lose(Loss("damaged", gone, 0, 0))
        new = [numbered for numbered in left.numbered if numbered[0] >= self.manifest.next]
        while new:
            count = fitting([line for _, line, _ in new], COMMIT_BYTES)
            self._files.write(Block.of(left.boot, new[:count]))
            new = new[count:]

    def _write_or_make_room(self, block: Block) -> None:
        for _ in range(WRITE_TRIES - 1):
            try:
                self._write(block)
            except OSError as problem:
                log.warning("the journal %s: %s", self.folder, problem)
                if problem.errno in NO_ROOM:
                    self._forget_confirmed()
            else:
                return
        self._write(block)

    def _write(self, block: Block) -> None:
        places = {cursor.name: cursor.place for cursor in self._cursors.values()}
        news = {k: place for k, place in places.items() if self._written_places.get(k) != place}
        notes = {**block.notes, **({"cursors": news} if news else {})}
        self._files.write(replace(block, notes=notes))
        self._written_places |= news

    def _offered(
        self, block: Block, lane: Lane, after: int, through: int
    ) -> Iterator[tuple[int, bytes]]:
        for number, line, stamp in block.numbered():
            if not after < number <= through or is_event(line) != (lane == "events"):
                continue
            if stamp.settled or line.startswith(AT_ONCE):
                yield number, line
            elif (settlement := self.manifest.settlement_of(number)) is not None:
                yield number, settlement.settled(line)

    def _record_losses(self) -> None:
        with self._losses_lock:
            losses, self._losses = self._losses, []
        if losses and self._write_loss:
            self._waiting.append([self._write_loss(loss) for loss in losses], self.stamp)
            self._plan_after = self._heal_after = self._waiting.newest

    def _lose_lines(self, reason: str, lines: Sequence[bytes]) -> None:
        if lines:
            self.lose(Loss(reason, len(lines), *first_and_last(lines)))

    # ---- room

    def _heal(self) -> None:
        """Leave out of files what cannot be read, once its loss is a record on the card."""
        if self._files.examined and (not self._write_loss or self.newest >= self._heal_after > 0):
            self._files.heal()
            self._heal_after = 0
        if self._files.examine():
            self._heal_after = 0
            self._lose_found()

    def _keep_within_budget(self) -> None:
        """Make room, the least precious first."""
        if self._plan and self._plan_after and self.newest >= self._plan_after:
            file, thinned = self._plan
            self._plan = None
            if file in self.manifest.filed:
                self._carry_out(file, thinned)
        while self.used_bytes > self.max_bytes and self._forget_confirmed():
            pass
        if self.used_bytes > self.max_bytes and self._plan is None:
            self._make_plan()

    def _forget_confirmed(self) -> bool:
        """Delete the oldest file if every cursor is past it."""
        # What a power cut would take back does not count yet.
        places = [self.manifest.cursors.get(name, Place()) for name in self._cursors]
        done = min((place.through for place in places), default=self.newest)
        file = next(iter(self.manifest.filed), None)
        if file is None or file.last > done:
            return False
        self._files.remove(file)
        return True

    def _make_plan(self) -> None:
        """Find what goes next, and let its loss become a record first."""
        file = next_to_thin(self.manifest.filed)
        if file is None:
            return
        blocks = self._files.blocks(file.first - 1, file.last)
        thinned = thin(blocks, file.level + 1)
        reason = "thinned" if file.level + 1 < NO_NUMBERS else "budget"
        self._plan_after = 0
        self._plan = file, thinned
        if thinned.gone and self._write_loss:
            self.lose(Loss(reason, thinned.gone, thinned.from_us, thinned.until_us))
        else:
            self._plan_after = self.newest

    def _carry_out(self, file: Filed, thinned: Thinned) -> None:
        if thinned.blocks:
            self._files.replace(file, thinned.blocks, file.level + 1)
        else:
            self._files.remove(file)


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotOurJournal(f"{folder} is a file: the journal is a folder of its own")
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
        # Or else a power cut soon after the first start takes the folder, and all that is in it.
        sync_folder(folder.parent)


def _locked(folder: Path) -> int:
    """Return a file descriptor that nobody else can have. Raises NotOurJournal."""
    lock = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        os.close(lock)
        raise NotOurJournal(
            f"the journal {folder} is in use: another `satomori run` works on it; stop that one, "
            "or give each its own journal"
        ) from problem
    return lock


def _runs(numbered: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    first, lines = 0, list[bytes]()
    for number, line in numbered:
        if lines and number != first + len(lines):
            yield first, lines
            lines = []
        if not lines:
            first = number
        lines.append(line)
    if lines:
        yield first, lines
