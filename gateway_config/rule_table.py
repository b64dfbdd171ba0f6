"""Turns one [[rule]] table into a rule of the engine, and refuses what could never judge anything.

A rule that can never fire is the worst mistake in the file, because nothing shows it. So all its
sensors must exist, and each of them must be able to measure what the rule judges.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Any

import rules.conditions
from drivers.reading import Quantity
from gateway_config.duration import duration_text
from gateway_config.mistakes import Mistake, both, did_you_mean, refusal, shown, there_are
from gateway_config.model import RuleSettings, SensorSettings, kind_name
from gateway_config.tables import Table, TableReader
from rules.alert import Severity
from rules.condition import Condition, Joining, Traits, traits_of
from rules.engine import Rule
from rules.hours import Hours
from rules.presence import Presence

JUDGEABLE = frozenset(Quantity) - {Quantity.PACKET_ID}

LASTING = frozenset(quantity for quantity in JUDGEABLE if not quantity.is_event)
"""What a limit can be set for: it holds until the next reading."""


@dataclass(frozen=True)
class Site:
    """What other tables say that a rule may refer to."""

    sensors: Mapping[str, SensorSettings | None]
    """By name; None: it is in the file, but what it can measure is not known."""

    zone: tzinfo
    position: Mapping[str, float]
    """Empty if it is not known."""
    outer_doors: frozenset[str] | None
    """None: there is no section [presence]."""


def read_rule(
    reader: TableReader, at: str, table: Table, site: Site, before: Sequence[str]
) -> Rule | None:
    """Return the rule, or None when it cannot be made; what is wrong with it is noted.

    `before` are the names of the rules that stand before it.
    """
    noted = len(reader.mistakes)
    kind = reader.kind(rules.conditions, at, "condition", table)
    common = RuleSettings.model_fields
    doors = site.outer_doors or frozenset()
    from_site = {"zone": site.zone, "outer_doors": doors, **site.position}
    condition: Any = reader.make(kind, at, table, common, from_site) if kind else None
    written = {key: table[key] for key in common if key in table} | {"condition": condition}
    settings = reader.section(RuleSettings, at, written)
    rule = _Rule(at, kind, settings, "sensors" if "sensors" in table else "sensor", site)
    over = condition.rules if isinstance(condition, Joining) else ()
    others = [*_not_before(f"{at}.rules", over, before)]
    others += _not_before(f"{at}.unless", settings.unless, before)
    for mistake in [*rule.mistakes(), *others]:
        reader.note(mistake)
    # "all" may be none yet, while the sensors have mistakes of their own.
    if len(reader.mistakes) > noted or not (rule.names or isinstance(condition, Joining)):
        return None
    try:
        return rule.finished()
    except ValueError as error:
        reader.note(refusal(at, error))
        return None


def _not_before(at: str, names: Sequence[str], before: Sequence[str]) -> Iterator[Mistake]:
    for name in names:
        if name not in before:
            hint = both(did_you_mean(name, before), there_are(map(shown, before)))
            yield Mistake(at, shown(name), "is no rule that stands before it", hint)


@dataclass(frozen=True)
class _Rule:
    """A rule as far as it could be read."""

    at: str
    kind: type[Condition] | None
    """None: there is no such condition."""
    settings: RuleSettings
    key: str
    """Which key names its sensors."""
    site: Site

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What it judges; empty when that is not known."""
        if self.kind is not None and self.kind.watches is not None:
            return self.kind.watches
        return frozenset(JUDGEABLE & {self.settings.quantity})

    @property
    def names(self) -> tuple[str, ...]:
        """The sensors it watches, whether they exist or not."""
        if self.settings.sensors != "all":
            return self.settings.sensors or tuple(filter(None, [self.settings.sensor]))
        able = self.site.sensors.items()
        return tuple(name for name, sensor in able if sensor and self._can_judge(sensor))

    @property
    def sensors(self) -> list[SensorSettings]:
        """Those it watches of which it is known what they can measure."""
        found = (self.site.sensors.get(name) for name in self.names)
        return [sensor for sensor in found if sensor is not None]

    def finished(self) -> Rule:
        """Return it for the engine. There must be no mistakes."""
        settings = self.settings
        by_default = Severity.FAULT if self._traits.about_equipment else Severity.WARNING
        return Rule(
            settings.name,
            settings.condition,
            self.names,
            Quantity(settings.quantity) if settings.quantity else None,
            settings.hold,
            Hours.parse(settings.hours, self.site.zone) if settings.hours else None,
            Presence(settings.presence) if settings.presence else None,
            settings.severity or by_default,
            settings.unless,
        )

    @property
    def _is_joining(self) -> bool:
        return self.kind is not None and hasattr(self.kind, "join")

    @property
    def _traits(self) -> Traits:
        return Traits() if self.kind is None else traits_of(self.kind)

    @property
    def _judges_silence(self) -> bool:
        """Whether it judges that a sensor says nothing, whatever it would have said."""
        everything = self.kind is not None and self.kind.watches == frozenset(Quantity)
        return everything and self._traits.about_equipment

    def mistakes(self) -> Iterator[Mistake]:
        yield from self._about_names()
        yield from self._about_measuring()
        yield from self._about_times()
        if self.kind is not None:
            if self.kind.together:
                yield from self._about_needs()
            yield from self._about_quantity(self.kind)
            yield from self._about_hold(self.kind)

    def _mistake(self, key: str, value: object, problem: str, hint: str = "") -> Mistake:
        return Mistake(f"{self.at}.{key}", "" if value is None else shown(value), problem, hint)

    def _about_names(self) -> Iterator[Mistake]:
        one, several, known = self.settings.sensor, self.settings.sensors, self.site.sensors
        if one is not None and several:
            yield self._mistake("sensor", one, 'stands beside "sensors"', "keep one of them")
        elif self._is_joining:
            if one is not None or several:
                problem = "is over other rules, and watches no sensor of its own"
                yield self._mistake(self.key, one or "all", problem, "leave it out")
        elif one is None and not several:
            yield self._mistake(self.key, None, "is missing", 'or write sensors = "all"')
        for name in dict.fromkeys(self.names):
            if name not in known:
                hint = both(did_you_mean(name, known), there_are(map(shown, known)))
                yield self._mistake(self.key, name, "no such sensor", hint)
            if self.names.count(name) > 1:
                yield self._mistake(self.key, name, "is named twice")

    def _about_measuring(self) -> Iterator[Mistake]:
        if not self.quantities:
            return
        wanted = " or ".join(sorted(self.quantities))
        everybody = self.settings.sensors == "all" and None not in self.site.sensors.values()
        if everybody and not self.names:
            yield self._mistake(self.key, "all", f"no sensor measures {wanted}")
        for sensor in self.sensors:
            if not sensor.device.measures & self.quantities:
                problem = f"is a {sensor.kind}, which never measures {wanted}"
                measures = ", ".join(sorted(sensor.device.measures & JUDGEABLE))
                yield self._mistake(self.key, sensor.name, problem, f"(it measures: {measures})")
            elif not self._can_judge(sensor):
                yield self._mistake(self.key, sensor.name, self._why_not(sensor))

    def _about_needs(self) -> Iterator[Mistake]:
        """Yield what none of the sensors measures, if it is known of all what they measure."""
        if len(self.sensors) == len(self.names) > 0:
            measured = {each for sensor in self.sensors for each in sensor.device.measures}
            for missing in self._missing(measured):
                problem = f"none of them measures {missing}"
                yield self._mistake(self.key, ", ".join(self.names), problem)

    def _about_quantity(self, kind: type[Condition]) -> Iterator[Mistake]:
        quantity = self.settings.quantity
        if kind.watches is not None:
            if quantity is not None:
                problem = f"{kind_name(kind)} knows by itself what it judges"
                yield self._mistake("quantity", quantity, problem, "leave it out")
        elif quantity not in (choices := self._traits.choices or LASTING):
            measured = {each for sensor in self.sensors for each in sensor.device.measures}
            known = sorted(measured & choices or choices)
            hint = both(did_you_mean(quantity or "", known), there_are(known))
            problem = "is missing" if quantity is None else "no such quantity"
            if quantity in LASTING:
                problem = f"is nothing that {kind_name(kind)} can judge"
            elif quantity in JUDGEABLE:
                problem = "is over at once, so that the alert would never end"
            yield self._mistake("quantity", quantity, problem, hint)

    def _about_hold(self, kind: type[Condition]) -> Iterator[Mistake]:
        hold = self.settings.hold
        if kind.from_silence and not hold:
            hint = 'how long is too long? Such as hold = "12 h"'
            yield self._mistake("hold", None, "is missing", hint)
        often_first = sorted(self.sensors, key=lambda sensor: sensor.interval)
        # Of several together the one that is kept most often says enough.
        for sensor in often_first[:1] if kind.together else self.sensors:
            if self._judges_silence and timedelta(0) < hold <= sensor.interval:
                often = (
                    f'{shown(sensor.name)} is kept only every "{duration_text(sensor.interval)}"'
                )
                problem = f"would always be exceeded: a number of {often}"
                yield self._mistake("hold", duration_text(hold), problem)

    def _about_times(self) -> Iterator[Mistake]:
        hours, presence = self.settings.hours, self.settings.presence
        if hours is not None:
            try:
                length = Hours.parse(hours, self.site.zone).length
            except ValueError as error:
                yield self._mistake("hours", hours, str(error))
            else:
                yield from self._about_length(length)
        if self.site.outer_doors is None:
            problem, hint = "needs a section [presence]", "write one, with doors and interior"
            if presence is not None:
                yield self._mistake("presence", presence, problem, hint)
            elif self.kind is not None and self._traits.needs_presence:
                yield self._mistake("condition", kind_name(self.kind), problem, hint)

    def _about_length(self, hours: timedelta) -> Iterator[Mistake]:
        hold = self.settings.hold
        if hold > hours:
            problem = f'is longer than its hours, "{duration_text(hours)}": it would never fire'
            yield self._mistake("hold", duration_text(hold), problem)

    def _can_judge(self, sensor: SensorSettings) -> bool:
        return bool(sensor.device.measures & self.quantities) and not self._why_not(sensor)

    def _why_not(self, sensor: SensorSettings) -> str:
        """Return why it cannot be judged, though it measures something of it; "" if it can."""
        if self._judges_silence and sensor.device.transport == "gpio":
            return "is wired to a pin, which is silent as long as nothing changes"
        alone = self.kind is not None and not self.kind.together
        missing = next(self._missing(sensor.device.measures), None) if alone else None
        return f"never measures {missing}" if missing else ""

    def _missing(self, measured: AbstractSet[Quantity]) -> Iterator[str]:
        """Yield what is not measured, but needed."""
        for group in self._traits.needs:
            if not group & measured:
                yield " or ".join(sorted(group))
