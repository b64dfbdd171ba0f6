import pytest

from cloud_sync.batch import BadPayload
from cloud_sync.columns import SeriesTable
from cloud_sync.columns.series import Series
from cloud_sync.ingester import known_tables
from cloud_sync.ingester.known_tables import (
    FIRST_WAIT_S,
    MAX_WAIT_S,
    TABLES_EACH,
    KnownTables,
    Questions,
)


def table(*heads):
    made = SeriesTable()
    made.learn(Series(head, ("t",)) for head in heads)
    return made


def test_a_table_is_found_by_its_gateway_and_its_id():
    known, one = KnownTables(), table("air,gateway=a")
    known.add("a", one.payload())
    assert known.of("a")(one.id).series == one.series
    assert known.of("a")(one.id + 1) is None
    assert known.of("b")(one.id) is None


def test_of_one_gateway_the_newest_are_known():
    known = KnownTables()
    tables = [table(*(f"air,gateway=a,sensor={n}" for n in range(m))) for m in range(1, 6)]
    for one in (tables[0], *tables, tables[2], tables[4]):
        known.add("a", one.payload())
    found = [one for one in tables if known.of("a")(one.id)]
    assert len(found) == TABLES_EACH
    assert tables[4] in found
    assert tables[2] in found


def test_the_gateway_not_used_for_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(known_tables, "MAX_SERIES", 4)
    known = KnownTables()
    tables = {name: table(f"air,gateway={name}", f"soil,gateway={name}") for name in "abc"}
    for name in "ab":
        known.add(name, tables[name].payload())
    assert known.of("a")(tables["a"].id)
    known.add("c", tables["c"].payload())
    assert [name for name, one in tables.items() if known.of(name)(one.id)] == ["a", "c"]


def test_the_count_is_right_when_tables_come_again_and_go(monkeypatch):
    monkeypatch.setattr(known_tables, "MAX_SERIES", 8)
    known = KnownTables()
    for _ in range(5):
        for n in range(5):
            known.add("a", table(f"air,gateway=a,sensor={n}").payload())
    known.add("b", table(*(f"air,gateway=b,sensor={n}" for n in range(5))).payload())
    assert known.of("a")(table("air,gateway=a,sensor=4").id)


def test_a_table_that_cannot_be_read_changes_nothing():
    known, one = KnownTables(), table("air,gateway=a")
    known.add("a", one.payload())
    with pytest.raises(BadPayload):
        known.add("a", b"{}")
    assert known.of("a")(one.id)


def test_a_gateway_is_asked_more_and_more_rarely_until_it_can_be_read():
    questions = Questions()
    asked = [now_s for now_s in range(20_000) if questions.may_ask("a", float(now_s))]
    assert asked[:4] == [0, FIRST_WAIT_S, 3 * FIRST_WAIT_S, 7 * FIRST_WAIT_S]
    assert asked[-1] - asked[-2] == MAX_WAIT_S
    assert questions.may_ask("b", 20_000.0)
    questions.answered("a")
    assert questions.may_ask("a", 20_000.0)


def test_only_so_many_questions_are_remembered(monkeypatch):
    monkeypatch.setattr(known_tables, "MAX_ASKED", 2)
    questions = Questions()
    for name in "abc":
        questions.may_ask(name, 0.0)
    assert [name for name in "cba" if questions.may_ask(name, 1.0)] == ["a"]
