"""Soil so dry that the crop has used up its share of the water that it can take: time to water.

Roots find water between the field capacity and the wilting point of the soil. Most crops grow as
well until about half of it is gone, leaf vegetables until a third is (as FAO 56 has it; general
knowledge, not verified here). Cheap probes are wrong by some percent of volume: calibrate them, or
set both points to what yours says a day after heavy rain, and when plants wilt in the morning.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeAlias

from drivers.reading import Quantity, Reading
from rules.condition import Evidence, Memory
from rules.formulas.soil import TEXTURE_LIMITS, TextureLimits
from rules.formulas.soil import Texture as KnownTexture
from rules.lifecycle import Verdict

Texture: TypeAlias = Literal["sand", "sandy_loam", "loam", "clay_loam", "clay", "andosol"]


@dataclass(frozen=True)
class DrySoil:
    """Breached when `depleted_percent` of the water that plants can take is gone."""

    watches: ClassVar[frozenset[Quantity]] = frozenset({Quantity.SOIL_MOISTURE_PERCENT})
    together: ClassVar[bool] = False
    from_silence: ClassVar[bool] = False

    texture: Texture
    """What the soil is. An andosol (黒ボク土) differs too much: give it both points."""

    depleted_percent: float = 50.0
    """How much of the water between both points may be gone, above 0 to 100."""

    margin: float = 10.0
    """How much less must be gone before it counts as watered, in the same percent; 0 or more."""

    field_capacity_percent: float | None = None
    """Of volume; None: that of the texture."""

    wilting_point_percent: float | None = None
    """Of volume; None: that of the texture."""

    def __post_init__(self) -> None:
        if not 0 < self.depleted_percent <= 100:
            raise ValueError(f"depleted_percent {self.depleted_percent} is not above 0 to 100")
        if not 0 <= self.margin <= self.depleted_percent:
            raise ValueError(f"margin {self.margin} is not from 0 to {self.depleted_percent}")
        points = self.points
        if not 0 <= points.wilting_point_percent < points.field_capacity_percent <= 100:
            raise ValueError(
                f"from wilting point {points.wilting_point_percent} to field capacity "
                f"{points.field_capacity_percent} there is no water that plants can take"
            )

    @property
    def points(self) -> TextureLimits:
        """The two points that count."""
        capacity, wilting = self.field_capacity_percent, self.wilting_point_percent
        if self.texture == "andosol":
            if capacity is None or wilting is None:
                raise ValueError(
                    "an andosol holds much more water than other soil, and no two the same: "
                    "give field_capacity_percent and wilting_point_percent"
                )
            return TextureLimits(capacity, wilting)
        known = TEXTURE_LIMITS[KnownTexture(self.texture)]
        return TextureLimits(
            known.field_capacity_percent if capacity is None else capacity,
            known.wilting_point_percent if wilting is None else wilting,
        )

    def remember(self, dumped: Any = None) -> Memory:
        """Return what is known of one sensor's soil."""
        return _Soil(self, dumped)


class _Soil(Memory):
    """How full the plants' store is."""

    __slots__ = ("_moisture_percent", "_settings")

    def __init__(self, settings: DrySoil, dumped: Any) -> None:
        (moisture,) = (None,) if dumped is None else dumped
        self._settings = settings
        self._moisture_percent = None if moisture is None else float(moisture)

    def judge(self, reading: Reading, previous: float | None) -> Verdict:  # noqa: ARG002
        """Judge the value alone, if it can be."""
        if not 0 <= reading.value <= 100:
            return Verdict.UNDECIDED
        self._moisture_percent = reading.value
        gone = self._gone_percent(reading.value)
        if gone >= self._settings.depleted_percent:
            return Verdict.BREACHED
        is_wet = gone <= self._settings.depleted_percent - self._settings.margin
        return Verdict.CLEAR if is_wet else Verdict.UNDECIDED

    def _gone_percent(self, moisture_percent: float) -> float:
        points = self._settings.points
        store = points.field_capacity_percent - points.wilting_point_percent
        return 100 * (points.field_capacity_percent - moisture_percent) / store

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return how much is gone, and at what moisture that is too much."""
        points, settings = self._settings.points, self._settings
        store = points.field_capacity_percent - points.wilting_point_percent
        dry = points.field_capacity_percent - store * settings.depleted_percent / 100
        found = {"limit_moisture_percent": round(dry, 1)}
        if self._moisture_percent is not None:
            found["gone_percent"] = round(self._gone_percent(self._moisture_percent))
        return found

    def shift(self, by: timedelta) -> None:
        """Go on: it knows no time."""

    def dump(self) -> Any:
        """Return it as plain data."""
        return [self._moisture_percent]
