"""Promises 1, 2 and 10, on a disk that loses its power at a thousand instants: power_cuts.py."""

import os
import subprocess
import sys
from random import Random

import pytest

from tests.simulation.disk_recorder import FLUSH, Entry
from tests.simulation.power_cut import PAGE_BYTES, SECTOR_BYTES, CutDisk, survivors
from tests.simulation.power_cuts import SKIPPED

PAGES = 8


def cuts(*options):
    """Run the simulation; returns its status and what it said."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation.power_cuts", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == SKIPPED:
        pytest.skip(ended.stdout)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.timeout(240)
def test_the_journal_keeps_its_promises_whenever_the_power_goes():
    status, said = cuts("--cuts", "1020")
    assert status == 0, said


@pytest.mark.timeout(60)
def test_a_journal_that_does_not_sync_is_found_out():
    status, said = cuts("--cuts", "120", "--seed", "1", "--skip-syncs")
    assert status == 1, said
    assert "records are lost" in said


def page(letter):
    return letter.encode() * PAGE_BYTES


def disk_after(entries, cut, fate, seed=1):
    file = CutDisk(bytes(PAGES * PAGE_BYTES), entries).at(cut, fate, Random(seed))
    try:
        return os.pread(file, PAGES * PAGE_BYTES, 0)
    finally:
        os.close(file)


WRITES = [
    Entry(1.0, 0, page("a")),
    Entry(2.0, FLUSH),
    Entry(3.0, PAGE_BYTES, page("b") + page("c")),
    Entry(4.0, 0, page("d")),
]


def test_what_was_flushed_survives_every_fate():
    for cut in (2, 3, 4):
        assert disk_after(WRITES, cut, "lost")[:PAGE_BYTES] == page("a")
    assert disk_after(WRITES, 1, "lost") == bytes(PAGES * PAGE_BYTES)


def test_what_was_not_flushed_may_be_there_all_the_same():
    assert disk_after(WRITES, 4, "kept")[: 3 * PAGE_BYTES] == page("d") + page("b") + page("c")
    assert disk_after(WRITES, 3, "kept")[: 3 * PAGE_BYTES] == page("a") + page("b") + page("c")


def test_by_chance_a_later_write_survives_an_earlier_one_and_pages_are_torn_between_sectors():
    disks = [disk_after(WRITES, 4, "mixed", seed) for seed in range(200)]
    assert any(d[:PAGE_BYTES] == page("d") and not any(d[PAGE_BYTES:]) for d in disks)
    torn = [d for d in disks if len({*d[PAGE_BYTES : 2 * PAGE_BYTES]}) == 2]
    assert torn
    for disk in torn:
        sectors = [disk[at : at + SECTOR_BYTES] for at in range(0, len(disk), SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors)


def test_the_same_seed_is_the_same_fate():
    entries = [Entry(float(n), n * PAGE_BYTES, page("x")) for n in range(PAGES)]
    assert [*survivors(entries, "mixed", Random(7))] == [*survivors(entries, "mixed", Random(7))]
