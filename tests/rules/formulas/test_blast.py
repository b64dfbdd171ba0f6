"""Leaf blast: each row of the table, each code, and each way in which leaves dry."""

import math

import pytest

from rules.formulas.blast import (
    NEEDED_HOURS,
    BlastCode,
    HourlyWeather,
    WetPeriod,
    blast_code,
    judge,
    longest_wet_period,
    needed_hours,
    sunshine_hours,
    wet_hours,
)

TABLE = [
    (15, 17),
    (16, 15),
    (17, 14),
    (18, 13),
    (19, 12),
    (20, 11),
    (21, 11),
    (22, 10),
    (23, 10),
    (24, 10),
    (25, 10),
]
CLOCK = [(16 + place) % 24 for place in range(24)]


def weather(celsius=20.0, rain=None, wind=None, sun=None):
    """Return a calm, dull, dry day but for what is given by hour of the day."""

    def hourly(given, otherwise=0.0):
        return [float((given or {}).get(hour, otherwise)) for hour in CLOCK]

    return HourlyWeather([float(celsius)] * 24, hourly(wind), hourly(rain), hourly(sun))


def wet_clock(**given):
    """Return the hours of the day in which leaves are wet, in order."""
    pairs = zip(CLOCK, wet_hours(weather(**given)), strict=True)
    return [hour for hour, wet in pairs if wet]


def night(begin, end=7):
    """Return the hours of the clock from `begin` to `end`, both included, over midnight."""
    return [hour for hour in CLOCK if CLOCK.index(begin) <= CLOCK.index(hour) <= CLOCK.index(end)]


def wet_for(hours, celsius):
    """Return weather in which leaves are wet for exactly so many hours, until 07 or 08 h."""
    if hours == 17:
        return weather(celsius, rain={17: 1, 6: 1}, sun=dict.fromkeys(range(9, 16), 1))
    first_rain = CLOCK[16 - hours + 1]
    # Rain at 06 h would keep the leaves wet by day too, but for the sun.
    return weather(celsius, rain={first_rain: 1}, sun=dict.fromkeys(range(8, 16), 1))


def test_a_dry_day_has_no_wet_hours():
    assert wet_clock() == []
    assert longest_wet_period(weather()) is None
    assert judge(weather(), 22) is BlastCode.NOT_FAVOURABLE


@pytest.mark.parametrize(("celsius", "hours"), TABLE)
def test_each_row_of_the_needed_hours(celsius, hours):
    assert needed_hours(celsius) == hours
    enough = wet_for(hours, celsius)
    assert longest_wet_period(enough) == WetPeriod(hours, celsius)
    assert judge(enough, 22) is BlastCode.FAVOURABLE
    short = BlastCode.NOT_LONG_ENOUGH if hours > 10 else BlastCode.NOT_FAVOURABLE
    assert judge(wet_for(hours - 1, celsius), 22) is short


def test_the_table_is_complete():
    assert [hours for _, hours in TABLE] == list(NEEDED_HOURS)


@pytest.mark.parametrize(("celsius", "hours"), [(15.49, 17), (15.5, 15), (24.5, 10), (21.4, 11)])
def test_between_its_rows_the_nearest_degree_counts(celsius, hours):
    assert needed_hours(celsius) == hours


@pytest.mark.parametrize(
    ("hours", "mean", "five_days", "code"),
    [
        (11, 20, 20, "●"),
        (11, 20, 25, "●"),
        (11, 20, 19.99, "1"),
        (11, 20, 25.01, "2"),
        (17, 14.99, 22, "3"),
        (17, 25.01, 22, "3"),
        (10, 20, 22, "4"),
        (16, 15, 22, "4"),
        (9, 24, 22, "-"),
        # What is printed if more than one is missing: the first.
        (10, 14, 19, "1"),
        (10, 26, 26, "2"),
        (9, 26, 26, "-"),
    ],
)
def test_each_code(hours, mean, five_days, code):
    assert blast_code(WetPeriod(hours, mean), five_days) == code


def test_rain_at_night_wets_from_one_hour_before_until_seven():
    assert wet_clock(rain={22: 0.5}) == night(21)
    assert wet_clock(rain={16: 0.5}) == night(16)
    assert wet_clock(rain={22: 0.5, 2: 0.5}) == night(21)


@pytest.mark.parametrize(("sun", "end"), [({17: 0.1, 18: 0.1}, 7), ({17: 0.1, 18: 0.11}, 17)])
def test_more_than_two_tenths_of_an_hour_of_sun_end_it(sun, end):
    assert wet_clock(rain={17: 1}, sun=sun) == night(16, end)


def test_sun_before_the_rain_does_not_count():
    assert wet_clock(rain={20: 1}, sun={16: 1, 17: 1}) == night(19)


