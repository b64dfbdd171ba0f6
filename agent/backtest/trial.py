"""Judges one stream of readings by several configurations at once, each with an engine of its own.

One pass, one reading at a time: what is kept are the engines and the tallies, whatever the length
of the stream. Alarms are handed on when they are over.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from agent import site
from agent.backtest.source import Restart, Span, Step
from agent.backtest.tally import Alarm, Tally
from agent.backtest.truth import Truth
from agent.backtest.variants import Variant
from drivers.reading import Reading
from rules.alert import AlertEvent, Severity

Write: TypeAlias = Callable[[Variant, Alarm], object]
"""Takes each alarm that counts, when it is over; those that fire still, at the end."""


class Lane:
    """One variant: its engine, and what its rules did."""

    def __init__(self, variant: Variant, begin: datetime, truth: Truth | None, write: Write):
        self.variant = variant
        self.engine = site.engine(variant.config)
        # Of what is only a part of another rule nobody is told.
        told = [rule for rule in variant.config.rule if rule.severity is not Severity.PART]
        self.tallies = {rule.name: Tally(rule, begin, truth) for rule in told}
        self._write = write

    @property
    def alarms(self) -> int:
        return sum(tally.alarms for tally in self.tallies.values())

    @property
    def true(self) -> int:
        """How many of them true events cover."""
        return sum(tally.true for tally in self.tallies.values())

    def observe(self, reading: Reading) -> None:
        self._take(self.engine.observe(reading))

    def restart(self, last: datetime, at: datetime) -> None:
        """Go on at `at` after nobody listened since `last`."""
        for tally in self.tallies.values():
            tally.unheard(last, at)
        self.engine = site.resumed(self.variant.config, self.engine, at)

    def finish(self, end: datetime) -> None:
        self._take(self.engine.advance(end))
        for tally in self.tallies.values():
            for alarm in tally.finish(end):
                self._write(self.variant, alarm)

    def _take(self, events: Iterable[AlertEvent]) -> None:
        for event in events:
            if alarm := self.tallies[event.rule].take(event):
                self._write(self.variant, alarm)


class Trial:
    """All variants, over what of a stream is within `judged`; what is before lets rules learn."""

    def __init__(
        self, variants: Sequence[Variant], judged: Span, truth: Truth | None, write: Write
    ) -> None:
        self.variants, self.judged, self.truth = variants, judged, truth
        self.lanes: list[Lane] = []
        self.readings = 0
        """Of the time that counts."""
        self.begin: datetime | None = None
        self.last: datetime | None = None
        """When the newest reading was."""
        self.end: datetime | None = None
        self.unheard = timedelta(0)
        """How much of the time that counts the machine was off."""
        self._write = write

    @property
    def watched(self) -> timedelta:
        """How long somebody listened, of the time that counts."""
        assert self.begin is not None  # asked only when something was judged
        assert self.end is not None
        return self.end - self.begin - self.unheard

    @property
    def late(self) -> int:
        """Readings that came too late to be judged."""
        return self.lanes[0].engine.late if self.lanes else 0

    def run(self, steps: Iterable[Step], seen: Callable[[datetime], None]) -> None:
        """Judge them all; `seen` is told how far it is."""
        for step in steps:
            if self.last is None:
                self._start(step.at)
            if isinstance(step, Restart):
                self._restart(step.at)
                continue
            self.last = step.at if self.last is None else max(self.last, step.at)
            self.readings += self.judged.holds(step.at)
            for lane in self.lanes:
                lane.observe(step)
            seen(step.at)
        if self.readings and self.last is not None:
            self.end = self.judged.end or self.last
            for lane in self.lanes:
                lane.finish(self.end)

    def _start(self, first: datetime) -> None:
        begin = self.begin = max(first, self.judged.begin or first)
        self.lanes = [Lane(v, begin, self.truth, self._write) for v in self.variants]

    def _restart(self, at: datetime) -> None:
        if self.last is None or self.begin is None or at <= self.last:
            return
        self.unheard += max(timedelta(0), at - max(self.last, self.begin))
        for lane in self.lanes:
            lane.restart(self.last, at)
