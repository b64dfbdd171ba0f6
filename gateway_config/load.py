"""Reads gateway.toml, and reports every mistake in it at once.

Somebody who drives to a mountain village to change a setting wants to hear of the second mistake
before driving home. So each table is read by itself, one that is wrong hides nothing about the
others, and what only follows from another mistake is not reported.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import drivers.devices
from gateway_config.consistency import contradictions
from gateway_config.mistakes import Mistake, key_path, shown, unknown
from gateway_config.model import (
    BleSettings,
    ClockSettings,
    GatewayConfig,
    GatewaySettings,
    JournalSettings,
    PageSettings,
    PresenceSettings,
    RecordedSettings,
    SensorSettings,
    Settings,
    SignalSettings,
    UplinkSettings,
)
from gateway_config.rule_table import Site, read_rule
from gateway_config.tables import Table, TableReader

MAX_BYTES = 1 << 18
"""A file with hundreds of sensors is a tenth of this."""

SECTIONS: Mapping[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "journal": JournalSettings,
    "clock": ClockSettings,
    "uplink": UplinkSettings,
    "page": PageSettings,
    "ble": BleSettings,
    "recorded": RecordedSettings,
    "signals": SignalSettings,
    "presence": PresenceSettings,
}
"""Written [section], once; [[sensor]] and [[rule]] are written as often as there are some."""

_WHERE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class BadConfig(ValueError):
    """The file cannot be used; `mistakes` holds everything that is wrong with it."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n\n".join([f"{path}: {count}", *map(str, self.mistakes)]))


def load(path: Path, changed: Callable[[Table], Table] = lambda tree: tree) -> GatewayConfig:
    """Return what the file says. Files that it names are not opened.

    `changed` gets what is written and returns what shall be read in its place: what would another
    threshold have done?

    Raises:
        BadConfig: with all that is wrong: the file cannot be read, is no TOML, or says what makes
            no sense.
    """
    tree = changed(_toml(path, _text(path, _bytes(path))))
    reader = TableReader(path.absolute().parent)
    draft = _draft(reader, tree)
    if reader.mistakes:
        raise BadConfig(path, reader.mistakes)
    return draft


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
        raise BadConfig(path, [Mistake(str(path), "", problem)]) from error
    if len(data) > MAX_BYTES:
        problem = f"has more than {MAX_BYTES} bytes: is it the right file?"
        raise BadConfig(path, [Mistake(str(path), "", problem)])
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        # Windows' editor begins UTF-8 with a mark, which TOML does not know.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "save the file as UTF-8 in the editor"
        raise BadConfig(path, [Mistake(f"line {line}", "", "is not UTF-8", hint)]) from error


def _toml(path: Path, text: str) -> Table:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        problem = "has brackets within brackets, hundreds deep"
        raise BadConfig(path, [Mistake(str(path), "", problem)]) from error
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        raise BadConfig(path, [_syntax(text, str(error))]) from error


def _syntax(text: str, message: str) -> Mistake:
    match = _WHERE.fullmatch(message)
    if match is None:
        return Mistake("some line", "", f"is no TOML: {message}")
    lines = text.split("\n")
    line = int(match[2]) if match[2] else len(lines)
    where = f"line {line}, column {match[3]}" if match[2] else "the end of the file"
    written = lines[line - 1].strip()
    value = shown(written, key=written.partition("=")[0].strip()) if written else ""
    return Mistake(where, value, f"is no TOML: {match[1]}")


def _draft(reader: TableReader, tree: Table) -> GatewayConfig:
    """Return what could be read; it is whole if no mistake was noted."""
    listed = ("sensor", "rule")
    known = [*SECTIONS, *listed]
    for key in tree:
        if key not in known:
            reader.note(unknown("", key, tree[key], problem="no such section", known=known))
    sections: dict[str, Any] = dict(_sections(reader, tree))
    tables = list(_tables(reader, tree, "sensor"))
    sensors = {at: _sensor(reader, at, table) for at, table in tables}
    names = {
        name: sensors[at] for at, table in tables if isinstance(name := table.get("name"), str)
    }
    site = Site(names, _zone(sections), _position(sections), _doors(sections, tree))
    rules, before = [], list[str]()
    for at, table in _tables(reader, tree, "rule"):
        rules.append(read_rule(reader, at, table, site, before))
        if isinstance(name := table.get("name"), str):
            before.append(name)
    whole = {at: sensor for at, sensor in sensors.items() if sensor is not None}
    draft = GatewayConfig.model_construct(
        **sections,
        sensor=tuple(whole.values()),
        rule=tuple(rule for rule in rules if rule is not None),
    )
    for mistake in contradictions(draft, whole, names.keys()):
        reader.note(mistake)
    return draft


def _sections(reader: TableReader, tree: Table) -> Iterator[tuple[str, Settings]]:
    for name, model in SECTIONS.items():
        table = tree.get(name)
        if isinstance(table, dict):
            yield name, reader.section(model, name, table)
        elif name in tree:
            hint = f"write [{name}] on a line of its own, once, and its settings below"
            reader.note(Mistake(name, shown(table), "must be a section", hint))
        elif name == "gateway":
            reader.note(Mistake(name, "", "is missing", 'begin with [gateway] and name = "…"'))


def _zone(sections: Mapping[str, Settings]) -> tzinfo:
    gateway = sections.get("gateway")
    # Without one the rules are still judged, but never used.
    return gateway.timezone if isinstance(gateway, GatewaySettings) else UTC


def _position(sections: Mapping[str, Settings]) -> Mapping[str, float]:
    gateway = sections.get("gateway")
    names = ("latitude_degrees", "longitude_degrees")
    known = {name: getattr(gateway, name, None) for name in names}
    return {name: degrees for name, degrees in known.items() if degrees is not None}


def _doors(sections: Mapping[str, Settings], tree: Table) -> frozenset[str] | None:
    if "presence" not in tree:
        return None
    presence = sections.get("presence")
    return frozenset(presence.doors if isinstance(presence, PresenceSettings) else ())


def _tables(reader: TableReader, tree: Table, name: str) -> Iterator[tuple[str, Table]]:
    """Yield each [[name]] table with its path, and note what is none."""
    listed = tree.get(name, [])
    hint = f"write [[{name}]] on a line of its own for each, and its settings below"
    if not isinstance(listed, list):
        reader.note(Mistake(name, shown(listed), "must be a list of tables", hint))
        listed = [listed] if isinstance(listed, dict) else []
    seen: dict[str, str] = {}
    for index, table in enumerate(listed):
        place = key_path(name, index)
        if not isinstance(table, dict):
            reader.note(Mistake(place, shown(table), "must be a table", hint))
            continue
        called = table.get("name")
        at = f"{name} {shown(called)} ({place})" if isinstance(called, str) else place
        if isinstance(called, str) and seen.setdefault(called, place) != place:
            problem = f"is the name of {seen[called]} as well"
            reader.note(Mistake(f"{at}.name", shown(called), problem))
        yield at, table


def _sensor(reader: TableReader, at: str, table: Table) -> SensorSettings | None:
    """Return the sensor, or None if it is not known what it can measure."""
    common = SensorSettings.model_fields
    kind = reader.kind(drivers.devices, at, "device", table)
    device = reader.make(kind, at, table, common) if kind else None
    written = {key: table[key] for key in common if key in table} | {"device": device}
    sensor = reader.section(SensorSettings, at, written)
    return sensor if device is not None else None
