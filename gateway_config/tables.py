"""Turns one table of the file into one object: a section into its model, a kind into its dataclass.

What is wrong is noted and what is right goes on, so that one bad option hides no other mistake.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeAlias, TypeVar, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway_config.duration import duration_between
from gateway_config.kinds import UnknownKind, find, kinds
from gateway_config.mistakes import (
    Mistake,
    both,
    did_you_mean,
    from_pydantic,
    key_path,
    nearest,
    refusal,
    shown,
    there_are,
    unknown,
)
from gateway_config.model import Settings, kind_name
from rules.condition import FROM_SITE

S = TypeVar("S", bound=Settings)

Table: TypeAlias = Mapping[str, object]

STAND_INS: Table = {
    "name": "unnamed",
    "host": "unnamed",
    "file": "unnamed",
    "doors": ["unnamed"],
    "interior": ["unnamed"],
}
"""What an option without a default is taken to be while it is wrong, until all is reported."""


Duration = Annotated[timedelta, duration_between("0 s", "400 d")]
"""How a device or a condition has a duration among its settings: it says the limits itself."""


class TableReader:
    """Reads tables, and collects what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """What relative paths count from."""
        self.mistakes: list[Mistake] = []
        self._wrong: set[str] = set()

    def note(self, mistake: Mistake) -> None:
        """Note a mistake, unless it only follows from an option that could not be read."""
        if mistake.path not in self._wrong:
            self.mistakes.append(mistake)

    def refuse(
        self,
        at: str,
        key: str,
        table: Table,
        *,
        owner: str,
        known: Sequence[str],
        also: Collection[str] = (),
    ) -> None:
        """Note that `owner` has no setting `key`; that the one it stands for is missing follows."""
        problem = f"no such setting of {owner}"
        self.note(unknown(at, key, table[key], problem=problem, known=known, also=also))
        meant = nearest(key, [*known, *also])
        if meant is not None and meant not in table:
            self._wrong.add(f"{at}.{meant}")

    def section(self, model: type[S], at: str, table: Table) -> S:
        """Return the section, with wrong options at their defaults so that the rest is judged."""
        rest = {key: value for key, value in table.items() if key in model.model_fields}
        for key in table:
            if key not in rest:
                self.refuse(at, key, table, owner=f"[{at}]", known=[*model.model_fields])
        try:
            return model.model_validate(rest, context=self.folder)
        except ValidationError as error:
            wrong = self._note_all(at, error)
        rest = {key: value for key, value in rest.items() if key not in wrong}
        rest |= {key: STAND_INS[key] for key in wrong if model.model_fields[key].is_required()}
        return model.model_validate(rest, context=self.folder)

    def _note_all(self, at: str, error: ValidationError) -> set[str]:
        """Note what pydantic found, and return the keys that it is about."""
        for mistake in from_pydantic(at, error):
            self.note(mistake)
        wrong = {str(details["loc"][0]) for details in error.errors()}
        self._wrong |= {f"{at}.{key_path(key)}" for key in wrong}
        return wrong

    def kind(self, package: ModuleType, at: str, key: str, table: Table) -> type[Any] | None:
        """Return the class that the table's `key` names by its file in `package`."""
        written, known = table.get(key), kinds(package)
        if not isinstance(written, str):
            problem, meant = "must be text in quotes" if key in table else "is missing", ""
        else:
            try:
                return find(package, written)
            except UnknownKind:
                problem, meant = f"no such {key}", did_you_mean(written, known)
        value = shown(written) if key in table else ""
        self.note(Mistake(f"{at}.{key}", value, problem, both(meant, there_are(known))))
        return None

    def make(
        self,
        cls: type[Any],
        at: str,
        table: Table,
        common: Collection[str],
        from_site: Table | None = None,
    ) -> object | None:
        """Return the device or condition; of the table's keys, the `common` ones are not for it.

        `from_site` is what is known of FROM_SITE, which a condition may want to know.
        """
        before = len(self.mistakes)
        values = self._settings(cls, at, table, common)
        for field in fields(cls):
            if field.name not in FROM_SITE:
                continue
            if from_site is None or field.name not in from_site:
                hint = f"write {field.name} into [gateway]"
                self.note(Mistake(at, "", f"{kind_name(cls)} needs to know {field.name}", hint))
            else:
                values[field.name] = from_site[field.name]
        if len(self.mistakes) > before:
            return None
        try:
            made: object = cls(**values)
        except ValueError as error:
            self.note(refusal(at, error))
            return None
        return made

    def _settings(
        self, cls: type[Any], at: str, table: Table, common: Collection[str]
    ) -> dict[str, object]:
        kind, types = kind_name(cls), get_type_hints(cls, include_extras=True)
        own = {f.name: f for f in fields(cls) if f.init and f.name not in FROM_SITE}
        values = {}
        for key, value in table.items():
            if key in own:
                values[key] = self._value(types[key], f"{at}.{key}", value)
            elif key not in common:
                self.refuse(at, key, table, owner=kind, known=[*own], also=common)
        for key, field in own.items():
            if key not in table and field.default is field.default_factory is MISSING:
                self.note(Mistake(f"{at}.{key}", "", f"is missing: {kind} needs it"))
        return values

    def _value(self, of_type: Any, path: str, value: object) -> object:
        # TOML knows no other list.
        if isinstance(value, list) and get_origin(of_type) is tuple:
            value = tuple(value)
        try:
            return _adapter(Duration if of_type is timedelta else of_type).validate_python(value)
        except ValidationError as error:
            for mistake in from_pydantic(path, error):
                self.note(mistake)
            return None


@cache
def _adapter(of_type: Any) -> TypeAdapter[object]:
    return TypeAdapter(of_type, config=ConfigDict(strict=True, allow_inf_nan=False))
