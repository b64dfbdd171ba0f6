"""A value leaves its band: breached below `low` or above `high`, clear well inside again."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Reading
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class Outside:
    """Breached outside `low` to `high`; within `margin` of either limit nothing changes."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    low: float
    """In the unit of the watched quantity."""

    high: float
    """In the unit of the watched quantity."""

    margin: float = 0.0
    """How far inside the band a value must come before it counts as recovered; 0 or more."""

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.margin <= self.high - self.low:
            raise ValueError(
                f"from low {self.low} to high {self.high} with margin {self.margin} "
                "nothing is left in the middle"
            )

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Judge the value alone."""
        if not self.low <= reading.value <= self.high:
            return Verdict.BREACHED
        if self.low + self.margin <= reading.value <= self.high - self.margin:
            return Verdict.CLEAR
        return Verdict.UNDECIDED
