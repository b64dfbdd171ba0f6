"""A value is too low: breached below the limit, clear again only above limit plus margin."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Reading
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class Below:
    """Breached below `limit`; between `limit` and `limit + margin` nothing changes."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    limit: float
    """In the unit of the watched quantity."""

    margin: float = 0.0
    """How far above the limit a value must rise before it counts as recovered; 0 or more."""

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"margin {self.margin} is below 0")

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Judge the value alone."""
        if reading.value < self.limit:
            return Verdict.BREACHED
        if reading.value >= self.limit + self.margin:
            return Verdict.CLEAR
        return Verdict.UNDECIDED
