"""Water in soil: pF and kPa, what roots can take of it, and the texture's limits.

    suction (kPa) = 0.0981 · 10^pF          pF is the logarithm of the suction in cm of water

| pF  | kPa   | what it is                                       |
|-----|-------|--------------------------------------------------|
| 0   | 0.1   | saturated                                        |
| 1.5 | 3     | field capacity begins (圃場容水量, 1.5 to 1.8)     |
| 1.8 | 6     | field capacity ends                              |
| 2.7 | 49    | capillary break (毛管連絡切断点)                    |
| 3.8 | 619   | first wilting (初期しおれ点)                       |
| 4.2 | 1,555 | permanent wilting (永久しおれ点; -1,500 kPa)       |

The points are those of Japanese textbooks (bio.biopapyrus.jp/soil-sci/water.html has them in one
table). They hold for every soil, since they are suctions. The water contents by texture do not:
they are general knowledge, not verified here, and differ from field to field. Andosol (黒ボク土),
common in Japan, holds much more, so it has no row: calibrate it, or measure suction.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum, auto

from rules.formulas.ranges import require

KPA_PER_CM_OF_WATER = 0.0981

SATURATED_PF = 0.0
FIELD_CAPACITY_FROM_PF = 1.5
FIELD_CAPACITY_TO_PF = 1.8
CAPILLARY_BREAK_PF = 2.7
FIRST_WILTING_PF = 3.8
PERMANENT_WILTING_PF = 4.2
OVEN_DRY_PF = 7.0


class SoilWater(IntEnum):
    """How hard the water is held; a higher one is drier."""

    DRAINING = 0
    """Below field capacity's pF: water that runs off by itself."""
    READILY_AVAILABLE = 1
    """易有効水: from field capacity to the capillary break."""
    HARDLY_AVAILABLE = 2
    """難有効水: from the capillary break to the first wilting."""
    WILTING = 3
    """Plants wilt by day and recover at night."""
    PERMANENTLY_WILTED = 4
    """From permanent wilting on: they do not recover."""


class Texture(StrEnum):
    """Soil by its grain."""

    SAND = auto()
    SANDY_LOAM = auto()
    LOAM = auto()
    CLAY_LOAM = auto()
    CLAY = auto()


@dataclass(frozen=True, slots=True)
class TextureLimits:
    """Between which water contents by volume plants find water."""

    field_capacity_percent: float
    wilting_point_percent: float


TEXTURE_LIMITS: Mapping[Texture, TextureLimits] = {
    Texture.SAND: TextureLimits(10, 4),
    Texture.SANDY_LOAM: TextureLimits(18, 8),
    Texture.LOAM: TextureLimits(28, 12),
    Texture.CLAY_LOAM: TextureLimits(32, 18),
    Texture.CLAY: TextureLimits(40, 25),
}
"""General knowledge, not verified: see above."""


def suction_kpa(pf: float) -> float:
    """Return the suction, a positive number; a tensiometer's matric potential is its negative."""
    require("pF", pf, SATURATED_PF, OVEN_DRY_PF)
    return KPA_PER_CM_OF_WATER * math.pow(10, pf)


def pf(suction_kpa: float) -> float:
    """Return pF; wetter than 1 cm of water is as good as saturated and counts as 0."""
    require("suction", suction_kpa, 0, KPA_PER_CM_OF_WATER * 10**OVEN_DRY_PF, "kPa")
    centimetres = suction_kpa / KPA_PER_CM_OF_WATER
    return math.log10(centimetres) if centimetres > 1 else SATURATED_PF


def soil_water(pf: float) -> SoilWater:
    require("pF", pf, SATURATED_PF, OVEN_DRY_PF)
    limits = (FIELD_CAPACITY_FROM_PF, CAPILLARY_BREAK_PF, FIRST_WILTING_PF, PERMANENT_WILTING_PF)
    return SoilWater(sum(pf >= limit for limit in limits))


def available_water_percent(water_content_percent: float, texture: Texture) -> float:
    """Return how full the plants' store is: 100 at field capacity, 0 at permanent wilting.

    More than 100 is water that will drain; less than 0 is water that no root can take.
    """
    require("water content", water_content_percent, 0, 100, "%")
    limits = TEXTURE_LIMITS[texture]
    store = limits.field_capacity_percent - limits.wilting_point_percent
    return 100 * (water_content_percent - limits.wilting_point_percent) / store
