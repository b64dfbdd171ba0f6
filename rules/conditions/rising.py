"""A value rises fast: water in a ditch, heat in a greenhouse."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from rules.change import Change, check_settings


@dataclass(frozen=True)
class Rising:
    """Breached while the value is at least `by` above the lowest of the last `within`."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    by: float
    """How far, in the unit of the watched quantity; above 0."""

    within: timedelta
    """In how short a time, 1 minute to 7 days; judged to a 60th of it."""

    margin: float = 0.0
    """How much less it must have risen before it counts as calm; 0 or more, less than `by`."""

    def __post_init__(self) -> None:
        check_settings(self.by, self.within, self.margin)

    def remember(self, dumped: Any = None) -> Change:
        """Return what one sensor's past is kept in; `dumped` is that of before."""
        return Change(self.by, self.within, self.margin, is_fall=False, dumped=dumped)
