"""A door, a window or a lid stands open: with a hold time, "left open for so long"."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Quantity, Reading
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class Opened:
    """Breached while the contact is open."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.CONTACT_OPEN})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Judge the state alone."""
        return Verdict.BREACHED if reading.value else Verdict.CLEAR
