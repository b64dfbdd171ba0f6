import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud_sync import retry as module
from cloud_sync.retry import Outcome, heaps, retry
from cloud_sync.set_aside import Oddity, SetAside, from_json
from cloud_sync.sqlite_store import SqliteStore
from cloud_sync.store import Refused, Unavailable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def good(number, gateway="g12"):
    return f"air,gateway={gateway} t=1 {number}".encode()


BAD = b"air,gateway=g12 t=x 5"
FORGED = good(1, "g13")
PAYLOAD = Oddity("g12", "", "not a batch", b"21.5")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "aside"


@pytest.fixture
def store(tmp_path):
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        yield store


def put_aside(folder, *lines, at=NOON, reason="then"):
    oddities = [
        line if isinstance(line, Oddity) else Oddity("g12", "5f3a9c01", reason, line)
        for line in lines
    ]
    SetAside(folder, lambda: at).add(oddities)


def left(folder):
    files = sorted(folder.glob("*.jsonl"))
    return [from_json(text) for file in files for text in file.read_bytes().splitlines()]


def tried(folder, store):
    outcome = Outcome()
    retry(folder, store, outcome)
    return outcome


def test_what_the_store_takes_now_leaves_the_folder(folder, store):
    put_aside(folder, good(1), good(2))
    put_aside(folder, good(3), at=NOON + timedelta(days=1))
    assert tried(folder, store) == Outcome(stored=3)
    assert store.count() == 3
    assert left(folder) == []
    assert tried(folder, store) == Outcome()


def test_what_it_refuses_stays_with_the_new_reason_and_its_old_time(folder, store):
    put_aside(folder, good(1), BAD, good(2))
    outcome = tried(folder, store)
    assert outcome.stored == 2
    ((at, oddity),) = left(folder)
    assert (at, oddity.line) == (NOON, BAD)
    assert "not a line of ours" in oddity.reason
    assert list(outcome.refused) == [oddity.reason]
    assert tried(folder, store).refused.total() == 1


def test_what_is_no_line_of_its_gateway_is_never_written(folder, store):
    put_aside(folder, FORGED, PAYLOAD, good(7))
    (folder / "2026-11-22.jsonl").write_bytes(b'{"cut off')
    assert tried(folder, store) == Outcome(stored=1, left=3)
    assert [point.tags["gateway"] for point in store.points("air")] == ["g12"]
    rest = b"".join(file.read_bytes() for file in sorted(folder.glob("*.jsonl")))
    assert rest.startswith(b'{"cut off\n')
    assert rest.count(b"\n") == 3


def test_bytes_that_are_no_text_are_written_as_they_were(folder):
    written = []

    class Store:
        def write(self, lines):
            written.append(lines)

    line = good(1).replace(b"t=1", b"s=\xff")
    put_aside(folder, line)
    tried(folder, Store())
    assert written == [line + b"\n"]


@pytest.mark.parametrize("problem", [Unavailable("busy"), Refused("no such bucket")])
def test_a_store_that_takes_nothing_ends_it_and_nothing_is_lost(
    folder, store, monkeypatch, problem
):
    monkeypatch.setattr(module, "CHUNK_LINES", 2)
    put_aside(folder, *map(good, range(1, 8)))

    class Troubled:
        def write(self, lines):
            if store.count() == 4:
                raise problem
            store.write(lines)

    outcome = Outcome()
    with pytest.raises(type(problem)):
        retry(folder, Troubled(), outcome)
    assert outcome == Outcome(stored=4)
    assert [oddity.line for _, oddity in left(folder)] == [*map(good, range(5, 8))]
    assert {oddity.reason for _, oddity in left(folder)} == {"then"}
    assert tried(folder, store).stored == 3
    assert store.count() == 7


def test_the_ingester_may_go_on_meanwhile(folder, store):
    aside = SetAside(folder, lambda: NOON)
    aside.add([Oddity("g12", "5f3a9c01", "then", good(1))])

    class Meanwhile:
        def write(self, lines):
            aside.add([Oddity("g12", "5f3a9c01", "meanwhile", BAD)])
            store.write(lines)

    assert tried(folder, Meanwhile()) == Outcome(stored=1)
    assert [oddity.reason for _, oddity in left(folder)] == ["meanwhile"]


def test_two_at_once_do_not_get_into_each_others_way(folder, store):
    put_aside(folder, good(1))

    class Second:
        def write(self, lines):
            with pytest.raises(Refused, match="another retry is at work"):
                tried(folder, store)
            store.write(lines)

    assert tried(folder, Second()).stored == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from cloud_sync import retry
from cloud_sync.sqlite_store import SqliteStore

steps = int(sys.argv[3])
def step(do):
    def counted(*arguments):
        global steps
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return do(*arguments)
    return counted

retry.CHUNK_LINES = 3
Path.rename, Path.replace = step(Path.rename), step(Path.replace)
Path.unlink = step(Path.unlink)
retry.sync_folder, os.fsync = step(retry.sync_folder), step(os.fsync)
SqliteStore.write = step(SqliteStore.write)
retry.retry(Path(sys.argv[1]), SqliteStore(Path(sys.argv[2])), retry.Outcome())
"""


@pytest.mark.timeout(60)
def test_killed_at_any_step_it_loses_nothing(tmp_path):
    for step in range(1, 30):
        folder, path = tmp_path / f"aside{step}", tmp_path / f"store{step}.sqlite"
        put_aside(folder, *map(good, range(1, 6)), BAD)
        put_aside(folder, good(9), at=NOON + timedelta(days=1))
        command = [sys.executable, "-c", KILLED, str(folder), str(path), str(step)]
        killed = subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        with closing(SqliteStore(path)) as store:
            there = {point.time_ns for point in store.points("air")}
            here = {int(oddity.line.split(b" ")[-1]) for _, oddity in left(folder)}
            assert there | here == {1, 2, 3, 4, 5, 9}
            tried(folder, store)
            assert {p.time_ns for p in store.points("air")} == {1, 2, 3, 4, 5, 9}
        assert [oddity.line for _, oddity in left(folder)] == [BAD]
        if not killed:
            break
    else:
        pytest.fail("it has more steps than were tried")
    assert step > 10


def test_the_same_reasons_are_one_heap(folder):
    put_aside(folder, *map(good, range(3)), BAD, reason="beyond retention")
    put_aside(folder, good(9), at=NOON + timedelta(days=1), reason="beyond retention")
    put_aside(folder, PAYLOAD)
    (folder / "2026-11-22.jsonl").write_bytes(b'{"cut off')
    (large, small), unreadable = heaps(folder)
    assert (large.count, large.since, large.until) == (5, NOON, NOON + timedelta(days=1))
    assert large.example == good(0)
    assert (small.gateway, small.reason, small.count) == ("g12", "not a batch", 1)
    assert unreadable == 1
