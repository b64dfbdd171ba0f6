"""Whatever happened to the files: the journal opens, keeps what can be read, and says the rest."""

import errno
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from time import perf_counter

import pytest

from agent.journal import JournalFull, files
from agent.journal.block import MAGIC, Block, Stamp, scan
from agent.journal.manifest import Settlement
from agent.journal.segment import STEP_BYTES
from cloud_sync.spans import Spans
from tests.agent.journals import (
    Desk,
    alert,
    commit,
    kept,
    kept_lines,
    kill,
    line,
    lines,
    offered,
)

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", tmp_path / "tail")


@pytest.fixture
def quick_folder():
    """A folder in memory: some tests open a journal thousands of times."""
    within = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=within) as folder:
        yield Path(folder)


def small_journal(desk):
    """Make a journal of two files, ended by a power cut; returns the lines of each block."""
    journal = desk.open(segment_bytes=700)
    number = 0
    while len(desk.segments()) < 3:
        number += 2
        commit(journal, line(number), alert(number + 1), engine=b"%d" % number)
    commit(journal, line(number + 2))
    kill(journal)
    desk.power_cut()
    return journal.boot


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :]


def cut(content, at):
    return content[:at]


def zero_from(content, at):
    return content[:at] + bytes(len(content) - at)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("damage", [flip, cut, zero_from])
def test_damage_at_any_byte_costs_the_block_it_is_in_and_no_other(quick_folder, which, damage):
    sound = Desk(quick_folder / "sound", None)
    boot = small_journal(sound)
    path = sound.segments()[which]
    content = path.read_bytes()
    heads = scan(content).heads
    everything = {n: text for block in sound.blocks() for n, text, _ in block.numbered()}
    end = min(len(content), heads[-1].at + heads[-1].size + 3)
    step = 1 if damage is flip else 7
    for at in range(0, end, step):
        lost = set()
        for head in heads:
            is_hit = head.at + head.size > at and (damage is not flip or head.at <= at)
            lost.update(range(head.first, head.last + 1) if is_hit else ())
        desk = Desk(quick_folder / "damaged", None)
        shutil.copytree(sound.folder, desk.folder)
        (desk.folder / path.name).write_bytes(damage(content, at))
        expected = {(boot, n, text) for n, text in everything.items() if n not in lost}
        for _ in range(2 if at % 10 == 0 else 1):
            journal = desk.open(segment_bytes=700)
            found = {each for each in kept(journal) if not each[2].startswith(b"loss,")}
            assert found == expected, (damage.__name__, at)
            commit(journal)
            kill(journal)
        shutil.rmtree(desk.folder)


def test_what_is_damaged_is_told_once_and_kept_for_the_engineer(desk):
    journal = desk.open()
    for number in range(1, 40, 3):
        commit(journal, *lines(range(number, number + 3)))
    journal.close()
    path, head = list(desk.heads())[6]
    content = path.read_bytes()
    path.write_bytes(flip(content, head.at + 50))
    journal = desk.open()
    commit(journal)
    assert desk.losses() == [b"damaged readings=3"]
    journal.close()
    aside = list((desk.folder / "damaged").iterdir())
    assert [each.read_bytes() for each in aside] == [
        flip(content, head.at + 50)[head.at :][: head.size]
    ]
    journal = desk.open()
    commit(journal, line(99))
    assert desk.losses() == [b"damaged readings=3"]
    journal.close()


def test_a_damaged_last_block_of_an_old_file_is_a_loss_too(desk):
    journal = desk.open(segment_bytes=2_000)
    for number in range(30):
        commit(journal, *lines(range(number * 10, number * 10 + 10)))
    journal.close()
    path = desk.segments()[1]
    head = scan(path.read_bytes()).heads[-1]
    path.write_bytes(flip(path.read_bytes(), head.at + head.size - 1))
    journal = desk.open()
    cursor = journal.cursor("uplink")
    assert len(offered(cursor)) == 300 - head.records
    commit(journal, line(999))
    commit(journal)
    assert desk.losses() == [b"damaged readings=%d" % head.records]
    cursor.confirm(journal.manifest.boots[0].label, Spans([(1, 400)]))
    cursor.confirm(journal.boot, Spans([(1, 400)]))
    assert cursor.through == journal.newest
    journal.close()


