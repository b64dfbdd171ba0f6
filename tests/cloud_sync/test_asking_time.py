"""An answer is believed to half of what it took to come."""

from datetime import UTC, datetime, timedelta

import pytest

from cloud_sync.messages import Time
from cloud_sync.uplink.asking_time import MAX_WAIT_S, AskingTime

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def asking():
    return AskingTime()


def test_it_was_said_in_the_middle_of_the_round_trip(asking):
    nonce = asking.ask(100.0)
    at, uncertainty_s = asking.answered(Time(nonce, NOON), 103.0, now_s=103.5)
    assert at == NOON + timedelta(seconds=1.5 + 0.5)
    assert uncertainty_s == 1.5


def test_only_the_last_question_is_answered_and_only_once(asking):
    old, new = asking.ask(100.0), asking.ask(130.0)
    assert old != new
    assert asking.answered(Time(old, NOON), 131.0, 131.0) is None
    assert asking.answered(Time(new, NOON), 131.0, 131.0) is not None
    assert asking.answered(Time(new, NOON), 132.0, 132.0) is None


def test_what_was_never_asked_is_no_answer(asking):
    assert asking.answered(Time("", NOON), 1.0, 1.0) is None
    assert asking.answered(Time("0b00700b", NOON), 1.0, 1.0) is None


def test_it_asks_more_and_more_rarely_and_at_once_where_somebody_new_is(asking):
    waits, now_s = [], 0.0
    for _ in range(7):
        asking.ask(now_s)
        waits.append(asking.next_s - now_s)
        now_s = asking.next_s
    assert waits == [30, 60, 120, 240, 480, 900, MAX_WAIT_S]
    asking.start_over()
    assert asking.next_s == 0.0
    asking.ask(now_s)
    assert asking.next_s - now_s == 30
