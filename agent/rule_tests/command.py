"""Runs every story of the files and prints which of them came as they say."""

from pathlib import Path
from typing import TextIO

from agent.rule_tests.difference import difference
from agent.rule_tests.life import lived
from agent.rule_tests.read import read
from agent.rule_tests.story import Story
from gateway_config.load import BadConfig, load
from gateway_config.mistakes import printable
from rules.engine import TOLERANCE

ALL_OK, FAILED, WRONG = 0, 1, 2


def run(files: list[Path], config: Path | None, out: TextIO, err: TextIO) -> int:
    """Print a line for each story, and what went otherwise; returns the exit code.

    It is 0 if all went as told, 1 if a story did not, 2 if a file cannot be used: then the others
    are tried all the same, and the mistakes are on `err`.
    """
    try:
        if config is not None:
            load(config)  # what is wrong with it is told once, not for each file
    except BadConfig as problem:
        print(problem, file=err)
        return WRONG
    tried = failed = 0
    wrong = False
    for file in files:
        try:
            stories = read(file, config)
        except BadConfig as problem:
            print(problem, file=err)
            wrong = True
        else:
            failed += sum(not _tried(story, out) for story in stories)
            tried += len(stories)
    print(f"{tried} {'test' if tried == 1 else 'tests'}, {failed} failed", file=out)
    if wrong:
        return WRONG
    return FAILED if failed else ALL_OK


def _tried(story: Story, out: TextIO) -> bool:
    """Tell how the story went, and return whether it went as it says."""
    life = lived(story)
    lines = difference(story, life.told)
    place = story.path if story.line is None else f"{story.path}:{story.line}"
    print(f"{'FAILED' if lines else 'ok':6}  {place}: {printable(story.says)}", file=out)
    if lines and (late := life.engine.late):
        seconds = TOLERANCE.total_seconds()
        lines.append(f"readings that came more than {seconds:g} s late, not judged: {late}")
    for line in lines:
        print(f"        {line}", file=out)
    return not lines
