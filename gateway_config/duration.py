"""How durations are written in gateway.toml: "90 s", "15 min", "8 h" or "2 d"."""

import re
from datetime import timedelta

from pydantic import BeforeValidator

_WRITTEN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(s|min|h|d)")
_SECONDS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """Return the duration. Raises ValueError, which shows the forms that are allowed."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(
            'is not a duration with its unit, such as "90 s", "15 min", "8 h" or "2 d"'
        )
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def duration_text(duration: timedelta) -> str:
    """Return what `parse_duration` reads, in the largest unit that leaves no fraction."""
    seconds = duration.total_seconds()
    unit = next((u for u, each in _SECONDS.items() if seconds and seconds % each == 0), "s")
    return f"{seconds / _SECONDS[unit]:.12g} {unit}"


def duration_between(least: str, most: str) -> BeforeValidator:
    """Return what makes a setting a duration from `least` to `most`."""
    low, high = parse_duration(least), parse_duration(most)

    def check(value: object) -> timedelta:
        if not isinstance(value, str | timedelta):
            raise ValueError('must be a duration in quotes, such as "90 s" or "15 min"')  # noqa: TRY004
        duration = parse_duration(value) if isinstance(value, str) else value
        if not low <= duration <= high:
            raise ValueError(f'must be from "{least}" to "{most}"')
        return duration

    return BeforeValidator(check)
