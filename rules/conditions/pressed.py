"""A call button was pressed: help is wanted, and each further press says so again.

The buttons of one rule are those of one home and have one alert. It is over when somebody says
that all is well: by a button of its own, or by another kind of press. It is also over after a
while, since an alert that nobody can end would hide the next call on the page.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory, SensorName
from rules.lifecycle import Verdict
from rules.passing import Passing, require_over_after

EVERY_PRESS: Final = (1, 2, 3, 4, 5, 6, 128)
"""The numbers of Quantity.BUTTON_EVENT."""


@dataclass(frozen=True)
class Pressed:
    """Breached by each press, and told again by each; clear when somebody is fine."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.BUTTON_EVENT})
    together: ClassVar[bool] = True
    from_silence: ClassVar[bool] = False

    presses: tuple[int, ...] = EVERY_PRESS
    """Which presses are a call; see Quantity.BUTTON_EVENT."""

    cleared_by: tuple[SensorName, ...] = ()
    """Buttons whose press, of any kind, says "I am fine"."""

    cleared_by_presses: tuple[int, ...] = ()
    """Which presses of any of the buttons say "I am fine", and are no call."""

    over_after: timedelta = timedelta(hours=12)
    """How long after the last press it is over by itself, 1 minute to 7 days."""

    def __post_init__(self) -> None:
        for press in (*self.presses, *self.cleared_by_presses):
            if press not in EVERY_PRESS:
                raise ValueError(f"{press} is no press: there are {EVERY_PRESS}")
        if not set(self.presses) - set(self.cleared_by_presses):
            raise ValueError("no press is left that would be a call")
        require_over_after(self.over_after)

    def remember(self, dumped: Any = None) -> Memory:
        """Return what the calls from one home are kept in."""
        return _Calls(self, dumped)


class _Calls(Passing):
    """The calls that nobody has answered yet."""

    __slots__ = ("_settings", "_times")

    def __init__(self, settings: Pressed, dumped: Any) -> None:
        due, times = (None, 0) if dumped is None else dumped
        super().__init__(settings.over_after, due)
        self._settings = settings
        self._times = int(times)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Tell a call from "I am fine"."""
        press, settings = int(reading.value), self._settings
        if reading.sensor in settings.cleared_by or press in settings.cleared_by_presses:
            self.end()
            return Verdict.CLEAR
        if press not in settings.presses:
            return Verdict.UNDECIDED
        self._times = self._times + 1 if self.is_on else 1
        self.begin(reading.at)
        return Verdict.REPEATED

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return how often it was pressed since it began."""
        return {"pressed_times": self._times}

    def dump(self) -> Any:
        """Return it as plain data."""
        return [super().dump(), self._times]
