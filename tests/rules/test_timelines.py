"""Stories of alerts, told as timelines in tests/vectors/rules/<condition>.toml, and lived here.

The comment on top of each file says how it is read; nothing in it needs a programmer. What reads
and lives them is what `satomori test-rules` uses.
"""

import copy
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

import rules.conditions
from agent.rule_tests.difference import difference
from agent.rule_tests.life import Life
from agent.rule_tests.read import read
from gateway_config.kinds import find, kinds

FOLDER = Path(__file__).parents[1] / "vectors" / "rules"
FILES = sorted(FOLDER.glob("*.toml"))
CONDITIONS = kinds(rules.conditions)

TOPICS = {
    "fires",
    "short",
    "hold",
    "margin",
    "clears",
    "late",
    "restart",
    "power cut",
    "hours",
    "home and away",
    "several sensors",
}
"""What every condition has a story about; a margin only if it has one."""


def as_told(life, step):
    life.live(step)


def with_the_time_told_every_minute(life, step):
    life.pass_minute_by_minute(step.at)
    life.live(step)


def with_a_restart_after_every_line(life, step):
    life.live(step)
    life.restart()


def on_a_copy_after_every_line(life, step):
    life.live(step)
    original, life.engine = life.engine, copy.deepcopy(life.engine)
    original.advance(step.at + timedelta(days=9))


WAYS = [
    as_told,
    with_the_time_told_every_minute,
    with_a_restart_after_every_line,
    on_a_copy_after_every_line,
]


def stories():
    for path in FILES:
        for story in read(path):
            yield pytest.param(story, id=f"{path.stem}: {story.says}")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("story", [*stories()])
def test_people_are_told_what_the_story_says_and_nothing_else(story, way):
    life = Life(story)
    for step in story.steps:
        way(life, step)
    assert difference(story, life.told) == []


@pytest.mark.parametrize("kind", CONDITIONS)
def test_every_condition_has_a_story_about_everything_that_can_happen(kind):
    expected = set(TOPICS)
    if "margin" not in {field.name for field in fields(find(rules.conditions, kind))}:
        expected.remove("margin")
    assert {story.about for story in read(FOLDER / f"{kind}.toml")} == expected


def test_no_story_is_about_a_condition_that_does_not_exist():
    assert [path.stem for path in FILES] == CONDITIONS
