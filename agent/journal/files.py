"""The journal's folder: which files there are, and how all is understood again at a start.

Only the newest file is written to. The manifest in it says what the others hold, so that a start
reads one file, however many there are. What is damaged is copied into a folder of its own for the
engineer, reported as a loss, and in nobody's way.
"""

import errno
import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final

from agent.journal.block import BadBlock, Block, Head, count_events, time_us
from agent.journal.manifest import Filed, Manifest
from agent.journal.segment import (
    SUFFIX,
    UNFINISHED,
    Segment,
    first_of,
    segments_in,
    sync_folder,
    write_whole,
)

OPEN_FILES = 4
"""Old files that are kept open for reading: one for each reader that is behind, and some."""

NOT_NOW: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR}
"""It says nothing about the file."""

DAMAGED: Final = "damaged"
MAX_DAMAGED_BYTES = 10 << 20
"""What cannot be read is kept for the engineer in this folder, up to this much."""

NOBODY: Final = "00000000"
"""In the place of a boot, where there is none."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """Readings that are gone for good."""

    reason: str
    """ "power_cut", "budget", "thinned", "damaged", "memory" or "refused"."""
    readings: int
    """How many; 0 if nobody can know."""
    from_us: int
    """From when to when they were, in microseconds since 1970."""
    until_us: int


class Files:
    """One folder."""

    def __init__(self, folder: Path, *, segment_bytes: int, writable: bool = True) -> None:
        """Look at what is there. Raises OSError, or NewerVersion."""
        self.folder, self._segment_bytes, self._writable = folder, segment_bytes, writable
        self.manifest = Manifest()
        self.losses: list[Loss] = []
        """What was found to be damaged, for the journal to say."""
        self.was_closed = True
        """Whether the last daemon had ended as it should; True if there was none."""
        self._active: Segment | None = None
        self._is_broken = False
        """The newest file failed to take something: what is in it is not to be relied on."""
        self._old: OrderedDict[int, Segment] = OrderedDict()
        self._old_lock = Lock()
        self._last_read: tuple[Segment, Head, Block] | None = None
        self._sick: dict[int, Segment] = {}
        """Files with something in them that cannot be read."""
        self.examined: set[int] = set()
        """Those of them whose losses are told."""
        self._recover()

    @property
    def used_bytes(self) -> int:
        """How long all files are together."""
        active = self._active.size if self._active else 0
        return sum(file.bytes for file in self.manifest.filed) + active

    @property
    def first(self) -> int:
        """The number that the oldest file begins with."""
        return next(iter(self._firsts()), 1)

    def heads(
        self, after: int, through: int, *, events: bool = False
    ) -> Iterator[tuple[Segment, Head]]:
        """Yield the blocks with records above `after` and up to `through`, oldest first.

        With `events`, files without any are not looked into.
        """
        firsts = self._firsts()
        quiet = {file.first for file in self.manifest.filed if not file.events} if events else ()
        for first in firsts[max(0, bisect_right(firsts, after + 1) - 1) :]:
            if first > through or first in quiet or (segment := self._segment(first)) is None:
                continue
            at = bisect_right(segment.heads, after, key=lambda head: head.last)
            for head in segment.heads[at:]:
                if head.first > through:
                    return
                if head.records:
                    yield segment, head

    def block(self, segment: Segment, head: Head) -> Block | None:
        """Return what is in a block; None, and it is reported, if the card lost it meanwhile."""
        read = self._last_read
        if read and read[0] is segment and read[1] is head:
            return read[2]
        try:
            block = Block.decode(segment.read(head))
        except (OSError, BadBlock) as problem:
            log.warning("%s at byte %d: %s", segment.path, head.at, problem)
            self._sick[segment.first] = segment
            return None
        self._last_read = (segment, head, block)
        return block

    def blocks(self, after: int, through: int) -> Iterator[Block]:
        """Yield the blocks that can be read among `heads`."""
        for segment, head in self.heads(after, through):
            if (block := self.block(segment, head)) is not None:
                yield block

    def write(self, block: Block, *, with_manifest: bool = False) -> None:
        """Put it behind all others, and sync. Raises OSError; then it does not count."""
        data = block.encode()
        active = self._active
        if active is None or self._is_broken or active.end + len(data) > self._segment_bytes:
            self._begin_file(block, data)
        else:
            known = _manifest_block(self.manifest, block.boot, block.next)
            manifest = known.encode() if with_manifest else b""
            try:
                active.append(manifest + data)
            except OSError:
                # Whether it is on the card nobody knows: from here on another file is used.
                self._is_broken = True
                raise
        self.manifest.learn(block)

    def remove(self, file: Filed) -> None:
        """Delete one file. Raises OSError."""
        self._path(file.first).unlink(missing_ok=True)
        sync_folder(self.folder)
        self.manifest.filed = [f for f in self.manifest.filed if f.first != file.first]
        self.manifest.forget_before(self.first)
        self._forget_open(file.first)

    def replace(self, file: Filed, blocks: Sequence[Block], level: int) -> None:
        """Let a file hold these blocks instead. Raises OSError; then it is as it was."""
        known = self._known_behind(file)
        data = b"".join(block.encode() for block in (*blocks, *known))
        write_whole(self._path(file.first), data)
        events = sum(count_events(block.lines) for block in blocks)
        new = file._replace(bytes=len(data), level=level, events=events)
        self.manifest.filed = [new if f.first == file.first else f for f in self.manifest.filed]
        self._forget_open(file.first)

    def _known_behind(self, file: Filed) -> list[Block]:
        """Return the block with all that was known at the end of a file, if that can be known.

        It stands in for the notes of those that are replaced, should newer files be lost.
        """
        segment = self._segment(file.first)
        heads = segment.heads if segment else []
        blocks = [b for head in heads if segment and (b := self.block(segment, head)) is not None]
        begin = _newest_manifest(blocks)
        if begin is None:
            return []
        known = Manifest()
        for block in blocks[begin:]:
            known.learn(block)
        known.next = max(known.next, file.last + 1)
        return [_manifest_block(known, blocks[-1].boot, known.next)]

    def close(self) -> None:
        """Let go of the files. Each is closed when nobody reads from it any more."""
        self._active = self._last_read = None
        self._old.clear()
        self._sick.clear()
        self.examined.clear()

    def check(self) -> Iterator[tuple[Path, int, int]]:
        """Yield of every file: its path, how many blocks are sound, how many bytes are damaged."""
        for first in self._firsts():
            if (segment := self._segment(first)) is not None:
                damaged = sum(end - start for start, end in segment.damaged)
                yield segment.path, len(segment.heads), damaged

    # ---- the start

    def _recover(self) -> None:
        if self._writable:
            for unfinished in self.folder.glob(f"*{SUFFIX}{UNFINISHED}"):
                unfinished.unlink()
        paths = segments_in(self.folder)
        segments, blocks = self._understood(paths)
        for block in blocks:
            self.manifest.learn(block)
        self.was_closed = not blocks or bool(blocks[-1].notes.get("closed"))
        self._take_stock(paths, segments)
        if self._active and self._writable and self._active.clean_end():
            log.info("a commit was under way when the power went: it does not count")

    def _understood(self, paths: Sequence[Path]) -> tuple[list[Segment], list[Block]]:
        """Return the newest files, and what has to be learnt from them, both in order."""
        segments: list[Segment] = []
        blocks: list[Block] = []
        for path in reversed(paths):
            segment = Segment.open(path, writable=self._writable)
            if segment.damaged and not self._writable:
                # The daemon may have been writing just there; then it is whole by now.
                segment = Segment.open(path)
            if not segment.heads:
                self._give_up(segment)
                continue
            if segments:
                _forget_from(segment, segments[0].first)
            segments.insert(0, segment)
            found = [b for head in segment.heads if (b := self.block(segment, head)) is not None]
            begin = _newest_manifest(found)
            blocks = found[begin or 0 :] + blocks
            if begin is not None:
                break
        return segments, blocks

    def _give_up(self, segment: Segment) -> None:
        """Let go of a file in which nothing can be read."""
        log.error("nothing in %s can be read", segment.path)
        if self._writable:
            self._set_aside(segment, 0, segment.size)
            self.losses.append(Loss("damaged", 0, 0, 0))
            segment.path.unlink()

    def _take_stock(self, paths: Sequence[Path], segments: Sequence[Segment]) -> None:
        """Compare what the manifest says about the files with what is there."""
        looked_at = {segment.first: segment for segment in segments}
        told = {file.first: file for file in self.manifest.filed}
        filed: list[Filed] = []
        short: list[Segment] = []
        # Without the files that were given up; who only reads has not deleted them.
        newest = segments[-1].first if segments else 0
        paths = [path for path in paths if first_of(path) <= newest and path.exists()]
        for path, above in pairwise(paths):
            first = first_of(path)
            segment = looked_at.get(first)
            if segment is None and (first not in told or path.stat().st_size != told[first].bytes):
                # Nobody knows it, or it was thinned and then the power went, or it is damaged.
                segment = Segment.open(path)
                _forget_from(segment, first_of(above))
            filed.append(told[first] if segment is None else _filed(segment, told.get(first)))
            if segment is not None and _last_number(segment) < first_of(above) - 1:
                short.append(segment)
        self._miss(file for first, file in told.items() if first not in map(first_of, paths))
        self.manifest.filed = filed
        self._sick = {s.first: s for s in (*segments, *short) if s.damaged or s in short}
        self._active = segments[-1] if segments else None
        self.manifest.next = max([self.manifest.next, *(_last_number(s) + 1 for s in segments)])
        self.manifest.forget_before(self.first)
        if self._writable:
            self.examine()

    def _miss(self, files: Iterable[Filed]) -> None:
        """Report files that are not there though somebody still needs them."""
        done = min((place.through for place in self.manifest.cursors.values()), default=-1)
        for file in files:
            if -1 < done < file.last:
                log.error("%s is not there any more", self._path(file.first))
                self.losses.append(Loss("damaged", file.last - max(file.first - 1, done), 0, 0))

    def examine(self) -> bool:
        """Put into `losses` what cannot be read in files that were found to be damaged.

        Returns whether there were any that were not examined before.
        """
        new = {first: s for first, s in self._sick.items() if first not in self.examined}
        for first, segment in new.items():
            if segment.path.exists():
                self._examine(segment.path)
            self.examined.add(first)
        return bool(new)

    def heal(self) -> None:
        """Write the files that were examined anew, without what cannot be read. Raises OSError.

        Only once their losses are on the card: afterwards nothing shows them any more.
        """
        while self.examined:
            first = next(iter(self.examined))
            if self._path(first).exists():
                self._heal(self._path(first))
            self._sick.pop(first, None)
            self.examined.discard(first)

    def _examine(self, path: Path) -> None:
        found = Segment.open(path)
        if (above := self._above(found.first)) is not None:
            _forget_from(found, above)
        self._report(found, above)
        for head in found.heads:
            if not _is_sound(found, head):
                log.error("%s cannot be read at byte %d", path, head.at)
                self.losses.append(Loss("damaged", head.records, 0, 0))
                self._set_aside(found, head.at, head.at + head.size)

    def _heal(self, path: Path) -> None:
        found = Segment.open(path)
        told = {file.first: file for file in self.manifest.filed}
        if (above := self._above(found.first)) is not None:
            _forget_from(found, above)
        sound = [head for head in found.heads if _is_sound(found, head)]
        data = b"".join(found.read(head) for head in sound)
        # An empty block says how far it went, so that what is missing is reported only once.
        boot = found.heads[-1].boot if found.heads else NOBODY
        end = Block(boot, above).encode() if above else b""
        write_whole(path, data + end)
        self._forget_open(found.first)
        if self._active and self._active.first == found.first:
            self._active = Segment.open(path, writable=True)
        if found.first in told:
            told[found.first] = _filed(Segment.open(path), told[found.first])
            self.manifest.filed = [told[first] for first in sorted(told)]

    def _report(self, segment: Segment, above: int | None) -> None:
        """Say, and keep for the engineer, what cannot be read."""
        if above and (missing := above - 1 - _last_number(segment)) > 0:
            self.losses.append(Loss("damaged", missing, 0, 0))
            log.error("%s is damaged from byte %d on", segment.path, segment.end)
            self._set_aside(segment, segment.end, segment.size)
        for start, end in segment.damaged:
            before = [head for head in segment.heads if head.at < start]
            behind = next(head for head in segment.heads if head.at >= end)
            known = before[-1].last if before else segment.first - 1
            near = self.block(segment, behind)
            at_us = time_us(near.lines[0]) if near and near.lines else 0
            self.losses.append(Loss("damaged", max(0, behind.first - 1 - known), at_us, at_us))
            log.error("%s is damaged from byte %d to %d", segment.path, start, end)
            self._set_aside(segment, start, end)

    def _set_aside(self, segment: Segment, start: int, end: int) -> None:
        folder = self.folder / DAMAGED
        path = folder / f"{segment.path.stem}-{start}.bytes"
        try:
            folder.mkdir(exist_ok=True)
            used = sum(file.stat().st_size for file in folder.iterdir())
            if not path.exists() and used + end - start <= MAX_DAMAGED_BYTES:
                path.write_bytes(segment.read_span(start, end))
        except OSError as problem:
            log.warning("what is damaged cannot be set aside in %s: %s", folder, problem)

    # ---- files

    def _begin_file(self, block: Block, data: bytes) -> None:
        before, filed = self._active, list(self.manifest.filed)
        if before and before.heads and before.first != block.next:
            self.manifest.filed.append(_filed(before, None)._replace(bytes=before.end))
        try:
            manifest = _manifest_block(self.manifest, block.boot, block.next).encode()
            self._active = Segment.create(self.folder, block.next, manifest + data)
        except OSError:
            self.manifest.filed = filed
            raise
        self._is_broken = False
        if before and before.first != block.next:
            try:
                before.cut()
            except OSError as problem:
                log.warning("%s keeps room that it does not need: %s", before.path, problem)

    def _firsts(self) -> list[int]:
        firsts = [file.first for file in self.manifest.filed]
        # While the next file is begun, the one before it is both for a moment.
        if self._active and self._active.first not in firsts[-1:]:
            firsts.append(self._active.first)
        return firsts

    def _above(self, first: int) -> int | None:
        """Return the number that the next file begins with."""
        return next((number for number in self._firsts() if number > first), None)

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}{SUFFIX}"

    def _segment(self, first: int) -> Segment | None:
        active = self._active
        if active and active.first == first:
            return active
        with self._old_lock:
            if first in self._old:
                self._old.move_to_end(first)
                return self._old[first]
            try:
                segment = Segment.open(self._path(first))
            except OSError as problem:
                if problem.errno in NOT_NOW:
                    raise  # what is there must not be taken for missing
                log.debug("%s cannot be read: %s", self._path(first), problem)
                return None
            if (above := self._above(first)) is not None:
                _forget_from(segment, above)
            told = next((file for file in self.manifest.filed if file.first == first), None)
            if segment.damaged or (told and _is_short(segment, told)):
                self._sick[first] = segment
            self._old[first] = segment
            if len(self._old) > OPEN_FILES:
                self._old.popitem(last=False)
            return segment

    def _forget_open(self, first: int) -> None:
        with self._old_lock:
            self._old.pop(first, None)


def _forget_from(segment: Segment, number: int) -> None:
    """Drop blocks that stand in the next file too: a commit that failed here was made again."""
    segment.heads[:] = [h for h in segment.heads if h.last < number]


def _is_sound(segment: Segment, head: Head) -> bool:
    """Whether a block whose CRC fits can be read, too; if not, no later start will try."""
    try:
        Block.decode(segment.read(head))
    except (OSError, BadBlock):
        return False
    return True


def _filed(segment: Segment, told: Filed | None) -> Filed:
    events = sum(head.events for head in segment.heads)
    level = told.level if told else 0
    return Filed(segment.first, _last_number(segment), events, segment.size, level)


def _last_number(segment: Segment) -> int:
    return max((head.last for head in segment.heads), default=segment.first - 1)


def _is_short(segment: Segment, told: Filed) -> bool:
    """Whether its last blocks are damaged: nothing behind them would show it."""
    return _last_number(segment) < told.last


def _manifest_block(known: Manifest, boot: str, following: int) -> Block:
    notes = {
        "manifest": known.dump(),
        "state_at": known.state_at,
        "state_stamp": known.state_stamp,
    }
    return Block(boot, following, notes=notes, states=known.states)


def _newest_manifest(blocks: Sequence[Block]) -> int | None:
    """Return which of the blocks is the last with a manifest."""
    return next((n for n in reversed(range(len(blocks))) if "manifest" in blocks[n].notes), None)


def first_and_last(lines: Iterable[bytes]) -> tuple[int, int]:
    """Return the times of the first and the last of these records, in µs since 1970; or 0, 0."""
    times_us = [time_us(line) for line in lines]
    return min(times_us, default=0), max(times_us, default=0)
