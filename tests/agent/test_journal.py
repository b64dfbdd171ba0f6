"""What was appended survives a kill, what was committed a power cut; and nothing is there twice."""

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.journal import Journal, JournalFull, NotOurJournal, waiting
from agent.journal.block import Stamp
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

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", tmp_path / "tail")


@pytest.fixture
def journal(desk):
    journal = desk.open()
    yield journal
    journal.close()


def test_what_is_committed_is_there_with_its_states(journal):
    commit(journal, line(1), alert(2), engine=b"one")
    commit(journal, line(3), engine=b"two", link=b"three")
    assert kept(journal) == [
        (journal.boot, 1, line(1)),
        (journal.boot, 2, alert(2)),
        (journal.boot, 3, line(3)),
    ]
    assert (journal.state("engine"), journal.state("link")) == (b"two", b"three")
    assert journal.state("sampler") is None


def test_what_came_after_the_state_is_known(journal):
    commit(journal, line(1), engine=b"one")
    commit(journal, line(2))
    journal.set_stamp(Stamp("kernel", 7, settled=False))
    commit(journal, line(3))
    since = list(journal.since_state())
    assert [text for _, text in since] == [line(2), line(3)]
    assert since[1][0] == Stamp("kernel", 7, settled=False)


def test_nothing_is_taken_where_nothing_is(journal):
    assert journal.take() is None
    commit(journal, line(1))
    assert journal.take({}) is None


def test_confirmations_alone_are_not_worth_a_commit(journal):
    commit(journal, line(1))
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, cursor_all(cursor))
    assert journal.take() is None


def cursor_all(cursor):
    return Spans([(1, cursor.newest)])


# A kill


def test_a_kill_loses_nothing_that_was_accepted(desk):
    first = desk.open()
    commit(first, *lines(range(1, 6)))
    first.append([line(6), alert(7)])
    first.append([line(8)])
    kill(first)
    second = desk.open()
    assert [text for _, _, text in kept(second)] == [*lines(range(1, 7)), alert(7), line(8)]
    assert {boot for boot, _, _ in kept(second)} == {first.boot}
    assert second.boot != first.boot
    commit(second, line(9))
    assert kept(second)[-1] == (second.boot, 9, line(9))
    second.close()


def test_a_kill_between_commit_and_the_next_append_doubles_nothing(desk):
    first = desk.open()
    first.append(lines(range(1, 4)))
    block = first.take()
    first.append([line(4)])
    first._write(block)  # on the card, and then the daemon is killed: the tail still has all four
    kill(first)
    second = desk.open()
    assert [(n, text) for _, n, text in kept(second)] == [(n, line(n)) for n in range(1, 5)]
    second.close()


def test_stamps_survive_a_kill(desk):
    first = desk.open()
    stamps = [Stamp("k1", 5, settled=False), Stamp("k1", -7, settled=True), Stamp("k2", 0)]
    for number, stamp in enumerate(stamps):
        first.append([line(number)], stamp)
    kill(first)
    second = desk.open()
    assert list(second.since_state()) == [(s, line(n)) for n, s in enumerate(stamps)]
    second.close()


def test_a_kill_again_and_again_loses_nothing_and_gives_no_number_twice(desk):
    for number in range(1, 30):
        journal = desk.open()
        journal.append([line(number)])
        kill(journal)
    journal = desk.open()
    assert [(n, text) for _, n, text in kept(journal)] == [(n, line(n)) for n in range(1, 30)]
    assert desk.losses() == []
    journal.close()


def test_a_daemon_that_dies_again_and_again_does_not_fill_the_card(desk):
    for _ in range(50):
        kill(desk.open())
    journal = desk.open()
    assert len(journal.manifest.boots) == 1
    assert sum(path.stat().st_size for path in desk.segments()) < 500_000
    journal.close()


