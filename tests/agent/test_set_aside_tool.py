"""`satomori set-aside`, as somebody at the server uses it."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from agent import set_aside_tool
from agent.cli import main
from cloud_sync.set_aside import Oddity, SetAside
from cloud_sync.sqlite_store import SqliteStore

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINE = b"air,gateway=g12 t=1 1"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "aside"
    folder.mkdir()
    return folder


def put_aside(folder, *lines, reason="field type conflict"):
    oddities = [Oddity("g12", "5f3a9c01", reason, line) for line in lines]
    SetAside(folder, lambda: NOON).add(oddities)


def test_the_list_says_how_many_whose_why_since_when_and_shows_one(folder, capsys):
    put_aside(folder, LINE, LINE.replace(b" 1", b" 2"))
    assert main(["set-aside", "list", str(folder)]) == 1
    assert capsys.readouterr().out == (
        "2 of gateway g12: field type conflict\n"
        "    from 2026-11-23 12:00:00 to 2026-11-23 12:00:00 UTC\n"
        "    air,gateway=g12 t=1 1\n"
    )


def test_a_long_list_ends_with_how_many_more_there_are(folder, capsys, monkeypatch):
    monkeypatch.setattr(set_aside_tool, "MAX_HEAPS", 2)
    for n in range(5):
        put_aside(folder, b"line %d" % n, reason=f"reason {n}")
    (folder / "2026-11-22.jsonl").write_bytes(b'{"cut off')
    main(["set-aside", "list", str(folder)])
    *_, more, unreadable = capsys.readouterr().out.splitlines()
    assert more == "3 more, for 3 other reasons"
    assert unreadable == "1 that cannot be read: see the files themselves"


def test_an_empty_folder_is_said_to_be_empty(folder, capsys):
    assert main(["set-aside", "list", str(folder)]) == 0
    assert capsys.readouterr().out == "nothing is set aside\n"


def test_retry_says_what_became_of_the_lines(folder, tmp_path, capsys):
    path = tmp_path / "store.sqlite"
    put_aside(folder, LINE, b"air,gateway=g12 t=x 1", b"air,gateway=g13 t=1 1")
    assert main(["set-aside", "retry", str(folder), "--sqlite", str(path)]) == 1
    stored, stays, untried = capsys.readouterr().out.splitlines()
    assert stored == "1 stored"
    assert stays.startswith("1 stay: not a line of ours")
    assert untried == "1 were not tried: no lines of the gateway they came from"
    with closing(SqliteStore(path)) as store:
        assert store.count() == 1


def test_retry_of_good_lines_empties_the_folder(folder, tmp_path, capsys):
    put_aside(folder, LINE)
    words = ["set-aside", "retry", str(folder), "--sqlite", str(tmp_path / "store.sqlite")]
    assert main(words) == 0
    assert main(["set-aside", "list", str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "{folder}/nowhere"], "is no folder"),
        (["retry", "{folder}", "--influx", "http://localhost"], "needs --bucket"),
        (["retry", "{folder}", "--sqlite", "/nowhere/store"], "check that its folder exists"),
        (
            ["retry", "{folder}", "--influx", "http://127.0.0.1:1", "--bucket", "b"],
            "cannot be reached",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(folder, capsys, words, says):
    put_aside(folder, LINE)
    assert main(["set-aside", *(word.format(folder=folder) for word in words)]) == 2
    assert says in capsys.readouterr().err
    assert main(["set-aside", "list", str(folder)]) == 1
