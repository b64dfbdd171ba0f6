"""What is wrong with a gateway.toml, in words for those who write it.

Each mistake names the key as it stands in the file, shows what is written there, says what would be
right and, where something similar exists, what was probably meant.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_SHOWN = 60
"""Characters of a value that are shown."""

MAX_WORDS = 400
"""Characters of what a device or a condition says about its own settings."""

MAX_ENTRIES = 4
"""Entries of a list that are shown."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_SECRET = re.compile("(password|passwd|secret|token|key)$", re.IGNORECASE)

_PROBLEMS = {
    "missing": "is missing",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "path_type": "must be the name of a file in quotes",
    "frozen_set_type": "must be a list in brackets",
    "too_short": "must have {min_length} or more entries",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}
"""By pydantic's name for the error. Its own words are for people who write Python."""

_FOLLOWS_FROM_ANOTHER = "default_factory_not_called"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that has to be changed in the file."""

    path: str
    """The key as in TOML; tables of a list by their name and, counted from 1, their number."""

    value: str
    """What is written there, shortened; "" where that does not help."""

    problem: str

    hint: str = ""
    """What was probably meant, or what to do; "" where the problem says it."""

    def __str__(self) -> str:
        written = f"{self.path} = {self.value}" if self.value else self.path
        between = " " if self.hint.startswith("(") else "; "
        return f"{written}: {self.problem}" + (between + self.hint if self.hint else "")


def refusal(path: str, error: ValueError) -> Mistake:
    """Return the mistake that a device, a condition or a rule found in its own settings."""
    return Mistake(path, "", printable(shortened(str(error), MAX_WORDS)))


def key_path(*keys: str | int) -> str:
    """Return the keys as TOML writes them, with dots; entries of lists are counted from 1."""
    path = ""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key + 1}]"
        else:
            path += ("." if path else "") + (key if _BARE_KEY.fullmatch(key) else _quoted(key))
    return path


def shown(value: object, *, key: str = "") -> str:
    """Return a value as TOML writes it, on one line; nothing of a password that stands in `key`."""
    match value:
        case _ if _SECRET.search(key):
            text = ""
        case str():
            text = _quoted(value)
        case bool():
            text = str(value).lower()
        case int() if value.bit_length() > 200:
            text = "a number of very many digits"
        case dict():
            text = "{…}"
        case list() | tuple():
            entries = ["[…]" if isinstance(v, list) else shown(v) for v in value[:MAX_ENTRIES]]
            text = f"[{', '.join(entries + ['…'] * (len(value) > MAX_ENTRIES))}]"
        case _:
            text = str(value)
    return text


def _quoted(text: str) -> str:
    return printable(json.dumps(shortened(text, MAX_SHOWN), ensure_ascii=False))


def shortened(text: str, length: int) -> str:
    """Return the text, or its beginning and "…" if it is longer than `length` characters."""
    return text if len(text) <= length else f"{text[:length]}…"


def printable(text: str) -> str:
    """Return the text with all that a terminal would obey, rather than show, spelt out."""
    return "".join(c if c.isprintable() or c == "\u3000" else ascii(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the most similar known word, or None if none is similar."""
    by_lower = {each.lower(): each for each in known}
    # 0.5: in names of two kanji, one that is wrong is half of the name.
    match = get_close_matches(word[:MAX_SHOWN].lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[match[0]] if match else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return 'did you mean "…"?', or "" if no known word is similar."""
    meant = nearest(word, known)
    return f"did you mean {_quoted(meant)}?" if meant is not None else ""


def there_are(known: Iterable[str]) -> str:
    """Return the list of what would be right."""
    words = ", ".join(known)
    return f"(there are: {words})" if words else "(there are none)"


def both(*hints: str) -> str:
    """Return the hints in one, leaving out those that are empty."""
    return " ".join(filter(None, hints))


def unknown(
    table: str,
    key: str,
    value: object,
    *,
    problem: str,
    known: Sequence[str],
    also: Iterable[str] = (),
) -> Mistake:
    """Return the mistake of a key that nothing reads.

    Args:
        table: The path of the table it stands in; "" for the top of the file.
        key: As it is written.
        value: What is written there.
        problem: What is wrong with it.
        known: All keys that would be right here, to be listed.
        also: More keys that it may have been meant to be.
    """
    hint = both(
        "passwords are kept in files of their own," if _SECRET.search(key) else "",
        did_you_mean(key, [*known, *also]),
        there_are(known) if known else "(it has no settings of its own)",
    )
    path = f"{table}.{key_path(key)}" if table else key_path(key)
    return Mistake(path, shown(value, key=key), problem, hint)


def from_pydantic(table: str, error: "ValidationError") -> list[Mistake]:
    """Return the mistakes that pydantic found in the table."""
    return [
        _from_details(table, details)
        for details in error.errors(include_url=False)
        if details["type"] != _FOLLOWS_FROM_ANOTHER
    ]


def _from_details(table: str, details: "ErrorDetails") -> Mistake:
    path = ".".join(filter(None, [table, key_path(*details["loc"])]))
    written = "" if details["type"] == "missing" else shown(details["input"])
    return Mistake(path, written, _problem(details), _meant(details))


def _problem(details: "ErrorDetails") -> str:
    context = details.get("ctx", {})
    if details["type"] == "value_error":
        return str(context["error"])
    if details["type"] in _PROBLEMS:
        return _PROBLEMS[details["type"]].format(**context).replace("'", '"')
    return details["msg"]


def _meant(details: "ErrorDetails") -> str:
    allowed = re.findall("'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    return did_you_mean(details["input"], allowed) if isinstance(details["input"], str) else ""
