"""Cuts the power under a working journal, again and again, and looks whether it kept its promises.

A life of a gateway: a workload on the journal, on ext4, on a disk that records every write and
flush; kills of the process on the way. Then the power is cut at many instants of it, with all kinds
of fates for what was not flushed; each time the disk is mounted, the journal opened and looked
through. With one of these disks the life goes on, so that cuts during a recovery come, too.

Run as `python -m tests.simulation.power_cuts [--cuts 1000] [--seed N]`, as root. Where the machine
does not let us, it says why and ends with 77.
"""

import argparse
import gc
import logging
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random
from traceback import format_exception
from typing import NamedTuple

from tests.simulation.disk_device import (
    ROOM,
    CannotSimulate,
    blank_disk,
    check_machine,
    die_with_parent,
    mounted,
    private_mounts,
    write_back,
)
from tests.simulation.disk_recorder import Entry, Recording, check_fuse
from tests.simulation.power_check import Examination, check, check_rotten
from tests.simulation.power_cut import FATES, CutDisk, Fate
from tests.simulation.power_promises import Broken, Diary, Promises, Said
from tests.simulation.power_work import Workload, in_process

SKIPPED = 77
"""How the program ends where nothing can be simulated."""

DISK_BYTES = 24 << 20
GENERATIONS = 3
"""How often in a life the power really goes, and the next work begins with what is left."""
CUTS = 20
"""How many cuts are looked at in each generation."""
OPENING = 0.2
"""How many of them at least come while the disk is mounted and the journal opened."""
STEPS = (10, 150)
ROTTEN = 0.15
"""How often the card is damaged, besides."""

SESSIONS = (1, 1, 2, 3)
"""How often the daemon is started until the power goes: all but the first time after a kill."""
SEGMENT_BYTES = (4096, 16_384, 65_536)
MAX_BYTES = (275_000, 290_000, 320_000, 8_000_000)
"""The first ones are soon reached: the file that is written to has 256 kB."""

MOUNT_OPTIONS = ("commit=1", "commit=5", "commit=120")
MAX_UNKILLED_S = 1.0
"""A daemon is killed within that, in the midst of anything, or at last when its work is done."""

WORK_TIMEOUT_S = 60.0
WRITE_BACK = 0.2
"""How likely the kernel writes back a file in the next 2 ms."""


