"""What happens to a gateway and its cloud in one scenario: made from a seed, and nothing else.

Pure. Each part of the path has its own faults; those of one part follow each other, those of
different parts meet as chance wills.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Part: TypeAlias = Literal[
    "gateway", "broker", "ingester", "influx", "answers", "link", "card", "clock"
]

FAULTS: Mapping[Part, Sequence[str]] = {
    # "reboot": the machine wakes up in 1970, and its memory is gone.
    "gateway": ("kill", "kill", "stop", "reboot", "reboot"),
    "broker": ("kill", "kill", "stop"),
    "ingester": ("kill", "kill", "stop"),
    "influx": ("kill", "stop"),
    # Not 400, 413 or 422: with these the server says that lines are bad, and aside they go.
    "answers": ("503", "429", "500", "401", "404"),
    "link": ("silence", "silence up", "silence down", "reset", "mountain"),
    "card": ("full",),
    # Of the machine's wall clock. "ntp": it is right, and known to be.
    "clock": ("hours forward", "hours back", "1970", "ntp"),
}
"""What is twice here comes twice as often."""

WEIGHTS: Mapping[Part, int] = {
    "gateway": 5,
    "broker": 3,
    "ingester": 3,
    "influx": 2,
    "answers": 2,
    "link": 4,
    "card": 1,
    "clock": 2,
}

TROUBLE_S = 12.0
"""So long new faults begin; the last ones may end later."""

FEWEST, MOST = 3, 9
SHORT_S, LONG_S = (0.3, 5.0), (33.0, 45.0)
"""How long a fault lasts. The long ones outlast TCP_USER_TIMEOUT (30 s)."""

LONG_SILENCES = 0.15
"""Share of silences that are long."""

FROM_THE_START = 0.2
"""Share of faults of a part that are there before the gateway boots."""

AT_ONCE = frozenset({"reset", "hours forward", "hours back", "1970"})
"""Faults that cannot be mended."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault."""

    at_s: float
    """Since the beginning; 0 is before the gateway starts."""
    part: Part
    fault: str
    for_s: float
    """Until it is mended; 0 when there is nothing to mend."""

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:5.1f} s  {self.part}: {self.fault}{lasting}"


def story(seed: int) -> tuple[Step, ...]:
    """Return the faults of a scenario, in the order in which they begin."""
    chance = random.Random(seed)
    free_at_s: dict[Part, float] = dict.fromkeys(FAULTS, 0.0)
    steps = []
    for _ in range(chance.randint(FEWEST, MOST)):
        (part,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        step = _step(chance, part, free_at_s[part])
        # After a fault there is a moment of peace, so that a part that is started can do something.
        free_at_s[part] = step.at_s + step.for_s + chance.uniform(0.2, 2.0)
        if step.at_s <= TROUBLE_S:
            steps.append(step)
    return tuple(sorted(steps, key=lambda step: step.at_s))


def _step(chance: random.Random, part: Part, earliest_s: float) -> Step:
    fault = chance.choice(FAULTS[part])
    is_first = earliest_s == 0.0 and part != "gateway" and chance.random() < FROM_THE_START
    at_s = 0.0 if is_first else max(earliest_s, chance.uniform(0.1, TROUBLE_S))
    is_long = fault.startswith("silence") and chance.random() < LONG_SILENCES
    for_s = 0.0 if fault in AT_ONCE else chance.uniform(*(LONG_S if is_long else SHORT_S))
    return Step(round(at_s, 2), part, fault, round(for_s, 2))
