"""One of several rules fires: told once, under one name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Quantity


@dataclass(frozen=True)
class AnyOf:
    """Breached while at least one of these rules fires."""

    watches: ClassVar[frozenset[Quantity]] = frozenset()
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    rules: tuple[str, ...]
    """Two or more names of rules that stand before this one."""

    def __post_init__(self) -> None:
        if len(set(self.rules)) < max(2, len(self.rules)):
            raise ValueError(f"rules {list(self.rules)} are not two or more different ones")

    def join(self, firing: Sequence[bool]) -> bool:
        """Judge them together."""
        return any(firing)
