"""Puts an alert into words: picks the sentences of its kind whose figures are all known.

The sentences are in texts.toml, whose top says how it is written.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Final

import rules.conditions
from agent.explain.alerts import Alert
from agent.web.words import TABLE, Words
from drivers.reading import Quantity
from gateway_config.kinds import find, kinds
from rules.alert import Severity
from rules.condition import Condition
from rules.engine import Rule

ROOT: Final = Path(__file__).parent

UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "_celsius": ("℃", " °C"),
    "_percent": ("%", " %"),
    "_millimetre": ("mm", " mm"),
    "_litre_per_minute": ("L/分", " L/min"),
    "_g_per_m3": ("g/m³", " g/m³"),
    "_kpa": ("kPa", " kPa"),
    "_metre_per_s": ("m/s", " m/s"),
    "_watt_per_square_metre": ("W/m²", " W/m²"),
    "_degree_days": ("℃・日", " °C·d"),
    "_days": ("日", " days"),
    "_nights": ("晩", " nights"),
    "_hours": ("時間", " h"),
    "_minutes": ("分", " min"),
    "_times": ("回", ""),
    "_traps": ("か所", ""),
}
"""By what the name of a figure ends with; the longest counts."""

OF_THE_QUANTITY: Final = frozenset({"limit", "low", "high", "by", "margin"})
"""Settings in the unit of what is measured."""


@dataclass(frozen=True)
class Sentence:
    """One sentence of one kind, in both languages."""

    ja: str
    en: str
    when: Mapping[str, float]
    """Said only if these figures are so."""
    unless: Mapping[str, float]
    """Said only if these are not."""
    without: str
    """Said only if this is not known."""

    def said(self, language: str) -> str:
        return self.ja if language == "ja" else self.en

    def fields(self) -> set[str]:
        """Return what has to be known to say it."""
        texts = (self.ja, self.en)
        names = (name for text in texts for _, name, _, _ in Formatter().parse(text) if name)
        return {name.partition(".")[0] for name in names}


@cache
def texts() -> Mapping[str, Sequence[Sentence]]:
    """Return the sentences of each kind of condition, and of the names that begin with "_"."""
    tree = tomllib.loads((ROOT / "texts.toml").read_text("utf-8"))
    return {kind: [_sentence(entry) for entry in entries] for kind, entries in tree.items()}


def _sentence(entry: Mapping[str, Any]) -> Sentence:
    when, unless = entry.get("when", {}), entry.get("unless", {})
    return Sentence(entry["ja"], entry["en"], when, unless, entry.get("without", ""))


class Length:
    """A length of time up to the alert: how long, and since when."""

    def __init__(self, length: timedelta, until: datetime, words: Words) -> None:
        self._text = length_text(length, words)
        self.since = moment_text(until - length, words)

    def __str__(self) -> str:
        return self._text


class Moment:
    """A moment before the alert, and how long that was."""

    def __init__(self, at: datetime, until: datetime, words: Words) -> None:
        self._text = moment_text(at, words)
        self.length = length_text(until - at, words)

    def __str__(self) -> str:
        return self._text


def moment_text(at: datetime, words: Words) -> str:
    """Return it as people say it: きょう7:10, きのう 7:10, 11月20日 7:10."""
    text = words.time(at)
    is_today = text[0].isdigit() and "月" not in text
    return f"きょう{text}" if words.language == "ja" and is_today else text


def length_text(length: timedelta, words: Words) -> str:
    """Return it in its two largest units: 4時間30分, 4 h 30 min."""
    seconds = max(0, round(length.total_seconds()))
    ja = words.language == "ja"
    for size, name, smaller, rest_name in (
        (86_400, ("日", " d"), 3600, ("時間", " h")),
        (3600, ("時間", " h"), 60, ("分", " min")),
        (60, ("分", " min"), 1, ("秒", " s")),
    ):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            text = f"{count}{name[not ja]}"
            if rest // smaller:
                text += f"{'' if ja else ' '}{rest // smaller}{rest_name[not ja]}"
            return text
    return f"{seconds}秒" if ja else f"{seconds} s"


def number_text(value: float) -> str:
    """Return it with two decimals at most."""
    return f"{round(value, 2) + 0.0:.12g}".replace("-", "−")


def heading(alert: Alert, words: Words) -> str:
    """Return the alert in one line."""
    event = alert.event
    where = f"（{event.sensor}）" if event.sensor and words.language == "ja" else ""
    if event.sensor and words.language == "en":
        where = f" ({event.sensor})"
    severity = words(f"severity.{event.severity.value}")
    at = moment_text(event.at, words)
    return f"{alert.number}  {at}  {severity}  {event.rule}{where}"


class Speaker:
    """Says it in one language."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def lines(self, alert: Alert, rule: Rule | None) -> Iterator[str]:
        """Yield the heading and the sentences; `rule` is None if the site has it no more."""
        yield heading(alert, self._words)
        figures, known = dict(alert.event.evidence), self._known(alert, rule)
        if not alert.has_beginning:
            yield from self._said("_no_beginning", figures, known)
        else:
            said = self._sentences(alert.event.condition, figures, known)
            if not said:
                said = self._sentences("_general", figures, known)
            yield from (sentence.said(self._words.language).format_map(known) for sentence in said)
            if not any("hold_s" in sentence.fields() for sentence in said):
                yield from self._said("_hold", figures, known)
        if alert.event.severity is Severity.FAULT:
            yield from self._said("_fault", figures, known)
        yield from self._said("_end", figures, known)
        if not alert.is_settled:
            yield from self._said("_unsettled", figures, known)
        if rule is None:
            yield from self._said("_no_rule", figures, known)

    def _sentences(
        self, kind: str, figures: Mapping[str, float], known: Mapping[str, object]
    ) -> list[Sentence]:
        """Return those that can be said."""
        return [
            sentence
            for sentence in texts().get(kind, ())
            if sentence.fields() <= known.keys()
            and sentence.without not in known
            and all(figures.get(name) == value for name, value in sentence.when.items())
            and not any(figures.get(name) == value for name, value in sentence.unless.items())
        ]

    def _said(
        self, kind: str, figures: Mapping[str, float], known: Mapping[str, object]
    ) -> Iterator[str]:
        for sentence in self._sentences(kind, figures, known):
            yield sentence.said(self._words.language).format_map(known)

    def _known(self, alert: Alert, rule: Rule | None) -> dict[str, object]:
        """Return all that a sentence may name."""
        event, words = alert.event, self._words
        known: dict[str, object] = {
            "rule": event.rule,
            "at": moment_text(event.at, words),
            "since": Moment(event.since, event.at, words),
        }
        if event.sensor:
            known["sensor"] = event.sensor
        sensors = () if rule is None else rule.sensors
        if sensors or event.sensor:
            known["sensors"] = _joined(sensors or (event.sensor,), words)
        if rule is not None:
            known |= _named_by(rule.condition, words)
        if alert.end is None:
            known["going_on"] = ""
        else:
            known["ended_at"] = moment_text(alert.end, words)
            if alert.has_beginning:
                known["end"] = Moment(event.at, alert.end, words)
        if event.quantity is not None:
            known |= self._measured(event.quantity, event.value)
        for name, figure in event.evidence:
            unit = event.quantity if _names_its_quantity(event.condition) else None
            known[name] = self._figure(name, figure, event.at, unit)
        return known

    def _measured(self, quantity: Quantity, value: float | None) -> dict[str, object]:
        words, found = self._words, dict[str, object]()
        if f"quantity.{quantity}" in TABLE:
            found["quantity"] = words(f"quantity.{quantity}")
        if value is None:
            return found
        state = f"{quantity}.{value:g}"
        if state in TABLE:
            found["state"] = words(state)
        elif not quantity.is_state and not quantity.is_event:
            found["value"] = self._with_unit(value, quantity)
        return found

    def _with_unit(self, value: float, quantity: Quantity) -> str:
        unit = self._words(f"unit.{quantity}") if f"unit.{quantity}" in TABLE else ""
        space = " " if unit and self._words.language == "en" else ""
        return f"{number_text(value)}{space}{unit}"

    def _figure(self, name: str, figure: float, at: datetime, quantity: Quantity | None) -> object:
        if name.endswith("_s") and not name.endswith("_per_s"):
            return Length(timedelta(seconds=figure), at, self._words)
        if name in OF_THE_QUANTITY and quantity is not None:
            return self._with_unit(figure, quantity)
        if name.endswith("probability"):
            return f"{round(figure * 100)}%"
        endings = [ending for ending in UNITS if name.endswith(ending)]
        units = UNITS[max(endings, key=len)] if endings else ("", "")
        unit = units[self._words.language == "en"]
        return number_text(figure) + (" day" if unit == " days" and figure == 1 else unit)


@cache
def _names_its_quantity(kind: str) -> bool:
    """Whether a rule of this kind names what it judges, so that its limits are in that unit."""
    return kind in kinds(rules.conditions) and find(rules.conditions, kind).watches is None


def _named_by(condition: Condition, words: Words) -> dict[str, str]:
    """Return the sensors or rules that its settings name, by the setting."""
    found = ((f.name, getattr(condition, f.name)) for f in fields(condition))  # type: ignore[arg-type]
    return {
        name: _joined(value, words)
        for name, value in found
        if isinstance(value, tuple) and value and all(isinstance(each, str) for each in value)
    }


def _joined(names: Sequence[str], words: Words) -> str:
    return ("・" if words.language == "ja" else ", ").join(names)
