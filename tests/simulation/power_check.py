"""Opens the journal on a disk that was cut off from power, and looks whether it kept its word."""

import gc
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent.journal import Journal
from tests.simulation.disk_device import mounted
from tests.simulation.power_promises import STATE, Broken, Promises, Said, covered, offered
from tests.simulation.power_rot import rot
from tests.simulation.power_work import Workload, opened

NEW_LINE = b'alert,gateway=g state="firing" 1900000000000000000\n'
NEW_STATE = b"new"

MAX_OPENING_S = 5.0
"""Far below the 30 s that are promised: these journals are small, and this machine may be busy."""


class Examination(NamedTuple):
    """How disks are looked at."""

    room: Path
    work: Workload
    counts: "Counter[str]"


def check(image: int, how: Examination, promises: Promises) -> None:
    """Mount a disk and check the journal on it. Raises Broken."""
    with _mounted(image, how):
        _check(how, promises)


def check_rotten(image: int, how: Examination, promises: Promises, rnd: Random) -> None:
    """Mount a disk, damage the journal on it, and check what is left. Raises Broken."""
    with _mounted(image, how):
        present, spared = rot(how.room / "cut" / "journal", rnd)
        lines = _check(how, promises.rotten(spared))
        lost = promises.due & promises.originals(present) - promises.originals(lines)
        if not any(b'reason="damaged"' in line for line in lines):
            lost -= covered(lost, [*lines, *promises.losses])
            # Behind the last block that can be read, damage looks like a commit under way.
            if inside := promises.before_any(lost, spared):
                raise Broken(f"{len(inside)} records are lost by damage, and nobody says so")
        how.counts["rotten"] += 1
        how.counts["rotten with losses"] += bool(lost)


def _check(how: Examination, promises: Promises) -> set[bytes]:
    """Open, look, commit, and do it again; returns the lines that are there in the end."""
    later = promises.without_power()
    with _reopened(how) as journal:
        found, state = offered(journal.cursor("uplink")), journal.state(STATE)
        promises.check(found, state)
        later.hear(Said(0, "opened", (), found, state, after_power_cut=True))
        _commit(journal)
        for kind in ("appending", "appended", "committing", "committed"):
            later.hear(Said(0, kind, [NEW_LINE], state=NEW_STATE))
    with _reopened(how) as journal:
        again = offered(journal.cursor("uplink"))
        later.check(again, journal.state(STATE))
    return {record.line for record in again}


@contextmanager
def _mounted(image: int, how: Examination) -> Iterator[None]:
    with mounted(image, how.room / "cut"):
        try:
            yield
        finally:
            # A journal lets go of its files when nobody refers to them any more.
            gc.collect()


def _commit(journal: Journal) -> None:
    """Commit something new, and then what the journal itself has to say about that."""
    journal.append([NEW_LINE])
    for states in ({}, {STATE: NEW_STATE}):
        while (block := journal.take(states)) is not None:
            journal.commit(block)
            if block.states:
                break


@contextmanager
def _reopened(how: Examination) -> Iterator[Journal]:
    """Open the journal, in bounded time. Raises Broken."""
    tail = how.room / "tail-of-cut"
    started_s = time.monotonic()
    try:
        journal = opened(how.room / "cut" / "journal", tail, how.work)
    except Exception as problem:
        raise Broken(f"the journal does not open: {problem!r}") from problem
    try:
        if (took_s := time.monotonic() - started_s) > MAX_OPENING_S:
            raise Broken(f"opening took {took_s:.1f} s")
        yield journal
    finally:
        journal.close()
        tail.unlink(missing_ok=True)
