"""The parts of a backtest: its interval, its pieces of time, its tables, and how much they keep."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backtest.bins import FIRST_PIECE, PIECES, Bins
from agent.backtest.rate import at_most, interval
from agent.backtest.source import Restart, Span
from agent.backtest.table import columns, width
from agent.backtest.tally import MAX_KEPT, Rate
from agent.backtest.trial import Trial
from agent.backtest.truth import median
from agent.backtest.variants import Variant
from agent.backtest.words import how_long
from drivers.reading import Quantity, Reading
from gateway_config.load import load
from tests.agent.home import AT, after

GARWOOD = {
    0: (0.0, 3.689),
    1: (0.0253, 5.572),
    2: (0.242, 7.225),
    3: (0.619, 8.767),
    4: (1.09, 10.24),
    5: (1.62, 11.67),
    6: (2.20, 13.06),
    7: (2.81, 14.42),
    8: (3.45, 15.76),
    9: (4.12, 17.08),
    10: (4.80, 18.39),
    15: (8.40, 24.74),
    20: (12.22, 30.89),
    25: (16.18, 36.90),
    30: (20.24, 42.83),
    50: (37.11, 65.92),
    100: (81.36, 121.63),
}
"""95 % limits as published (Garwood 1936; Pearson & Hartley, Biometrika Tables, table 40)."""


@pytest.mark.parametrize("count", GARWOOD)
def test_the_interval_is_the_published_one(count):
    for found, published in zip(interval(count), GARWOOD[count], strict=True):
        digits = len(str(published).split(".")[1])
        assert found == pytest.approx(published, abs=0.51 * 10**-digits)


@given(st.integers(0, 3000))
def test_the_limits_are_where_the_tails_are_one_fortieth(count):
    low, high = interval(count)
    assert low <= count < high
    assert at_most(count, high) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert 1 - at_most(count - 1, low) == pytest.approx(0.025, rel=1e-6)


def test_many_alarms_are_no_trouble():
    low, high = interval(500_000)
    assert (low, high) == pytest.approx((498_615.1, 501_387.9), abs=1.0)


def test_no_count_has_no_interval():
    with pytest.raises(ValueError, match="-1 is no count"):
        interval(-1)


def test_a_rate_is_of_30_days():
    rate = Rate.of(3, timedelta(days=60))
    assert (rate.each_month, rate.low, rate.high) == pytest.approx((1.5, 0.309, 4.384), abs=1e-3)
    assert Rate.of(3, timedelta(0)) is None


@given(st.lists(st.tuples(st.floats(0, 4e7), st.floats(0, 4e6)), max_size=30))
def test_pieces_of_time_are_bounded_and_lose_no_alarm(spans):
    bins = Bins(AT)
    for begin, lasted in spans:
        bins.alarm(after(begin))
        bins.fired(after(begin), after(begin + lasted))
    assert len(bins) <= PIECES
    runs = list(bins.runs())
    assert sum(alarms for *_, alarms in runs) == len(spans)
    for begin, lasted in spans:
        assert any(a <= after(begin) and after(begin + lasted) <= b for a, b, _ in runs)
    fired = sum(((b - a) for a, b, _ in runs), timedelta(0))
    assert fired <= sum((timedelta(seconds=s) + 2 * bins.piece for _, s in spans), timedelta(0))


def test_pieces_grow_with_the_time():
    bins = Bins(AT)
    bins.fired(after(365 * 86_400 - 60), after(365 * 86_400))
    assert bins.piece == FIRST_PIECE * 512
    assert len(list(bins.runs())) == 1


def test_japanese_is_twice_as_wide():
    assert width("戸 a") == 4
    assert width("か\u3099") == 2  # a letter and its voicing mark
    lines = columns([["戸", "1"], ["door", "22"], ["only this"]], right=1)
    assert lines == ["戸          1", "door       22", "only this"]


def test_what_a_terminal_would_obey_is_spelt_out():
    assert columns([["\x1b[2J", "x"]]) == ["\\x1b[2J  x"]


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (7500, "2 h 5 min")],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds, says):
    assert how_long(timedelta(seconds=seconds)) == says


def test_the_median_is_one_of_them():
    assert median([]) is None
    assert median([timedelta(n) for n in (5, 1, 9)]) == timedelta(5)


# ---- how much is kept

CONFIG = """
[gateway]
name = "g1"

[[sensor]]
name = "door"
device = "gpio_contact"
pin = 17

[[rule]]
name = "open"
condition = "opened"
sensor = "door"
"""


@pytest.fixture
def variant(tmp_path):
    (tmp_path / "gateway.toml").write_text(CONFIG)
    return Variant("now", "", load(tmp_path / "gateway.toml"))


def year(readings: int, pulled: list[int]) -> Iterator[Reading]:
    """Yield a year in which the door is opened and closed again and again."""
    step_s = 365 * 86_400 / readings
    for n in range(readings):
        pulled.append(n)
        yield Reading("door", Quantity.CONTACT_OPEN, float(n % 2 == 0), after(n * step_s))


def test_a_year_is_read_one_by_one_and_little_of_it_is_kept(variant):
    pulled, behind, written = [], [], 0

    def write(_, alarm):
        nonlocal written
        written += 1
        # An alarm is handed on with the reading by which it is over, and not at the end.
        behind.append(len(pulled) - 2 * written)

    trial = Trial([variant], Span(None, None), None, write)
    trial.run(year(40_000, pulled), lambda _: None)
    tally = trial.lanes[0].tallies["open"]
    assert tally.alarms == written == 20_000
    assert set(behind) == {0}
    assert len(tally.kept) == MAX_KEPT
    assert len(tally.bins) <= PIECES
    assert len(tally._open) == 0


def test_time_in_which_the_machine_was_off_counts_for_nothing(variant):
    trial = Trial([variant], Span(None, None), None, lambda *_: None)
    steps = [
        Reading("door", Quantity.CONTACT_OPEN, 1.0, after(0)),
        Reading("door", Quantity.CONTACT_OPEN, 1.0, after(100)),
        Restart(after(1000)),
        Reading("door", Quantity.CONTACT_OPEN, 1.0, after(1000)),
        Reading("door", Quantity.CONTACT_OPEN, 0.0, after(1050)),
    ]
    trial.run(steps, lambda _: None)
    tally = trial.lanes[0].tallies["open"]
    assert (tally.alarms, tally.firing) == (1, timedelta(seconds=150))
    assert trial.watched == timedelta(seconds=150)
