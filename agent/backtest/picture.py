"""The alarms as a picture: a timeline for each rule, in it a row for each variant. Plain SVG."""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import Final

from agent.backtest import words
from agent.backtest.report import rule_names
from agent.backtest.table import width
from agent.backtest.tally import Tally
from agent.backtest.trial import Trial
from gateway_config.mistakes import printable
from rules.alert import Severity

COLOURS: Final = {
    Severity.DANGER: "#b3261e",
    Severity.WARNING: "#c77700",
    Severity.NOTICE: "#2f6fb0",
    Severity.FAULT: "#6b7280",
}

PLOT_PX: Final = 960
LEFT_PX: Final = 60
RIGHT_PX: Final = 90
ROW_PX: Final = 18
NARROWEST_PX: Final = 1.5
"""An alarm of a minute in a year is still to be seen."""

STEPS: Final = tuple(timedelta(hours=h) for h in (1, 3, 6, 12, 24, 48, 168, 336, 730, 2190, 8766))
MOST_TICKS: Final = 12


class Canvas:
    """Collects elements from top to bottom."""

    def __init__(self, begin: datetime, end: datetime, zone: tzinfo) -> None:
        self.begin, self.end, self.zone = begin, end, zone
        self.y = 0.0
        self._parts: list[str] = []

    def x(self, at: datetime) -> float:
        whole = max(self.end - self.begin, timedelta(seconds=1))
        part = (min(max(at, self.begin), self.end) - self.begin) / whole
        return LEFT_PX + PLOT_PX * part

    def text(self, x: float, says: str, *, kind: str = "", anchor: str = "start") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{self.y + 13:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{_safe(says)}</text>"
        )

    def bar(self, since: datetime, until: datetime, colour: str, says: str, top: float) -> None:
        left, right = self.x(since), self.x(until)
        wide, high = max(right - left, NARROWEST_PX), ROW_PX - 2 * top
        self._parts.append(
            f'<rect x="{left:.1f}" y="{self.y + top:.1f}" width="{wide:.1f}" height="{high:.1f}" '
            f'fill="{colour}"><title>{_safe(says)}</title></rect>'
        )

    def line(self, x: float, height: float) -> None:
        self._parts.append(
            f'<line x1="{x:.1f}" y1="{self.y:.1f}" x2="{x:.1f}" y2="{self.y + height:.1f}"/>'
        )

    def svg(self, wide: float) -> str:
        size = f'width="{wide:.0f}" height="{self.y:.0f}" viewBox="0 0 {wide:.0f} {self.y:.0f}"'
        style = (
            "text{font:12px sans-serif;fill:#222}.rule{font-weight:bold}.small{fill:#555}"
            "line{stroke:#ddd}"
        )
        return "\n".join(
            [
                '<?xml version="1.0" encoding="UTF-8"?>',
                f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
                f"<style>{style}</style>",
                '<rect width="100%" height="100%" fill="#fff"/>',
                *self._parts,
                "</svg>\n",
            ]
        )


def svg(trial: Trial, says: str, zone: tzinfo) -> str:
    """Return the picture; the trial has judged something. Times are in `zone`."""
    assert trial.begin is not None  # it has judged something
    assert trial.end is not None
    canvas = Canvas(trial.begin, trial.end, zone)
    heading = (
        f"{words.when(trial.begin, zone)} to {words.when(trial.end, zone)} ({zone}), "
        f"{words.days(trial.watched)} watched: {says}"
    )
    legend = [f"{lane.variant.key}: {lane.variant.says}" for lane in trial.lanes]
    for line in [heading, *legend]:
        canvas.text(8, line, kind="small")
        canvas.y += ROW_PX
    widest = max(8 + 8 * width(printable(line)) for line in [heading, *legend])
    canvas.y += 6
    _axis(canvas, trial)
    for name in rule_names(trial):
        canvas.text(8, name, kind="rule")
        canvas.y += ROW_PX
        for lane in trial.lanes:
            _row(canvas, lane.variant.key, lane.tallies.get(name), trial)
    canvas.y += 8
    return canvas.svg(max(LEFT_PX + PLOT_PX + RIGHT_PX, widest))


def _axis(canvas: Canvas, trial: Trial) -> None:
    rows = sum(1 + len(trial.lanes) for _ in rule_names(trial))
    for tick, says in _ticks(canvas.begin, canvas.end, canvas.zone):
        canvas.text(canvas.x(tick), says, kind="small", anchor="middle")
        canvas.y += ROW_PX
        canvas.line(canvas.x(tick), rows * ROW_PX)
        canvas.y -= ROW_PX
    canvas.y += ROW_PX


def _ticks(begin: datetime, end: datetime, zone: tzinfo) -> Iterator[tuple[datetime, str]]:
    """Yield round times of the day, or days, and what to write there."""
    step = next((s for s in STEPS if (end - begin) / s <= MOST_TICKS), (end - begin) / MOST_TICKS)
    at = begin.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    form = "%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M"
    while at <= end:
        if at >= begin:
            yield at, f"{at:{form}}"
        at += step


def _row(canvas: Canvas, key: str, tally: Tally | None, trial: Trial) -> None:
    canvas.text(20, key, kind="small")
    if tally is None:
        canvas.text(LEFT_PX, "not there, or nobody is told", kind="small")
        canvas.y += ROW_PX
        return
    name = tally.rule.name
    for event in trial.truth.events if trial.truth else ():
        overlaps = event.begin <= canvas.end and event.end >= canvas.begin
        if event.concerns(name) and overlaps:
            says = f"happened: {_span(canvas, event.begin, event.end)}"
            canvas.bar(event.begin, event.end, "#bfe3c4", says, 0)
    for since, until, alarms in tally.bins.runs():
        says = f"{_span(canvas, since, min(until, canvas.end))}: {alarms} alarms began"
        canvas.bar(since, until, COLOURS[tally.rule.severity], says, 4)
    canvas.text(LEFT_PX + PLOT_PX + 8, f"{tally.alarms} alarms", kind="small")
    canvas.y += ROW_PX


def _span(canvas: Canvas, since: datetime, until: datetime) -> str:
    return f"{words.when(since, canvas.zone)} to {words.when(until, canvas.zone)}"


def _safe(text: str) -> str:
    """Return it as XML has it. What XML has no way to write is spelt out."""
    return escape(printable(text))