SCRIPT = """
import sys
from pathlib import Path
from agent.journal import Journal
from tests.agent.journals import line
folder = Path(sys.argv[1])
journal = Journal(folder / "journal", max_bytes=100_000_000, tail=folder / "tail",
                  segment_bytes=20_000)
for number in range(1, 1_000_000):
    journal.append([line(number)])
    print(number, flush=True)
    if number % 7 == 0:
        journal.commit(journal.take())
"""


@pytest.mark.parametrize("after", [1, 55, 300])
def test_kill_9_loses_nothing_that_was_accepted(desk, after):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(desk.folder.parent)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )
    with process:
        accepted = 0
        for said in process.stdout:
            accepted = int(said)
            if accepted == after:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    journal = desk.open()
    found = kept(journal)
    assert len({boot for boot, _, _ in found}) == 1
    assert [(n, text) for _, n, text in found] == [(n, line(n)) for n in range(1, len(found) + 1)]
    # One more may have been taken that could not be said any more.
    assert len(found) - accepted in {0, 1}
    journal.close()


# The tail


def torn(text):
    return text[:-9]


def with_strange_line(text):
    return text + b"no time at all\n" + line(9)


def without_stamps(text):
    return b"".join(each for each in text.splitlines(keepends=True) if b"#stamp" not in each)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda text: text, 3),
        (torn, 2),
        (with_strange_line, 3),
        (lambda text: text + line(9)[:-1], 3),
        (without_stamps, 0),
        (lambda _: b"", 0),
        (lambda _: b"\n", 0),
        (lambda _: b"\xff\xfe\x00" * 50 + b"\n", 0),
        (lambda _: b"#satomori-tail 1\n", 0),
        (lambda text: text.replace(b"-tail 1", b"-tail 9"), 0),
        (lambda text: text.replace(b"#stamp", b"#stamp x"), 0),
    ],
)
def test_of_a_damaged_tail_all_is_kept_that_can_be_read(desk, damage, left):
    first = desk.open()
    commit(first, line(1))
    first.append(lines(range(2, 5)))
    kill(first)
    desk.tail.write_bytes(damage(desk.tail.read_bytes()))
    second = desk.open()
    assert kept_lines(second) == lines(range(1, 2 + left))
    commit(second, line(50))
    assert kept_lines(second)[-1] == line(50)
    second.close()


def test_the_tail_of_another_journal_is_left_out(desk, tmp_path):
    other = Desk(tmp_path / "other", desk.tail).open()
    other.append([line(77)])
    kill(other)
    journal = desk.open()
    assert kept_lines(journal) == []
    journal.close()


def test_a_tail_older_than_the_journal_is_left_out(desk):
    first = desk.open()
    first.append([line(1)])
    old = desk.tail.read_bytes()
    commit(first, line(2))
    kill(first)
    desk.tail.write_bytes(old)
    second = desk.open()
    assert kept_lines(second) == lines([1, 2])
    kill(second)
    desk.tail.write_bytes(old)
    third = desk.open()
    assert kept_lines(third) == lines([1, 2])
    third.close()


