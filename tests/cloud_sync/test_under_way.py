"""The window: what is offered, what is offered again, and when."""

import random
from itertools import count

import pytest

from agent.journal import Commit, Journal
from cloud_sync.spans import Spans
from cloud_sync.under_way import MAX_CONFIRM_TIMEOUT_S, WINDOW, UnderWay

BIG = b"9" * 15_000


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite", max_bytes=100_000_000)
    yield journal
    journal.close()


@pytest.fixture
def under_way(journal):
    return UnderWay(journal.cursor("uplink"), timeout_s=30.0)


def keep(journal, *bodies, lane="readings"):
    for body in bodies:
        journal.commit(Commit(**{lane: [b"air,gateway=g t=1,x=%s 1\n" % body]}))


def send(under_way, key, now_s=0.0, lane="readings"):
    batch = under_way.next_batch(lane)
    under_way.sent(key, lane, batch, now_s)
    return str(batch.sequence)


def test_small_entries_leave_together_and_large_ones_alone(journal, under_way):
    keep(journal, b"1", b"2", BIG, BIG)
    assert [send(under_way, key) for key in "ab"] == ["1-3", "4"]
    assert under_way.next_batch("readings") is None


def test_what_is_under_way_is_not_offered_again(journal, under_way):
    keep(journal, BIG, BIG)
    assert [send(under_way, key) for key in "ab"] == ["1", "2"]
    assert under_way.next_batch("readings") is None


def test_a_full_window_offers_nothing_until_something_is_confirmed(journal, under_way):
    keep(journal, *[BIG] * (WINDOW + 1))
    for key in range(WINDOW):
        send(under_way, key)
    assert under_way.is_full
    assert under_way.next_batch("readings") is None
    assert under_way.confirmed(journal.boot, Spans([(3, 3)]))
    assert send(under_way, "next") == str(WINDOW + 1)


def test_nothing_is_overdue_before_its_time(journal, under_way):
    keep(journal, BIG)
    assert under_way.next_deadline_s is None
    send(under_way, "a", now_s=100.0)
    assert under_way.next_deadline_s == 130.0
    assert not under_way.give_up_waiting(129.9)
    assert under_way.give_up_waiting(130.0)
    assert send(under_way, "b", now_s=130.0) == "1"


def test_each_time_in_vain_makes_it_more_patient_and_a_confirmation_ends_that(journal, under_way):
    keep(journal, BIG, BIG)
    waits, now_s = [], 0.0
    for key in range(8):
        send(under_way, key, now_s)
        waits.append(under_way.next_deadline_s - now_s)
        now_s = under_way.next_deadline_s
        assert under_way.give_up_waiting(now_s)
    assert waits == [30, 60, 120, 240, 480, 900, 900, MAX_CONFIRM_TIMEOUT_S]
    send(under_way, "again", now_s)
    assert under_way.confirmed(journal.boot, Spans([(1, 1)]))
    assert under_way.timeout_s == 30.0


def test_a_confirmation_of_a_part_leaves_the_batch_under_way(journal, under_way):
    keep(journal, b"1", b"2")
    assert send(under_way, "a") == "1-2"
    assert not under_way.confirmed(journal.boot, Spans([(1, 1)]))
    assert under_way.of("a").numbers == Spans([(1, 2)])


def test_a_confirmation_of_another_boot_changes_nothing(journal, under_way):
    keep(journal, BIG)
    send(under_way, "a")
    assert not under_way.confirmed("00000000", Spans([(1, 99)]))
    under_way.rewind()
    assert send(under_way, "b") == "1"


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_lost_on_the_way_everything_is_confirmed_in_the_end(journal, under_way, seed):
    chance = random.Random(seed)
    keep(journal, *[BIG] * 10)
    keep(journal, *[BIG] * 2, lane="events")
    keys, stored, now_s = count(), Spans(), 0.0
    while journal.cursor("uplink").unconfirmed:
        for lane in ("events", "readings"):
            while batch := under_way.next_batch(lane):
                under_way.sent(next(keys), lane, batch, now_s)
                if chance.random() < 0.6:
                    stored.update(batch.sequence)
        if chance.random() < 0.5:
            under_way.confirmed(journal.boot, stored)
        now_s = under_way.next_deadline_s or now_s
        under_way.give_up_waiting(now_s)
        assert next(keys) < 10_000
    assert stored == Spans([(1, 12)])
