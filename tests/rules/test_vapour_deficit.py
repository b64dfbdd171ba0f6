"""The deficit of the air: judged in either unit by the formula, and what makes no sense."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Reading
from rules.conditions.vapour_deficit import AIR, HUMIDITY, VapourDeficit
from rules.formulas.humid_air import humidity_deficit_g_per_m3, vapour_pressure_deficit_hpa
from rules.lifecycle import Verdict

AT = datetime(2026, 7, 5, tzinfo=UTC)


def judged(condition, celsius, percent):
    memory = condition.remember()
    memory.judge(Reading("greenhouse", AIR, celsius, AT), None)
    return memory.judge(Reading("greenhouse", HUMIDITY, percent, AT), None), memory.evidence(AT)


@given(st.floats(-10, 45), st.floats(0, 100))
def test_each_unit_is_judged_by_its_formula(celsius, percent):
    grams = humidity_deficit_g_per_m3(celsius, percent)
    kpa = vapour_pressure_deficit_hpa(celsius, percent) / 10
    for condition, deficit in [
        (VapourDeficit(3, 6), grams),
        (VapourDeficit(0.4, 0.8, "kPa"), kpa),
    ]:
        verdict, evidence = judged(condition, celsius, percent)
        is_well = condition.low <= deficit <= condition.high
        assert verdict is (Verdict.CLEAR if is_well else Verdict.BREACHED)
        assert evidence["deficit_g_per_m3"] == round(grams, 1)
        assert evidence["deficit_kpa"] == round(kpa, 2)


def test_both_units_of_the_usual_advice_are_about_the_same_at_25_degrees():
    _, low = judged(VapourDeficit(3, 6), 25, 87)
    _, high = judged(VapourDeficit(3, 6), 25, 74)
    assert (low["deficit_g_per_m3"], low["deficit_kpa"]) == pytest.approx((3.0, 0.41))
    assert (high["deficit_g_per_m3"], high["deficit_kpa"]) == pytest.approx((6.0, 0.82))


@pytest.mark.parametrize(
    ("settings", "says"),
    [((6, 3), "in order"), ((-1, 3), "in order"), ((3, 6, "g/m3", 2), "middle")],
)
def test_what_makes_no_sense_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        VapourDeficit(*settings)


@pytest.mark.parametrize(
    "garbage", ["text", [1], {"a": 1}, 5, [None] * 9, [["x"]] * 5, ["x", 1], [None, {"kPa": "x"}]]
)
def test_garbage_is_refused_as_such(garbage):
    with pytest.raises((ValueError, TypeError, KeyError)):
        VapourDeficit(3, 6).remember(garbage)
