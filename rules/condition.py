"""What a file in rules/conditions/ offers.

A condition is a frozen dataclass: its fields are its settings in gateway.toml, its class attributes
say what it watches, and `judge` says what one reading means. It has no memory and no clock: hold
time, hours, presence and the life of the alert are the engine's, the same for every condition.
"""

from typing import ClassVar, Protocol

from drivers.reading import Quantity, Reading
from rules.lifecycle import Verdict


class Condition(Protocol):
    """One kind of judgement."""

    watches: ClassVar[frozenset[Quantity] | None]
    """The quantities it judges; None: the rule names one."""

    together: ClassVar[bool]
    """True: one alert over all the rule's sensors. False: one alert for each of them."""

    from_silence: ClassVar[bool]
    """True: it judges that nothing was heard, so it is breached from the beginning on and each
    sign of life renews it; the time during which nobody listened does not count."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Say what this reading means. `previous` is that sensor's last value of this quantity."""
        ...
