"""What a site's nights teach: as least squares do, from POOLED on, and never more than its size."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.frost_site import (
    FALL_HOURS,
    LATEST_HOUR,
    POOLED,
    PRIOR_NIGHTS,
    SPREAD,
    Evening,
    SiteNights,
)

HOURS = range(LATEST_HOUR + 1)
evenings = st.builds(
    lambda t, below, fall, length: Evening(t, t - below, fall, length),
    st.floats(-20, 15),
    st.floats(0, 30),
    st.none() | st.floats(-5, 10),
    st.floats(8, 16),
)
nights = st.tuples(evenings, st.floats(-30, 15))
PLAIN = Evening(5.0, 0.0, None, 12.0)


def after(nights, hour=4):
    site = SiteNights(hour)
    for evening, minimum in nights:
        site = site.with_night(evening, minimum)
    return site


def plane(count, *, c=-4.0, a=0.5, b=0.3, length=-0.2, fall=-0.4):
    """Return nights whose minimum lies on a plane of all that is known of an evening."""
    found = []
    for n in range(count):
        t, td, f, hours = n * 7 % 11, -1.0 - n * 5 % 13, n * 3 % 5 / 2, 9 + n * 2 % 7
        minimum = c + a * (t - 5) + b * td + length * (hours - 12) + fall * f
        found.append((Evening(float(t), td, f, float(hours)), minimum))
    return found


@pytest.mark.parametrize("hour", HOURS)
def test_a_site_begins_with_what_others_have_in_common(hour):
    (c, a, b, length, fall), sd, usual_fall = POOLED[hour]
    forecast = SiteNights(hour).forecast(Evening(7.0, 1.0, None, 14.0))
    assert forecast.minimum_celsius == pytest.approx(c + 2 * a + b + 2 * length + fall * usual_fall)
    assert forecast.residual_sd_celsius > sd


@pytest.mark.parametrize("hour", HOURS)
def test_a_dry_evening_and_a_long_night_are_colder_and_later_is_surer(hour):
    site = SiteNights(hour)
    dry, long = Evening(5.0, -8.0, None, 12.0), Evening(5.0, 0.0, None, 15.0)
    warm = site.forecast(PLAIN).minimum_celsius
    # From eleven hours on the air's own temperature says nearly all.
    assert site.forecast(dry).minimum_celsius < warm + 0.2
    assert site.forecast(long).minimum_celsius < warm
    if hour:
        earlier = SiteNights(hour - 1).forecast(PLAIN).residual_sd_celsius
        assert site.forecast(PLAIN).residual_sd_celsius < earlier + 0.1


def test_one_night_moves_it_by_no_more_than_its_weight():
    (c, *_), sd, _ = POOLED[0]
    site = after([(Evening(5.0, 0.0, None, 12.0), c - 6)], hour=0)
    moved = site.forecast(PLAIN).minimum_celsius - c
    assert moved == pytest.approx(-6 * SPREAD[0] ** 2 / (SPREAD[0] ** 2 + sd**2))
    variance = (PRIOR_NIGHTS * sd**2 + 36 * sd**2 / (SPREAD[0] ** 2 + sd**2)) / (PRIOR_NIGHTS + 1)
    assert site.forecast(PLAIN).residual_sd_celsius > math.sqrt(variance)


def test_of_many_nights_it_learns_the_site_itself():
    site = after(plane(2000))
    for evening, minimum in plane(200)[-50:]:
        assert site.forecast(evening).minimum_celsius == pytest.approx(minimum, abs=0.05)
    assert site.forecast(PLAIN).residual_sd_celsius < 0.3


@given(st.lists(nights, max_size=20), st.randoms(use_true_random=False), evenings)
def test_the_order_of_the_nights_does_not_matter(some, random, evening):
    one, other = after(some), after(random.sample(some, len(some)))
    expected = one.forecast(evening)
    found = other.forecast(evening)
    assert found.minimum_celsius == pytest.approx(expected.minimum_celsius, abs=1e-6)
    assert found.residual_sd_celsius == pytest.approx(expected.residual_sd_celsius, abs=1e-4)


@given(st.lists(nights, max_size=20), evenings)
def test_an_evening_unlike_all_others_is_less_sure(some, evening):
    site = after(some)
    far = Evening(-60.0, -100.0, evening.fall_celsius, evening.night_hours)
    near = site.forecast(evening).residual_sd_celsius
    assert 0 < near <= site.forecast(far).residual_sd_celsius


@given(st.lists(nights, max_size=30), nights, evenings, st.sampled_from(HOURS))
def test_dumped_and_loaded_it_goes_on_as_if_nothing_had_happened(some, night, evening, hour):
    site = after(some, hour)
    loaded = SiteNights.load(json.loads(json.dumps(site.dump(), allow_nan=False)))
    assert loaded == site
    assert loaded.with_night(*night) == site.with_night(*night)
    assert loaded.forecast(evening) == site.forecast(evening)


@pytest.mark.parametrize("hour", range(FALL_HOURS))
def test_what_it_fell_before_sunset_says_nothing(hour):
    fallen = Evening(5.0, 0.0, 4.0, 12.0)
    assert SiteNights(hour).forecast(fallen) == SiteNights(hour).forecast(PLAIN)


def test_it_needs_as_much_room_after_ten_years_as_after_a_night():
    assert len(json.dumps(after(plane(3650)).dump())) < 1500


def damaged(place, value):
    dumped = after(plane(5)).dump()
    dumped[place] = value
    return dumped


@pytest.mark.parametrize(
    "garbage",
    [
        damaged(0, 13),
        damaged(0, -1),
        damaged(0, 2.5),
        damaged(1, -1),
        damaged(1, True),
        damaged(1, "many"),
        damaged(2, []),
        damaged(2, [[0.0] * 5] * 4),
        damaged(2, [[-1e9] * 5] * 5),
        damaged(2, [["x"] * 5] * 5),
        damaged(3, [0.0] * 4),
        damaged(3, [math.nan] * 5),
        damaged(4, math.inf),
        damaged(4, None),
        [],
        "text",
        None,
    ],
)
def test_what_was_not_dumped_is_not_loaded(garbage):
    with pytest.raises((ValueError, TypeError)):
        SiteNights.load(garbage)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Evening(5.0, 6.0, None, 12.0), "dew point is 6.0 °C, outside -100 to 5"),
        (lambda: Evening(math.nan, 0.0, None, 12.0), "temperature is nan"),
        (lambda: Evening(5.0, 0.0, 99.0, 12.0), "fall is 99"),
        (lambda: Evening(5.0, 0.0, None, 25.0), "length of the night is 25"),
        (lambda: SiteNights(4).with_night(PLAIN, 99.0), "minimum is 99"),
        (lambda: SiteNights(LATEST_HOUR + 1), "hours after sunset is 13"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
