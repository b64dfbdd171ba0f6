"""What is compared: the configuration as it is, and what else it might say.

    --change 'RULE.key=value'   the same with another setting; empty: without this setting
    --change-config OTHER.toml  the rules and the presence of another file

A changed configuration is read like any other, with every check. It is judged on the same readings:
the sensors are those of --config.
"""

import copy
import tomllib
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

from agent.journal_tool.selection import Refused
from gateway_config.load import BadConfig, load
from gateway_config.mistakes import Mistake, both, did_you_mean, printable, shown, there_are
from gateway_config.model import GatewayConfig
from gateway_config.tables import Table

NOW: Final = "now"

MAX_CHANGES: Final = len(ascii_uppercase)


class Variant(NamedTuple):
    """One way the rules might be."""

    key: str
    """Short, for the head of a column."""
    says: str
    """What is different in it."""
    config: GatewayConfig


def variants(
    path: Path, config: GatewayConfig, changes: Sequence[Sequence[str]], others: Sequence[Path]
) -> list[Variant]:
    """Return the present configuration, read from `path`, and those to hold against it.

    Raises Refused.
    """
    if len(changes) + len(others) > MAX_CHANGES:
        raise Refused(f"more than {MAX_CHANGES} changes at once: give fewer")
    found = [Variant(NOW, printable(str(path)), config)]
    for change in changes:
        key, says = ascii_uppercase[len(found) - 1], printable(" ".join(change))
        found.append(Variant(key, says, _changed(path, change)))
    for other in others:
        key, says = ascii_uppercase[len(found) - 1], printable(str(other))
        found.append(Variant(key, says, _other(other)))
    return found


def _changed(path: Path, change: Sequence[str]) -> GatewayConfig:
    def changed(tree: Table) -> Table:
        tree = copy.deepcopy(tree)
        for text in change:
            _apply(text, tree)
        return tree

    try:
        return load(path, changed)
    except BadConfig as problem:
        told = "\n".join(map(str, problem.mistakes))
        raise Refused(f"--change {' '.join(change)!r} cannot be used:\n{told}") from problem


def _other(path: Path) -> GatewayConfig:
    try:
        return load(path)
    except BadConfig as problem:
        raise Refused(f"--change-config: {problem}") from problem


def _apply(text: str, tree: Table) -> None:
    """Change one setting in what is written. Raises Refused."""
    written: Any = tree.get("rule", [])
    rules: dict[str, dict[str, Any]] = {rule["name"]: rule for rule in written}
    # A name may hold dots and equal signs; of two that fit, the longer one is meant.
    fitting = [name for name in rules if text.startswith(f"{name}.")]
    name = max(fitting, key=len, default=None)
    if name is None:
        meant = text.partition("=")[0].rpartition(".")[0]
        hint = both(did_you_mean(meant, rules), there_are(map(shown, rules)))
        problem = f"no rule is called {shown(meant)}"
        raise Refused(str(Mistake(f"--change {text!r}", "", problem, hint)))
    key, equals, value = text[len(name) + 1 :].partition("=")
    key = key.strip()
    if not equals or not key:
        raise Refused(f"--change {text!r}: write it as 'RULE.key=value', such as '{name}.hold=1 h'")
    if value.strip():
        rules[name][key] = _value(value)
    elif rules[name].pop(key, None) is None:
        hint = there_are(rules[name])
        raise Refused(f"--change {text!r}: the rule has no {key} to be taken away {hint}")


def _value(text: str) -> Any:
    """Return it as TOML has it; what is no TOML is text, so that nobody has to quote twice."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    return found["value"] if len(found) == 1 else text.strip()
