"""Accumulated temperature reaches its target: rice is ripe, a pest hatches, bees can be set out.

Of each day counts what its mean is above the base, from the first day on. Rice from the day after
heading, base 0 °C: コシヒカリ 1,050, ひとめぼれ 900 to 1,000, あきたこまち 950 °C·d. Cultivars and
places differ by a week: it is a reminder to look at the ears, not a verdict.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, ClassVar

from drivers.reading import Quantity
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.season import Season, require_day

LONGEST = timedelta(days=400)


@dataclass(frozen=True)
class DegreeDays:
    """Breached from the end of the day on that reaches `target_degree_days`, for `over_after`."""

    watches: ClassVar[None] = None
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    choices: ClassVar[frozenset[Quantity]] = frozenset(
        {
            Quantity.TEMPERATURE_CELSIUS,
            Quantity.SOIL_TEMPERATURE_CELSIUS,
            Quantity.WATER_TEMPERATURE_CELSIUS,
        }
    )

    zone: tzinfo
    first_day: date
    """The first one that counts; the last is 400 days later."""

    target_degree_days: float
    """Above 0, °C·d."""

    base_celsius: float = 0.0
    """What is below it counts nothing, -20 to 40 °C."""

    over_after: timedelta = timedelta(days=14)
    """How long after that it is over by itself, 1 hour to 60 days."""

    def __post_init__(self) -> None:
        require_day("first_day", self.first_day)
        if not 0 < self.target_degree_days <= 20_000:
            raise ValueError(
                f"target_degree_days {self.target_degree_days} is not above 0 to 20000"
            )
        if not -20 <= self.base_celsius <= 40:
            raise ValueError(f"base_celsius {self.base_celsius} is not from -20 to 40")
        if not timedelta(hours=1) <= self.over_after <= timedelta(days=60):
            raise ValueError(f"over_after {self.over_after} is not from 1 h to 60 d")

    def remember(self, dumped: Any = None) -> Memory:
        """Return the season as one sensor knows it."""
        return _Growth(self, dumped)


class _Growth(Season):
    """How far it is, and whether it is there."""

    __slots__ = ("_is_reached", "_settings")

    def __init__(self, settings: DegreeDays, dumped: Any) -> None:
        season, is_reached = (None, False) if dumped is None else dumped
        last_day = settings.first_day + LONGEST
        super().__init__(settings.first_day, last_day, settings.base_celsius, settings.zone, season)
        self._settings = settings
        self._is_reached = bool(is_reached) and self.days > 0

    def verdict(self, at: datetime) -> Verdict:
        """Compare with the target."""
        if not self.is_known:
            # What fired was of another season.
            return Verdict.UNDECIDED if self.days else Verdict.CLEAR
        if self.degree_days < self._settings.target_degree_days:
            self._is_reached, self.due = False, None
            return Verdict.CLEAR
        if not self._is_reached:
            self._is_reached, self.due = True, at + self._settings.over_after
        return Verdict.CLEAR if self.due is None else Verdict.BREACHED

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return how far it is, by how many days, and how many of them were not heard."""
        return {
            "sum_degree_days": round(self.degree_days, 1),
            "counted_days": self.days,
            "guessed_days": self.guessed_days,
        }

    def dump(self) -> Any:
        """Return it as plain data."""
        return [super().dump(), self._is_reached]
