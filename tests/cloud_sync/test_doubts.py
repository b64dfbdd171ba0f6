"""A record that ends the connection each time is found, and nothing else is blamed for it."""

import pytest

from cloud_sync.spans import Spans
from cloud_sync.uplink.doubts import HASTE_S, STRIKES, TRIALS, Doubts

BOOT = "0b00700b"


def strike(doubts, first, last, times=STRIKES, after_s=0.1):
    for _ in range(times):
        doubts.hung_up(BOOT, Spans([(first, last)]), after_s)


def test_a_batch_that_ends_the_connection_again_and_again_is_divided():
    doubts = Doubts()
    strike(doubts, 1, 80, STRIKES - 1)
    assert doubts.max_records > 80
    strike(doubts, 1, 80, 1)
    assert doubts.max_records == 10


def test_a_link_that_dies_slowly_or_with_different_batches_is_no_reason_to():
    doubts = Doubts()
    strike(doubts, 1, 80, 9, after_s=HASTE_S + 1)
    for first in range(1, 20):
        strike(doubts, first, 80, STRIKES - 1)
    assert doubts.max_records > 80


OTHER = Spans([(9, 9)])


def test_pieces_that_arrive_grow_again():
    doubts = Doubts()
    strike(doubts, 1, 80)
    for _ in range(80):
        doubts.passed(BOOT, OTHER)
    assert doubts.max_records > 10_000


def test_a_single_record_is_lost_only_when_others_get_through_each_time():
    doubts = Doubts()
    strike(doubts, 7, 7)
    for _ in range(TRIALS - 1):
        assert doubts.apart(BOOT) == Spans([(7, 7)])
        assert doubts.apart("another") == Spans()
        assert doubts.passed(BOOT, OTHER) == {}
        assert doubts.apart(BOOT) == Spans(), "it has its turn again"
        strike(doubts, 7, 7, times=1)
    assert doubts.passed(BOOT, OTHER) == {BOOT: Spans([(7, 7)])}
    assert doubts.apart(BOOT) == Spans()
    assert doubts.passed(BOOT, OTHER) == {}


def test_a_record_that_gets_through_at_last_is_cleared_of_all_doubt():
    doubts = Doubts()
    strike(doubts, 7, 7)
    doubts.passed(BOOT, OTHER)
    doubts.passed(BOOT, Spans([(7, 7)]))
    strike(doubts, 7, 7, STRIKES - 1)
    assert doubts.apart(BOOT) == Spans()


def test_what_else_arrives_in_between_does_not_hide_it():
    doubts = Doubts()
    for _ in range(STRIKES):
        doubts.passed(BOOT, OTHER)
        strike(doubts, 7, 7, times=1)
    assert doubts.apart(BOOT) == Spans([(7, 7)])


def test_a_broker_that_takes_nothing_costs_no_record():
    doubts = Doubts()
    for _ in range(20):
        strike(doubts, 7, 7)
        strike(doubts, 8, 8)
        assert doubts.apart(BOOT) == Spans()
    assert doubts.passed(BOOT, OTHER) == {}


@pytest.mark.parametrize("poison", [1, 2, 1_234, 3_000])
def test_the_one_in_three_thousand_is_found(poison):
    doubts, left, lost, connections = Doubts(), Spans([(1, 3_000)]), Spans(), 0
    while left - doubts.apart(BOOT) and connections < 100:
        connections += 1
        while wanted := left - doubts.apart(BOOT):
            numbers = [n for a, b in wanted for n in range(a, b + 1)][: doubts.max_records]
            batch = Spans((n, n) for n in numbers)
            if batch.covers(poison, poison):
                doubts.hung_up(BOOT, batch, 0.1)
                break
            left = left - batch
            for spans in doubts.passed(BOOT, batch).values():
                lost.update(spans)
                left = left - spans
    # The last of all waits until others can show that it is the culprit.
    assert lost == (Spans() if poison == 3_000 else Spans([(poison, poison)]))
    assert left == (Spans([(3_000, 3_000)]) if poison == 3_000 else Spans())
    assert connections <= 30


def test_where_the_broker_says_that_it_was_the_batch_once_is_enough():
    doubts = Doubts()
    doubts.hung_up(BOOT, Spans([(1, 80)]), 0.1, is_refusal=True)
    assert doubts.max_records == 10
