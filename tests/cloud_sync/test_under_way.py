"""The window: what is offered, what is offered again, and when."""

import random
from itertools import count
from math import inf

import pytest

from cloud_sync.batch import WINDOW
from cloud_sync.spans import Spans
from cloud_sync.uplink.under_way import (
    MAX_CONFIRM_TIMEOUT_S,
    UNACKNOWLEDGED_S,
    UnderWay,
    first_records,
)
from tests.fakes.outbox import MemoryOutbox

ROOM = 150


@pytest.fixture
def outbox():
    return MemoryOutbox()


@pytest.fixture
def under_way(outbox):
    return UnderWay(outbox)


def lines(*numbers):
    return [b"air,gateway=g t=%d 1\n" % n for n in numbers]


def keep(outbox, *bodies, lane="readings"):
    outbox.keep(*[b"air,gateway=g t=1,x=%s 1\n" % body for body in bodies], lane=lane)


def big(times):
    return [b"9" * 100] * times


def next_of(under_way, part):
    batch = under_way.next_batch(part, ROOM)
    return batch and str(batch.sequence)


def send(under_way, key, part="backfill", now_s=0.0, **how):
    batch = under_way.next_batch(part, ROOM)
    under_way.sent(key, part, batch, now_s, **how)
    under_way.arrived(key)
    return str(batch.sequence)


# What is offered


def test_small_records_leave_together_and_large_ones_alone(outbox, under_way):
    keep(outbox, b"1", b"2", *big(2))
    under_way.rewind()
    assert [send(under_way, key) for key in "abc"] == ["1-2", "3", "4"]
    assert next_of(under_way, "backfill") is None


def test_what_was_there_when_the_session_began_is_backfill_and_the_rest_is_fresh(outbox, under_way):
    keep(outbox, *big(2))
    under_way.rewind()
    keep(outbox, *big(2))
    assert [send(under_way, key, "fresh") for key in "ab"] == ["3", "4"]
    assert [send(under_way, key, "backfill") for key in "cd"] == ["1", "2"]
    assert next_of(under_way, "fresh") is next_of(under_way, "backfill") is None


def test_backfill_that_is_over_is_not_looked_for_any_more(outbox, under_way):
    assert next_of(under_way, "backfill") is None
    outbox.pending = None
    assert next_of(under_way, "backfill") is None


def test_events_are_of_their_own(outbox, under_way):
    keep(outbox, b"1")
    keep(outbox, b"2", lane="events")
    under_way.rewind()
    assert send(under_way, "a", "events") == "2"
    assert send(under_way, "b") == "1"


def test_whether_something_waits_behind_a_batch(outbox, under_way):
    keep(outbox, *big(2))
    under_way.rewind()
    keep(outbox, *big(2))
    batch = under_way.next_batch("fresh", ROOM)
    assert under_way.has_more("fresh", batch)
    under_way.sent("a", "fresh", batch, 0.0)
    batch = under_way.next_batch("fresh", ROOM)
    assert under_way.has_more("fresh", batch), "backfill waits"
    send(under_way, "b")
    batch = under_way.next_batch("backfill", ROOM)
    assert not under_way.has_more("backfill", batch)


def test_what_is_under_way_is_not_offered_when_everything_is_looked_at_again(outbox, under_way):
    keep(outbox, *map(b"%d".__mod__, range(6)))
    outbox.hidden = Spans([(1, 1), (3, 3)])
    under_way.rewind()
    assert send(under_way, "a") == "2,4-6"
    outbox.hidden = Spans()
    assert next_of(under_way, "backfill") is None
    under_way.look_again()
    batch = under_way.next_batch("backfill", 10_000)
    assert str(batch.sequence) == "1,3"
    assert batch.lines == outbox.records[0][1] + outbox.records[2][1]


def test_what_is_wanted_again_goes_though_it_is_under_way_under_its_old_name(outbox, under_way):
    keep(outbox, b"1", b"2")
    under_way.rewind()
    assert send(under_way, "a") == "1-2"
    assert outbox.reopen(Spans([(2, 9)])) == 1
    under_way.look_again()
    batch = under_way.next_batch("backfill", ROOM)
    assert (str(batch.sequence), batch.boot != outbox.boot) == ("2", True)


