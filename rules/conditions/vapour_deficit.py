"""How much vapour the air could still take (飽差): too little or too much for leaves.

Too dry, and stomata shut: the plant stops growing in spite of light. Too humid, and it does not
draw water, and grey mould likes it. Greenhouse advice in Japan is 3 to 6 g/m3 by day; elsewhere the
same is said in kPa, about 0.4 to 0.8 at 25 °C. At night it is low by nature: give the rule hours.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal, TypeAlias

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.formulas.humid_air import humidity_deficit_g_per_m3, vapour_pressure_deficit_hpa
from rules.lifecycle import Verdict
from rules.sample import Sample

AIR: Final = Quantity.TEMPERATURE_CELSIUS
HUMIDITY: Final = Quantity.HUMIDITY_PERCENT

Unit: TypeAlias = Literal["g/m3", "kPa"]


@dataclass(frozen=True)
class VapourDeficit:
    """Breached outside `low` to `high`; within `margin` of either limit nothing changes."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({AIR, HUMIDITY})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({AIR}), frozenset({HUMIDITY}))

    low: float
    """In `unit`; 0 or more."""

    high: float
    """In `unit`; no air near the ground reaches 100."""

    unit: Unit = "g/m3"
    """Of `low`, `high` and `margin`: 飽差 in g/m3, or VPD in kPa."""

    margin: float = 0.0
    """How far inside the band it must come before it counts as recovered; 0 or more."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 100:
            raise ValueError(f"low {self.low} and high {self.high} are not from 0 to 100, in order")
        if not 0 <= 2 * self.margin <= self.high - self.low:
            raise ValueError(
                f"from low {self.low} to high {self.high} with margin {self.margin} "
                "nothing is left in the middle"
            )

    def remember(self, dumped: Any = None) -> Memory:
        """Return what one sensor's last values are kept in."""
        return _Air(self, dumped)


class _Air(Memory):
    """What one sensor measured last, and what is missing to saturation."""

    __slots__ = ("_deficits", "_sample", "_settings")

    def __init__(self, settings: VapourDeficit, dumped: Any) -> None:
        self._settings = settings
        sample, deficits = (None, {}) if dumped is None else dumped
        self._sample = Sample(AIR, {HUMIDITY}, sample)
        self._deficits: dict[Unit, float] = {
            unit: float(deficits[unit]) for unit in ("g/m3", "kPa") if unit in deficits
        }
        """Empty: nothing was measured, or what cannot be."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take it in, and judge if both are of now."""
        measured = self._sample.take(reading)
        if measured is None:
            return Verdict.UNDECIDED
        self._deficits = _deficits(measured[AIR], measured[HUMIDITY])
        return self._verdict()

    def _verdict(self) -> Verdict:
        settings = self._settings
        if not self._deficits:
            return Verdict.UNDECIDED
        deficit = self._deficits[settings.unit]
        if not settings.low <= deficit <= settings.high:
            return Verdict.BREACHED
        if settings.low + settings.margin <= deficit <= settings.high - settings.margin:
            return Verdict.CLEAR
        return Verdict.UNDECIDED

    def evidence(self, at: datetime) -> Evidence:
        """Return what was measured, and what it amounts to in both units."""
        found = {quantity.value: value for quantity, value in self._sample.recent(at).items()}
        if self._deficits:
            found["deficit_g_per_m3"] = round(self._deficits["g/m3"], 1)
            found["deficit_kpa"] = round(self._deficits["kPa"], 2)
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._sample.shift(by)

    def dump(self) -> Any:
        """Return it as plain data."""
        return [self._sample.dump(), self._deficits]


def _deficits(celsius: float, percent: float) -> dict[Unit, float]:
    """Return it in each unit; nothing if the values cannot be."""
    try:
        return {
            "g/m3": humidity_deficit_g_per_m3(celsius, percent),
            "kPa": vapour_pressure_deficit_hpa(celsius, percent) / 10,
        }
    except ValueError:
        return {}