def test_no_file_of_somebody_else_is_read_or_written(desk, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious\n")
    desk.tail.symlink_to(theirs)
    Path(f"{desk.tail}.new").symlink_to(theirs)
    journal = desk.open()
    journal.append([line(1)])
    kill(journal)
    assert theirs.read_bytes() == b"precious\n"
    journal = desk.open()
    assert kept_lines(journal) == []
    journal.close()


def test_a_pipe_in_the_place_of_the_tail_does_not_keep_the_daemon_waiting(desk):
    os.mkfifo(desk.tail)
    os.mkfifo(f"{desk.tail}.new")
    journal = desk.open()
    commit(journal, line(1))
    assert kept_lines(journal) == [line(1)]
    journal.close()


def test_a_second_name_of_a_file_of_ours_is_not_written_to(desk, tmp_path):
    ours = tmp_path / "ours"
    ours.write_bytes(b"precious\n")
    Path(f"{desk.tail}.new").hardlink_to(ours)
    journal = desk.open()
    journal.append([line(1)])
    journal.close()
    assert ours.read_bytes() == b"precious\n"


def test_nobody_else_can_read_the_tail(desk, journal):
    journal.append([line(1)])
    assert stat.S_IMODE(desk.tail.stat().st_mode) == 0o600


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB, which really gets full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("only root can mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_tail_without_room_keeps_what_it_has_and_nothing_that_is_cut_off(tmp_path, small_disk):
    desk = Desk(tmp_path / "journal", small_disk / "tail")
    journal = desk.open()
    for number in range(40_000):
        journal.append([line(number)])
        if (number + 1) * len(line(number)) > 1_500_000:
            break
    kill(journal)
    journal = desk.open()
    found = kept_lines(journal)
    assert 10_000 < len(found) < 40_000
    assert found == lines(range(len(found)))
    journal.close()


def test_of_a_write_to_the_tail_that_was_cut_off_nothing_is_joined_with_what_comes_later(
    tmp_path, small_disk
):
    desk = Desk(tmp_path / "journal", small_disk / "tail")
    journal = desk.open()
    journal.append([line(1)])
    fill(small_disk / "ballast")
    journal.append(lines(range(2, 1_000)))
    (small_disk / "ballast").unlink()
    journal.append(lines(range(1_000, 1_010)))
    kill(journal)
    journal = desk.open()
    found = kept_lines(journal)
    assert found == lines(range(1, len(found) + 1))
    assert 1 <= len(found) < 1_000
    journal.close()


# Large amounts, and a card that takes nothing


def test_large_amounts_come_in_several_commits_and_the_states_with_the_last(desk, journal):
    much = lines(range(20_000))
    journal.append(much)
    journal.note([("kernel", 1, 2)])
    states = []
    while (block := journal.take({"engine": b"state"})) and block.lines:
        states.append((bool(block.states), "anchors" in block.notes))
        assert sum(map(len, block.lines)) <= waiting.COMMIT_BYTES
        journal.commit(block)
        if not journal.waiting:
            break
    assert len(states) > 3
    assert states == [(False, False)] * (len(states) - 1) + [(True, True)]
    assert kept_lines(journal) == much
    assert journal.manifest.state_at == 20_001


def test_what_is_given_back_comes_first_again_with_its_numbers(journal):
    journal.append(lines(range(1, 4)))
    journal.note([("kernel", 1, 2)])
    block = journal.take({"engine": b"state"})
    journal.append([line(4)])
    journal.give_back(block)
    again = journal.take()
    assert again.lines == lines(range(1, 5))
    assert list(again.numbers) == [(1, 4)]
    assert again.notes["anchors"] == [("kernel", 1, 2)]
    journal.commit(again)
    assert [(n, text) for _, n, text in kept(journal)] == [(n, line(n)) for n in range(1, 5)]


def test_a_kill_after_something_was_given_back_loses_nothing(desk):
    first = desk.open()
    first.append([line(1)])
    first.give_back(first.take())
    first.append([line(2)])
    kill(first)
    second = desk.open()
    assert [(n, text) for _, n, text in kept(second)] == [(1, line(1)), (2, line(2))]
    second.close()


def test_a_disk_that_is_full_loses_nothing_and_doubles_nothing(desk, tmp_path, small_disk):
    full = Desk(small_disk / "journal", tmp_path / "tail")
    journal = full.open(segment_bytes=8_000)
    ballast = small_disk / "ballast"
    for number in range(25, 30):
        commit(journal, *lines(range(number * 100, number * 100 + 100)))
    fill(ballast)
    told = list(range(2500, 3000))
    refused = 0
    for number in range(30, 90):
        journal.append(lines(range(number * 100, number * 100 + 100)))
        told += range(number * 100, number * 100 + 100)
        try:
            journal.commit(block := journal.take({"engine": b"%d" % number}))
        except JournalFull as problem:
            journal.give_back(block)
            refused += "No space left" in str(problem)
            assert list(full.folder.glob("*.new")) == []
        if number == 80:
            ballast.unlink()
    assert refused > 10
    numbers = [n for _, n, _ in kept(journal)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert kept_lines(journal) == lines(told)
    assert journal.state("engine") == b"89"
    assert list(small_disk.glob("journal/*.new")) == []
    kill(journal)
    journal = full.open()
    assert kept_lines(journal) == lines(told)
    journal.close()


def fill(path):
    """Leave no room on this disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_disk_that_is_full_gets_room_from_what_is_confirmed(tmp_path, small_disk):
    full = Desk(small_disk / "journal", tmp_path / "tail")
    journal = full.open(segment_bytes=30_000)
    cursor = journal.cursor("uplink")
    for number in range(15):
        commit(journal, *lines(range(number * 4_000, number * 4_000 + 4_000)))
    cursor.confirm(journal.boot, cursor_all(cursor))
    commit(journal, line(99))
    before = len(full.segments())
    fill(small_disk / "ballast")
    refused = 0
    for number in range(100, 200):
        journal.append(lines(range(number * 100, number * 100 + 100)))
        while (block := journal.take()) is not None:
            try:
                journal.commit(block)
                break
            except JournalFull:
                journal.give_back(block)
                refused += 1
                assert refused < before
    assert len(offered(cursor)) == 10_001
    journal.close()


def test_a_card_that_fails_does_not_cost_what_is_confirmed(desk, monkeypatch):
    journal = desk.open(segment_bytes=2_000)
    cursor = journal.cursor("uplink")
    for number in range(30):
        commit(journal, *lines(range(number * 100, number * 100 + 100)))
    cursor.confirm(journal.boot, cursor_all(cursor))
    commit(journal, line(1))
    before = desk.segments()

    def fails(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fails)
        journal.append([line(2)])
        block = journal.take()
        with pytest.raises(JournalFull, match="the card fails"):
            journal.commit(block)
        journal.give_back(block)
    assert desk.segments() == before
    commit(journal)
    assert kept_lines(journal)[-1] == line(2)
    journal.close()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from agent.journal import Journal, JournalFull
from tests.agent.journals import commit, line
folder = Path(sys.argv[1])
journal = Journal(folder / "journal", max_bytes=100_000_000, tail=folder / "tail")
commit(journal, line(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
newest = max((folder / "journal").glob("*.blocks"))
end = journal._files._active.end
resource.setrlimit(resource.RLIMIT_FSIZE, (end + 60, resource.RLIM_INFINITY))
journal.append([line(2)])
block = journal.take()
try:
    journal.commit(block)
except JournalFull:
    journal.give_back(block)
    print("refused", end)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append([line(3)])
journal.commit(journal.take())
"""


def test_a_commit_that_was_cut_off_in_the_middle_is_made_again_in_the_next_file(desk):
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(desk.folder.parent)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert ran.stdout.startswith("refused")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert len(desk.segments()) == 2
    journal = desk.open()
    assert [(n, text) for _, n, text in kept(journal)] == [(n, line(n)) for n in range(1, 4)]
    assert desk.losses() == []
    journal.close()


def test_a_commit_that_failed_and_is_on_the_card_all_the_same_counts_once(desk, monkeypatch):
    journal = desk.open()
    commit(journal, line(1))

    def fails(_):
        raise OSError(5, "Input/output error")

    journal.append([line(2)])
    block = journal.take()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fails)
        # The file that would be begun instead cannot be made, either.
        patch.setattr(os, "fsync", fails)
        with pytest.raises(JournalFull):
            journal.commit(block)
    journal.give_back(block)
    journal.append([line(3)])
    before = desk.segments()[0].read_bytes()
    journal.commit(journal.take())
    # The power goes before the first file has been cut behind what counts.
    desk.segments()[0].write_bytes(before)
    kill(journal)
    journal = desk.open()
    assert [(n, text) for _, n, text in kept(journal)] == [(n, line(n)) for n in range(1, 4)]
    assert desk.losses() == []
    journal.close()


def test_when_the_card_takes_nothing_for_long_the_oldest_readings_go_and_alerts_stay(
    desk, monkeypatch
):
    monkeypatch.setattr(waiting, "MAX_WAITING", 100)
    journal = desk.open()
    for number in range(1, 300):
        journal.append([alert(number) if number % 50 == 0 else line(number)])
        block = journal.take()
        journal.give_back(block)
    assert journal.waiting <= 101
    commit(journal)
    commit(journal)
    found = kept(journal)
    assert [text for _, _, text in found if text.startswith(b"alert")] == [
        alert(number) for number in range(50, 300, 50)
    ]
    # Who stays keeps the number that it had; `line(n)` had the number n, but for losses between.
    numbers = [n for _, n, _ in found]
    assert numbers == sorted(set(numbers))
    lost = sum(int(loss.split(b"=")[1]) for loss in desk.losses())
    assert lost == 299 - len(kept_lines(journal)) == journal.lost
    assert all(loss.startswith(b"memory ") for loss in desk.losses())
    journal.close()


def test_a_kill_after_that_keeps_all_the_rest_with_its_numbers(desk, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITING", 100)
    first = desk.open()
    for number in range(1, 151):
        first.append([alert(number) if number in {20, 60} else line(number)])
    block = first.take()
    left = [(n, text) for n, text, _ in block.numbered()]
    assert len(left) < 150
    first.give_back(block)
    first.append([line(151)])
    kill(first)
    second = desk.open()
    assert [(n, text) for _, n, text in kept(second)] == [*left, (left[-1][0] + 1, line(151))]
    second.close()


def test_a_kill_while_the_rest_of_that_is_written_loses_nothing(desk, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITING", 100)
    monkeypatch.setattr(waiting, "COMMIT_BYTES", 1_000)
    first = desk.open()
    for number in range(1, 151):
        first.append([alert(number) if number in {1, 2, 3} else line(number)])
    first._write(first.take())  # and killed before the tail is told
    left = [n for n, _, _ in first._waiting._everything.numbered()]
    kill(first)
    second = desk.open()
    assert set(left) <= {n for _, n, _ in kept(second)}
    second.close()


# Other starts


def test_a_power_cut_loses_what_was_not_committed_and_says_so(desk):
    first = desk.open()
    commit(first, line(1))
    first.append([line(2)])
    kill(first)
    desk.power_cut()
    second = desk.open()
    commit(second, line(3))
    assert kept_lines(second) == lines([1, 3])
    assert desk.losses() == [b"power_cut readings=0"]
    second.close()


def test_an_orderly_end_is_no_loss(desk):
    first = desk.open()
    commit(first, line(1))
    first.close()
    desk.power_cut()
    second = desk.open()
    commit(second, line(2))
    assert desk.losses() == []
    second.close()


def test_two_daemons_never_share_a_journal(desk, journal):
    with pytest.raises(NotOurJournal, match="another `satomori run` works on it"):
        desk.open()
    commit(journal, line(1))
    assert kept_lines(journal) == [line(1)]


def test_a_file_is_no_journal_and_left_alone(desk):
    desk.folder.write_bytes(b"shopping list\n")
    with pytest.raises(NotOurJournal, match="is a file"):
        desk.open()
    assert desk.folder.read_bytes() == b"shopping list\n"


def test_a_journal_of_a_newer_version_is_left_alone(desk, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("agent.journal.manifest.VERSION", 2)
        desk.open().close()
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir()}
    with pytest.raises(NotOurJournal, match=r"newer Satomori \(version 2\)"):
        desk.open()
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFull, match="who owns it"):
        Journal(tmp_path / "file" / "journal", max_bytes=1_000_000)
