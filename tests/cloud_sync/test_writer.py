import itertools
import json
import logging
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.influx import InfluxStore
from cloud_sync.ingester.writer import MAX_RETRY_AFTER_S, Patience, Piece, Writer
from cloud_sync.set_aside import SetAside
from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.store import Refused, Rejected, TooLarge, Unavailable
from tests.fakes.servers import nginx_v2

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Interrupted(Exception):
    pass


class Pauses(list):
    """How long was waited, and what happened meanwhile."""

    def __init__(self, limit=1000, meanwhile=lambda: None):
        super().__init__()
        self.limit, self.meanwhile = limit, meanwhile

    def __call__(self, wait_s):
        if wait_s:
            self.append(wait_s)
            self.meanwhile()
        if len(self) > self.limit:
            raise Interrupted


class TroubledStore:
    """A SQLite file behind a server in trouble: raises what it is told, then works."""

    def __init__(self, store, troubles=(), max_bytes=1_000_000):
        self.store, self.troubles, self.max_bytes = store, iter(troubles), max_bytes

    def write(self, lines):
        for trouble in self.troubles:
            raise trouble
        if len(lines) > self.max_bytes:
            raise TooLarge("too much")
        self.store.write(lines)


@pytest.fixture
def sqlite(tmp_path):
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        yield store


def writer(store, tmp_path):
    return Writer(store, SetAside(tmp_path / "aside", lambda: NOON), Patience(1.0, 8.0, 60.0))


def line(number, field="t"):
    return b"air,gateway=g12 %s=1 %d\n" % (field.encode(), number)


def pieces(*batches):
    return [Piece("g12", f"{n:08x}", lines) for n, lines in enumerate(batches)]


def set_aside(tmp_path):
    text = "".join(f.read_text(encoding="utf-8") for f in (tmp_path / "aside").glob("*"))
    return [json.loads(document) for document in text.splitlines()]


def test_nothing_is_written_when_there_is_nothing(sqlite, tmp_path):
    writer(TroubledStore(sqlite, [Refused("no")]), tmp_path).write([], Pauses())
    assert sqlite.count() == 0


@settings(max_examples=10)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=4))
def test_every_good_line_is_stored_and_every_bad_one_set_aside(tmp_path_factory, batches):
    tmp_path = tmp_path_factory.mktemp("writer")
    numbers = itertools.count(1)
    written = [
        b"".join(line(next(numbers)) if good else b"bad %d\n" % next(numbers) for good in batch)
        for batch in batches
    ]
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        writer(store, tmp_path).write(pieces(*written), Pauses())
        assert store.count() == sum(map(sum, batches))
    bad = [part.decode() for part in b"".join(written).split(b"\n") if part.startswith(b"bad")]
    assert sorted(document["line"] for document in set_aside(tmp_path)) == sorted(bad)


def test_a_bad_line_is_set_aside_with_its_gateway_boot_and_reason(sqlite, tmp_path):
    writer(sqlite, tmp_path).write(pieces(line(1), line(2) + b"bad\n" + line(3)), Pauses())
    (document,) = set_aside(tmp_path)
    assert document["at"] == "2026-11-23T12:00:00+00:00"
    assert (document["gateway"], document["boot"]) == ("g12", "00000001")
    assert "not a line of ours" in document["reason"]


def test_what_the_store_says_of_all_lines_is_not_looked_for_in_each(tmp_path):
    writes = []

    class Strict:
        def write(self, lines):
            writes.append(lines)
            old = sum(b"9" not in part for part in lines.splitlines())
            if old:
                raise Rejected(f"beyond retention: {old}", all_of=old)

    lines = b"".join(line(number) for number in [*range(10, 90), 99])
    writer(Strict(), tmp_path).write(pieces(lines), Pauses())
    assert len(set_aside(tmp_path)) == len([n for n in range(10, 90) if "9" not in str(n)])
    assert {document["reason"].split(":")[0] for document in set_aside(tmp_path)} == {
        "beyond retention"
    }


def test_one_bad_line_among_many_costs_few_writes(sqlite, tmp_path):
    writes = []

    class Counting:
        def write(self, lines):
            writes.append(lines)
            sqlite.write(lines)

    lines = b"".join([*map(line, range(3000)), b"bad\n", *map(line, range(3000, 4095))])
    writer(Counting(), tmp_path).write(pieces(lines), Pauses())
    assert sqlite.count() == 4095
    assert len(writes) <= 2 * 12 + 1
    assert [document["line"] for document in set_aside(tmp_path)] == ["bad"]


def test_what_is_too_large_is_written_in_parts(sqlite, tmp_path):
    store = TroubledStore(sqlite, max_bytes=60)
    writer(store, tmp_path).write(pieces(line(1) * 2, b"".join(map(line, range(2, 9)))), Pauses())
    assert sqlite.count() == 8


def test_a_single_line_that_is_too_large_is_set_aside(sqlite, tmp_path):
    store = TroubledStore(sqlite, max_bytes=60)
    writer(store, tmp_path).write(pieces(line(1), line(2, "t" * 60)), Pauses())
    assert sqlite.count() == 1
    assert [document["reason"] for document in set_aside(tmp_path)] == ["too much"]


