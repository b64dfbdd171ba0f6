"""What signs of ingesters mean to a gateway of partition 5."""

import pytest

from cloud_sync.batch import BadPayload
from cloud_sync.messages import Sign, encode_sign
from cloud_sync.uplink.ingesters import MAX_INGESTERS, Ingesters


@pytest.fixture
def ingesters():
    return Ingesters(5)


def sign(*, online=True, start="a", first=0, last=63):
    return encode_sign(Sign(online, start, first, last))


def test_where_nobody_is_known_nothing_waits_for_anybody(ingesters):
    assert not ingesters.are_away


def test_one_that_is_new_may_have_missed_something(ingesters):
    assert ingesters.heard("i", sign())
    assert not ingesters.heard("i", sign())
    assert ingesters.heard("i", sign(start="b"))


def test_one_that_was_away_may_have_missed_something_though_its_session_was_kept(ingesters):
    ingesters.heard("i", sign())
    assert not ingesters.heard("i", sign(online=False))
    assert ingesters.are_away
    assert ingesters.heard("i", sign())
    assert not ingesters.are_away


def test_one_of_several_is_enough(ingesters):
    ingesters.heard("i", sign(online=False))
    ingesters.heard("j", sign())
    assert not ingesters.are_away


@pytest.mark.parametrize(("first", "last"), [(0, 4), (6, 63)])
def test_those_of_other_partitions_do_not_count(ingesters, first, last):
    assert not ingesters.heard("i", sign(first=first, last=last))
    ingesters.heard("j", sign(online=False))
    assert ingesters.are_away
    assert ingesters.heard("i", sign(first=5, last=5))
    assert not ingesters.heard("i", sign(first=first, last=last))
    assert ingesters.are_away


def test_a_sign_that_is_taken_away_is_forgotten(ingesters):
    ingesters.heard("i", sign(online=False))
    assert not ingesters.heard("i", b"")
    assert not ingesters.are_away


def test_a_sign_that_cannot_be_read_changes_nothing(ingesters):
    ingesters.heard("i", sign())
    with pytest.raises(BadPayload):
        ingesters.heard("i", b"{}")
    assert not ingesters.heard("i", sign())


def test_no_more_are_remembered_than_there_can_be(ingesters):
    for n in range(2 * MAX_INGESTERS):
        ingesters.heard(f"i{n}", sign(online=False))
    assert len(ingesters._signs) == MAX_INGESTERS
