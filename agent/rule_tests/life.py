"""Lives through a story, step by step. Time is what the story says; nobody waits for it."""

import json
from datetime import datetime, timedelta
from typing import assert_never

from agent.rule_tests.story import ClockSet, Measured, Passes, Restart, Step, Story
from rules.alert import AlertEvent
from rules.engine import Engine


class Life:
    """One engine living through one story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.engine = Engine(story.rules, story.presence)
        self.told: list[AlertEvent] = []
        """By the rules that are tested, in order."""

    def live(self, step: Step) -> None:
        """Let one thing happen."""
        match step:
            case Measured(reading):
                self._tell(self.engine.observe(reading))
            case Passes(at):
                self.pass_until(at)
            case Restart(at, listening_from):
                self.pass_until(at)
                self.restart(listening_from)
            case ClockSet(at, by):
                self.pass_until(at)
                self.engine.shift(by)
            case _:
                assert_never(step)

    def pass_until(self, at: datetime) -> None:
        """Let time pass without anything else."""
        self._tell(self.engine.advance(at))

    def pass_minute_by_minute(self, at: datetime) -> None:
        """Let time pass up to the last minute before `at`, and look at it every minute."""
        minute = timedelta(minutes=1)
        while self.engine.now is not None and self.engine.now < at - minute:
            self.pass_until(self.engine.now + minute)

    def restart(self, listening_from: datetime | None = None) -> None:
        """Go on as another engine, which knows what this one would have left on the card."""
        written = json.loads(json.dumps(self.engine.snapshot()))
        story = self.story
        self.engine = Engine.restore(
            story.rules, written, story.presence, listening_from=listening_from
        )

    def _tell(self, events: list[AlertEvent]) -> None:
        self.told += [event for event in events if event.rule in self.story.tested]


def lived(story: Story) -> Life:
    """Return a life at the end of the story."""
    life = Life(story)
    for step in story.steps:
        life.live(step)
    return life
