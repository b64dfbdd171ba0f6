"""Each reader is offered what it has not confirmed, once; whatever is confirmed, reopened, lost."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal import cursor as cursor_module
from agent.journal.block import Stamp
from agent.journal.manifest import Settlement
from cloud_sync.spans import Spans
from tests.agent.journals import (
    AT_US,
    EVERYTHING,
    Desk,
    alert,
    commit,
    kill,
    line,
    lines,
    offered,
)

UNSETTLED = Stamp("kernel", 0, settled=False)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "journal", tmp_path / "tail")


@pytest.fixture
def journal(desk):
    journal = desk.open()
    yield journal
    journal.close()


def numbers(cursor, lane="readings", after=0, through=EVERYTHING, max_bytes=EVERYTHING):
    return [(e.first, e.last) for e in cursor.pending(lane, after, through, max_bytes)]


def spans(text):
    return Spans.parse(text)


def test_readings_and_events_are_offered_in_lanes_of_their_own(journal):
    commit(journal, line(1), line(2), alert(3), line(4))
    cursor = journal.cursor("uplink")
    assert numbers(cursor) == [(1, 2), (4, 4)]
    assert numbers(cursor, "events") == [(3, 3)]


def test_what_is_not_committed_is_not_offered(journal):
    commit(journal, line(1))
    journal.append([line(2)])
    assert journal.cursor("uplink").newest == 1
    assert numbers(journal.cursor("uplink")) == [(1, 1)]


def test_only_what_is_asked_for_is_offered(journal):
    commit(journal, *lines(range(1, 11)))
    commit(journal, *lines(range(11, 21)))
    cursor = journal.cursor("uplink")
    assert numbers(cursor, after=4, through=12) == [(5, 10), (11, 12)]
    assert numbers(cursor, after=20) == []
    assert numbers(cursor, after=5, through=5) == []


@pytest.mark.parametrize("max_bytes", [0, 1, 100, 230, 1_000, 5_000])
def test_as_many_as_fit_are_offered_but_at_least_one(journal, max_bytes):
    for number in range(1, 100, 7):
        commit(journal, *lines(range(number, number + 7)))
    cursor, after, found = journal.cursor("uplink"), 0, []
    while entries := cursor.pending("readings", after, EVERYTHING, max_bytes):
        size = sum(len(entry.lines) for entry in entries)
        count = sum(entry.last - entry.first + 1 for entry in entries)
        assert count == 1 or size <= max_bytes
        found += [entry.lines for entry in entries]
        after = entries[-1].last
        following = line(after + 1)
        assert after >= 99 or size + len(following) > max_bytes
    assert b"".join(found) == b"".join(lines(range(1, 106)))


def test_entries_are_of_one_boot_at_a_time(desk):
    boots = []
    for start in (1, 4, 7):
        journal = desk.open()
        boots.append(journal.boot)
        commit(journal, *lines(range(start, start + 3)))
        kill(journal)
    journal = desk.open()
    cursor = journal.cursor("uplink")
    assert numbers(cursor) == [(1, 3)]
    assert {boot for boot, n, _ in offered(cursor) if 4 <= n <= 6} == {boots[1]}
    assert [cursor.floor(boot) for boot in boots] == [0, 3, 6]
    journal.close()


def test_confirmations_come_in_any_order(journal):
    for number in range(1, 101):
        commit(journal, line(number))
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, spans("50-60,90"))
    assert (cursor.through, cursor.unconfirmed) == (0, 88)
    cursor.confirm(journal.boot, spans("1-49"))
    assert (cursor.through, cursor.floor(journal.boot), cursor.unconfirmed) == (60, 60, 39)
    cursor.confirm(journal.boot, spans("1-49,90"))
    assert (cursor.through, cursor.unconfirmed) == (60, 39)
    assert [n for _, n, _ in offered(cursor)] == [*range(61, 90), *range(91, 101)]


def test_a_confirmation_never_reaches_into_another_boot_or_the_future(desk):
    first = desk.open()
    commit(first, *lines([1, 2]))
    first.close()
    second = desk.open()
    commit(second, line(3))
    cursor = second.cursor("uplink")
    cursor.confirm("00000000", spans("1-99"))
    assert len(offered(cursor)) == 3
    cursor.confirm(second.boot, spans("1-99"))
    assert [n for _, n, _ in offered(cursor)] == [1, 2]
    commit(second, line(4))
    assert [n for _, n, _ in offered(cursor)] == [1, 2, 4]
    cursor.confirm(first.boot, spans("1-99"))
    assert [n for _, n, _ in offered(cursor)] == [4]
    second.close()


def test_what_is_confirmed_is_kept_with_the_next_commit(desk):
    journal = desk.open()
    commit(journal, *lines(range(1, 6)))
    journal.cursor("uplink").confirm(journal.boot, spans("1-2,4"))
    commit(journal, line(6))
    journal.cursor("uplink").confirm(journal.boot, spans("5"))
    kill(journal)
    desk.power_cut()
    journal = desk.open()
    # The last one is sent twice, which is harmless.
    assert [n for _, n, _ in offered(journal.cursor("uplink"))] == [3, 5, 6]
    journal.cursor("uplink").confirm(journal.manifest.boots[0].label, spans("5"))
    journal.close()
    journal = desk.open()
    assert [n for _, n, _ in offered(journal.cursor("uplink"))] == [3, 6]
    journal.close()


def test_two_readers_have_places_of_their_own(journal):
    commit(journal, line(1))
    journal.cursor("uplink").confirm(journal.boot, spans("1"))
    assert offered(journal.cursor("uplink")) == []
    assert len(offered(journal.cursor("mail"))) == 1
    assert journal.cursor("mail") is journal.cursor("mail")


# Wanted again


def test_what_is_wanted_again_has_a_label_that_old_confirmations_do_not_fit(journal):
    commit(journal, *lines(range(1, 11)))
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, spans("1-10"))
    assert cursor.reopen(spans("3-5,9")) == 4
    found = offered(cursor)
    (label,) = {boot for boot, _, _ in found}
    assert label != journal.boot
    assert [n for _, n, _ in found] == [3, 4, 5, 9]
    assert (cursor.floor(label), cursor.floor(journal.boot), cursor.unconfirmed) == (2, 2, 4)
    cursor.confirm(journal.boot, spans("1-10"))
    assert offered(cursor) == found
    cursor.confirm(label, spans("1-4"))
    assert [n for _, n, _ in offered(cursor)] == [5, 9]
    cursor.confirm(label, spans("5-99"))
    assert (offered(cursor), cursor.through) == ([], 10)


def test_what_is_wanted_again_survives_a_restart(desk):
    journal = desk.open()
    commit(journal, *lines(range(1, 11)))
    journal.cursor("uplink").confirm(journal.boot, spans("1-10"))
    journal.cursor("uplink").reopen(spans("4-6"))
    found = offered(journal.cursor("uplink"))
    commit(journal, line(11))
    kill(journal)
    journal = desk.open()
    cursor = journal.cursor("uplink")
    assert offered(cursor)[:3] == found
    cursor.confirm(found[0][0], spans("4-6"))
    assert [n for _, n, _ in offered(cursor)] == [11]
    journal.close()


def test_what_is_under_way_and_wanted_again_counts_under_the_new_label_only(journal):
    commit(journal, *lines(range(1, 6)))
    cursor = journal.cursor("uplink")
    assert cursor.reopen(spans("2-3,70-90")) == 2
    cursor.confirm(journal.boot, spans("1-5"))
    assert [n for _, n, _ in offered(cursor)] == [2, 3]
    assert cursor.reopen(spans("3")) == 1
    labels = [boot for boot, _, _ in offered(cursor)]
    assert len(set(labels)) == 2
    for label in labels:
        cursor.confirm(label, spans("1-5"))
    assert (offered(cursor), cursor.through) == ([], 5)


def test_nothing_that_never_was_can_be_wanted_again(journal):
    cursor = journal.cursor("uplink")
    assert cursor.reopen(spans("1-5")) == 0
    commit(journal, line(1))
    assert cursor.reopen(spans("2-9")) == 0
    assert cursor.reopen(Spans()) == 0


def test_only_so_many_things_can_be_wanted_again_at_a_time(journal):
    commit(journal, *lines(range(1, 101)))
    cursor = journal.cursor("uplink")
    for number in range(1, cursor_module.MAX_AGAIN + 1):
        assert cursor.reopen(spans(str(number))) == 1
    assert cursor.reopen(spans("99")) == 0
    cursor.confirm(offered(cursor)[0][0], spans("1"))
    assert cursor.reopen(spans("99")) == 1


# Times that are not settled


def hide(journal, *new):
    journal.set_stamp(UNSETTLED)
    commit(journal, *new)


def settle(journal, first, last, shift_us=3_600_000_000):
    journal.note([], [Settlement(first, last, AT_US, shift_us, 0, 0)])
    commit(journal)


def test_readings_without_a_settled_time_wait_and_alerts_do_not(journal):
    commit(journal, line(1))
    hide(journal, line(2), alert(3), line(4))
    cursor = journal.cursor("uplink")
    assert numbers(cursor) == [(1, 1)]
    assert numbers(cursor, "events") == [(3, 3)]
    cursor.confirm(journal.boot, spans("1,3"))
    assert (cursor.through, cursor.unconfirmed) == (1, 2)
    assert numbers(cursor) == []
    settle(journal, 2, 4)
    assert [text for _, _, text in offered(cursor)] == [
        line(n, at_us=AT_US + (n + 3_600) * 1_000_000) for n in (2, 4)
    ]


def test_a_loss_without_a_settled_time_waits_too(journal):
    hide(journal, line(1, "loss"))
    cursor = journal.cursor("uplink")
    assert numbers(cursor, "events") == []
    settle(journal, 1, 1)
    assert numbers(cursor, "events") == [(1, 1)]


def test_a_time_that_is_not_known_well_says_so(journal):
    hide(journal, line(1))
    journal.note([], [Settlement(1, 1, AT_US, 0, 0, 90)])
    commit(journal)
    ((_, _, text),) = offered(journal.cursor("uplink"))
    assert b"value=1,time_uncertain_seconds=90 " in text


def test_what_is_settled_stays_so_over_a_restart(desk):
    journal = desk.open()
    hide(journal, *lines(range(1, 20)))
    journal.note([], [Settlement(1, 10, AT_US, 5_000_000, 2_000, 7)])
    commit(journal, line(20))
    found = offered(journal.cursor("uplink"))
    assert [n for _, n, _ in found] == list(range(1, 11))
    kill(journal)
    journal = desk.open()
    assert offered(journal.cursor("uplink")) == found
    assert [(s.first, s.last) for s in journal.manifest.unsettled] == [(11, 20)]
    journal.close()


# Looking for nothing, again and again


def reads(journal, monkeypatch):
    """Count the blocks that are decoded."""
    count = []
    block = journal._files.block
    monkeypatch.setattr(journal._files, "block", lambda *of: (count.append(of), block(*of))[1])
    return count


def test_a_backlog_without_alerts_is_looked_through_once(journal, monkeypatch):
    for number in range(1, 50):
        hide(journal, line(number))
    cursor = journal.cursor("uplink")
    read = reads(journal, monkeypatch)
    assert numbers(cursor) == []
    assert len(read) == 49
    for number in range(50, 60):
        del read[:]
        hide(journal, line(number))
        assert numbers(cursor) == numbers(cursor) == numbers(cursor, after=17) == []
        assert len(read) <= 3


def breaks_new(journal, cursor):
    journal.set_stamp(UNSETTLED._replace(settled=True))
    commit(journal, line(4))
    return [4]


def breaks_settled(journal, cursor):
    settle(journal, 2, 2)
    return [2]


def breaks_reopened(journal, cursor):
    assert cursor.reopen(spans("1")) == 1
    return [1]


@pytest.mark.parametrize("breaks", [breaks_new, breaks_settled, breaks_reopened])
def test_where_nothing_was_something_is_found_as_soon_as_it_is_there(journal, breaks):
    commit(journal, line(1))
    hide(journal, line(2), line(3))
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, spans("1"))
    for after in (0, 1, 2):
        assert numbers(cursor, after=after) == []
    assert numbers(cursor, through=1) == []
    expected = breaks(journal, cursor)
    assert [n for _, n, _ in offered(cursor)] == expected


def test_what_is_wanted_again_is_found_behind_something_that_is_hidden(journal):
    hide(journal, line(1))
    journal.set_stamp(UNSETTLED._replace(settled=True))
    commit(journal, line(2))
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, spans("2"))
    assert numbers(cursor) == []
    assert cursor.reopen(spans("2")) == 1
    assert numbers(cursor) == [(2, 2)]


# All together, against a model


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("readings"), st.integers(1, 4)),
        st.tuples(st.just("events"), st.integers(1, 2)),
        st.tuples(st.just("hidden"), st.integers(1, 3)),
        st.tuples(st.just("settle"), st.integers(0, 40), st.integers(0, 10)),
        st.tuples(st.just("confirm"), st.integers(0, 5), st.integers(1, 40), st.integers(0, 12)),
        st.tuples(st.just("reopen"), st.integers(1, 40), st.integers(0, 8)),
        st.tuples(st.just("look"), st.integers(0, 40), st.integers(0, 300)),
        st.just(("restart",)),
        st.just(("power cut",)),
        st.just(("kill",)),
        st.just(("commit",)),
    ),
    max_size=40,
)


class Model:
    """What a cursor should offer: sets, and nothing clever."""

    def __init__(self):
        self.lane, self.boot, self.hidden, self.done = {}, {}, set(), set()
        self.saved = None

    def offered(self, lane, after):
        return [
            (self.boot[n], n)
            for n in sorted(self.lane)
            if n > after and n not in self.done and self.lane[n] == lane
            if lane == "events" or n not in self.hidden
        ]


@settings(max_examples=60)
@given(STEPS)
def test_a_cursor_offers_what_a_set_would(steps):
    with tempfile.TemporaryDirectory() as folder:
        Walk(Desk(Path(folder) / "journal", Path(folder) / "tail")).walk(steps)


class Walk:
    """Takes the same steps with a real journal and with the model."""

    def __init__(self, desk):
        self.desk, self.model = desk, Model()
        self.journal = desk.open(segment_bytes=800)
        self.labels = [self.journal.boot]
        self.next = 1

    def walk(self, steps):
        for step in steps:
            getattr(self, step[0].replace(" ", "_"))(*step[1:])
            self.compare()
        self.journal.close()

    def compare(self):
        cursor = self.journal.cursor("uplink")
        expected = self.model.offered("events", 0) + self.model.offered("readings", 0)
        found = [(boot, n) for boot, n, _ in offered(cursor)]
        assert found == sorted(expected, key=lambda each: each[1])
        left = [n for n in self.model.lane if n not in self.model.done]
        assert cursor.unconfirmed == len(left)
        assert cursor.through == min(left, default=self.next) - 1

    def add(self, lane, count, stamp):
        new = range(self.next, self.next + count)
        self.next += count
        family = "alert" if lane == "events" else "air"
        self.model.lane |= dict.fromkeys(new, lane)
        self.model.boot |= dict.fromkeys(new, self.journal.boot)
        self.model.hidden |= set() if stamp.settled else set(new)
        self.journal.set_stamp(stamp)
        commit(self.journal, *lines(new, family))

    def readings(self, count):
        self.add("readings", count, UNSETTLED._replace(settled=True))

    def events(self, count):
        self.add("events", count, UNSETTLED._replace(settled=True))

    def hidden(self, count):
        self.add("readings", count, UNSETTLED)

    def settle(self, first, more):
        if first >= self.next:
            return
        more = min(more, self.next - 1 - first)
        settle(self.journal, first, first + more)
        self.model.hidden -= set(range(first, first + more + 1))

    def confirm(self, which, first, more):
        label = self.labels[-1 - which % len(self.labels)]
        self.journal.cursor("uplink").confirm(label, Spans([(first, first + more)]))
        known = range(first, first + more + 1)
        self.model.done |= {n for n in known if self.model.boot.get(n) == label}

    def reopen(self, first, more):
        wanted = {n for n in range(first, first + more + 1) if n in self.model.lane}
        cursor = self.journal.cursor("uplink")
        before = set(cursor.place.again)
        count = cursor.reopen(Spans([(first, first + more)]))
        if count == 0:
            return
        assert count == len(wanted)
        (label,) = set(cursor.place.again) - before
        self.labels.append(label)
        self.model.boot |= dict.fromkeys(wanted, label)
        self.model.done -= wanted

    def look(self, after, max_bytes):
        after = max(after, self.journal.cursor("uplink").through)
        found = self.journal.cursor("uplink").pending("readings", after, EVERYTHING, max_bytes)
        pairs = [(e.boot, n) for e in found for n in range(e.first, e.last + 1)]
        assert pairs == self.model.offered("readings", after)[: len(pairs)]
        assert bool(pairs) == bool(self.model.offered("readings", after))

    def commit(self):
        commit(self.journal, state=b"x")

    def restart(self):
        self.journal.close()
        self.open()

    def kill(self):
        self.commit()
        kill(self.journal)
        self.open()

    def power_cut(self):
        self.commit()
        kill(self.journal)
        self.desk.power_cut()
        self.desk.options = {"write_loss": None}
        self.open()

    def open(self):
        self.journal = self.desk.open(segment_bytes=800)
        self.labels.append(self.journal.boot)
