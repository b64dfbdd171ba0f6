"""How long to wait before the next try; and what a thousand gateways do to one broker."""

import random
from collections import Counter

import pytest

from cloud_sync.uplink.backoff import FIRST_S, MAX_S, REFUSED_S, SOUND_S, Backoff


def waits(times, **how):
    backoff = Backoff()
    how = {"lasted_s": 0.0, "is_refused": False, "chance": 1.0, **how}
    return [backoff.wait_s(**how) for _ in range(times)]


def test_the_limit_doubles_up_to_five_minutes():
    assert waits(9) == [4, 8, 16, 32, 64, 128, 256, 300, MAX_S]


def test_a_wait_is_anywhere_below_the_limit():
    assert waits(3, chance=0.0) == [0, 0, 0]
    assert waits(3, chance=0.25) == [1, 2, 4]


def test_a_login_that_is_refused_is_tried_slowly():
    assert waits(2, is_refused=True) == [REFUSED_S, 2 * REFUSED_S]
    assert min(waits(9, is_refused=True, chance=0.0)) == REFUSED_S / 2


def test_a_connection_that_lasted_makes_the_next_try_soon_and_a_short_one_does_not():
    backoff = Backoff()
    for _ in range(5):
        backoff.wait_s(lasted_s=0.0, is_refused=False)
    assert backoff.wait_s(lasted_s=SOUND_S - 1, is_refused=False, chance=1.0) == 128
    assert backoff.wait_s(lasted_s=SOUND_S + 1, is_refused=False, chance=1.0) == FIRST_S


@pytest.mark.parametrize(("away_s", "most_a_second"), [(0, 320), (60, 60), (600, 15), (7_200, 15)])
def test_a_thousand_gateways_come_back_in_a_bearable_number_each_second(away_s, most_a_second):
    chance = random.Random(away_s)
    arrivals = []
    for _ in range(1_000):
        backoff, now_s = Backoff(), backoff_wait(Backoff(), chance)
        while now_s < away_s:
            now_s += backoff_wait(backoff, chance)
        arrivals.append(now_s - away_s)
    busiest = max(Counter(int(at_s) for at_s in arrivals).values())
    assert busiest <= most_a_second
    assert max(arrivals) <= MAX_S


def backoff_wait(backoff, chance):
    return backoff.wait_s(lasted_s=0.0, is_refused=False, chance=chance.random())
