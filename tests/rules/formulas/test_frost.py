"""Frost against FAO's book, and the calibration of a site night by night."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.frost import (
    OWN_FIT_AFTER_NIGHTS,
    POOLED,
    FrostCalibration,
    FrostCoefficients,
    FrostForecast,
    NightSums,
    night_temperature_celsius,
    pooled_coefficients,
)

BOOK = list(
    zip(
        [3.2, 0.8, 0.2, 2.6, 4.4, 5.2, 2.7, 1.2, 4.5, 5.6],
        [-4.2, -8.8, -6.5, -6.2, -6.1, 2.6, -0.7, -1.7, -1.2, 0.1],
        [-3.1, -5, -6.3, -5.4, -4, -2.5, -4.8, -5, -4.4, -3.3],
        strict=True,
    )
)
nights = st.builds(
    lambda t, below, m: (t, t - below, m),
    st.floats(-20, 30),
    st.floats(0, 30),
    st.floats(-30, 30),
)


def summed(nights):
    sums = NightSums()
    for night in nights:
        sums = sums.with_night(*night)
    return sums


def after(nights, hours_after_sunset=2.0):
    calibration = FrostCalibration(hours_after_sunset)
    for night in nights:
        calibration = calibration.with_night(*night)
    return calibration


def line(n, a=0.5, b=0.1, c=-4.0):
    """Return n nights that lie on a plane, with temperature and dew point independent."""
    evenings = [(float(i % 7), -1.0 - (i // 7) % 3) for i in range(n)]
    return [(t, d, a * t + b * d + c) for t, d in evenings]


def test_the_ten_nights_of_the_book():
    fit = summed(BOOK).fit()
    assert fit.a == pytest.approx(0.50281, abs=0.000005)
    assert fit.b == pytest.approx(0.02647, abs=0.000005)
    assert fit.c_celsius == pytest.approx(-5.82199, abs=0.000005)
    assert summed(BOOK).rmse_celsius() == pytest.approx(0.631, abs=0.0005)


def test_what_the_r_package_frost_prints_for_the_book():
    assert summed(BOOK).fit().forecast(10, 2).minimum_celsius == pytest.approx(-0.7409219)


@given(st.lists(nights, min_size=4, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_nights_does_not_matter(some, random):
    shuffled = random.sample(some, len(some))
    one, other = summed(some), summed(shuffled)
    assert one.temperature_minimum == pytest.approx(other.temperature_minimum, abs=1e-6)
    assert one.minimum_minimum == pytest.approx(other.minimum_minimum, abs=1e-6)


def test_nights_that_lie_on_a_line_leave_nothing_over():
    fit = summed(line(21)).fit()
    assert (fit.a, fit.b, fit.c_celsius) == pytest.approx((0.5, 0.1, -4.0))
    assert fit.residual_sd_celsius == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("hours", POOLED)
def test_the_pooled_coefficients_of_the_facts(hours):
    a, b, c, sd = {
        0: (0.520, 0.356, -2.114, 3.0),
        2: (0.661, 0.284, -2.134, 2.5),
        4: (0.757, 0.213, -1.914, 1.98),
        6: (0.814, 0.159, -1.626, 1.84),
        8: (0.925, 0.107, -0.850, 1.35),
        10: (0.941, 0.078, -0.468, 1.19),
    }[hours]
    assert pooled_coefficients(hours) == FrostCoefficients(a, b, c, sd)


def test_between_them_they_are_linear():
    assert pooled_coefficients(3) == FrostCoefficients(
        pytest.approx(0.709), pytest.approx(0.2485), pytest.approx(-2.024), pytest.approx(2.24)
    )
    assert pooled_coefficients(0.5).a == pytest.approx(0.520 + 0.141 / 4)


def test_a_site_begins_with_the_pooled_coefficients():
    forecast = FrostCalibration(2.0).forecast(5.0, 0.0)
    assert forecast == FrostForecast(pytest.approx(1.171), 2.5)
    assert forecast.probability_of_at_most(0) == pytest.approx(0.3198, abs=0.0001)


def test_it_learns_how_much_colder_the_site_is():
    expected = FrostCalibration().forecast(5, 0).minimum_celsius
    calibration = after([(5.0, 0.0, expected - 2), (5.0, 0.0, expected - 1)])
    assert calibration.site_offset_celsius == pytest.approx(-1.5)
    assert calibration.forecast(5, 0).minimum_celsius == pytest.approx(expected - 1.5)
    assert calibration.forecast(5, 0).residual_sd_celsius == 2.5


def test_after_forty_nights_the_site_has_a_fit_of_its_own():
    some = line(OWN_FIT_AFTER_NIGHTS, b=0.0)
    before, then = after(some[:-1]), after(some)
    assert not before.is_own_fit
    assert before.coefficients().a == POOLED[2.0].a
    assert then.is_own_fit
    assert then.coefficients().a == pytest.approx(0.5)
    assert then.forecast(5, 0).minimum_celsius == pytest.approx(-1.5)
    assert then.forecast(5, 0).residual_sd_celsius == pytest.approx(0, abs=1e-6)


def test_forty_equal_evenings_are_no_line_and_the_pooled_one_stays():
    calibration = after([(5.0, 0.0, -1.0)] * 50)
    assert not calibration.is_own_fit
    assert calibration.forecast(5, 0).minimum_celsius == pytest.approx(-1)


@given(st.lists(nights, max_size=60), nights, st.floats(0, 6))
def test_dumped_and_loaded_it_goes_on_as_if_nothing_had_happened(some, night, hours):
    calibration = after(some, hours)
    loaded = FrostCalibration.load(json.loads(json.dumps(calibration.dump(), allow_nan=False)))
    assert loaded == calibration
    assert loaded.with_night(*night) == calibration.with_night(*night)


def test_it_needs_as_much_room_after_a_year_as_after_a_night():
    assert after(line(1)).dump().keys() == after(line(365)).dump().keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nights": -1}, "nights is -1"),
        ({"nights": 1.5}, "nights is 1.5"),
        ({"nights": True}, "nights is True"),
        ({"minimum_mean": "cold"}, "minimum_mean is 'cold', not a number"),
        ({"minimum_mean": math.nan}, "minimum_mean is nan"),
        ({"minimum_minimum": -0.1}, "a sum of squares is below 0"),
        ({"hours_after_sunset": 11}, "hours after sunset is 11.0 h, outside 0 to 10"),
        ({"more": 1}, "not a frost calibration"),
    ],
)
def test_what_was_not_dumped_is_not_loaded(change, said):
    with pytest.raises(ValueError, match=said):
        FrostCalibration.load({**after(line(5)).dump(), **change})


def test_nothing_is_not_loaded():
    with pytest.raises(ValueError, match="it has nothing"):
        FrostCalibration.load({})


@pytest.mark.parametrize(
    ("minimum", "probability"), [(0, 0.5), (1.96, 0.025), (-1.96, 0.975), (3.29, 0.0005)]
)
def test_probability_by_normal_errors(minimum, probability):
    forecast = FrostForecast(minimum, 1.0)
    assert forecast.probability_of_at_most() == pytest.approx(probability, abs=0.0001)


@pytest.mark.parametrize(("minimum", "probability"), [(0.1, 0), (0, 1), (-0.1, 1)])
def test_without_errors_it_is_certain(minimum, probability):
    assert FrostForecast(minimum, 0.0).probability_of_at_most() == probability


@pytest.mark.parametrize(
    ("hours", "celsius"),
    [
        (2, 0.95),
        (3, -0.8250406),
        (4, -1.5602865),
        (8, -3.3979438),
        (14, -5.1989211),
        (15, -5.45),
    ],
)
def test_the_night_of_the_r_package_frost(hours, celsius):
    assert night_temperature_celsius(0.95, -5.45, 15, hours) == pytest.approx(celsius)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: pooled_coefficients(10.1), "hours after sunset is 10.1 h, outside 0 to 10 h"),
        (lambda: pooled_coefficients(-0.1), "hours after sunset is -0.1 h"),
        (lambda: FrostCalibration().forecast(5, 6), "dew point is 6 °C, outside -100 to 5"),
        (lambda: FrostCalibration().forecast(math.nan, 0), "temperature is nan"),
        (lambda: FrostCalibration().with_night(5, 0, 99), "minimum is 99 °C"),
        (lambda: summed(BOOK[:3]).fit(), "number of nights is 3, outside 4 to"),
        (lambda: summed([(5, 0, -1)] * 9).fit(), "all nights had the same temperature"),
        (lambda: night_temperature_celsius(5, 0, 2, 2), "length of the night is 2 h"),
        (lambda: night_temperature_celsius(5, 0, 12, 13), "hours after sunset is 13 h"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
