"""The journal keeps what was committed, gives it to each reader, and stays within its limits."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal import Commit, Journal, JournalFull, NotOurJournal
from cloud_sync.spans import Spans

BIG = 100_000_000
EVERYTHING = 1 << 40


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    journal = Journal(path, max_bytes=BIG)
    yield journal
    journal.close()


def lines(*numbers):
    return [b"air,gateway=g t=%d %d\n" % (n, n) for n in numbers]


def offered(cursor, lane="readings", after=0):
    """Return the lines of all that is pending."""
    found = []
    while entries := cursor.pending(lane, after, EVERYTHING):
        found += [line for e in entries for line in e.lines.splitlines(keepends=True)]
        after = entries[-1].last
    return found


def test_readings_and_events_are_offered_in_lanes_of_their_own(journal):
    journal.commit(Commit(readings=lines(1, 2), events=[b"alert 3\n"]))
    cursor = journal.cursor("uplink")
    assert offered(cursor) == lines(1, 2)
    assert offered(cursor, "events") == [b"alert 3\n"]
    assert [(e.first, e.last) for e in cursor.pending("events", 0, 1)] == [(3, 3)]


def test_what_is_confirmed_is_not_offered_again_even_after_a_restart(path):
    journal = Journal(path, max_bytes=BIG)
    journal.commit(Commit(readings=lines(1)))
    journal.commit(Commit(readings=lines(2)))
    journal.cursor("uplink").confirm(journal.boot, Spans([(1, 1)]))
    assert offered(journal.cursor("uplink")) == lines(2)
    journal.close()
    journal = Journal(path, max_bytes=BIG)
    assert offered(journal.cursor("uplink")) == lines(2)
    journal.close()


def test_two_readers_have_places_of_their_own(journal):
    journal.commit(Commit(readings=lines(1)))
    journal.cursor("uplink").confirm(journal.boot, Spans([(1, 1)]))
    assert offered(journal.cursor("uplink")) == []
    assert offered(journal.cursor("mail")) == lines(1)


def test_each_opening_is_a_boot_whose_numbers_go_on(path):
    first = Journal(path, max_bytes=BIG)
    first.commit(Commit(readings=lines(1, 2)))
    first.close()
    second = Journal(path, max_bytes=BIG)
    second.commit(Commit(readings=lines(3)))
    assert second.boot != first.boot
    (old,) = second.cursor("uplink").pending("readings", 0, EVERYTHING)
    (new,) = second.cursor("uplink").pending("readings", old.last, EVERYTHING)
    assert (old.boot, old.first, old.last) == (first.boot, 1, 2)
    assert (new.boot, new.first, new.last) == (second.boot, 3, 3)
    second.close()


def test_a_confirmation_never_reaches_into_another_boot(path):
    first = Journal(path, max_bytes=BIG)
    first.commit(Commit(readings=lines(1, 2)))
    first.close()
    second = Journal(path, max_bytes=BIG)
    second.commit(Commit(readings=lines(3)))
    cursor = second.cursor("uplink")
    cursor.confirm("00000000", Spans([(1, 99)]))
    assert offered(cursor) == lines(1, 2, 3)
    cursor.confirm(second.boot, Spans([(1, 99)]))
    assert offered(cursor) == lines(1, 2)
    cursor.confirm(first.boot, Spans([(1, 99)]))
    assert (offered(cursor), cursor.unconfirmed) == ([], 0)
    second.close()


def test_numbers_are_never_ahead_of_a_cursor_when_all_records_are_gone(path):
    journal = Journal(path, max_bytes=BIG)
    journal.commit(Commit(readings=lines(*range(1, 9))))
    journal.cursor("uplink").confirm(journal.boot, Spans([(1, 8)]))
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM entry")
    db.close()
    journal = Journal(path, max_bytes=BIG)
    cursor = journal.cursor("uplink")
    journal.commit(Commit(readings=lines(9)))
    assert offered(cursor) == lines(9)
    journal.close()


def test_state_is_committed_with_the_records(journal):
    assert journal.state("engine") is None
    journal.commit(Commit(readings=lines(1), state={"engine": b"one"}))
    journal.commit(Commit(readings=lines(2), state={"engine": b"two"}))
    assert journal.state("engine") == b"two"


def test_a_large_commit_becomes_entries_that_fit_into_a_packet(journal):
    journal.commit(Commit(readings=lines(*range(1, 2001))))
    entries = journal.cursor("uplink").pending("readings", 0, EVERYTHING)
    assert len(entries) > 1
    assert all(len(entry.lines) <= 8192 for entry in entries)
    assert offered(journal.cursor("uplink")) == lines(*range(1, 2001))


def test_a_full_disk_changes_nothing_and_says_so(path):
    journal = Journal(path, max_bytes=BIG)
    journal.cursor("uplink")
    journal.commit(Commit(readings=lines(1), state={"engine": b"one"}))
    (pages,) = journal._writer.execute("PRAGMA page_count").fetchone()
    journal._writer.execute(f"PRAGMA max_page_count = {pages}")
    much = [b"air t=%d %s\n" % (n, b"x" * 500) for n in range(200)]
    with pytest.raises(JournalFull, match=r"journal\.sqlite could not be written.*disk is full"):
        journal.commit(Commit(readings=much, state={"engine": b"two"}))
    assert journal.state("engine") == b"one"
    assert offered(journal.cursor("uplink")) == lines(1)
    journal._writer.execute(f"PRAGMA max_page_count = {pages * 100}")
    journal.commit(Commit(readings=much))
    assert len(offered(journal.cursor("uplink"))) == 201
    journal.close()


def test_on_a_full_disk_confirmed_records_make_room_for_new_ones(path):
    journal = Journal(path, max_bytes=BIG)
    cursor = journal.cursor("uplink")
    for n in range(50):
        journal.commit(Commit(readings=[b"air t=%d %s\n" % (n, b"x" * 2000)]))
    cursor.confirm(journal.boot, Spans([(1, 50)]))
    (pages,) = journal._writer.execute("PRAGMA page_count").fetchone()
    journal._writer.execute(f"PRAGMA max_page_count = {pages}")
    for n in range(50, 70):
        journal.commit(Commit(readings=[b"air t=%d %s\n" % (n, b"x" * 2000)]))
    assert len(offered(cursor)) == 20
    journal.close()


def test_over_budget_the_oldest_confirmed_records_go_first(path):
    journal = Journal(path, max_bytes=400_000)
    cursor = journal.cursor("uplink")
    for n in range(300):
        journal.commit(Commit(readings=[b"air t=%d %s\n" % (n, b"x" * 2000)]))
        cursor.confirm(journal.boot, Spans([(1, n - 10)] if n > 10 else []))
    assert journal.used_bytes <= 400_000
    assert journal.lost == 0
    assert cursor.unconfirmed == len(offered(cursor)) == 11
    journal.close()


def test_over_budget_unconfirmed_readings_go_next_and_alerts_never(path):
    journal = Journal(path, max_bytes=400_000)
    cursor = journal.cursor("uplink")
    for n in range(300):
        reading = b"air t=%d %s\n" % (n, b"x" * 2000)
        journal.commit(
            Commit(readings=[reading], events=[b"alert %d\n" % n] if n % 10 == 0 else [])
        )
    assert journal.used_bytes <= 400_000
    assert offered(cursor, "events") == [b"alert %d\n" % n for n in range(0, 300, 10)]
    assert journal.lost == 300 - len(offered(cursor)) > 0
    unconfirmed = cursor.unconfirmed
    assert unconfirmed == len(offered(cursor)) + 30
    journal.close()
    again = Journal(path, max_bytes=BIG)
    assert again.cursor("uplink").unconfirmed == unconfirmed
    again.close()


def test_the_file_of_another_program_is_left_alone(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(NotOurJournal, match="another program: choose another path"):
        Journal(path, max_bytes=BIG)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(path):
    path.write_bytes(b"shopping list\n" * 100)
    with pytest.raises(NotOurJournal, match="not a database"):
        Journal(path, max_bytes=BIG)
    assert path.read_bytes() == b"shopping list\n" * 100


def test_a_journal_of_a_newer_version_is_left_alone(path):
    Journal(path, max_bytes=BIG).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(NotOurJournal, match=r"newer Satomori \(schema 2; this one knows 1\)"):
        Journal(path, max_bytes=BIG)


def test_two_daemons_never_share_a_journal(path, journal):
    with pytest.raises(NotOurJournal, match="another `satomori run` works on it"):
        Journal(path, max_bytes=BIG)
    journal.commit(Commit(readings=lines(1)))


def test_who_looks_into_the_file_does_not_hold_up_the_daemon(path, journal):
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFull, match=r"locked.*another program holds the file"):
            journal.commit(Commit(readings=lines(1)))
    journal.commit(Commit(readings=lines(1)))
    assert offered(journal.cursor("uplink")) == lines(1)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFull, match="check that the folder exists, who owns it"):
        Journal(tmp_path / "file" / "journal.sqlite", max_bytes=BIG)


def test_kill_9_loses_nothing_that_was_committed(path):
    script = """
