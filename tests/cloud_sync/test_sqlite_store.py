import sqlite3
from contextlib import closing

import pytest

from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.store import Refused, Rejected, Unavailable
from cloud_sync.wire import Point

LINES = (
    b"air,gateway=g12,sensor=front\\ door temperature_celsius=21.5,humidity_percent=48 2000\n"
    b"soil,gateway=g12,sensor=p soil_ph=6.4 1000\n"
)


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        yield store


def test_each_field_of_a_line_is_a_point(store):
    store.write(LINES)
    tags = {"gateway": "g12", "sensor": "front door"}
    assert store.count() == 3
    assert store.count("air") == 2
    assert list(store.points("air")) == [
        Point("air", tags, {"humidity_percent": 48.0}, 2000),
        Point("air", tags, {"temperature_celsius": 21.5}, 2000),
    ]


def test_a_line_that_comes_again_writes_nothing_new(store):
    for _ in range(3):
        store.write(LINES)
    assert store.count() == 3


def test_a_line_that_comes_again_does_not_wear_the_card(store, tmp_path):
    store.write(LINES)
    log = tmp_path / "store.sqlite-wal"
    before = log.read_bytes()
    store.write(LINES)
    assert log.read_bytes() == before


def test_the_order_of_tags_and_fields_makes_no_other_point(store):
    store.write(b"air,gateway=g12,sensor=m a=1,b=2 5\n")
    store.write(b"air,sensor=m,gateway=g12 b=2,a=1 5\n")
    assert store.count() == 2


def test_another_value_for_the_same_point_takes_its_place_as_in_influx(store):
    store.write(b"air,gateway=g12 a=1 5\n")
    store.write(b"air,gateway=g12 a=2 5\n")
    assert list(store.points("air")) == [Point("air", {"gateway": "g12"}, {"a": 2.0}, 5)]


def test_a_bad_line_is_named_and_nothing_is_written(store):
    with pytest.raises(Rejected, match="b'air,gateway=g12 a=x 5'"):
        store.write(LINES + b"air,gateway=g12 a=x 5\n")
    assert store.count() == 0


def test_what_was_written_is_there_when_the_file_is_opened_again(tmp_path):
    for _ in range(2):
        with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
            store.write(LINES)
            assert store.count() == 3


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"nowhere/store.sqlite.*check that its folder exists"):
        SqliteStore(tmp_path / "nowhere" / "store.sqlite")


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear all, " * 100)
    with pytest.raises(Refused, match="no other file"):
        SqliteStore(path)
    assert path.read_bytes() == b"Dear all, " * 100


def test_a_file_that_somebody_else_is_writing_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_sync.sqlite_store.BUSY_TIMEOUT_S", 0.05)
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        with closing(sqlite3.connect(tmp_path / "store.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                store.write(LINES)
        store.write(LINES)
        assert store.count() == 3
