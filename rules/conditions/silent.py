"""A sensor is not heard any more: a fault of equipment, never a statement about a person."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Quantity, Reading
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class Silent:
    """Breached since the last reading, whatever it said. The hold time says what is too long."""

    watches: ClassVar[frozenset[Quantity]] = frozenset(Quantity)
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = True
    about_equipment: ClassVar[bool] = True

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take anything heard as a sign of life of the sensor."""
        return Verdict.RENEWED