import os, sys
from pathlib import Path
from agent.journal import Commit, Journal
journal = Journal(Path(sys.argv[1]), max_bytes=100_000_000)
for n in range(1, 10_000):
    journal.commit(Commit(readings=[b"air t=%d %d\\n" % (n, n)]))
    print(n, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    committed = 0
    for line in process.stdout:
        committed = int(line)
        if committed >= 50:
            process.kill()
            break
    committed = max([committed, *(int(line) for line in process.stdout)])
    process.wait()
    process.stdout.close()
    journal = Journal(path, max_bytes=BIG)
    kept = len(offered(journal.cursor("uplink")))
    assert kept - committed in {0, 1}
    journal.close()


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("commit"), st.integers(1, 5), st.booleans()),
            st.tuples(st.just("confirm"), st.integers(1, 40), st.integers(0, 10)),
            st.just(("restart",)),
        ),
        max_size=30,
    )
)
def test_a_record_is_offered_until_it_is_confirmed_and_never_after(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    journal = Journal(path, max_bytes=BIG)
    boots, confirmed = {}, set()
    newest = 0
    for step in steps:
        match step:
            case ("commit", count, urgent):
                new = range(newest + 1, newest + count + 1)
                boots |= dict.fromkeys(new, journal.boot)
                newest += count
                batch = Commit(events=lines(*new)) if urgent else Commit(readings=lines(*new))
                journal.commit(batch)
            case ("confirm", first, more):
                journal.cursor("uplink").confirm(journal.boot, Spans([(first, first + more)]))
                known = range(first, first + more + 1)
                confirmed |= {n for n in known if boots.get(n) == journal.boot}
            case _:
                journal.close()
                journal = Journal(path, max_bytes=BIG)
    cursor = journal.cursor("uplink")
    found = offered(cursor) + offered(cursor, "events")
    # An entry is confirmed as a whole: it is offered again as long as a part of it is not.
    assert set(lines(*(set(boots) - confirmed))) <= set(found)
    assert cursor.unconfirmed == len(set(boots) - confirmed)
    journal.close()
