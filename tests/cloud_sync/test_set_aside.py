import json
from datetime import UTC, datetime

import pytest

from cloud_sync.set_aside import REMEMBERED, Oddity, SetAside, from_json
from cloud_sync.store import Refused
from tests.fakes.full_disk import disk_full_at

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ODD = Oddity("g12", "5f3a9c01", "no number", "air,gateway=g12 室温=x 1\n".encode())


def documents(folder):
    return [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def test_what_is_set_aside_says_when_whose_why_and_what(tmp_path):
    SetAside(tmp_path / "aside", lambda: NOON).add([ODD])
    assert (tmp_path / "aside" / "2026-11-23.jsonl").exists()
    assert documents(tmp_path / "aside") == [
        {
            "at": "2026-11-23T12:00:00+00:00",
            "gateway": "g12",
            "boot": "5f3a9c01",
            "reason": "no number",
            "line": "air,gateway=g12 室温=x 1",
        }
    ]


@pytest.mark.parametrize("line", [b"\xff\n\x00", b"\\xff", "室".encode(), b"", b"a\n"])
def test_every_line_can_be_set_aside_and_read_again(tmp_path, line):
    SetAside(tmp_path, lambda: NOON).add([ODD._replace(line=line)])
    (text,) = (tmp_path / "2026-11-23.jsonl").read_bytes().splitlines()
    assert from_json(text) == (NOON, ODD._replace(line=line.rstrip(b"\n")))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"at": 1}', b'{"at": "x", "line": ""}'])
def test_what_is_cut_off_is_no_line_of_a_folder(text):
    with pytest.raises(ValueError, match="not a line of a set-aside folder"):
        from_json(text)


def test_a_disk_that_is_full_in_the_middle_of_a_line_spoils_no_other(tmp_path):
    aside = SetAside(tmp_path, lambda: NOON)
    aside.add([ODD])
    size = (tmp_path / "2026-11-23.jsonl").stat().st_size
    with disk_full_at(size + 20), pytest.raises(Refused, match="that the disk has room"):
        aside.add([ODD._replace(gateway="g13")])
    aside.add([ODD._replace(gateway="g13")])
    first, torn, again = (tmp_path / "2026-11-23.jsonl").read_bytes().splitlines()
    assert [from_json(text)[1].gateway for text in (first, again)] == ["g12", "g13"]
    assert len(torn) == 20


def test_what_comes_again_is_set_aside_once(tmp_path):
    aside = SetAside(tmp_path, lambda: NOON)
    for _ in range(3):
        aside.add([ODD, ODD._replace(gateway="g13"), ODD])
    assert len(documents(tmp_path)) == 2


def test_only_so_many_are_recognised_when_they_come_again(tmp_path):
    aside = SetAside(tmp_path, lambda: NOON)
    aside.add([ODD])
    aside.add([ODD._replace(line=b"%d\n" % number) for number in range(REMEMBERED)])
    aside.add([ODD])
    assert len(documents(tmp_path)) == REMEMBERED + 2


def test_a_full_folder_takes_nothing_until_somebody_has_made_room(tmp_path):
    aside = SetAside(tmp_path, lambda: NOON, max_bytes=300)
    aside.add([ODD])
    other = ODD._replace(gateway="g13", line=b"x" * 150)
    for _ in range(2):
        with pytest.raises(Refused, match=f"{tmp_path} is full.*nothing is acknowledged"):
            aside.add([other])
    assert len(documents(tmp_path)) == 1
    (tmp_path / "2026-11-23.jsonl").unlink()
    aside.add([other])
    assert len(documents(tmp_path)) == 1


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refused, match="check who owns the folder"):
        SetAside(tmp_path / "file", lambda: NOON).add([ODD])
