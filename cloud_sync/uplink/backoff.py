"""When to try a broker again: soon, then more and more rarely, and never all gateways at once.

The wait is anywhere between nothing and a limit that doubles ("full jitter"). A thousand gateways
that lose one broker for a moment come back within FIRST_S, 250 a second; for a minute, at some 30 a
second when it is there again. A login that was refused is tried slowly: somebody has to change
something first, and each try costs some kilobytes.
"""

import random
from dataclasses import dataclass

FIRST_S, MAX_S = 4.0, 300.0
REFUSED_S = 60.0
SOUND_S = 300.0
"""A connection that lasted so long was a good one: its loss is the first."""


@dataclass
class Backoff:
    """The limit of the next wait."""

    limit_s: float = FIRST_S / 2

    def wait_s(self, *, lasted_s: float, is_refused: bool, chance: float | None = None) -> float:
        """Return how long to wait after a connection that lasted so long, or never was (0.0).

        `chance` is from 0 to 1; None: whatever comes.
        """
        chance = random.random() if chance is None else chance  # noqa: S311  # it protects nothing
        self.limit_s = FIRST_S if lasted_s > SOUND_S else min(self.limit_s * 2, MAX_S)
        if is_refused:
            self.limit_s = max(self.limit_s, REFUSED_S)
            return self.limit_s * (1 + chance) / 2
        return self.limit_s * chance
