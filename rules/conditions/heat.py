"""Heat that is a danger to people, indoors or on the field: the wet-bulb globe temperature (WBGT).

Temperature and humidity of one sensor are enough for a room without sun. A black globe beside them
adds what hot walls and roofs do; a pyranometer makes it the formula for outdoors, with the wind
where it is measured, or else none: that errs by 0.06 °C for each m/s towards too hot.

Limits: 日常生活における熱中症予防指針, 日本生気象学会. From 28 on work is a risk, from 31 on
old people are at risk at rest. A cheap sensor (0.3 °C, 3 % RH) makes it wrong by up to 0.7 °C.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.formulas.wbgt import indoor_wbgt_celsius, outdoor_wbgt_celsius
from rules.lifecycle import Verdict
from rules.sample import Sample

AIR: Final = Quantity.TEMPERATURE_CELSIUS
HUMIDITY: Final = Quantity.HUMIDITY_PERCENT
GLOBE: Final = Quantity.GLOBE_TEMPERATURE_CELSIUS
SUN: Final = Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE
WIND: Final = Quantity.WIND_SPEED_METRE_PER_S


def wbgt_celsius(measured: Mapping[Quantity, float]) -> float | None:
    """Return the WBGT by the formula that makes the most of it; None: a value cannot be."""
    air, humidity = measured[AIR], measured[HUMIDITY]
    try:
        if SUN in measured:
            # At night a pyranometer says a little less than nothing.
            sun = max(0.0, measured[SUN]) / 1000
            return outdoor_wbgt_celsius(air, humidity, sun, measured.get(WIND, 0))
        return indoor_wbgt_celsius(air, humidity, globe_celsius=measured.get(GLOBE))
    except ValueError:
        return None


@dataclass(frozen=True)
class Heat:
    """Breached from `limit_celsius` on."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({AIR, HUMIDITY, GLOBE, SUN, WIND})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False
    needs: ClassVar[tuple[frozenset[Quantity], ...]] = (frozenset({AIR}), frozenset({HUMIDITY}))

    limit_celsius: float = 31.0
    """WBGT, 15 to 45 °C."""

    margin: float = 1.0
    """How far below the limit it must fall before it is over; 0 or more, °C."""

    def __post_init__(self) -> None:
        if not 15 <= self.limit_celsius <= 45:
            raise ValueError(f"limit_celsius {self.limit_celsius} is not from 15 to 45")
        if self.margin < 0:
            raise ValueError(f"margin {self.margin} is below 0")

    def remember(self, dumped: Any = None) -> Memory:
        """Return what one sensor's last values are kept in."""
        return _Air(self, dumped)


class _Air(Memory):
    """What one sensor measured last, and what it amounts to."""

    __slots__ = ("_sample", "_settings", "_wbgt_celsius")

    def __init__(self, settings: Heat, dumped: Any) -> None:
        self._settings = settings
        sample, wbgt = (None, None) if dumped is None else dumped
        self._sample = Sample(AIR, {HUMIDITY}, sample)
        self._wbgt_celsius = None if wbgt is None else float(wbgt)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Take it in, and judge if it was the last of its kind that was missing."""
        measured = self._sample.take(reading)
        if measured is None:
            return Verdict.UNDECIDED
        self._wbgt_celsius = wbgt_celsius(measured)
        return self._verdict()

    def _verdict(self) -> Verdict:
        wbgt, settings = self._wbgt_celsius, self._settings
        if wbgt is None:
            return Verdict.UNDECIDED
        if wbgt >= settings.limit_celsius:
            return Verdict.BREACHED
        is_calm = wbgt <= settings.limit_celsius - settings.margin
        return Verdict.CLEAR if is_calm else Verdict.UNDECIDED

    def evidence(self, at: datetime) -> Evidence:
        """Return what was measured, and what it amounts to; to a tenth, which is more than true."""
        found = {quantity.value: value for quantity, value in self._sample.recent(at).items()}
        if self._wbgt_celsius is not None:
            found["wbgt_celsius"] = round(self._wbgt_celsius, 1)
        return found

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        self._sample.shift(by)

    def dump(self) -> Any:
        """Return it as plain data."""
        return [self._sample.dump(), self._wbgt_celsius]
