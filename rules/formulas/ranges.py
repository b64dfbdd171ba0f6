"""Refuses what cannot be: a formula outside its range gives a number that looks like any other."""

from collections.abc import Sequence

AIR_CELSIUS = (-60.0, 60.0)
"""Air near the ground: the coldest and the hottest on record are -89 and 57 °C, and no farm and no
home is as cold as that."""


def require(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Raise ValueError unless `value` is from `low` to `high`; "not a number" is not."""
    if not low <= value <= high:
        space = f" {unit}" if unit else ""
        raise ValueError(f"{name} is {value}{space}, outside {low:g} to {high:g}{space}")


def require_air(name: str, celsius: float) -> None:
    """Raise ValueError unless air near the ground can be that warm."""
    require(name, celsius, *AIR_CELSIUS, "°C")


def require_each(name: str, values: Sequence[float], low: float, high: float, unit: str) -> None:
    """Raise ValueError at the first value outside, and say where it stands, counted from 0."""
    for place, value in enumerate(values):
        require(f"{name}[{place}]", value, low, high, unit)