class Cut(NamedTuple):
    """One instant at which the power goes."""

    entries: int
    """How much has reached the disk."""
    fate: Fate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=1000, metavar="N")
    parser.add_argument(
        "--seed", type=int, help="to repeat a run; the kernel's timing still varies"
    )
    parser.add_argument("--life", type=int, metavar="N", help="only this one of the run")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument(
        "--skip-syncs", action="store_true", help="to see that this does not go unnoticed"
    )
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    lives = range(-(-options.cuts // (GENERATIONS * CUTS)))
    if options.life is not None:
        lives = range(options.life, options.life + 1)
    try:
        try_everything()
        return run(seed, lives, options.jobs, skip_syncs=options.skip_syncs)
    except CannotSimulate as problem:
        print(f"skipped: {problem}")
        return SKIPPED


def run(seed: int, lives: Sequence[int], jobs: int, *, skip_syncs: bool = False) -> int:
    """Live all these lives; returns the status to exit with. Raises CannotSimulate."""
    print(f"seed {seed}", flush=True)
    started_s, total = time.monotonic(), Counter[str]()
    broken = 0
    with ProcessPoolExecutor(jobs, get_context("spawn"), _at_start, (skip_syncs,)) as pool:
        for life, outcome in zip(lives, pool.map(_live, [seed] * len(lives), lives), strict=True):
            if isinstance(outcome, str):
                broken += 1
                print(f"BROKEN in life {life} of seed {seed}: {outcome}", flush=True)
            else:
                total += outcome
    took_s = time.monotonic() - started_s
    print(", ".join(f"{count} {what}" for what, count in sorted(total.items())))
    print(f"{took_s:.0f} s, {total['cuts'] / took_s:.0f} cuts a second")
    print(f"{broken} of {len(lives)} lives broken" if broken else "every promise was kept")
    return 1 if broken else 0


def try_everything() -> None:
    """Have mounts of our own, and try one. Raises CannotSimulate."""
    check_machine()
    check_fuse()
    private_mounts()
    recording = Recording(blank_disk(DISK_BYTES))
    try:
        with recording.disk(ROOM / "fuse") as file, mounted(file, ROOM / "disk"):
            pass
    except OSError as problem:
        raise CannotSimulate(f"an ext4 in memory cannot be mounted: {problem}") from problem
    finally:
        recording.close()


def _at_start(skip_syncs: bool) -> None:
    """In each process of the pool."""
    die_with_parent()
    logging.disable()
    gc.freeze()
    if skip_syncs:
        os.fsync = os.fdatasync = lambda _: None


def _live(seed: int, life: int) -> "Counter[str] | str":
    try:
        with tempfile.TemporaryDirectory(dir=ROOM, ignore_cleanup_errors=True) as room:
            return Life(f"{seed}/{life}", Path(room)).live()
    except Broken as problem:
        cause = problem.__cause__
        unexpected = cause and not isinstance(cause, Broken)
        return "\n".join([str(problem), *(format_exception(cause) if unexpected else ())])


class Life:
    """One gateway, from an empty disk on, through some power cuts."""

    def __init__(self, seed: str, room: Path) -> None:
        self._seed, self._room = seed, room
        self._rnd = Random(seed)
        self._counts: Counter[str] = Counter()
        self._work = Workload(
            seed,
            steps=0,
            first=0,
            max_bytes=self._rnd.choice(MAX_BYTES),
            segment_bytes=self._rnd.choice(SEGMENT_BYTES),
            after_power_cut=True,
        )

    def live(self) -> "Counter[str]":
        """Return how many of what there was. Raises Broken."""
        disk, promises = blank_disk(DISK_BYTES), Promises()
        for generation in range(GENERATIONS):
            entries, said = self._record(disk, generation)
            disk, promises = self._cut(disk, entries, said, promises, f"generation {generation}")
        return self._counts

    def _record(self, disk: bytes, generation: int) -> tuple[Sequence[Entry], Sequence[Said]]:
        """Let the daemon work on this disk, be killed and be started again."""
        said: list[Said] = []
        recording = Recording(disk)
        options = self._rnd.choice(MOUNT_OPTIONS)
        with recording.disk(self._room / "fuse") as file:
            with mounted(file, self._room / "disk", options):
                for session in range(self._rnd.choice(SESSIONS)):
                    work = self._work._replace(
                        seed=f"{self._seed}/{generation}/{session}",
                        steps=self._rnd.randint(*STEPS),
                        first=(generation * 10 + session) * 1_000_000,
                        after_power_cut=session == 0,
                    )
                    diary = Diary(self._room / f"diary{generation}-{session}")
                    self._work_on(work, self._room / f"tail{generation}", diary)
                    said += diary.read()
            entries = recording.entries
        recording.close()
        self._counts["writes"] += len(entries)
        return entries, said

    def _work_on(self, work: Workload, tail: Path, diary: Diary) -> None:
        """Let a daemon work until it is killed, and the kernel write back when it likes."""
        folder = self._room / "disk" / "journal"
        # Not the one that all the rest comes from: nobody knows how often this one is asked.
        rnd = Random(work.seed)
        process = in_process(work, folder, tail, diary)
        started_s = time.monotonic()
        killed_s = started_s + rnd.uniform(0, MAX_UNKILLED_S)
        try:
            while not (ended := os.waitpid(process, os.WNOHANG))[0]:
                if time.monotonic() > started_s + WORK_TIMEOUT_S:
                    os.kill(process, signal.SIGABRT)
                elif time.monotonic() > killed_s:
                    os.kill(process, signal.SIGKILL)
                if rnd.random() < WRITE_BACK:
                    _write_back_one(folder, rnd)
                time.sleep(0.002)
        except BaseException:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        if (status := os.waitstatus_to_exitcode(ended[1])) != -signal.SIGKILL:
            raise Broken(f"the workload ended with {status} (-6: it hung), see above: {work}")
        self._counts["kills"] += 1

    def _cut(
        self,
        disk: bytes,
        entries: Sequence[Entry],
        said: Sequence[Said],
        promises: Promises,
        where: str,
    ) -> tuple[bytes, Promises]:
        """Cut and check; returns a disk to go on with, and what is promised for it."""
        cuts = self._chosen(entries, said)
        chosen = self._rnd.choice(cuts)
        cut_disk, waiting = CutDisk(disk, entries), list(reversed(said))
        goes_on = disk, promises
        for cut in cuts:
            until_s = entries[cut.entries].at_s if cut.entries < len(entries) else float("inf")
            where_exactly = f"{where}, cut at {cut.entries} of {len(entries)} writes, {cut.fate}"
            try:
                while waiting and waiting[-1].at_s < until_s:
                    promises.hear(waiting.pop())
                image = cut_disk.at(cut.entries, cut.fate, self._rnd)
                if cut is chosen:
                    goes_on = os.pread(image, len(disk), 0), promises.without_power()
                self._look(image, promises)
            except Exception as problem:
                raise Broken(f"{where_exactly}: {problem}") from problem
            self._counts["cuts"] += 1
            self._counts["records due"] += len(promises.due)
        return goes_on

    def _chosen(self, entries: Sequence[Entry], said: Sequence[Said]) -> list[Cut]:
        """Return cuts at any time, but more of them than by chance until the journal is open."""
        opened_s = said[0].at_s if said else float("inf")
        opening = sum(entry.at_s < opened_s for entry in entries)
        ends = [opening if self._rnd.random() < OPENING else len(entries) for _ in range(CUTS)]
        return sorted(Cut(self._rnd.randint(0, e), self._rnd.choice(FATES)) for e in ends)

    def _look(self, image: int, promises: Promises) -> None:
        how = Examination(self._room, self._work, self._counts)
        try:
            if self._rnd.random() < ROTTEN:
                check_rotten(image, how, promises, self._rnd)
            else:
                check(image, how, promises)
        finally:
            os.close(image)


def _write_back_one(folder: Path, rnd: Random) -> None:
    """Choose one file of the journal, and have the kernel write it, without a flush."""
    with suppress(FileNotFoundError, IndexError):
        file = os.open(rnd.choice(sorted(folder.iterdir())), os.O_RDONLY)
        try:
            write_back(file)
        finally:
            os.close(file)


if __name__ == "__main__":
    sys.exit(main())
