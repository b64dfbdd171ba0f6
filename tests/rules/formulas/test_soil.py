"""Water in soil: the table of the facts, row by row."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.soil import (
    SoilWater,
    Texture,
    available_water_percent,
    pf,
    soil_water,
    suction_kpa,
)


@pytest.mark.parametrize(
    ("value", "kpa", "within"),
    [(0, 0.0981, 0.001), (1.5, 3, 0.2), (1.8, 6, 0.2), (3, 98.1, 0.1), (4.2, 1500, 60)],
)
def test_the_points_of_the_facts(value, kpa, within):
    assert suction_kpa(value) == pytest.approx(kpa, abs=within)


@given(st.floats(0, 7))
def test_pf_and_suction_are_inverses(value):
    assert pf(suction_kpa(value)) == pytest.approx(value, abs=1e-9)


def test_no_suction_at_all_is_saturated():
    assert pf(0) == 0
    assert pf(0.05) == 0


@pytest.mark.parametrize(
    ("value", "water"),
    [
        (0, SoilWater.DRAINING),
        (1.49, SoilWater.DRAINING),
        (1.5, SoilWater.READILY_AVAILABLE),
        (2.69, SoilWater.READILY_AVAILABLE),
        (2.7, SoilWater.HARDLY_AVAILABLE),
        (3.8, SoilWater.WILTING),
        (4.19, SoilWater.WILTING),
        (4.2, SoilWater.PERMANENTLY_WILTED),
        (7, SoilWater.PERMANENTLY_WILTED),
    ],
)
def test_how_hard_the_water_is_held(value, water):
    assert soil_water(value) is water


@pytest.mark.parametrize(
    ("texture", "field_capacity", "wilting"),
    [
        (Texture.SAND, 10, 4),
        (Texture.SANDY_LOAM, 18, 8),
        (Texture.LOAM, 28, 12),
        (Texture.CLAY_LOAM, 32, 18),
        (Texture.CLAY, 40, 25),
    ],
)
def test_each_textures_store(texture, field_capacity, wilting):
    assert available_water_percent(field_capacity, texture) == pytest.approx(100)
    assert available_water_percent((field_capacity + wilting) / 2, texture) == pytest.approx(50)
    assert available_water_percent(wilting, texture) == 0
    assert available_water_percent(wilting - 1, texture) < 0
    assert available_water_percent(field_capacity + 1, texture) > 100


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: suction_kpa(7.1), "pF is 7.1, outside 0 to 7"),
        (lambda: pf(-10), "suction is -10 kPa"),
        (lambda: pf(math.nan), "suction is nan"),
        (lambda: soil_water(-0.1), "pF is -0.1"),
        (lambda: available_water_percent(101, Texture.LOAM), "water content is 101 %"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