def test_damage_that_comes_while_the_daemon_runs_is_healed_and_told(desk):
    journal = desk.open(segment_bytes=2_000)
    for number in range(60):
        commit(journal, *lines(range(number * 10, number * 10 + 10)))
    path = desk.segments()[1]
    heads = scan(path.read_bytes()).heads
    path.write_bytes(flip(path.read_bytes(), heads[2].at + 60))
    cursor = journal.cursor("uplink")
    assert len(offered(cursor)) == 600 - heads[2].records
    commit(journal, line(998))
    commit(journal, line(999))
    assert desk.losses() == [b"damaged readings=%d" % heads[2].records]
    assert scan(path.read_bytes()).damaged == []
    cursor.confirm(journal.boot, Spans([(1, journal.newest)]))
    assert cursor.through == journal.newest
    journal.close()


def test_a_block_that_fits_its_crc_and_says_nothing_is_set_aside_once(desk):
    journal = desk.open()
    commit(journal, line(1))
    commit(journal, line(2))
    kill(journal)
    path, head = list(desk.heads())[-1]
    nonsense = bytearray(Block(journal.boot, 3, [line(3)], Spans([(3, 3)])).encode())
    payload = zlib.compress(b'{"numbers":"3","stamps":[],"states":{"x":-1}}\nair 3 3\n')
    nonsense[8:12] = len(payload).to_bytes(4, "little")
    nonsense[40:] = payload
    nonsense[4:8] = zlib.crc32(bytes(nonsense[8:])).to_bytes(4, "little")
    content = bytearray(path.read_bytes())
    end = head.at + head.size
    content[end : end + len(nonsense)] = nonsense
    path.write_bytes(bytes(content))
    for _ in range(2):
        journal = desk.open()
        assert kept_lines(journal)[:2] == lines([1, 2])
        commit(journal, line(9))
        kill(journal)
    assert len(list((desk.folder / "damaged").iterdir())) <= 1


@pytest.mark.parametrize("content", [b"", bytes(300_000), b"junk" * 1_000, MAGIC * 1_000])
@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_file_in_which_nothing_can_be_read_costs_its_own_records(desk, content, which):
    boot = small_journal(desk)
    path = desk.segments()[which]
    gone = {n for b in blocks_of(path) for n, _, _ in b.numbered()}
    everything = {(boot, n, text) for b in desk.blocks() for n, text, _ in b.numbered()}
    path.write_bytes(content)
    journal = desk.open()
    assert set(kept(journal)) == {each for each in everything if each[1] not in gone}
    before = {n for _, n, _ in kept(journal)}
    commit(journal, line(999))
    commit(journal)
    assert not before & {n for b, n, _ in kept(journal) if b == journal.boot}
    journal.close()


def blocks_of(path):
    content = path.read_bytes()
    return [Block.decode(content[h.at : h.at + h.size]) for h in scan(content).heads]


def test_a_missing_file_is_told_if_somebody_still_needs_it(desk):
    journal = desk.open(segment_bytes=900)
    cursor = journal.cursor("uplink")
    for number in range(60):
        commit(journal, *lines(range(number * 10, number * 10 + 10)))
    first, second = journal.manifest.filed[1:3]
    cursor.confirm(journal.boot, Spans([(1, first.last)]))
    commit(journal, line(1))
    journal.close()
    for file in (first, second):
        (desk.folder / f"{file.first:020d}.blocks").unlink()
    journal = desk.open()
    commit(journal, line(2))
    assert desk.losses() == [b"damaged readings=%d" % (second.last - second.first + 1)]
    assert journal.cursor("uplink").through == first.last
    journal.cursor("uplink").confirm(journal.boot, Spans([(1, journal.newest)]))
    assert len(offered(journal.cursor("uplink"))) == 601 - second.last
    journal.close()


def test_all_files_missing_is_a_new_journal(desk):
    small_journal(desk)
    for path in desk.segments():
        path.unlink()
    journal = desk.open()
    commit(journal, line(1))
    assert kept_lines(journal) == [line(1)]
    journal.close()


