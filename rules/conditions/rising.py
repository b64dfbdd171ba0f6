"""A value rises fast: water in a ditch, heat in a greenhouse."""

from dataclasses import dataclass
from typing import ClassVar

from rules.change import Changing


@dataclass(frozen=True)
class Rising(Changing):
    """Breached while the value is at least `by` above the lowest of the last `within`."""

    is_fall: ClassVar[bool] = False
