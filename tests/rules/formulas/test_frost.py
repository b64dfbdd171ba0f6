"""Frost against FAO's book."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.formulas.frost import (
    FrostForecast,
    NightSums,
    night_temperature_celsius,
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
        (lambda: summed(BOOK).fit().forecast(5, 6), "dew point is 6 °C, outside -100 to 5"),
        (lambda: summed(BOOK).fit().forecast(math.nan, 0), "temperature is nan"),
        (lambda: summed(BOOK[:3]).fit(), "number of nights is 3, outside 4 to"),
        (lambda: summed([(5, 0, -1)] * 9).fit(), "all nights had the same temperature"),
        (lambda: night_temperature_celsius(5, 0, 2, 2), "length of the night is 2 h"),
        (lambda: night_temperature_celsius(5, 0, 12, 13), "hours after sunset is 13 h"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
