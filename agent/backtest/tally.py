"""What one rule did in one variant: counted as it happens, in bounded memory."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent.backtest.bins import Bins
from agent.backtest.rate import interval
from agent.backtest.truth import Truth
from rules.alert import AlertEvent
from rules.engine import Rule
from rules.lifecycle import Phase

MAX_KEPT: Final = 20
"""Alarms of each rule that are listed one by one, the first; all are counted."""

DAY: Final = timedelta(days=1)
MONTH: Final = timedelta(days=30)


@dataclass(eq=False, slots=True)
class Alarm:
    """One time that a rule fired."""

    event: AlertEvent
    """With which it began."""
    over: datetime | None = None
    """None: it fires still."""
    is_true: bool | None = None
    """None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in 30 days, and between which rates the truth lies (95 %)."""

    each_month: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, watched: timedelta) -> "Rate | None":
        """Return the rate of what came in that time; None if it was no time."""
        if watched <= timedelta(0):
            return None
        months = watched / MONTH
        low, high = interval(count)
        return cls(count / months, low / months, high / months)


class Tally:
    """Alarms of one rule, from `begin` on."""

    def __init__(self, rule: Rule, begin: datetime, truth: Truth | None) -> None:
        self.rule = rule
        self.alarms = self.true = 0
        self.at_begin = 0
        """Alarms that began to fire before, and are counted in `firing` only."""
        self.firing = timedelta(0)
        """How long at least one of its alerts fired while somebody listened."""
        self.kept: list[Alarm] = []
        self.noticed: dict[int, timedelta] = {}
        """True events, and how long after their beginning the first alarm came."""
        self.bins = Bins(begin)
        self._begin, self._truth = begin, truth
        self._open: dict[str, Alarm] = {}
        self._since: datetime | None = None
        """Since when at least one of its alerts fires."""

    def take(self, event: AlertEvent) -> Alarm | None:
        """Count what happened; returns the alarm that is over by it, if it is one that counts."""
        key = "" if self.rule.condition.together else event.sensor
        done = self._open.pop(key, None)
        if event.phase is Phase.FIRING:
            self._open[key] = self._began(event)
        elif not self._open:
            self._stop(event.at)
        if done is None:
            return None
        done.over = event.at
        if done.event.at >= self._begin:
            return done
        self.at_begin += event.at > self._begin
        return None

    def unheard(self, since: datetime, until: datetime) -> None:
        """Nobody listened in that time: it counts for nothing, and what fired goes on firing."""
        if self._open:
            self._stop(since)
            self._since = until

    def finish(self, end: datetime) -> list[Alarm]:
        """Count up to `end`; returns the alarms that still fire then and count."""
        self.at_begin += sum(alarm.event.at < self._begin for alarm in self._open.values())
        self._stop(end)
        return [alarm for alarm in self._open.values() if alarm.event.at >= self._begin]

    def _began(self, event: AlertEvent) -> Alarm:
        alarm = Alarm(event)
        self._since = self._since or event.at
        if event.at < self._begin:
            return alarm
        self.alarms += 1
        self.bins.alarm(event.at)
        if self._truth is not None:
            alarm.is_true = self._is_true(event, self._truth)
            self.true += alarm.is_true
        if len(self.kept) < MAX_KEPT:
            self.kept.append(alarm)
        return alarm

    def _is_true(self, event: AlertEvent, truth: Truth) -> bool:
        covering = list(truth.covering(event.rule, event.at))
        for number in covering:
            self.noticed.setdefault(number, event.at - truth.events[number].begin)
        return bool(covering)

    def _stop(self, at: datetime) -> None:
        if self._since is None:
            return
        since, self._since = max(self._since, self._begin), None
        if at > since:
            self.firing += at - since
            self.bins.fired(since, at)
