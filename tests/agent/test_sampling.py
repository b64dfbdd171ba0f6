"""What of all that a sensor repeats is taken, over restarts and clocks that were set."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sampling import LastValue, Sampler
from drivers.reading import Quantity, Reading

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
TEMPERATURE, BATTERY = Quantity.TEMPERATURE_CELSIUS, Quantity.BATTERY_PERCENT
DOOR, BUTTON, PACKET = Quantity.CONTACT_OPEN, Quantity.BUTTON_EVENT, Quantity.PACKET_ID


THEN = b'"2026-11-23T06:00:00+00:00"'
"""A time, as JSON."""


FRAMES = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from([TEMPERATURE, BATTERY, DOOR, BUTTON, PACKET]),
            st.sampled_from([0.0, 1.0, 2.0]),
        ),
        st.sampled_from([0.0, 1e-6, 0.0005, 1.0, 30.0, 60.0, 4000.0]),
    ),
    max_size=30,
)


@pytest.fixture
def sampler():
    return Sampler({"s": timedelta(minutes=1), "other": timedelta(minutes=1)})


def take(sampler, values, after_s=0.0, sensor="s"):
    """Return what is taken of a frame that comes so many seconds after AT."""
    return sampler.take(sensor, values, AT + timedelta(seconds=after_s))[0]


def restarted(sampler):
    other = Sampler({sensor: timedelta(minutes=1) for sensor in sampler.taken})
    other.load(sampler.dump())
    return other


def test_a_packet_that_is_heard_again_is_not_taken_again(sampler):
    press = {PACKET: 7.0, BUTTON: 1.0}
    assert take(sampler, press) == {BUTTON: 1.0}
    assert [take(sampler, press, s) for s in (0.1, 5, 3600)] == [{}, {}, {}]
    assert take(sampler, {PACKET: 8.0, BUTTON: 1.0}, 3601) == {BUTTON: 1.0}


def test_packet_0_after_255_is_a_new_one(sampler):
    assert [take(sampler, {PACKET: n, BUTTON: 1.0}) for n in (255.0, 0.0, 0.0)] == [
        {BUTTON: 1.0},
        {BUTTON: 1.0},
        {},
    ]


def test_a_frame_without_a_packet_number_does_not_make_the_last_press_new(sampler):
    press = {PACKET: 7.0, BUTTON: 1.0}
    take(sampler, press)
    assert take(sampler, {TEMPERATURE: 20.0}, 1) == {TEMPERATURE: 20.0}
    assert take(sampler, press, 2) == {}


def test_packets_of_two_sensors_are_counted_apart(sampler):
    press = {PACKET: 7.0, BUTTON: 1.0}
    assert take(sampler, press) == take(sampler, press, sensor="other") == {BUTTON: 1.0}


def test_the_last_press_still_on_the_air_after_a_restart_is_not_a_new_one(sampler):
    press = {PACKET: 7.0, BUTTON: 1.0}
    take(sampler, press)
    assert take(restarted(sampler), press, 60) == {}


def test_an_event_is_always_taken(sampler):
    assert all(take(sampler, {BUTTON: 1.0}, s / 100) == {BUTTON: 1.0} for s in range(20))


def test_a_state_is_taken_at_each_change_and_else_once_per_interval(sampler):
    said = [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0), (3.1, 0.0), (62, 0.0), (64, 0.0)]
    taken = [(s, state) for s, state in said if take(sampler, {DOOR: state}, s)]
    assert taken == [(0, 0.0), (2, 1.0), (3.1, 0.0), (62, 0.0)]


def test_a_number_is_taken_once_per_interval_however_much_it_changes(sampler):
    taken = [s for s in range(0, 200, 10) if take(sampler, {TEMPERATURE: float(s)}, s)]
    assert taken == [0, 60, 120, 180]


def test_a_sensor_that_sends_once_per_interval_may_be_a_little_early(sampler):
    assert all(take(sampler, {TEMPERATURE: 20.0}, s) for s in (0, 58, 117, 174))


def test_a_battery_is_taken_once_an_hour(sampler):
    taken = [m for m in range(130) if take(sampler, {BATTERY: 90.0}, m * 60)]
    assert taken == [0, 57, 114]


def test_a_battery_of_a_sensor_that_is_rarely_asked_is_taken_as_rarely():
    sampler = Sampler({"s": timedelta(days=1)})
    assert [h for h in range(50) if take(sampler, {BATTERY: 90.0}, h * 3600)] == [0, 23, 46]


def test_nothing_is_left_out_because_of_something_of_another_kind(sampler):
    assert take(sampler, {TEMPERATURE: 20.0}) == {TEMPERATURE: 20.0}
    assert take(sampler, {TEMPERATURE: 20.0, BATTERY: 90.0}, 1) == {BATTERY: 90.0}
    both = {TEMPERATURE: 20.0, DOOR: 1.0, BUTTON: 1.0}
    assert take(sampler, both, 2) == {DOOR: 1.0, BUTTON: 1.0}


def test_a_packet_number_alone_is_nothing_to_be_taken(sampler):
    assert take(sampler, {PACKET: 7.0}) == {}
    assert take(sampler, {PACKET: 7.0, BUTTON: 1.0}) == {}


def test_frames_of_one_microsecond_stay_apart(sampler):
    moments = [sampler.take("s", {BUTTON: 1.0}, AT)[1] for _ in range(3)]
    assert moments == [AT + timedelta(microseconds=n) for n in range(3)]


def test_a_frame_right_after_one_that_was_moved_stays_apart_from_it(sampler):
    late = AT + timedelta(microseconds=1)
    moments = [sampler.take("s", {BUTTON: 1.0}, at)[1] for at in (AT, AT, late)]
    assert moments == [AT, late, late + timedelta(microseconds=1)]


def test_frames_of_one_microsecond_stay_apart_over_a_restart(sampler):
    sampler.take("s", {BUTTON: 1.0}, AT)
    assert restarted(sampler).take("s", {BUTTON: 1.0}, AT)[1] > AT


def test_two_sensors_may_speak_in_one_microsecond(sampler):
    assert sampler.take("s", {BUTTON: 1.0}, AT)[1] == AT
    assert sampler.take("other", {BUTTON: 1.0}, AT)[1] == AT


def test_numbers_get_the_whole_second_and_states_and_events_their_own_moment(sampler):
    late = AT + timedelta(milliseconds=900)
    assert sampler.take("s", {TEMPERATURE: 20.0}, late)[1] == AT
    assert sampler.take("other", {DOOR: 1.0, TEMPERATURE: 20.0}, late)[1] == late
    later = late + timedelta(seconds=5, milliseconds=3)
    assert sampler.take("s", {BUTTON: 1.0}, later)[1] == later


def test_a_number_never_gets_a_moment_before_the_door_that_was_heard_first(sampler):
    door_at = AT + timedelta(milliseconds=400)
    sampler.take("s", {DOOR: 1.0}, door_at)
    moment = sampler.take("s", {TEMPERATURE: 20.0}, AT + timedelta(milliseconds=900))[1]
    assert moment == door_at + timedelta(microseconds=1)


@given(st.data())
def test_what_is_recalled_is_as_if_it_had_been_taken(data):
    live, recalled = (Sampler({"s": timedelta(minutes=1)}) for _ in range(2))
    at = AT
    for values, pause_s in data.draw(FRAMES):
        at += timedelta(seconds=pause_s)
        taken, moment = live.take("s", values, at)
        for quantity, value in taken.items():
            recalled.recall(Reading("s", quantity, value, moment))
    assert recalled.taken["s"].values == live.taken["s"].values
    assert recalled.taken["s"].at == live.taken["s"].at


@pytest.mark.parametrize("set_by", [timedelta(hours=-5), timedelta(days=-20000), timedelta(365)])
def test_a_clock_that_is_set_keeps_no_sensor_quiet(sampler, set_by):
    assert take(sampler, {TEMPERATURE: 20.0})
    new_s = set_by.total_seconds()
    taken = [s for s in range(5, 130, 5) if take(sampler, {TEMPERATURE: 20.0}, new_s + s)]
    assert taken == [5, 65, 125]


def test_a_clock_that_was_years_ahead_for_a_while_keeps_no_sensor_quiet(sampler):
    take(sampler, {DOOR: 0.0, BATTERY: 90.0}, 10 * 365 * 86_400)
    assert take(sampler, {DOOR: 0.0, BATTERY: 90.0}) == {DOOR: 0.0, BATTERY: 90.0}


def test_a_value_knows_since_when_it_is_so(sampler):
    for s, value in ((0, 0.0), (30, 1.0), (90, 1.0), (150, 1.0)):
        take(sampler, {DOOR: value}, s)
    last = sampler.taken["s"].values[DOOR]
    assert (last.at - AT, last.since - AT) == (timedelta(seconds=150), timedelta(seconds=30))


def test_a_sender_whose_packet_number_never_changes_is_still_heard(sampler):
    assert take(sampler, {PACKET: 7.0, TEMPERATURE: 20.0})
    assert take(sampler, {PACKET: 7.0, TEMPERATURE: 20.0}, 60) == {TEMPERATURE: 20.0}


def test_sensors_that_are_gone_are_forgotten_and_new_ones_begin(sampler):
    take(sampler, {TEMPERATURE: 20.0})
    other = Sampler({"new": timedelta(minutes=1)})
    other.load(sampler.dump())
    assert list(other.taken) == ["new"]
    assert take(other, {TEMPERATURE: 20.0}, sensor="new") == {TEMPERATURE: 20.0}


@pytest.mark.parametrize(
    "dumped",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"s": 1}',
        b'{"s": {}}',
        b'{"s": {"packet_id": 1, "values": []}}',
        b'{"s": {"packet_id": 1, "values": {"temperature_celsius": 20}}}',
        b'{"s": {"packet_id": 1, "values": {"weather": [1, %s, %s]}}}' % (THEN, THEN),
        b'{"s": {"packet_id": 1, "values": {"soil_ph": [1, "2026-11-23T06:00:00", %s]}}}' % THEN,
        b'{"s": {"packet_id": 1, "values": {"soil_ph": [1, %s, "yesterday"]}}}' % THEN,
        b'{"s": {"packet_id": 1, "values": {"soil_ph": [1%s, %s, %s]}}}' % (b"0" * 400, THEN, THEN),
        b"[" * 100_000,
    ],
)
def test_what_is_no_dump_is_refused_and_changes_nothing(sampler, dumped):
    take(sampler, {TEMPERATURE: 20.0})
    with pytest.raises(ValueError):
        sampler.load(dumped)
    assert sampler.taken["s"].values == {TEMPERATURE: LastValue(20.0, AT, AT)}


@given(FRAMES, st.integers(0, 30))
def test_a_restart_between_any_two_frames_changes_nothing(frames, restart_before):
    steady = restarting = Sampler({"s": timedelta(minutes=1)})
    at = AT
    for number, (values, pause_s) in enumerate(frames):
        at += timedelta(seconds=pause_s)
        if number == restart_before:
            restarting = restarted(steady)
        expected = steady.take("s", values, at)
        if restarting is not steady:
            assert restarting.take("s", values, at) == expected


@given(FRAMES)
def test_no_moment_is_given_twice_and_none_is_far_from_when_it_was_heard(frames):
    sampler = Sampler({"s": timedelta(minutes=1)})
    at, given_moments = AT, []
    for values, pause_s in frames:
        at += timedelta(seconds=pause_s)
        taken, moment = sampler.take("s", values, at)
        # Numbers get the last whole second, and what comes with it must not get ahead of itself.
        assert timedelta(seconds=-1) < moment - at < timedelta(milliseconds=1)
        given_moments += [moment] if taken else []
    assert sorted(set(given_moments)) == given_moments
