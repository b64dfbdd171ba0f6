"""Hours of the day: where they begin and end, also on the days on which clocks change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.hours import Hours

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")

CHANGING = [
    "Europe/Berlin",
    "America/St_Johns",  # until 2011 at one minute past midnight
    "America/Sao_Paulo",  # until 2018 at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # back and forth again in the month of fasting
    "Pacific/Apia",  # left out a whole day in 2011
]
zones = st.sampled_from(["Asia/Tokyo", *CHANGING]).map(ZoneInfo)
clocks = st.times().map(lambda t: t.replace(microsecond=0)) | st.sampled_from(
    [time(hour, minute) for hour in (0, 1, 2, 3, 23) for minute in (0, 1, 15, 30, 59)]
)
moments = st.integers(0, 26 * 365 * 86_400).map(
    lambda seconds: datetime(2004, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
MICROSECOND = timedelta(microseconds=1)


def transition(zone, after):
    """Return the next moment at which the clocks change within half a year, or None."""
    before, low, step = after.astimezone(zone).utcoffset(), after, timedelta(days=1)
    for _ in range(200):
        if (low + step).astimezone(zone).utcoffset() != before:
            break
        low += step
    else:
        return None
    while step > MICROSECOND:
        step /= 2
        if (low + step).astimezone(zone).utcoffset() == before:
            low += step
    return (low + MICROSECOND).replace(microsecond=0)


@st.composite
def hours_and_moment(draw):
    """Return any hours in any zone, and a moment; often both are close to a change of clocks."""
    begin, end, zone, at = draw(clocks), draw(clocks), draw(zones), draw(moments)
    if (change := transition(zone, at)) is not None and draw(st.booleans()):
        at = change + timedelta(minutes=draw(st.integers(-1800, 1800)))
        # Arithmetic on the wall, so that times come up which no clock ever shows.
        begin = (change.astimezone(zone) + timedelta(minutes=draw(st.integers(-90, 90)))).time()
    return Hours(begin, end if end != begin else time((end.hour + 1) % 24), zone), at


def on_the_clock(hours, at):
    """Return whether a clock on the wall shows a time within the hours."""
    local = at.astimezone(hours.zone).time()
    if hours.begin < hours.end:
        return hours.begin <= local < hours.end
    return local >= hours.begin or local < hours.end


def tokyo(clock):
    return datetime.fromisoformat(f"2026-01-05T{clock}").replace(tzinfo=TOKYO).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "within"),
    [
        ("21:59:59.999999", False),
        ("22:00", True),
        ("23:59:59", True),
        ("00:00", True),
        ("04:59:59.999999", True),
        ("05:00", False),
        ("12:00", False),
    ],
)
def test_hours_over_midnight_include_their_begin_and_not_their_end(clock, within):
    assert Hours.parse("22:00-05:00", TOKYO).contains(tokyo(clock)) is within


@pytest.mark.parametrize(
    ("clock", "within"),
    [("07:59:59", False), ("08:00", True), ("19:59:59", True), ("20:00", False), ("00:00", False)],
)
def test_hours_of_the_day_include_their_begin_and_not_their_end(clock, within):
    assert Hours.parse("08:00-20:00", TOKYO).contains(tokyo(clock)) is within


def test_hours_may_end_or_begin_at_midnight():
    assert Hours.parse("22:00-00:00", TOKYO).contains(tokyo("23:59:59"))
    assert not Hours.parse("22:00-00:00", TOKYO).contains(tokyo("00:00"))
    assert Hours.parse("00:00-06:00", TOKYO).contains(tokyo("00:00"))


@pytest.mark.parametrize(
    ("clock", "edge"),
    [
        ("12:00", "2026-01-05T22:00"),
        ("22:00", "2026-01-06T05:00"),
        ("23:00", "2026-01-06T05:00"),
        ("04:59", "2026-01-05T05:00"),
        ("05:00", "2026-01-05T22:00"),
    ],
)
def test_the_next_edge_is_the_next_begin_or_end_and_never_now(clock, edge):
    expected = datetime.fromisoformat(edge).replace(tzinfo=TOKYO)
    assert Hours.parse("22:00-05:00", TOKYO).next_edge(tokyo(clock)) == expected


@pytest.mark.parametrize(
    ("text", "length"), [("08:00-20:00", 12), ("22:00-05:00", 7), ("05:00-04:30", 23.5)]
)
def test_hours_know_how_long_they_are(text, length):
    assert Hours.parse(text, TOKYO).length == timedelta(hours=length)


@pytest.mark.parametrize("text", ["", "22:00", "22:00-", "22-05-06", "25:00-05:00", "at night"])
def test_text_that_is_not_hours_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not hours such as 22:00-05:00"):
        Hours.parse(text, TOKYO)


def test_hours_that_begin_when_they_end_are_refused():
    with pytest.raises(ValueError, match="leave them out for all day"):
        Hours.parse("08:00-08:00", TOKYO)


def test_hours_with_an_offset_are_refused_because_the_site_has_one():
    with pytest.raises(ValueError, match="site's time zone"):
        Hours.parse("22:00+09:00-05:00", TOKYO)
    with pytest.raises(ValueError, match="site's time zone"):
        Hours(time(22), time(5, tzinfo=UTC), TOKYO)


def edges(hours, of_day):
    """Return the edges of a day and a half from noon before, as text in UTC."""
    at, found = datetime.fromisoformat(of_day).replace(tzinfo=UTC) - timedelta(hours=12), []
    for _ in range(3):
        at = hours.next_edge(at)
        found.append(at.strftime("%d %H:%M"))
    return found


def test_a_begin_that_is_skipped_in_spring_is_early_rather_than_late():
    # On 2026-03-29 in Berlin 02:00 is followed by 03:00, at 01:00 UTC.
    hours = Hours.parse("02:30-06:00", BERLIN)
    assert edges(hours, "2026-03-29") == ["29 00:30", "29 04:00", "30 00:30"]


def test_an_end_that_is_skipped_in_spring_is_late_rather_than_early():
    hours = Hours.parse("22:00-02:30", BERLIN)
    assert edges(hours, "2026-03-29") == ["28 21:00", "29 01:30", "29 20:00"]


def test_an_end_that_is_shown_twice_in_autumn_is_the_second_one():
    # On 2026-10-25 in Berlin 03:00 is followed by 02:00, at 01:00 UTC.
    hours = Hours.parse("22:00-02:30", BERLIN)
    assert edges(hours, "2026-10-25") == ["24 20:00", "25 01:30", "25 21:00"]


def test_a_begin_that_is_shown_twice_in_autumn_is_the_first_one():
    hours = Hours.parse("02:30-06:00", BERLIN)
    assert edges(hours, "2026-10-25") == ["25 00:30", "25 05:00", "26 01:30"]


def test_hours_that_lie_within_the_skipped_hour_are_not_left_out():
    hours = Hours.parse("02:10-02:50", BERLIN)
    assert hours.contains(datetime(2026, 3, 29, 1, tzinfo=UTC))


@settings(max_examples=60)
@given(hours_and_moment(), st.floats(0, 1))
def test_between_now_and_the_next_edge_nothing_begins_or_ends(hours_at, fraction):
    hours, at = hours_at
    edge = hours.next_edge(at)
    assert at < edge < at + timedelta(hours=50)
    last = edge - MICROSECOND
    for moment in (min(at + (edge - at) * fraction, last), last):
        assert hours.contains(moment) is hours.contains(at)


@settings(max_examples=60)
@given(hours_and_moment())
def test_hours_are_never_shorter_than_a_clock_on_the_wall_shows(hours_at):
    hours, at = hours_at
    assert hours.contains(at) or not on_the_clock(hours, at)


@settings(max_examples=60)
@given(hours_and_moment())
def test_on_a_day_on_which_clocks_do_not_change_hours_are_what_the_clock_shows(hours_at):
    hours, at = hours_at
    day = timedelta(days=1)
    offsets = {(at + n * day / 2).astimezone(hours.zone).utcoffset() for n in range(-4, 5)}
    if len(offsets) == 1:
        assert hours.contains(at) is on_the_clock(hours, at)
        assert hours.contains(hours.next_edge(at)) is not hours.contains(at)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", *CHANGING])
def test_a_year_has_a_begin_and_an_end_a_day(zone):
    hours = Hours.parse("22:00-05:00", ZoneInfo(zone))
    at = begin = datetime(2026, 1, 1, tzinfo=UTC)
    count = 0
    while at < begin + timedelta(days=365):
        at, count = hours.next_edge(at), count + 1
        assert hours.contains(at) is not hours.contains(at - MICROSECOND)
    assert count in (730, 731)
