"""How many bytes the link has cost today, and how many it may: a SIM's contract has an end.

Readings wait for tomorrow when the day's bytes are used up. Backfill gets no more than half of
them, so that a long backlog does not take the day from what is measured now, and a tenth is left
for what always goes: alerts, confirmations, pings and logins. Those are counted, never held up.

The day is the gateway's own. As long as nobody knows what day it is (a boot without a clock), the
bytes count for the last one that was known, so that switching off and on makes no new day.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

Claim: TypeAlias = Literal["fresh", "backfill"]

SHARE: Mapping[Claim, float] = {"fresh": 0.9, "backfill": 0.5}


@dataclass
class ByteBudget:
    """The bytes of one day at a time. What was counted survives a restart by `dump` and `load`."""

    max_bytes: int | None = None
    """For a day; None: no limit."""
    day: date | None = None
    used: int = 0

    def spend(self, count: int, today: date | None) -> None:
        """Count bytes of `today`; None if nobody knows what day it is."""
        if today is not None and today != self.day:
            # The first day to be known is the one that was counted already without its name.
            self.used = self.used if self.day is None else 0
            self.day = today
        self.used += count

    def room(self, claim: Claim) -> float:
        """Return how many bytes of today are left for readings; at most 0: they wait."""
        if self.max_bytes is None:
            return float("inf")
        return self.max_bytes * SHARE[claim] - self.used

    def dump(self) -> bytes:
        """Return what `load` needs to go on counting from here."""
        return json.dumps({"day": self.day and self.day.isoformat(), "bytes": self.used}).encode()

    def load(self, dumped: bytes) -> None:
        """Add what was counted before. Raises ValueError, and then nothing has changed."""
        try:
            document = json.loads(dumped)
            day, used = document["day"], int(document["bytes"])
            self.day = None if day is None else date.fromisoformat(day)
        except (KeyError, TypeError, OverflowError, RecursionError) as problem:
            raise ValueError(f"this is no dump of a day's bytes: {problem!r}") from problem
        self.used += max(0, used)
