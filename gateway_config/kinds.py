"""Finds what a `device = "…"` or `condition = "…"` line in gateway.toml means: a file name.

There is no registry to keep in step. The folder is the registry, the file name is the kind, and the
file's one public dataclass is both the settings and the behaviour.
"""

import importlib
import pkgutil
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any, TypeGuard

from gateway_config.mistakes import did_you_mean


class UnknownKind(ValueError):
    """gateway.toml names a kind that has no file."""


def kinds(package: ModuleType) -> list[str]:
    """Return every kind that the folder offers, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def find(package: ModuleType, kind: str) -> type[Any]:
    """Return the dataclass in the folder's file of that name.

    Raises UnknownKind, with what was perhaps meant, when there is no such file.
    """
    offered = kinds(package)
    if kind not in offered:
        meant = f"; {hint}" if (hint := did_you_mean(kind, offered)) else ""
        raise UnknownKind(
            f"no file in {package.__name__} is called {kind!r}{meant} "
            f"(there are: {', '.join(offered)})"
        )
    module = importlib.import_module(f"{package.__name__}.{kind}")
    own = [value for value in vars(module).values() if _is_kind(value, module)]
    if len(own) != 1:
        names = ", ".join(value.__name__ for value in own) or "none"
        raise TypeError(f"{module.__name__} must hold one public dataclass, but holds: {names}")
    return own[0]


def _is_kind(value: object, module: ModuleType) -> TypeGuard[type[Any]]:
    """Tell whether it is a public dataclass of this very file, not one that the file imports."""
    return (
        isinstance(value, type)
        and is_dataclass(value)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    )
