"""A home has been still for long: no door, no motion, no button in any of the rule's sensors."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Quantity, Reading
from rules.activity import PEOPLE, is_activity
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class Inactive:
    """Breached since the last sign of a person. The hold time says what is too long."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = True

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Let only a sign of a person count: a sensor repeating itself is none."""
        return Verdict.RENEWED if is_activity(reading, previous) else Verdict.UNDECIDED
