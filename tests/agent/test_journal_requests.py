"""What is to be sent again reaches the daemon, whatever crashes in between."""

import fcntl
import os

import pytest

from agent.journal import Journal
from agent.journal.cursor import MAX_AGAIN
from agent.journal.requests import (
    MAX_BYTES,
    Requests,
    ask,
    requests_done,
    take_requests,
    waiting,
)
from cloud_sync.spans import Spans

EVERYTHING = 1 << 40


def line(n):
    return b"air,gateway=g,sensor=s x=%d %d\n" % (n, n * 1000)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def start(folder):
    running = []

    def start():
        journal = Journal(folder, max_bytes=100_000_000)
        running.append(journal)
        return journal

    yield start
    for journal in running:
        journal.close()


@pytest.fixture
def journal(start):
    """One with 100 records, all of them confirmed."""
    journal = start()
    commit(journal, *map(line, range(1, 101)))
    journal.cursor("uplink").confirm(journal.boot, Spans([(1, 100)]))
    commit(journal, line(101))
    return journal


def commit(journal, *lines):
    journal.append(lines)
    if (block := journal.take()) is not None:
        journal.commit(block)


def offered(journal):
    numbers = Spans()
    for entry in journal.cursor("uplink").pending("readings", 0, EVERYTHING, EVERYTHING):
        numbers.add(entry.first, entry.last)
    return str(numbers)


def killed(journal):
    """Leave a journal as kill -9 would: no confirmation is written, the lock is gone."""
    journal._waiting.close()
    journal._opened.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if "resend" in path.name)


def test_nothing_is_asked_for_and_nothing_happens(journal, folder):
    requests = Requests(folder, journal.cursor("uplink"))
    assert requests.look() == 0
    requests.committed()
    assert names(folder) == []
    assert offered(journal) == "101"


def test_what_is_asked_for_is_offered_once_and_then_forgotten(journal, folder):
    requests = Requests(folder, journal.cursor("uplink"))
    ask(folder, Spans.parse("5-7"))
    assert requests.look() == 3
    assert offered(journal) == "5-7"
    labels = list(journal.cursor("uplink").place.again)
    assert requests.look() == 0
    assert list(journal.cursor("uplink").place.again) == labels
    assert names(folder) == ["resend.taken"]
    commit(journal, line(102))
    requests.committed()
    assert names(folder) == []
    assert requests.look() == 0
    assert list(journal.cursor("uplink").place.again) == labels


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_crash_before_the_commit_forgets_nothing(start, journal, folder, is_committed):
    ask(folder, Spans.parse("5-7"))
    Requests(folder, journal.cursor("uplink")).look()
    if is_committed:  # but nobody came to say so
        commit(journal, line(102))
    killed(journal)
    again = start()
    requests = Requests(folder, again.cursor("uplink"))
    assert requests.look() == 3
    assert offered(again).startswith("5-7")
    commit(again, line(103))
    requests.committed()
    killed(again)
    last = start()
    assert Requests(folder, last.cursor("uplink")).look() == 0
    assert offered(last) == "5-7"
    assert names(folder) == []


def test_a_request_is_not_forgotten_by_a_commit_from_before(journal, folder):
    requests = Requests(folder, journal.cursor("uplink"))
    ask(folder, Spans.parse("5-7"))
    requests.committed()
    assert names(folder) == ["resend"]


def test_what_is_asked_for_meanwhile_comes_next(journal, folder):
    requests = Requests(folder, journal.cursor("uplink"))
    ask(folder, Spans.parse("5-7"))
    requests.look()
    assert str(ask(folder, Spans.parse("50"))) == "50"
    assert str(ask(folder, Spans.parse("52"))) == "50,52"
    assert str(waiting(folder)) == "5-7,50,52"
    commit(journal, line(102))
    requests.committed()
    assert requests.look() == 2
    assert names(folder) == ["resend.taken"]


def test_too_many_at_once_wait(journal, folder):
    cursor = journal.cursor("uplink")
    for number in range(1, MAX_AGAIN + 1):
        cursor.reopen(Spans([(number, number)]))
    requests = Requests(folder, cursor)
    ask(folder, Spans.parse("90"))
    assert requests.look() == 0
    commit(journal, line(102))
    requests.committed()
    assert str(waiting(folder)) == "90"
    label = next(iter(cursor.place.again))
    cursor.confirm(label, Spans([(1, MAX_AGAIN)]))
    assert requests.look() == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"what?",
        b"\xff\xfe",
        b"#satomori-resend 1\n",
        b"#satomori-resend 1\n5-7",
        b"#satomori-resend 1\n7-5\n",
        b"#satomori-resend 2\n5-7\n",
        b"#satomori-resend 1\n5-7\n8\n",
        b"#satomori-resend 1\n" + b"1," * MAX_BYTES + b"1\n",
    ],
)
def test_nonsense_is_put_away_and_stops_nothing(journal, folder, text, caplog):
    (folder / "resend").write_bytes(text)
    requests = Requests(folder, journal.cursor("uplink"))
    assert requests.look() == 0
    ask(folder, Spans.parse("5-7"))
    assert requests.look() == 3
    assert "cannot be read" in caplog.text
    assert names(folder) == ["resend.taken", "resend.unreadable"]


def test_a_folder_in_its_place_is_put_away_too(journal, folder):
    (folder / "resend").mkdir()
    assert Requests(folder, journal.cursor("uplink")).look() == 0
    assert names(folder) == ["resend.unreadable"]


def test_a_folder_that_is_gone_is_no_reason_to_fail(tmp_path):
    assert not take_requests(tmp_path / "gone")
    requests_done(tmp_path / "gone")


def test_two_who_ask_at_once_do_not_overwrite_each_other(journal, folder):
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        ask(folder, Spans.parse("5"))
    # The daemon does not wait for them.
    assert not take_requests(folder)
    os.close(handle)
    ask(folder, Spans.parse("5"))
    assert str(take_requests(folder)) == "5"


def test_too_many_spans_are_refused_and_what_waits_stays(journal, folder):
    ask(folder, Spans.parse("5"))
    with pytest.raises(ValueError, match="do not fit"):
        ask(folder, Spans((n, n) for n in range(10, 40_000, 2)))
    assert str(waiting(folder)) == "5"
    assert names(folder) == ["resend"]


def test_what_is_not_there_any_more_is_asked_for_in_vain(journal, folder):
    requests = Requests(folder, journal.cursor("uplink"))
    ask(folder, Spans.parse("5000"))
    assert requests.look() == 0
    commit(journal, line(102))
    requests.committed()
    assert names(folder) == []
