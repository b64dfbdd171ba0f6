"""Checks what gateway.toml says about a GPIO pin, for every kind of device that is wired to one.

The three kinds differ in what a level means, and in nothing about the pin itself.
"""

from typing import Literal, TypeAlias

from drivers.device import PinInput

Pull: TypeAlias = Literal["up", "down", "none"]
Level: TypeAlias = Literal["high", "low"]

LAST_PIN = 27
PULLED_UP_ON_THE_BOARD = (2, 3)
LONGEST_DEBOUNCE_S = 10.0


def pin_input(pin: int, pull: Pull, debounce_s: float) -> PinInput:
    """Return the settings of a pin; raises ValueError for those that cannot be right."""
    if not 0 <= pin <= LAST_PIN:
        raise ValueError(
            f"pin = {pin}: give the number of a GPIO, 0 to {LAST_PIN} (17 is GPIO17, not a place "
            "on the header)"
        )
    if pull not in ("up", "down", "none"):
        raise ValueError(f'pull = {pull!r}: give "up", "down" or "none"')
    if pin in PULLED_UP_ON_THE_BOARD and pull != "up":
        raise ValueError(
            f'pin = {pin}, pull = "{pull}": this pin is pulled up on the board; give pull = "up", '
            "or use another pin"
        )
    if not 0 <= debounce_s <= LONGEST_DEBOUNCE_S:
        raise ValueError(f"debounce_s = {debounce_s}: give seconds, 0 to {LONGEST_DEBOUNCE_S:g}")
    return PinInput(pin, pull, debounce_s)


def electrical(setting: str, level: Level) -> int:
    """Return 1 for "high" and 0 for "low"; raises ValueError that names the setting."""
    if level not in ("high", "low"):
        raise ValueError(f'{setting} = {level!r}: give "high" or "low"')
    return int(level == "high")
