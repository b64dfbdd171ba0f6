"""A value falls fast: the temperature on a clear night, the level of a pond."""

from dataclasses import dataclass
from typing import ClassVar

from rules.change import Changing


@dataclass(frozen=True)
class Falling(Changing):
    """Breached while the value is at least `by` below the highest of the last `within`."""

    is_fall: ClassVar[bool] = True