def test_the_waits_double_up_to_their_limit_with_jitter(sqlite, tmp_path):
    pauses = Pauses()
    troubles = [Unavailable("busy")] * 6
    writer(TroubledStore(sqlite, troubles), tmp_path).write(pieces(line(1)), pauses)
    for wait_s, limit_s in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert limit_s / 2 <= wait_s <= limit_s
    assert sqlite.count() == 1


def test_no_two_ingesters_wait_the_same_time():
    assert next(Patience().waits_s()) != next(Patience().waits_s())


def test_what_the_store_asks_for_is_honoured_within_reason(sqlite, tmp_path):
    pauses = Pauses()
    troubles = [Unavailable("busy", 20.0), Unavailable("busy", 1e9), Unavailable("busy", 0.0)]
    writer(TroubledStore(sqlite, troubles), tmp_path).write(pieces(line(1)), pauses)
    assert 20.5 <= pauses[0] <= 21
    assert MAX_RETRY_AFTER_S + 0.5 <= pauses[1] <= MAX_RETRY_AFTER_S + 1
    assert pauses[2] <= 4


def test_what_somebody_has_to_change_is_said_loudly_and_tried_slowly(sqlite, tmp_path, caplog):
    pauses = Pauses()
    store = TroubledStore(sqlite, [Refused("no such bucket: create it")] * 2)
    writer(store, tmp_path).write(pieces(line(1)), pauses)
    assert all(30 <= wait_s <= 60 for wait_s in pauses)
    alarms = [r.message for r in caplog.records if r.levelno == logging.CRITICAL]
    assert len(alarms) == 2
    assert "no such bucket: create it" in alarms[0]
    assert sqlite.count() == 1


def test_an_interruption_while_waiting_ends_the_writing(sqlite, tmp_path):
    store = TroubledStore(sqlite, itertools.repeat(Unavailable("busy")))
    with pytest.raises(Interrupted):
        writer(store, tmp_path).write(pieces(line(1)), Pauses(limit=5))
    assert sqlite.count() == 0


def test_the_connection_gets_its_turn_while_a_bad_line_is_looked_for(sqlite, tmp_path):
    turns = []
    writer(sqlite, tmp_path).write(pieces(*map(line, range(8)), b"bad\n"), turns.append)
    assert turns
    assert set(turns) == {0.0}


def test_a_full_set_aside_folder_stops_everything_until_there_is_room(sqlite, tmp_path):
    aside = SetAside(tmp_path / "aside", lambda: NOON, max_bytes=350)
    cautious = Writer(sqlite, aside, Patience())
    cautious.write(pieces(b"bad 1\n"), Pauses())
    with pytest.raises(Interrupted):
        cautious.write(pieces(b"bad 2\n"), Pauses(limit=3))

    def make_room():
        for file in (tmp_path / "aside").iterdir():
            file.unlink()

    cautious.write(pieces(b"bad 2\n"), Pauses(meanwhile=make_room))
    assert [document["line"] for document in set_aside(tmp_path)] == ["bad 2"]


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_influx_gets_every_good_line_around_the_bad_ones(influx_bucket, tmp_path):
    good = [line(number) for number in range(200)]
    bad = [b"bad line\n", line(7, "t").replace(b"t=1", b"t=1i"), line(8).replace(b"=1", b'="x"')]
    lines = [*good[:90], bad[0], *good[90:150], *bad[1:], *good[150:]]
    with closing(InfluxStore(influx_bucket.url, bucket=influx_bucket.name)) as store:
        store.write(good[0])
        writer(store, tmp_path).write(
            pieces(b"".join(lines[:100]), b"".join(lines[100:])), Pauses()
        )
    assert len(influx_bucket.rows("air")) == 200
    assert {document["line"] for document in set_aside(tmp_path)} == {
        part.decode().rstrip() for part in bad
    }


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_a_body_that_is_too_large_for_the_server_is_split(influx_bucket, tmp_path):
    lines = b"".join(line(number * 7919) for number in range(3000))
    with (
        nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", max_body_bytes=4000) as narrow,
        closing(InfluxStore(narrow.url, bucket=influx_bucket.name)) as store,
    ):
        with pytest.raises(TooLarge):
            store.write(lines)
        writer(store, tmp_path).write(pieces(lines), Pauses())
    assert len(influx_bucket.rows("air")) == 3000


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_an_outage_of_influx_costs_time_only(influx_bucket, tmp_path):
    influx_bucket.answer(503)
    pauses = Pauses(meanwhile=lambda: influx_bucket.answer(None))
    with closing(InfluxStore(influx_bucket.url, bucket=influx_bucket.name)) as store:
        writer(store, tmp_path).write(pieces(line(1)), pauses)
    assert len(pauses) == 1
    assert pauses[0] >= 1.5
    assert len(influx_bucket.rows("air")) == 1


def test_a_store_that_rejects_whole_bodies_is_served_like_one_that_keeps_the_good_lines(
    sqlite, tmp_path
):
    """SqliteStore is the store that rejects whole bodies, as InfluxDB 2.x does."""
    lines = b"".join([*map(line, range(50)), b"bad\n", *map(line, range(50, 99))])
    with pytest.raises(Rejected):
        sqlite.write(lines)
    assert sqlite.count() == 0
    writer(sqlite, tmp_path).write(pieces(lines), Pauses())
    assert sqlite.count() == 99
