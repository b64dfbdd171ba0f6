"""Somebody goes into a cold bathroom: warm it before the bath, as a prompt and not as an alarm.

Who undresses in the cold and steps into hot water may faint in it. 消費者庁 advises to warm the
room first; below 18 °C a room is too cold for old people (WHO Housing and Health Guidelines, 2018).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.activity import is_activity
from rules.condition import Evidence, Memory
from rules.lifecycle import Verdict
from rules.passing import Passing, require_over_after
from rules.snapshot import dump_time, load_time_if_any

RECENT: Final = timedelta(hours=2)
"""A temperature that is older says nothing about now; longer than in a hot room, because a cold one
changes slowly, and some meters speak only when it does."""

PEOPLE: Final = frozenset({Quantity.MOTION_DETECTED, Quantity.CONTACT_OPEN})


@dataclass(frozen=True)
class BathCold:
    """Breached while it is colder than `limit_celsius` and somebody was there just now."""

    watches: ClassVar[frozenset[Quantity]] = PEOPLE | {Quantity.TEMPERATURE_CELSIUS}
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (
        frozenset({Quantity.TEMPERATURE_CELSIUS}),
        PEOPLE,
    )

    limit_celsius: float = 18.0
    """Of the air in the bathroom, 0 to 30 °C."""

    margin: float = 0.5
    """How far above the limit it must rise before it is warm; 0 or more, °C."""

    over_after: timedelta = timedelta(minutes=15)
    """How long after the last motion, or the door, nobody is there any more; 1 minute to 7 days."""

    def __post_init__(self) -> None:
        if not 0 <= self.limit_celsius <= 30:
            raise ValueError(f"limit_celsius {self.limit_celsius} is not from 0 to 30")
        if self.margin < 0:
            raise ValueError(f"margin {self.margin} is below 0")
        require_over_after(self.over_after)

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one bathroom."""
        return _Bathroom(self, dumped)


class _Bathroom(Passing):
    """Whether somebody is there, and how warm it was last."""

    __slots__ = ("_at", "_celsius", "_settings")

    def __init__(self, settings: BathCold, dumped: Any) -> None:
        due, at, celsius = (None, None, None) if dumped is None else dumped
        super().__init__(settings.over_after, due)
        self._settings = settings
        self._at = load_time_if_any(at)
        self._celsius = None if celsius is None else float(celsius)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Judge both: who comes in may be heard before the temperature, or after it."""
        if reading.quantity is Quantity.TEMPERATURE_CELSIUS:
            self._at, self._celsius = reading.at, reading.value
        elif is_activity(reading, previous):
            self.begin(reading.at)
        else:
            return Verdict.UNDECIDED
        if self._at is None or self._celsius is None or reading.at - self._at > RECENT:
            return Verdict.UNDECIDED
        if self._celsius < self._settings.limit_celsius:
            return Verdict.BREACHED if self.is_on else Verdict.UNDECIDED
        is_warm = self._celsius >= self._settings.limit_celsius + self._settings.margin
        return Verdict.CLEAR if is_warm else Verdict.UNDECIDED

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return how cold it was."""
        return {} if self._celsius is None else {"temperature_celsius": self._celsius}

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        super().shift(by)
        self._at = None if self._at is None else self._at + by

    def dump(self) -> Any:
        """Return it as plain data."""
        return [super().dump(), dump_time(self._at), self._celsius]
