"""The bytes of a day: counted, kept within their limit, and not forgotten by a restart."""

from datetime import date

import pytest

from cloud_sync.uplink.byte_budget import ByteBudget

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)


def test_each_day_begins_with_nothing():
    budget = ByteBudget(1_000)
    budget.spend(300, MONDAY)
    budget.spend(300, MONDAY)
    assert budget.used == 600
    budget.spend(10, TUESDAY)
    assert (budget.used, budget.day) == (10, TUESDAY)


def test_backfill_leaves_room_for_what_is_fresh_and_that_for_alerts():
    budget = ByteBudget(1_000)
    assert (budget.room("fresh"), budget.room("backfill")) == (900, 500)
    budget.spend(600, MONDAY)
    assert (budget.room("fresh"), budget.room("backfill")) == (300, -100)
    budget.spend(1_000, MONDAY)
    assert budget.room("fresh") < 0
    budget.spend(0, TUESDAY)
    assert budget.room("fresh") == 900


def test_without_a_limit_there_is_always_room():
    budget = ByteBudget()
    budget.spend(10**12, MONDAY)
    assert budget.room("backfill") == float("inf")


def test_a_restart_does_not_make_a_new_day():
    before = ByteBudget(1_000)
    before.spend(700, MONDAY)
    after = ByteBudget(1_000)
    after.load(before.dump())
    after.spend(50, None)  # nobody knows yet what day it is
    assert after.used == 750
    after.spend(1, MONDAY)
    assert after.used == 751
    after.spend(1, TUESDAY)
    assert after.used == 1


def test_what_was_counted_before_the_first_day_was_known_belongs_to_it():
    budget = ByteBudget()
    budget.spend(40, None)
    budget.load(ByteBudget().dump())
    budget.spend(2, MONDAY)
    assert (budget.used, budget.day) == (42, MONDAY)


@pytest.mark.parametrize(
    "dumped", [b"", b"[]", b"{}", b'{"day": 3, "bytes": 1}', b'{"day": null, "bytes": 1e999}',
               b'{"day": "x", "bytes": 1}', b'{"day": "2026-11-23", "bytes": null}', b"\xff"]
)  # fmt: skip
def test_what_is_no_dump_is_refused_and_changes_nothing(dumped):
    budget = ByteBudget(1_000)
    with pytest.raises(ValueError):
        budget.load(dumped)
    assert budget == ByteBudget(1_000)