def test_strange_names_are_left_alone(desk):
    journal = desk.open()
    commit(journal, line(1))
    journal.close()
    names = ["0junk.blocks", "1.blocks", "notes.txt", "other.new", f"{0:020d}.blocks.bak"]
    for name in names:
        (desk.folder / name).write_bytes(b"theirs")
    (desk.folder / f"{5:020d}.blocks").mkdir()
    (desk.folder / f"{6:020d}.blocks").symlink_to("/etc/passwd")
    (desk.folder / f"{7:020d}.blocks.new").write_bytes(b"not finished")
    journal = desk.open()
    commit(journal, line(2))
    assert kept_lines(journal) == lines([1, 2])
    journal.close()
    assert all((desk.folder / name).read_bytes() == b"theirs" for name in names)
    assert not (desk.folder / f"{7:020d}.blocks.new").exists()


def test_a_start_is_quick_also_with_a_large_heap_of_nonsense(desk):
    boot = small_journal(desk)
    newest = desk.segments()[-1]
    nonsense = (MAGIC + b"\x00\x00\x00\x01" * 9) * 5_000
    newest.write_bytes(newest.read_bytes().rstrip(b"\0") + nonsense)
    started = perf_counter()
    journal = desk.open()
    assert perf_counter() - started < 5
    assert {b for b, _, _ in kept(journal)} == {boot}
    journal.close()


def test_what_is_set_aside_has_a_limit(desk, monkeypatch):
    monkeypatch.setattr(files, "MAX_DAMAGED_BYTES", 1_000)
    for _ in range(12):
        journal = desk.open()
        for number in range(4):
            commit(journal, *lines(range(number * 10, number * 10 + 10)))
        kill(journal)
        path, head = list(desk.heads())[-3]
        path.write_bytes(flip(path.read_bytes(), head.at + 45))
    journal = desk.open()
    assert sum(each.stat().st_size for each in (desk.folder / "damaged").iterdir()) in range(
        500, 1_001
    )
    journal.close()


def dying(bad_path, bad_page):
    """Return an os.pread for a card that gives one page of one file no more."""
    real = os.pread

    def pread(handle, size, start):
        is_hit = start < (bad_page + 1) * 4096 and start + size > bad_page * 4096
        if is_hit and Path(f"/proc/self/fd/{handle}").readlink() == bad_path:
            raise OSError(errno.EIO, "Input/output error")
        return real(handle, size, start)

    return pread


@pytest.mark.parametrize("which", [0, -1])
def test_a_sector_that_gives_an_error_costs_what_is_on_it(desk, monkeypatch, which):
    journal = desk.open(segment_bytes=20_000)
    for number in range(60):
        commit(journal, *[line(number * 100 + n, sensor=os.urandom(8).hex()) for n in range(40)])
    kill(journal)
    path = desk.segments()[which]
    hit = [h for h in scan(path.read_bytes()).heads if h.at < 8192 and h.at + h.size > 4096]
    everything = {n for b in desk.blocks() for n, _, _ in b.numbered()}
    with monkeypatch.context() as patch:
        # No real card here can be made to fail, so the kernel's answer is put in its place.
        patch.setattr(os, "pread", dying(path, 1))
        journal = desk.open(segment_bytes=20_000)
        kept(journal)
        commit(journal, line(1))
    lost = {n for h in hit for n in range(h.first, h.last + 1)}
    found = {n for b, n, text in kept(journal) if b != journal.boot}
    assert found == everything - lost
    commit(journal)
    assert desk.losses() == [b"damaged readings=%d" % len(lost)]
    journal.close()


