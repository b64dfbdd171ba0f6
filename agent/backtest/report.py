"""What `satomori backtest` says: each rule with a column for each variant, then its alarms."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TypeAlias

from agent.backtest import words
from agent.backtest.table import columns
from agent.backtest.tally import MAX_KEPT, Alarm, Rate, Tally
from agent.backtest.trial import Lane, Trial
from agent.backtest.truth import Truth, median
from rules.alert import Severity
from rules.condition import kind_of

ABSENT = "-"
"""A variant does not have the rule, or tells nobody of it."""

Row: TypeAlias = list[str]


def text(trial: Trial, says: str, told: Counter[str] | None, zone: tzinfo) -> str:
    """Return all of it; the trial has judged something. Times are in `zone`."""
    lines = [*_head(trial, says, zone), "", *columns(_rows(trial, told), right=1)]
    if trial.truth is None and any(lane.alarms for lane in trial.lanes):
        lines += ["", "Which alarms were false nobody knows here: --true FILE names what happened."]
    for name in rule_names(trial):
        lines += _alarms(name, trial.lanes, zone)
    return "\n".join(lines)


def _head(trial: Trial, says: str, zone: tzinfo) -> Iterator[str]:
    assert trial.begin is not None  # it has judged something
    assert trial.end is not None
    begin, end = words.when(trial.begin, zone), words.when(trial.end, zone)
    off = f", less {words.how_long(trial.unheard)} off" if trial.unheard else ""
    yield f"{begin} to {end} ({zone}): {words.days(trial.watched)} watched{off}"
    yield f"{trial.readings} readings of {says}"
    yield ""
    yield from columns([["  " + lane.variant.key, lane.variant.says] for lane in trial.lanes])


def rule_names(trial: Trial) -> list[str]:
    """Return the rules of all variants, in the order in which they are written."""
    return list(dict.fromkeys(r.name for v in trial.variants for r in v.config.rule))


def _rows(trial: Trial, told: Counter[str] | None) -> Iterator[Row]:
    lanes = trial.lanes
    yield ["", *(lane.variant.key for lane in lanes)]
    for name in rule_names(trial):
        yield [f"{name} ({_kind(name, lanes)})"]
        tallies = [lane.tallies.get(name) for lane in lanes]
        if any(tallies):
            yield from _figures(tallies, trial)
            if told is not None:
                yield ["  told by the daemon then", str(told[name])]
    if len(rule_names(trial)) > 1:
        yield ["all rules"]
        counts = [(lane.alarms, lane.true) for lane in lanes]
        yield from _counted(counts, trial.watched, trial.truth)


def _kind(name: str, lanes: Sequence[Lane]) -> str:
    rule = next(r for lane in lanes for r in lane.variant.config.rule if r.name == name)
    part = ": only a part of other rules" if rule.severity is Severity.PART else ""
    return f"{kind_of(rule.condition)}, {rule.severity}{part}"


def _figures(tallies: Sequence[Tally | None], trial: Trial) -> Iterator[Row]:
    counts = [(tally.alarms, tally.true) if tally else None for tally in tallies]
    yield from _counted(counts, trial.watched, trial.truth)
    shares = [tally and words.share(tally.firing, trial.watched) for tally in tallies]
    yield ["  time firing", *(share or ABSENT for share in shares)]
    if any(tally and tally.at_begin for tally in tallies):
        before = [str(tally.at_begin) if tally else ABSENT for tally in tallies]
        yield ["  fired already at the beginning", *before]
    if trial.truth is not None:
        yield ["  true events noticed", *(_noticed(tally, trial) for tally in tallies)]
        yield ["    after (median)", *(_delay(tally) for tally in tallies)]


def _counted(
    counts: Sequence[tuple[int, int] | None], watched: timedelta, truth: Truth | None
) -> Iterator[Row]:
    """Yield how many there were: alarms, and of them the false ones if that is known."""
    yield ["  alarms", *(ABSENT if count is None else str(count[0]) for count in counts)]
    what = "alarms" if truth is None else "false alarms"
    wrong = [None if count is None else count[0] - count[1] for count in counts]
    if truth is None:
        wrong = [None if count is None else count[0] for count in counts]
    else:
        yield [f"  {what}", *(ABSENT if count is None else str(count) for count in wrong)]
    rates = [None if count is None else (Rate.of(count, watched),) for count in wrong]
    yield [f"  {what} per 30 days", *(ABSENT if r is None else words.month(*r) for r in rates)]
    yield ["    95 % interval", *(ABSENT if r is None else words.between(*r) for r in rates)]


def _noticed(tally: Tally | None, trial: Trial) -> str:
    if tally is None or trial.truth is None or trial.begin is None or trial.end is None:
        return ABSENT
    there = trial.truth.of(tally.rule.name, trial.begin, trial.end)
    return f"{len(tally.noticed.keys() & set(there))} of {len(there)}"


def _delay(tally: Tally | None) -> str:
    middle = median([*tally.noticed.values()]) if tally else None
    return ABSENT if middle is None else words.how_long(middle)


def _alarms(name: str, lanes: Sequence[Lane], zone: tzinfo) -> Iterator[str]:
    """Yield the first alarms of a rule; one that several variants raise alike stands there once."""
    found: dict[tuple[datetime, datetime, str], tuple[Alarm, list[str]]] = {}
    total, through = 0, list[datetime]()
    for lane in lanes:
        if (tally := lane.tallies.get(name)) is None:
            continue
        total += tally.alarms
        if tally.alarms > MAX_KEPT:
            through.append(tally.kept[-1].event.at)
        for alarm in tally.kept:
            event = alarm.event
            found.setdefault((event.at, event.since, event.sensor), (alarm, []))[1].append(
                lane.variant.key
            )
    # Behind the last one that a variant has kept nobody can say any more which raise an alarm.
    shown = [found[key] for key in sorted(found) if not through or key[0] <= min(through)]
    if not shown:
        return
    left = total - sum(len(keys) for _, keys in shown)
    more = f"; {left} more are in --csv FILE" if left else ""
    yield from ("", f"{name}: alarms{more}")
    yield from columns([_HEAD, *(_alarm_row(*each, zone) for each in shown)])


_HEAD = ["  in", "fired", "lasted", "sensor", "since", "value", "because of"]


def _alarm_row(alarm: Alarm, keys: Sequence[str], zone: tzinfo) -> Row:
    event = alarm.event
    lasted = "fires still" if alarm.over is None else words.how_long(alarm.over - event.at)
    truth = {None: "", True: " (true)", False: " (false)"}[alarm.is_true]
    return [
        f"  {' '.join(keys)}",
        words.when(event.at, zone) + truth,
        lasted,
        event.sensor or "none",
        words.when(event.since, zone),
        words.value(event),
        words.evidence(event),
    ]
