"""What a file in rules/conditions/ offers.

A condition is a frozen dataclass: its fields are its settings in gateway.toml, its class attributes
say what it watches, and `judge` says what one reading means. It has no memory and no clock: hold
time, hours, presence and the life of the alert are the engine's, the same for every condition.

A condition that has to know the past has no `judge`, but makes a Memory for each of its alerts,
which judges in its place. The engine keeps it, and writes it down with the rest of its state.
"""

from datetime import timedelta
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from drivers.reading import Quantity, Reading
from rules.lifecycle import Verdict


class Kind(Protocol):
    """What every condition says about itself."""

    watches: ClassVar[frozenset[Quantity] | None]
    """The quantities it judges; None: the rule names one."""

    together: ClassVar[bool]
    """True: one alert over all the rule's sensors. False: one alert for each of them."""

    from_silence: ClassVar[bool]
    """True: it judges that nothing was heard, so it is breached from the beginning on and each
    sign of life renews it; the time during which nobody listened does not count."""


class Judge(Protocol):
    """Says what readings mean."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Say what this reading means. `previous` is that sensor's last value of this quantity."""
        ...


class Forgetful(Kind, Judge, Protocol):
    """A judgement on one reading alone."""


class Memory(Judge, Protocol):
    """The past of one alert. Bounded, in event time, and plain data when it is dumped."""

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        ...

    def dump(self) -> Any:
        """Return it as plain data for JSON."""
        ...


@runtime_checkable
class Remembering(Kind, Protocol):
    """A judgement on a reading and what came before it."""

    def remember(self, dumped: Any = None) -> Memory:
        """Return a new memory, or the one that was dumped, perhaps with other settings."""
        ...


Condition: TypeAlias = Forgetful | Remembering
"""One kind of judgement."""