def test_too_many_open_files_are_not_taken_for_missing_records(desk, monkeypatch):
    journal = desk.open(segment_bytes=900)
    cursor = journal.cursor("uplink")
    for number in range(60):
        commit(journal, *lines(range(number * 10, number * 10 + 10)))
    real = os.open

    def fails(path, *args, **kwargs):
        if str(path).endswith(".blocks"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(OSError, match="Too many"):
            cursor.pending("readings", 0, journal.newest, 1_000)
        with pytest.raises(OSError, match="Too many"):
            cursor.confirm(journal.boot, Spans([(5, 5)]))
    assert cursor.through == 0
    assert len(offered(cursor)) == 599
    journal.close()


# What is known besides the records, when the newest files are lost


def busy_journal(desk):
    """Make one with cursors, boots, states, and times that are settled; returns its boots."""
    boots = []
    for start in range(4):
        journal = desk.open(segment_bytes=1_500, kernel=f"kernel {start}")
        journal.set_stamp(Stamp(f"kernel {start}", 5, settled=False))
        boots.append(journal.boot)
        for number in range(12):
            base = start * 1_000 + number * 10
            commit(journal, *lines(range(base, base + 10)), engine=b"%d" % base)
        begin = journal.newest - 119
        journal.note([], [Settlement(begin, journal.newest, 0, 1_000_000 * start, 0, 0)])
        commit(journal)
        journal.cursor("uplink").confirm(journal.boot, Spans([(begin, begin + 20)]))
        commit(journal, engine=b"the end")
        journal.close()
    return boots


@pytest.mark.parametrize("gone", [0, 1, 2, 5])
def test_when_the_newest_files_are_lost_all_is_known_as_of_before(desk, gone):
    boots = busy_journal(desk)
    journal = desk.open(kernel="k")
    settled = {n: text for _, n, text in kept(journal)}
    kill(journal)
    desk.power_cut()
    desk2 = Desk(desk.folder.parent / "copy", None)
    shutil.copytree(desk.folder, desk2.folder)
    for path in desk2.segments()[len(desk2.segments()) - 1 - gone :]:
        path.write_bytes(b"nothing")
    journal = desk2.open(kernel="k")
    found = kept(journal)
    assert found
    assert all(settled[n] == text for _, n, text in found)
    known = [boot for boot in boots if boot in {b for b, _, _ in found}]
    assert [b.label for b in journal.manifest.boots[: len(known)]] == known
    assert journal.state("engine") is not None
    assert journal.cursor("uplink").place.through <= journal.newest
    journal.close()


def test_a_damaged_manifest_in_the_newest_file_is_looked_up_in_the_one_before(desk):
    boots = busy_journal(desk)
    newest = desk.segments()[-1]
    content = newest.read_bytes()
    for head in scan(content).heads:
        block = Block.decode(content[head.at : head.at + head.size])
        if "manifest" in block.notes:
            content = flip(content, head.at + 44)
    newest.write_bytes(content)
    expected = {n for b in desk.blocks() for n, _, _ in b.numbered()}
    journal = desk.open(kernel="k")
    assert {n for _, n, _ in kept(journal)} <= expected
    assert {b for b, _, _ in kept(journal)} == set(boots)
    journal.close()


def test_records_whose_boot_is_not_known_any_more_keep_their_label(desk):
    journal = desk.open(segment_bytes=900)
    for number in range(30):
        commit(journal, line(number))
    kill(journal)
    segments = desk.segments()
    content = segments[0].read_bytes()
    begin = next(head.at for head in scan(content).heads if head.records)
    segments[0].write_bytes(bytes(begin) + content[begin:])
    for path in segments[1:]:
        path.write_bytes(b"nothing")
    again = desk.open()
    found = kept(again)
    assert {b for b, _, _ in found} == {journal.boot}
    cursor = again.cursor("uplink")
    cursor.confirm(journal.boot, Spans([(1, 100)]))
    assert offered(cursor) == []
    again.close()


def test_a_power_cut_in_the_middle_of_a_commit_leaves_all_before_it(desk):
    journal = desk.open()
    commit(journal, line(1))
    before = desk.segments()[0].read_bytes()
    commit(journal, *lines(range(2, 300)))
    after = desk.segments()[0].read_bytes()
    kill(journal)
    desk.power_cut()
    end = len(after.rstrip(b"\0"))
    begin = len(before.rstrip(b"\0"))
    for torn in range(begin, end, 37):
        desk.segments()[0].write_bytes(after[:torn] + before[torn:])
        journal = desk.open()
        assert kept_lines(journal) == [line(1)]
        commit(journal, line(2))
        assert kept_lines(journal) == lines([1, 2])
        kill(journal)
        desk.power_cut()


def test_a_file_is_as_long_as_it_was_made_for(desk):
    journal = desk.open()
    commit(journal, line(1))
    assert [path.stat().st_size for path in desk.segments()] == [STEP_BYTES]
    journal.close()


def test_a_disk_that_is_full_at_the_start_is_named(desk, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fails)
    with pytest.raises(JournalFull, match="disk has room"):
        desk.open()
