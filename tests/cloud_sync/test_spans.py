from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.spans import MAX_NUMBER, Spans

NUMBER = st.integers(1, 60)
SPAN = st.tuples(NUMBER, NUMBER).map(sorted).map(tuple)
SPANS = st.lists(SPAN, max_size=20)


def numbers(spans):
    return {n for first, last in spans for n in range(first, last + 1)}


@given(SPANS)
def test_is_the_set_of_the_numbers_that_were_added(added):
    spans = Spans(added)
    assert numbers(spans) == numbers(added)
    assert len(spans) == len(numbers(added))
    assert bool(spans) == bool(added)


@given(SPANS)
def test_keeps_spans_in_order_and_never_touching(added):
    kept = list(Spans(added))
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(kept))


@given(SPANS, SPANS)
def test_update_is_union(some, more):
    spans = Spans(some)
    spans.update(Spans(more))
    assert numbers(spans) == numbers(some) | numbers(more)


@given(SPANS, SPAN)
def test_covers_what_is_there_without_a_gap(added, span):
    assert Spans(added).covers(*span) == (numbers([span]) <= numbers(added))


@given(SPANS, st.integers(0, 60))
def test_through_is_the_last_number_before_the_first_gap_above_the_floor(added, floor):
    there = numbers(added)
    expected = floor
    while expected + 1 in there:
        expected += 1
    assert Spans(added).through(floor) == expected


@given(SPANS, st.integers(0, 60))
def test_drop_through_forgets_the_numbers_up_to_the_floor_and_no_others(added, floor):
    spans = Spans(added)
    spans.drop_through(floor)
    assert numbers(spans) == {n for n in numbers(added) if n > floor}


@given(SPANS, SPANS)
def test_and_is_what_is_in_both(some, more):
    assert numbers(Spans(some) & Spans(more)) == numbers(some) & numbers(more)


@given(SPANS, SPANS)
def test_minus_is_what_is_in_the_first_only(some, more):
    one, other = Spans(some), Spans(more)
    assert numbers(one - other) == numbers(some) - numbers(more)
    assert (one, other) == (Spans(some), Spans(more))


@given(SPANS)
def test_text_says_all_of_it(added):
    spans = Spans(added)
    assert Spans.parse(str(spans)) == spans


def test_the_text_is_the_one_that_is_documented():
    assert str(Spans([(1, 5000), (5030, 5030), (5010, 5020)])) == "1-5000,5010-5020,5030"
    assert str(Spans()) == ""
    assert Spans.parse("") == Spans()


@pytest.mark.parametrize(
    "text",
    [
        *("0", "5-4", "1-", "-5", "1,", ",", "a", "1-b", "1--5", "1-5-9", " 1", "+1", "1_0", "1;2"),
        *("٣", "1-٣", "²", "1-²", "0x1", "1e3", "99999999999999999999", "1-9223372036854775808"),
    ],
)
def test_anything_else_is_no_text_of_spans(text):
    with pytest.raises(ValueError, match="not a"):
        Spans.parse(text)


@pytest.mark.parametrize("thing", [None, 0, 1, [], [1, 2], {"1": 2}])
def test_what_is_no_text_is_no_text_of_spans(thing):
    with pytest.raises(ValueError, match="not a list of spans"):
        Spans.parse(thing)


def test_the_largest_set_can_still_be_counted():
    assert len(Spans([(1, MAX_NUMBER)])) == MAX_NUMBER


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (-3, -1), (1, MAX_NUMBER + 1)])
def test_what_is_no_span_is_refused(first, last):
    with pytest.raises(ValueError, match="not a span"):
        Spans().add(first, last)


def test_sets_with_different_numbers_are_not_equal():
    assert Spans([(1, 2)]) != Spans([(1, 3)])
    assert Spans([(1, 2)]) != {1, 2}
