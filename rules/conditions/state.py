"""Something is on that should be off, or off that should be on: a floor is wet, the mains fail."""

from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import STATES, Quantity, Reading
from rules.lifecycle import Verdict


@dataclass(frozen=True)
class State:
    """Breached while a state is as `on` says. A state is named for what 1 means."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    choices: ClassVar[frozenset[Quantity]] = STATES

    on: bool
    """True: breached while it is 1; False: while it is 0."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Judge the state alone."""
        return Verdict.BREACHED if bool(reading.value) is self.on else Verdict.CLEAR
