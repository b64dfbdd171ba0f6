"""What is learned of the longest span of a day: against the plain way to find it."""

from datetime import UTC, datetime, timedelta
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from rules.longest import DAY, DAYS, ENOUGH_DAYS, Longest

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)

spans = st.lists(st.integers(1, 60), max_size=300)
"""Hours, one after the other."""


def learned(hours, dump_after=None):
    longest, at = Longest(), START
    for n, length in enumerate(hours):
        at += length * HOUR
        longest.add(length * HOUR, at)
        if n == dump_after:
            longest = Longest(longest.dump())
    return longest


def days(hours):
    """Return the longest span of each day that is over, as they were; days begin with the first."""
    ends, at = [], 0
    for length in hours:
        at += length
        ends.append((at, length))
    begin = ends[0][0] if ends else 0
    found = {}
    for at, length in ends:
        found.setdefault((at - begin) // 24, []).append(length)
    *over, _ = sorted(found) or [None]
    return [max(found[day]) for day in over][-DAYS:]


@given(spans)
def test_it_is_the_median_and_the_second_longest_of_the_days(hours):
    longest, known = learned(hours), days(hours)
    if len(known) < ENOUGH_DAYS:
        assert longest.usual is longest.second is None
    else:
        assert longest.usual == median(known) * HOUR
        assert longest.second == sorted(known)[-2] * HOUR


@given(spans, st.integers(0, 300))
def test_a_dump_at_any_moment_changes_nothing(hours, after):
    assert learned(hours, after).dump() == learned(hours).dump()


@given(spans, st.integers(-1000, 1000))
def test_a_gap_counts_for_nothing(hours, gap):
    longest, at = Longest(), START
    for n, length in enumerate(hours):
        if n == len(hours) // 2:
            at += gap * HOUR
            longest.skip(gap * HOUR)
        at += length * HOUR
        longest.add(length * HOUR, at)
    assert longest.usual == learned(hours).usual
    assert longest.second == learned(hours).second


def test_one_day_like_no_other_changes_nothing():
    quiet = learned([4] * 100)
    broken = learned([4] * 50 + [200] + [4] * 50)
    assert quiet.usual == broken.usual == 4 * HOUR
    assert quiet.second == broken.second == 4 * HOUR


def test_it_stays_small():
    longest, at = Longest(), START
    for n in range(100_000):
        at += timedelta(minutes=n % 90)
        longest.add(timedelta(minutes=n % 90), at)
    assert len(str(longest.dump())) < 500
    assert at - START > DAYS * DAY
