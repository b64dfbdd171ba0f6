"""Reads a file of rule tests, and reports every mistake in it at once.

A file has rules of its own, written as in gateway.toml, or names a gateway.toml whose rules it
tests. Its size, the days of its stories and so the time they take are bounded.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from agent.recording import YEARS
from agent.rule_tests.bench import Bench, ConfiguredRules, OwnRules
from agent.rule_tests.lines import BadEntry, Known, alert_of, each_day, step_of, time_of
from agent.rule_tests.story import Calendar, ClockSet, Expected, Passes, Restart, Step, Story
from gateway_config.load import BadConfig
from gateway_config.mistakes import Mistake, both, did_you_mean, key_path, shown, there_are, unknown
from gateway_config.tables import Table, TableReader
from rules.engine import Engine

MAX_BYTES = 1 << 20
"""Some thousand stories. Whoever has more splits the file."""

MAX_DAYS_TOGETHER = 10_000
"""Of all stories of a file: even a hundred rules have judged these within minutes."""

FIRST_DAY = date(2026, 1, 5)
"""A Monday."""

OUT_OF_ORDER = timedelta(hours=1)
"""A line may tell of what comes late, but by more than this rather its "day 2" is missing."""

OWN = ("gateway", "presence", "part", "rule")
TOP = ("config", "first_day", "rules", *OWN, "story")
STORY = ("about", "says", "first_day", "rules", "rule", "timeline", "until", "alerts")
NEEDED = {
    "says": 'what happens, and what should follow: says = "…"',
    "timeline": "what happens: timeline = [ … ]",
    "until": 'how long nothing else may be told: until = "12:00"',
    "alerts": "what people are told: alerts = [ … ], or alerts = [] for nothing",
}

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*story[ \t]*\]\]", re.MULTILINE)


def read(path: Path, config: Path | None = None) -> list[Story]:
    """Return the stories of the file; `config` is tested if the file has no rules of its own.

    Raises:
        BadConfig: with all that is wrong with the file, or with the configuration.
    """
    text = _text(path)
    tree = _toml(path, text)
    lines = [text.count("\n", 0, match.start()) + 1 for match in _HEADER.finditer(text)]
    reader = TableReader(path.absolute().parent)
    stories = _File(path, tree, reader, config).stories(lines)
    if reader.mistakes:
        raise BadConfig(path, reader.mistakes)
    return stories


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8-sig")
        problem, hint = f"has more than {MAX_BYTES} bytes", "split it into several files"
    except OSError as error:
        problem, hint = f"cannot be read: {error.strerror or error}", ""
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start + 1}"
        hint = "save the file as UTF-8 in the editor"
    raise BadConfig(path, [Mistake(str(path), "", problem, hint)])


def _toml(path: Path, text: str) -> Table:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = "has brackets within brackets, hundreds deep"
    except ValueError as error:  # it says line and column; or a number of thousands of digits
        problem = f"is no TOML: {error}"
    raise BadConfig(path, [Mistake(str(path), "", problem)])


class _File:
    """One file while it is read."""

    def __init__(self, path: Path, tree: Table, reader: TableReader, config: Path | None) -> None:
        self.path = path
        self.tree = tree
        self.reader = reader
        self.days_left = timedelta(days=MAX_DAYS_TOGETHER)
        tables = self._story_tables()
        self.own = any(key in tree for key in OWN) or any("rule" in table for _, table in tables)
        self.tables = tables
        self.rules = self._rules(config)

    def stories(self, lines: Sequence[int]) -> list[Story]:
        """Return those that could be read; `lines` are where stories begin, if all are found."""
        for key in self.tree:
            if key not in TOP:
                problem = "is nothing a file of rule tests has"
                self.reader.note(unknown("", key, self.tree[key], problem=problem, known=TOP))
        if self.rules is None:
            return []
        found = []
        for index, table in self.tables:
            line = lines[index] if len(lines) == len(self.tables) else None
            if (story := self._story(index, line, table, self.rules)) is not None:
                found.append(story)
        return found

    def _note(self, at: str, value: object, problem: str, hint: str = "") -> None:
        written = "" if value is None else shown(value)
        self.reader.note(Mistake(at, written, problem, hint))

    def _story_tables(self) -> list[tuple[int, Table]]:
        listed = self.tree.get("story")
        hint = "write [[story]] on a line of its own for each, and what it tells below"
        if not isinstance(listed, list) or not listed:
            self._note("story", listed, "is missing: nothing would be tested", hint)
            return []
        for index, table in enumerate(listed):
            if not isinstance(table, dict):
                self._note(key_path("story", index), table, "must be a table", hint)
        return [(index, table) for index, table in enumerate(listed) if isinstance(table, dict)]

    def _rules(self, config: Path | None) -> OwnRules | ConfiguredRules | None:
        """Return what is tested; None, and it is noted, if nothing says what."""
        written = self.tree.get("config")
        if self.own:
            if written is not None:
                hint = "keep one of them; to test its rules, name them: rules = [ … ]"
                self._note("config", written, "stands beside rules of the file's own", hint)
            return OwnRules(self.tree, self.path.name.split(".")[0], self.reader)
        if written is not None and not isinstance(written, str):
            self._note("config", written, 'must be in quotes: config = "gateway.toml"')
        elif config is not None:
            return ConfiguredRules(config)
        elif written is not None:
            return ConfiguredRules(self.path.parent / written)
        else:
            hint = 'write config = "gateway.toml" on top, or a [rule], or use --config gateway.toml'
            self._note("config", None, "is missing: which rules are tested?", hint)
        return None

    def _story(
        self, index: int, line: int | None, table: Table, rules: OwnRules | ConfiguredRules
    ) -> Story | None:
        says = table.get("says")
        place = key_path("story", index) + (f", line {line}" if line else "")
        at = f"story {shown(says)} ({place})" if isinstance(says, str) else place
        noted = len(self.reader.mistakes)
        self._keys(at, table)
        bench = rules.bench(at, table.get("rule"), self.reader)
        tested = self._tested(at, table, bench)
        known = Known(self._calendar(at, table, bench), bench.sensors, tested)
        alerts = self._alerts(at, table.get("alerts"), known)
        steps = self._steps(at, table, known)
        self._spend(at, steps)
        if len(self.reader.mistakes) > noted:
            return None
        try:
            Engine(bench.rules, bench.presence)
        except ValueError as error:
            self._note(at, None, str(error))
            return None
        about = str(table.get("about", ""))
        calendar, presence = known.calendar, bench.presence
        return Story(
            self.path,
            line,
            str(says),
            about,
            bench.rules,
            presence,
            tested,
            calendar,
            steps,
            alerts,
        )

    def _keys(self, at: str, table: Table) -> None:
        for key, value in table.items():
            if key not in STORY:
                problem = "is nothing a story has"
                self.reader.note(unknown(at, key, value, problem=problem, known=STORY))
        for key, hint in NEEDED.items():
            if key not in table:
                self._note(f"{at}.{key}", None, "is missing", hint)
        for key in ("says", "about"):
            if not isinstance(value := table.get(key, ""), str):
                self._note(f"{at}.{key}", value, "must be text in quotes")

    def _tested(self, at: str, table: Table, bench: Bench) -> tuple[str, ...]:
        """Return the names of the rules whose alerts count: all, or those that are named."""
        there = tuple(rule.name for rule in bench.rules)
        where = f"{at}.rules" if "rules" in table else "rules"
        named = table.get("rules", self.tree.get("rules"))
        if named is None:
            return there
        if not isinstance(named, list) or not named:
            self._note(where, named, 'must be a list of names: rules = ["…"]')
            return there
        for name in named:
            # What is wrong with rules of the file's own has been noted.
            if name not in there and there:
                meant = did_you_mean(name, there) if isinstance(name, str) else ""
                self._note(where, name, "no such rule", both(meant, there_are(map(shown, there))))
        return tuple(name for name in there if name in named)

    def _calendar(self, at: str, table: Table, bench: Bench) -> Calendar:
        where = f"{at}.first_day" if "first_day" in table else "first_day"
        day = table.get("first_day", self.tree.get("first_day", FIRST_DAY))
        if type(day) is date and day.year in YEARS:
            return Calendar(day, bench.zone)
        problem = f"is not a day from {YEARS[0]} to {YEARS[-1]}"
        self._note(where, day, problem, "write it without quotes: first_day = 2026-01-05")
        return Calendar(FIRST_DAY, bench.zone)

    def _alerts(self, at: str, listed: object, known: Known) -> tuple[Expected, ...]:
        found = []
        for where, entry in self._entries(f"{at}.alerts", listed):
            try:
                found.append(alert_of(entry, known))
            except BadEntry as bad:
                self._note(where, entry, bad.problem, bad.hint)
        return tuple(found)

    def _steps(self, at: str, table: Table, known: Known) -> tuple[Step, ...]:
        """Return what happens, and that time passes until the end of the story."""
        found: list[tuple[str, object, Step]] = []
        for where, line in self._timeline(f"{at}.timeline", table.get("timeline")):
            try:
                found.append((where, line, step_of(line, known)))
            except BadEntry as bad:
                self._note(where, line, bad.problem, bad.hint)
        until = table.get("until")
        if until is not None:
            try:
                found.append((f"{at}.until", until, Passes(time_of(until, known))))
            except BadEntry as bad:
                self._note(f"{at}.until", None, bad.problem, bad.hint)
        self._order(found, known.calendar)
        return tuple(step for _, _, step in found)

    def _timeline(self, at: str, listed: object) -> Iterator[tuple[str, object]]:
        """Yield what happens; what happens each day is written once, and comes once a day."""
        for where, entry in self._entries(at, listed):
            if not isinstance(entry, dict):
                yield where, entry
                continue
            try:
                yield from ((where, line) for line in each_day(entry))
            except BadEntry as bad:
                self._note(where, entry, bad.problem, bad.hint)

    def _entries(self, at: str, listed: object) -> Iterator[tuple[str, object]]:
        if isinstance(listed, list):
            yield from ((f"{at}{key_path(index)}", entry) for index, entry in enumerate(listed))
        elif listed is not None:
            self._note(at, listed, "must be a list in brackets: [ … ]")

    def _order(self, found: Sequence[tuple[str, object, Step]], calendar: Calendar) -> None:
        """Note what would come too late to be judged, and so would silently test nothing."""
        clock: datetime | None = None
        for where, written, step in found:
            if clock is not None and step.at < clock - OUT_OF_ORDER:
                problem = f"is before {calendar.written(clock)}, which the story has reached"
                self._note(where, written, problem, 'put it in order, or is it on "day 2"?')
            clock = _after(step, step.at if clock is None else max(clock, step.at))

    def _spend(self, at: str, steps: Sequence[Step]) -> None:
        if not steps:
            return
        times = [step.at for step in steps]
        before = self.days_left
        self.days_left -= max(times) - min(times)
        if before >= timedelta(0) > self.days_left:
            problem = f"is where the file's stories have lasted for {MAX_DAYS_TOGETHER} days"
            self._note(at, None, problem, "make them shorter, or split the file")


def _after(step: Step, clock: datetime) -> datetime:
    """Return what the clock shows after the step, if it showed `clock` in it."""
    match step:
        case Restart(_, datetime() as listening_from):
            return listening_from
        case ClockSet(_, by):
            return clock + by
        case _:
            return clock