@pytest.mark.parametrize(("wanted", "kept"), [(0, "1"), (1, "1"), (3, "1-2,5"), (9, "1-2,5-6")])
def test_the_first_records_of_a_batch(outbox, under_way, wanted, kept):
    outbox.keep(*lines(1, 2, 3, 4, 5, 6))
    outbox.hidden = Spans([(3, 4)])
    under_way.rewind()
    batch = first_records(under_way.next_batch("backfill", ROOM), wanted)
    assert str(batch.sequence) == kept
    assert batch.lines == b"".join(
        lines(*(n for a, b in Spans.parse(kept) for n in range(a, b + 1)))
    )


# The window


def test_a_full_window_offers_nothing_until_something_is_confirmed(outbox, under_way):
    keep(outbox, *big(WINDOW + 1))
    under_way.rewind()
    for key in range(WINDOW):
        send(under_way, key)
    assert under_way.is_full
    assert next_of(under_way, "backfill") is None
    assert under_way.confirmed(outbox.boot, Spans([(3, 3)]))
    assert send(under_way, "next") == str(WINDOW + 1)


def test_readings_never_keep_an_alert_from_leaving(outbox, under_way):
    keep(outbox, *big(WINDOW))
    under_way.rewind()
    for key in range(WINDOW):
        send(under_way, key)
    keep(outbox, *big(WINDOW + 1), lane="events")
    for key in range(WINDOW):
        send(under_way, f"event {key}", "events")
    assert next_of(under_way, "events") is None


def test_a_packet_is_on_its_way_until_the_broker_has_it(outbox, under_way):
    keep(outbox, *big(1))
    under_way.rewind()
    assert not under_way.on_its_way_until_s(5.0)
    under_way.sent("a", "backfill", under_way.next_batch("backfill", ROOM), 5.0)
    assert under_way.on_its_way_until_s(99.0) == inf
    assert under_way.unacknowledged_since_s == 5.0
    under_way.arrived("a")
    assert not under_way.on_its_way_until_s(5.0)
    assert under_way.unacknowledged_since_s == inf


def test_where_the_broker_says_nothing_it_is_on_its_way_until_it_is_confirmed(outbox, under_way):
    keep(outbox, *big(1))
    under_way.rewind()
    batch = under_way.next_batch("backfill", ROOM)
    under_way.sent("a", "backfill", batch, 5.0, is_acknowledged=False)
    assert under_way.unacknowledged_since_s == inf
    until_s = 5.0 + UNACKNOWLEDGED_S
    assert under_way.on_its_way_until_s(until_s - 0.1) == until_s
    assert not under_way.on_its_way_until_s(until_s)
    under_way.confirmed(outbox.boot, batch.sequence)
    assert not under_way.on_its_way_until_s(5.0)


def test_alerts_on_their_way_do_not_hold_up_readings(outbox, under_way):
    keep(outbox, b"1", lane="events")
    under_way.sent("a", "events", under_way.next_batch("events", ROOM), 5.0)
    assert not under_way.on_its_way_until_s(5.0)
    assert under_way.unacknowledged_since_s == 5.0


# Confirmations, and silence


def test_nothing_is_overdue_before_its_time(outbox, under_way):
    keep(outbox, *big(1))
    under_way.rewind()
    assert under_way.next_deadline_s is None
    send(under_way, "a", now_s=100.0)
    assert under_way.next_deadline_s == 130.0
    assert not under_way.give_up_waiting(129.9)
    assert under_way.give_up_waiting(130.0)
    assert send(under_way, "b", now_s=130.0) == "1"


def test_each_time_in_vain_makes_it_more_patient_and_a_confirmation_ends_that(outbox, under_way):
    keep(outbox, *big(2))
    under_way.rewind()
    waits, now_s = [], 0.0
    for key in range(8):
        send(under_way, key, now_s=now_s)
        waits.append(under_way.next_deadline_s - now_s)
        now_s = under_way.next_deadline_s
        assert under_way.give_up_waiting(now_s)
    assert waits == [30, 60, 120, 240, 480, 900, 900, MAX_CONFIRM_TIMEOUT_S]
    send(under_way, "again", now_s=now_s)
    assert under_way.confirmed(outbox.boot, Spans([(1, 1)]))
    assert under_way.timeout_s == 30.0


