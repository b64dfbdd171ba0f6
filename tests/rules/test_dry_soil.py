"""How dry soil is: against the formula, and what settings make no sense."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quantity, Reading
from rules.conditions.dry_soil import DrySoil
from rules.formulas.soil import Texture, available_water_percent
from rules.lifecycle import Verdict

AT = datetime(2026, 7, 5, tzinfo=UTC)


@given(st.sampled_from(Texture), st.floats(0, 100), st.floats(1, 100))
def test_what_is_gone_is_what_is_not_available(texture, moisture, limit):
    memory = DrySoil(texture.value, depleted_percent=limit, margin=0).remember()
    reading = Reading("bed", Quantity.SOIL_MOISTURE_PERCENT, moisture, AT)
    verdict = memory.judge(reading, None)
    gone = 100 - available_water_percent(moisture, texture)
    assert memory.evidence(AT)["gone_percent"] == pytest.approx(gone, abs=0.5 + 1e-9)
    if abs(gone - limit) > 1e-9:
        assert verdict is (Verdict.BREACHED if gone > limit else Verdict.CLEAR)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"texture": "andosol"}, "give field_capacity_percent and wilting_point_percent"),
        ({"texture": "andosol", "field_capacity_percent": 50}, "andosol"),
        ({"texture": "loam", "depleted_percent": 0}, "depleted_percent"),
        ({"texture": "loam", "depleted_percent": 101}, "depleted_percent"),
        ({"texture": "loam", "depleted_percent": 33, "margin": 34}, "margin"),
        ({"texture": "loam", "margin": -1}, "margin"),
        ({"texture": "loam", "wilting_point_percent": 28}, "no water"),
        ({"texture": "loam", "field_capacity_percent": 101}, "no water"),
        ({"texture": "loam", "wilting_point_percent": -1}, "no water"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        DrySoil(**settings)


@pytest.mark.parametrize("garbage", ["text", [1, 2], {}, 5, ["x"]])
def test_garbage_is_refused_as_such(garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        DrySoil("loam").remember(garbage)
