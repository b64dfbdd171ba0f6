"""Several rules fire at the same time: together they mean more than each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from drivers.reading import Quantity


@dataclass(frozen=True)
class AllOf:
    """Breached while each of these rules fires, for whichever of its sensors."""

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
        return all(firing)
