"""`satomori test-rules`: what it prints and how it exits. The stories of the conditions are its
larger test: tests/rules/test_timelines.py lives through them with the same code."""

from pathlib import Path

import pytest

from agent.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/backtest/stories.toml"


@pytest.fixture
def tried(tmp_path, capsys):
    """Try the example after replacing a text; returns (exit code, stdout, stderr)."""

    def tried(old="", new="", *more):
        text = EXAMPLE.read_text(encoding="utf-8")
        assert old in text
        file = tmp_path / "stories.toml"
        file.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
        config = ["--config", str(EXAMPLE.parent / "gateway.toml")]
        return (main(["test-rules", *config, str(file), *map(str, more)]), *capsys.readouterr())

    return tried


def test_stories_that_go_as_they_say(tried):
    code, out, err = tried()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "2 tests, 0 failed"
    assert out.count("ok  ") == 2


def test_the_example_names_its_configuration_itself(capsys):
    assert main(["test-rules", str(EXAMPLE)]) == 0
    assert "2 tests, 0 failed" in capsys.readouterr().out


def test_a_story_that_went_otherwise_shows_the_difference(tried):
    code, out, err = tried('["19:10", "firing"]', '["19:15", "firing"]')
    assert (code, err) == (1, "")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0].startswith("FAILED")
    assert lines[1:3] == ["--- expected", "+++ told"]
    (missing,) = [line for line in lines[3:] if line.startswith("-")]
    (extra,) = [line for line in lines[3:] if line.startswith("+")]
    assert "19:15" in missing
    assert "19:10" in extra
    assert lines[-1] == "2 tests, 1 failed"


def test_an_alert_that_nobody_expected_fails_the_story(tried):
    code, out, _ = tried('alerts = [["19:10", "firing"], ["19:30", "quiet"]]', "alerts = []")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines() if line.strip()[:1] == "+"] == [
        "+++",
        "+19:10",
        "+19:30",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[story]]", "[story]", "TOML"),
        ('"玄関", "contact_open", 1', '"げんかん", "contact_open", 1', "げんかん"),
        ('"contact_open", 1', '"contact_opn", 1', "contact_open"),
        ('["19:00"', '["25:00"', "not a time"),
        ('["19:00", ', '{ days = [2, 1], timeline = [] }, ["19:00", ', "first and the last day"),
        ('["19:00", ', '{ days = [1, 2], timeline = [["day 2 19:00"]] }, ["19:00", ', "line of a"),
        ('["19:00", ', '{ days = [1, 2], timeline = [["19:00", "x"]] }, ["19:00", ', "happens"),
        ("until", "untill", "did you mean"),
        ("2026-11-02", '"soon"', "without quotes"),
        ('rules = ["玄関が開いたまま"]', 'rules = ["玄関"]', "no such rule"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tried, old, new, said):
    code, out, err = tried(old, new)
    assert code == 2
    assert said in err
    assert out.splitlines()[-1] == "0 tests, 0 failed"


def test_the_other_files_are_tried_all_the_same(tried):
    code, out, err = tried("until", "untill", EXAMPLE)
    assert code == 2
    assert err
    assert "2 tests, 0 failed" in out


def test_a_file_that_is_not_there(tried, tmp_path):
    code, _, err = tried("", "", tmp_path / "none.toml")
    assert code == 2
    assert "none.toml: cannot be read" in err
