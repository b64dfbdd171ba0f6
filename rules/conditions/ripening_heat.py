"""Heat after heading (高温登熟): grain turns white and cracks. Water at night, harvest in time.

To be expected from a mean of 26 or 27 °C over the 20 days after heading; sources differ by that
degree, and cultivars by more. It is told as soon as some days say so, because water that runs
through the field helps only while it lasts.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, ClassVar

from drivers.reading import Quantity
from rules.condition import Evidence, Memory
from rules.day_means import midnight_of
from rules.formulas.ranges import AIR_CELSIUS
from rules.formulas.rice import RIPENING_DAYS
from rules.lifecycle import Verdict
from rules.season import Season, require_day

KEPT_DAYS = 10
"""How long after the 20 days the alert ends by itself: by then all is said about this year."""


@dataclass(frozen=True)
class RipeningHeat:
    """Breached while the mean of the days since heading, 20 at most, is too high."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.TEMPERATURE_CELSIUS})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    zone: tzinfo
    heading: date
    """出穂期; the next day is the first that counts."""

    limit_celsius: float = 26.0
    """Of the mean, 20 to 35 °C."""

    margin: float = 0.5
    """How far below the limit the mean must fall before it is over; 0 or more, °C."""

    least_days: int = 5
    """So many must be over, 1 to 20: the first ones alone are only weather."""

    def __post_init__(self) -> None:
        require_day("heading", self.heading)
        if not 20 <= self.limit_celsius <= 35:
            raise ValueError(f"limit_celsius {self.limit_celsius} is not from 20 to 35")
        if self.margin < 0:
            raise ValueError(f"margin {self.margin} is below 0")
        if not 1 <= self.least_days <= RIPENING_DAYS:
            raise ValueError(f"least_days {self.least_days} is not from 1 to {RIPENING_DAYS}")

    def remember(self, dumped: Any = None) -> Memory:
        """Return the days after heading as one sensor knows them."""
        return _Ripening(self, dumped)


class _Ripening(Season):
    """The days after heading."""

    __slots__ = ("_end", "_settings")

    def __init__(self, settings: RipeningHeat, dumped: Any) -> None:
        first_day = settings.heading + timedelta(days=1)
        last_day = settings.heading + timedelta(days=RIPENING_DAYS)
        # Above the coldest there is: the sum of the means themselves, only higher.
        super().__init__(first_day, last_day, AIR_CELSIUS[0], settings.zone, dumped)
        self._settings = settings
        self._end = midnight_of(last_day + timedelta(days=1 + KEPT_DAYS), settings.zone)

    @property
    def mean_celsius(self) -> float:
        """Of the days by now."""
        return AIR_CELSIUS[0] + self.degree_days / self.days

    def verdict(self, at: datetime) -> Verdict:
        """Compare with the limit, in time."""
        settings = self._settings
        if not self.days or at >= self._end:
            # What fired was of another season.
            return Verdict.CLEAR
        if not self.is_known or self.days < settings.least_days:
            return Verdict.UNDECIDED
        if self.mean_celsius >= settings.limit_celsius:
            self.due = self._end.astimezone(at.tzinfo)
            return Verdict.BREACHED
        is_cool = self.mean_celsius <= settings.limit_celsius - settings.margin
        return Verdict.CLEAR if is_cool else Verdict.UNDECIDED

    def advance(self, at: datetime) -> Verdict:
        """Be over at the end; a clock that was set may have moved what it is woken at."""
        if at < self._end:
            self.due = self._end.astimezone(at.tzinfo)
            return Verdict.UNDECIDED
        return super().advance(at)

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return the mean by now, of how many days, and how many of them were not heard."""
        found: dict[str, float] = {"counted_days": self.days, "guessed_days": self.guessed_days}
        if self.days:
            found["mean_celsius"] = round(self.mean_celsius, 1)
        return found
