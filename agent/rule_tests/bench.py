"""What a file of rule tests puts to the test: rules of its own, or those of a gateway.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import rules.conditions
from agent import site
from drivers.reading import Quantity
from gateway_config.kinds import kinds
from gateway_config.load import load
from gateway_config.mistakes import Mistake, key_path, refusal, shown
from gateway_config.model import GatewayConfig, GatewaySettings, PresenceSettings
from gateway_config.rule_table import Site, read_rule
from gateway_config.tables import Table, TableReader
from rules.condition import FROM_SITE
from rules.engine import Rule
from rules.presence import PresenceSensors

PLACE = {"name": "rule-tests", "latitude_degrees": 34.18, "longitude_degrees": 131.47}
"""Where a site is of which the file says nothing: in the mountains of Yamaguchi."""

PART_HINT = "a rule that it is over stands in a [[part]], for each of them"


@dataclass(frozen=True)
class Bench:
    """What one story is tried on."""

    rules: tuple[Rule, ...]
    presence: PresenceSensors | None
    zone: tzinfo
    sensors: Mapping[str, frozenset[Quantity]] | None
    """What each can measure; None: nothing says which sensors there are."""


class ConfiguredRules:
    """The rules of a gateway.toml, as they are."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises BadConfig."""
        config = load(path)
        sensors = {sensor.name: sensor.device.measures for sensor in config.sensor}
        presence = site.presence_sensors(config)
        self._bench = Bench(config.rule, presence, config.gateway.timezone, sensors)

    def bench(self, at: str, changes: object, reader: TableReader) -> Bench:  # noqa: ARG002
        """Return the same for each story."""
        return self._bench


class OwnRules:
    """The [rule] of the file, which each story may complete, and the [[part]]s that it is over."""

    def __init__(self, tree: Table, kind: str, reader: TableReader) -> None:
        """Read what all stories share; `kind` is the name of the file. Mistakes are noted."""
        self._kind = {"condition": kind} if kind in kinds(rules.conditions) else {}
        """A file that is named after a condition is about it."""
        gateway = {**PLACE, **_section(tree, "gateway", reader)}
        self._gateway = reader.section(GatewaySettings, "gateway", gateway)
        self._presence = self._presence_of(tree, reader)
        self._parts, self._names = self._parts_of(tree.get("part", []), reader)
        self._rule = _section(tree, "rule", reader)
        self._noted: set[tuple[str, str, str]] = set()
        """What is wrong with a rule that many stories share is told once."""

    def bench(self, at: str, changes: object, reader: TableReader) -> Bench:
        """Return the rules of one story; what is wrong with them is noted."""
        where, table = "rule", {**self._kind, **self._rule}
        if isinstance(changes, dict):
            where, table = f"{at}.rule", {**table, **changes}
        elif changes is not None:
            hint = 'complete the [rule] on top: rule = { hold = "10 min" }'
            reader.note(Mistake(f"{at}.rule", shown(changes), "must be a table", hint))
        trial = TableReader(reader.folder)
        rule = self._read(trial, where, table, self._names)
        for mistake in trial.mistakes:
            key = (mistake.path.removeprefix(where), mistake.value, mistake.problem)
            if key not in self._noted:
                self._noted.add(key)
                reader.note(mistake)
        made = (*self._parts, *filter(None, [rule]))
        return Bench(made, self._presence, self._gateway.timezone, None)

    def _presence_of(self, tree: Table, reader: TableReader) -> PresenceSensors | None:
        if "presence" not in tree:
            return None
        section = reader.section(PresenceSettings, "presence", _section(tree, "presence", reader))
        config = GatewayConfig.model_construct(gateway=self._gateway, presence=section)
        try:
            return site.presence_sensors(config)
        except ValueError as error:
            reader.note(refusal("presence", error))
            return None

    def _parts_of(self, listed: object, reader: TableReader) -> tuple[list[Rule], list[str]]:
        """Return the rules that stand before the [rule], and their names."""
        made, names = list[Rule](), list[str]()
        if not isinstance(listed, list):
            reader.note(Mistake("part", shown(listed), "must be a list of tables", PART_HINT))
            return made, names
        for index, table in enumerate(listed):
            where = key_path("part", index)
            if not isinstance(table, dict):
                reader.note(Mistake(where, shown(table), "must be a table", PART_HINT))
                continue
            rule = self._read(reader, where, table, names)
            made += filter(None, [rule])
            names.append(str(table.get("name")))
        return made, names

    def _read(
        self, reader: TableReader, where: str, table: Table, before: Sequence[str]
    ) -> Rule | None:
        """Return the rule at a site that has every sensor it names; mistakes are noted."""
        if table.get("sensors") == "all":
            hint = "name them, since no [[sensor]] stands here"
            reader.note(Mistake(f"{where}.sensors", shown("all"), "says nothing", hint))
            return None
        several = table.get("sensors")
        named = [table.get("sensor"), *(several if isinstance(several, list) else [])]
        sensors = dict.fromkeys(name for name in named if isinstance(name, str))
        position = {name: getattr(self._gateway, name) for name in PLACE if name in FROM_SITE}
        doors = None if self._presence is None else self._presence.doors
        there = Site(sensors, self._gateway.timezone, position, doors)
        return read_rule(reader, where, table, there, before)


def _section(tree: Table, name: str, reader: TableReader) -> Table:
    """Return the table; an empty one, and it is noted, if it is none."""
    table = tree.get(name, {})
    if isinstance(table, dict):
        return table
    hint = f"write [{name}] on a line of its own, once" + f"; {PART_HINT}" * (name == "rule")
    reader.note(Mistake(name, shown(table), "must be a section", hint))
    return {}