def test_after_a_silence_one_batch_at_a_time_is_paid_for(outbox, under_way):
    keep(outbox, *big(9))
    under_way.rewind()
    send(under_way, "a")
    send(under_way, "b")
    under_way.give_up_waiting(30.0)
    assert send(under_way, "c", now_s=30.0) == "1"
    assert under_way.is_full
    under_way.confirmed(outbox.boot, Spans([(1, 2)]))
    assert [send(under_way, key, now_s=31.0) for key in "de"] == ["3", "4"]


def test_what_comes_during_a_silence_does_not_wait_behind_what_came_before(outbox, under_way):
    keep(outbox, *big(1))
    send(under_way, "a", "fresh")
    under_way.give_up_waiting(30.0)
    keep(outbox, *big(1))
    assert next_of(under_way, "fresh") == "2"
    assert next_of(under_way, "backfill") == "1"


def test_a_confirmation_of_a_part_leaves_the_batch_under_way(outbox, under_way):
    keep(outbox, b"1", b"2")
    under_way.rewind()
    assert send(under_way, "a") == "1-2"
    assert not under_way.confirmed(outbox.boot, Spans([(1, 1)]))
    assert under_way.of("a").numbers == Spans([(1, 2)])


def test_a_confirmation_of_another_boot_changes_nothing(outbox, under_way):
    keep(outbox, *big(1))
    under_way.rewind()
    send(under_way, "a")
    assert not under_way.confirmed("00000000", Spans([(1, 99)]))
    under_way.rewind()
    assert send(under_way, "b") == "1"


def test_what_is_put_apart_is_not_offered_and_its_neighbours_are(outbox, under_way):
    keep(outbox, b"1", b"2", b"3")
    under_way.rewind()
    for _ in range(3):
        under_way.doubts.hung_up(outbox.boot, Spans([(2, 2)]), 0.1)
    assert next_of(under_way, "backfill") == "1,3"


def test_a_connection_that_ends_puts_the_packet_on_its_way_in_doubt(outbox, under_way):
    keep(outbox, *map(b"%d".__mod__, range(5)))
    for now_s in (0.0, 10.0, 20.0):
        under_way.rewind()
        under_way.sent("a", "backfill", under_way.next_batch("backfill", 10_000), now_s)
        under_way.hung_up(now_s + 1.0)
    under_way.rewind()
    assert next_of(under_way, "backfill") == "1"


def test_a_packet_that_had_arrived_is_in_no_doubt(outbox, under_way):
    keep(outbox, *map(b"%d".__mod__, range(5)))
    for _ in range(9):
        under_way.rewind()
        send(under_way, "a")
        under_way.hung_up(1.0)
    under_way.rewind()
    assert next_of(under_way, "backfill") == "1-5"


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_lost_on_the_way_everything_is_confirmed_in_the_end(outbox, under_way, seed):
    chance = random.Random(seed)
    keep(outbox, *big(10))
    under_way.rewind()
    keep(outbox, *big(5))
    keep(outbox, *big(2), lane="events")
    keys, stored, now_s = count(), Spans(), 0.0
    while outbox.unconfirmed:
        for part in ("events", "fresh", "backfill"):
            while batch := under_way.next_batch(part, ROOM):
                key = next(keys)
                under_way.sent(key, part, batch, now_s)
                under_way.arrived(key)
                if chance.random() < 0.6:
                    stored.update(batch.sequence)
        if chance.random() < 0.5:
            under_way.confirmed(outbox.boot, stored)
        if chance.random() < 0.2:
            under_way.look_again()
        now_s = under_way.next_deadline_s or now_s
        under_way.give_up_waiting(now_s)
        assert next(keys) < 10_000
    assert stored == Spans([(1, 17)])