def test_wind_of_four_ends_it_at_once():
    assert wet_clock(rain={20: 1}, wind={23: 4}) == night(19, 22)
    assert wet_clock(rain={20: 1}, wind={23: 3.9}) == night(19)


def test_wind_of_three_ends_it_at_the_third_hour():
    assert wet_clock(rain={20: 1}, wind={23: 3, 0: 3}) == night(19)
    assert wet_clock(rain={20: 1}, wind={23: 3, 0: 3, 1: 3}) == night(19, 0)


def test_from_four_on_one_hour_with_three_is_enough():
    assert wet_clock(rain={20: 1}, wind={5: 3}) == night(19, 4)
    assert wet_clock(rain={20: 1}, wind={3: 3}) == night(19)


def test_but_in_an_hour_with_rain_three_counts_as_two():
    dull_no_more = dict.fromkeys(range(7, 16), 1)
    rain = {20: 1, 5: 1}
    assert wet_clock(rain=rain, wind={5: 3}, sun=dull_no_more) == night(19, 6)
    assert wet_clock(rain=rain, wind={5: 4, 6: 3}, sun=dull_no_more) == night(19, 4)


def test_rain_makes_dried_leaves_wet_again():
    assert wet_clock(rain={18: 1, 1: 1}, wind={20: 5}) == night(17, 19) + night(0)


def test_rain_by_day_wets_three_hours_before_and_after():
    assert wet_clock(rain={11: 1}) == [8, 9, 10, 11, 12, 13, 14]
    assert wet_clock(rain={7: 1}) == [6, 7, 8, 9, 10]
    assert wet_clock(rain={15: 1}) == [12, 13, 14, 15]


def test_but_not_an_hour_with_sun_or_wind():
    assert wet_clock(rain={11: 1}, sun={9: 0.2, 10: 0.1}) == [8, 10, 11, 12, 13, 14]
    assert wet_clock(rain={11: 1}, wind={13: 3, 12: 2.9}) == [8, 9, 10, 11, 12, 14]


@pytest.mark.parametrize("heavy", [{22: 4}, {22: 3, 23: 3}, {22: 3, 21: 3}])
def test_heavy_rain_washes_nine_hours_before_and_after(heavy):
    last = max(CLOCK.index(hour) for hour in heavy)
    assert wet_clock(rain=heavy) == [CLOCK[place] for place in range(last + 10, 16)]


@pytest.mark.parametrize("rain", [{22: 3.9}, {22: 3, 0: 3}, {22: 3}])
def test_less_than_that_washes_nothing(rain):
    assert wet_clock(rain=rain) == night(21)


def test_heavy_rain_in_the_first_and_in_the_last_hour():
    assert wet_clock(rain={16: 3, 17: 3}) == night(3)
    assert wet_clock(rain={20: 1, 14: 3, 15: 3}, sun=dict.fromkeys(range(8, 16), 1)) == night(19, 4)


def test_the_longest_wet_period_is_judged():
    two = weather(rain={18: 1, 1: 1}, wind={20: 5})
    assert longest_wet_period(two) == WetPeriod(8, 20)


def test_the_mean_is_that_of_the_wet_hours_alone():
    hours = [30.0] * 5 + [18.0] * 11 + [30.0] * 8
    dull = weather(rain={22: 1})
    mixed = HourlyWeather(hours, dull.wind_m_per_s, dull.rain_mm, dull.sunshine_hours)
    assert longest_wet_period(mixed) == WetPeriod(11, 18)
    assert judge(mixed, 22) is BlastCode.NOT_LONG_ENOUGH


def test_sunshine_from_the_suns_radiation():
    assert sunshine_hours([0, 119.9, 120, 800]) == 0.5


def test_twenty_hundredths_are_not_more_than_two_tenths():
    assert sum([0.01] * 20) > 0.2
    sun = dict.fromkeys(night(17, 2), 0.02)
    assert len(sun) == 10
    assert wet_clock(rain={17: 1}, sun=sun) == night(16)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: HourlyWeather([20] * 23, [0] * 24, [0] * 24, [0] * 24),
            "temperature has 23 hours",
        ),
        (lambda: weather(celsius=70), r"temperature\[0\] is 70.0 °C, outside -60 to 60"),
        (lambda: weather(wind={16: -1}), r"wind\[0\] is -1.0 m/s"),
        (lambda: weather(rain={17: math.nan}), r"rain\[1\] is nan mm"),
        (lambda: weather(sun={15: 1.1}), r"sunshine\[23\] is 1.1 h, outside 0 to 1"),
        (lambda: needed_hours(14.9), "mean while wet is 14.9 °C, outside 15 to 25"),
        (lambda: judge(weather(), 99), "mean of five days is 99 °C"),
        (lambda: blast_code(WetPeriod(5, 20), math.nan), "mean of five days is nan"),
        (lambda: sunshine_hours([]), "number of measurements is 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_range(call, said):
    with pytest.raises(ValueError, match=said):
        call()
