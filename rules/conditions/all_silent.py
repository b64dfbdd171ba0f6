"""Not one of the rule's sensors is heard: the radio or its antenna failed; nothing about a person.

Name the sensors of one radio. Many sensors do not fall silent in the same hour by themselves.
"""

from dataclasses import dataclass
from typing import ClassVar

from rules.conditions.silent import Silent


@dataclass(frozen=True)
class AllSilent(Silent):
    """Breached since the last reading of any of them. The hold time says what is too long."""

    together: ClassVar[bool] = True
