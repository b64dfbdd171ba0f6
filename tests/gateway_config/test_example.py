"""example.toml is the documentation of gateway.toml: complete, right, and in step with the code."""

import ast
import inspect
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic_core import PydanticUndefined

import drivers.devices
import gateway_config
import rules.conditions
from gateway_config.duration import duration_text
from gateway_config.kinds import find, kinds
from gateway_config.load import SECTIONS, load
from gateway_config.model import GatewayConfig, RuleSettings, SensorSettings, kind_name
from rules.condition import FROM_SITE

EXAMPLE = Path(gateway_config.__file__).with_name("example.toml")
AT_DEFAULT = re.compile(r"# (\[+\w+\]+|\w+ = .+)")
"""A line that is commented out because it says nothing new."""

PER_KIND = {
    kind: find(package, kind)
    for package in (drivers.devices, rules.conditions)
    for kind in kinds(package)
}
ALL = {**SECTIONS, "sensor": SensorSettings, "rule": RuleSettings}


@dataclass(frozen=True)
class Line:
    """One option in the example."""

    text: str
    owner: str
    """A section, "sensor" or "rule" for what all of them have, or a kind of device or condition."""
    key: str
    value: object
    at_default: bool
    above: tuple[str, ...]
    """The comment on top of it."""


def uncommented(line):
    return line.removeprefix("# ") if AT_DEFAULT.fullmatch(line) else line


def complete():
    """Return the example with all that is commented out."""
    return "\n".join(map(uncommented, EXAMPLE.read_text("utf-8").splitlines()))


@cache
def lines():
    """Return every option of the example, in order."""
    found, above, section, kind = [], [], "", ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        text = uncommented(line)
        if text.startswith("#"):
            above.append(text)
            continue
        if text.startswith("["):
            section, kind = text.strip("[]"), ""
        elif text:
            ((key, value),) = tomllib.loads(text).items()
            kind = value if key in ("device", "condition") else kind
            owner = section if key in ALL[section].model_fields else kind
            found.append(Line(text, owner, key, value, text != line, tuple(above)))
        above = []
    return found


@cache
def defaults():
    """Return the default of every option there is, by its owner and key; None: it has none."""
    found = {
        (owner, key): field.get_default(call_default_factory=True, validated_data={"tls": True})
        for owner, section in ALL.items()
        for key, field in section.model_fields.items()
    }
    for kind, cls in PER_KIND.items():
        own = [field for field in fields(cls) if field.init and field.name not in FROM_SITE]
        found |= {(kind, field.name): field.default for field in own}
    none = (MISSING, PydanticUndefined)
    return {option: None if default in none else default for option, default in found.items()}


def written(default):
    """Return a default as the file writes it."""
    match default:
        case timedelta():
            return duration_text(default)
        case Path() | ZoneInfo():
            return str(default)
        case tuple():
            return list(default)
    return default


def test_the_example_has_no_mistakes_and_shows_every_kind():
    config = load(EXAMPLE)
    conditions = {kind_name(type(rule.condition)) for rule in config.rule}
    assert {sensor.kind for sensor in config.sensor} | conditions == PER_KIND.keys()


def test_it_has_none_either_with_all_that_is_commented_out(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(complete(), "utf-8")
    assert load(file).recorded.file == tmp_path / "home.jsonl.gz"


def test_every_option_is_in_it():
    assert {(line.owner, line.key) for line in lines()} == defaults().keys()


def test_every_option_is_explained_by_one_sentence_where_it_stands_first():
    first = {}
    for line in lines():
        first.setdefault((line.owner, line.key), line)
    for line in first.values():
        assert len(line.above) == 1, line
        assert re.fullmatch(r'# [A-Z"].*\.', line.above[0]), line


def test_what_is_commented_out_stands_at_its_default():
    compared = 0
    for line in lines():
        default = defaults()[line.owner, line.key]
        if line.at_default and default is not None:
            assert line.value == written(default), line
            compared += 1
    assert compared > 30


def test_no_line_is_too_long_for_a_terminal():
    assert max(map(len, EXAMPLE.read_text("utf-8").splitlines())) <= 100


@pytest.mark.parametrize("settings", [*ALL.values(), GatewayConfig])
def test_every_option_is_described_in_the_code_too(settings):
    (definition,) = ast.parse(inspect.getsource(settings)).body
    described = {
        field.target.id
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    assert described == settings.model_fields.keys()


@pytest.mark.parametrize("kind", PER_KIND)
def test_no_kind_has_a_setting_that_all_sensors_or_all_rules_have(kind):
    common = SensorSettings if kind in kinds(drivers.devices) else RuleSettings
    assert not {field.name for field in fields(PER_KIND[kind])} & common.model_fields.keys()
