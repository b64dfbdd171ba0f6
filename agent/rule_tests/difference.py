"""Says how what was told differs from what was expected, in the style of `diff -u`."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import TypeAlias

from agent.rule_tests.story import Expected, Story
from gateway_config.mistakes import printable
from rules.alert import AlertEvent

MAX_LINES = 40
"""Of one difference that are shown."""

MAX_ALIGNED = 300
"""Alerts of which it is looked which belong together; the time for it grows with the square."""

CONTEXT = 3
"""Alerts before the first that differs that are shown."""

_COLUMNS = ("at", "phase", "rule", "sensor")

Row: TypeAlias = tuple[str, Expected | AlertEvent]
"""" " and what was both expected and told, "-" and what was not told, "+" and what was."""


def difference(story: Story, told: Sequence[AlertEvent]) -> list[str]:
    """Return the lines of the difference; none if all was told that was expected, and no more."""
    rows = list(_aligned(story.alerts, told))
    same = len(list(takewhile(lambda row: row[0] == " ", rows)))
    if same == len(rows):
        return []
    begin = max(0, same - CONTEXT)
    end = begin + MAX_LINES
    lines = ["--- expected", "+++ told"]
    if begin:
        lines.append(f" … {begin} more, as expected")
    lines += _table(story, rows[begin:end])
    if len(rows) > end:
        lines.append(f" … {len(rows) - end} more lines")
    return lines


def _aligned(expected: Sequence[Expected], told: Sequence[AlertEvent]) -> Iterator[Row]:
    """Yield all of both, with as many as possible that belong together, in order."""
    same = 0
    for one, event in zip(expected, told, strict=False):
        if not one.matches(event):
            break
        yield " ", event
        same += 1
    middle = slice(same, same + MAX_ALIGNED)
    yield from _matched(expected[middle], told[middle])
    yield from (("-", one) for one in expected[middle.stop :])
    yield from (("+", event) for event in told[middle.stop :])


def _matched(expected: Sequence[Expected], told: Sequence[AlertEvent]) -> Iterator[Row]:
    most = _most_in_common(expected, told)
    i = j = 0
    while i < len(expected) or j < len(told):
        here = most[i][j]
        if i < len(expected) and most[i + 1][j] == here:
            yield "-", expected[i]
            i += 1
        elif j < len(told) and most[i][j + 1] == here:
            yield "+", told[j]
            j += 1
        else:
            yield " ", told[j]
            i, j = i + 1, j + 1


def _most_in_common(expected: Sequence[Expected], told: Sequence[AlertEvent]) -> list[list[int]]:
    """Return at [i][j] how many of expected[i:] and told[j:] can belong together."""
    most = [[0] * (len(told) + 1) for _ in range(len(expected) + 1)]
    for i in reversed(range(len(expected))):
        for j in reversed(range(len(told))):
            both = most[i + 1][j + 1] + 1 if expected[i].matches(told[j]) else 0
            most[i][j] = max(both, most[i + 1][j], most[i][j + 1])
    return most


def _table(story: Story, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the rows as lines, in columns."""
    named = dict.fromkeys(name for expected in story.alerts for name in expected.named)
    extras = [name for name in named if name not in _COLUMNS]
    cells = [[*_cells(story, it), _extra(story, it, extras)] for _, it in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for (mark, _), row in zip(rows, cells, strict=True):
        padded = (c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True))
        yield f"{mark}{'  '.join(padded)}".rstrip()


def _cells(story: Story, it: Expected | AlertEvent) -> list[str]:
    if isinstance(it, AlertEvent):
        return [story.calendar.written(it.at), it.phase, printable(it.rule), printable(it.sensor)]
    about = {"rule": _only_or_any("rule", story.tested)}
    rule = it.named.get("rule", about["rule"])
    sensors = [sensor for r in story.rules if r.name == rule for sensor in r.sensors]
    about["sensor"] = _only_or_any("sensor", sensors)
    return [_text(story, it.named.get(name, about.get(name))) for name in _COLUMNS]


def _only_or_any(what: str, names: Sequence[str]) -> str:
    """Return what a story means that does not say which: the only one there is, or any."""
    return names[0] if len(names) == 1 else f"(any {what})"


def _extra(story: Story, it: Expected | AlertEvent, names: Sequence[str]) -> str:
    """Return what else the story speaks of; of an expected alert, as far as it is named."""
    values = {name: getattr(it, name) for name in names} if isinstance(it, AlertEvent) else it.named
    return " ".join(f"{name}={_text(story, values[name])}" for name in names if name in values)


def _text(story: Story, value: object) -> str:
    if isinstance(value, datetime):
        return story.calendar.written(value)
    if isinstance(value, Mapping | tuple):
        return "{" + ", ".join(f"{k}={_text(story, v)}" for k, v in dict(value).items()) + "}"
    if isinstance(value, int | float):
        return f"{value:.12g}"
    return printable(str(value))


def _width(text: str) -> int:
    """Return how many columns of a terminal it takes: a kanji takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
