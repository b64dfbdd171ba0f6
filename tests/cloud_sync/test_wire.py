import gzip
import tomllib
import tracemalloc
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.spans import MAX_NUMBER, Spans
from cloud_sync.wire import (
    EPOCH,
    FAMILY,
    LOSS,
    MAX_CONFIRMED_BYTES,
    MAX_PAYLOAD_BYTES,
    BadPayload,
    Batch,
    LineWriter,
    corrected,
    decode_batch,
    decode_confirmed,
    encode_batch,
    encode_confirmed,
    parse_line,
    records,
    written_by,
)
from drivers.reading import Quantity, Reading
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase

VECTORS = Path(__file__).parents[1] / "vectors" / "wire"
GOOD_LINE = b"air,gateway=g12,sensor=m temperature_celsius=21.5 1764000000000000000\n"
AT = datetime(2025, 11, 24, 16, tzinfo=UTC)


def vectors(file, key="case"):
    document = tomllib.loads((VECTORS / file).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in document[key]]


def batch(lines=GOOD_LINE, sequence="1", floor=0):
    return Batch("5f3a9c01", Spans.parse(sequence), floor, lines)


# Lines


@pytest.mark.parametrize("case", vectors("readings.toml"))
def test_readings_become_these_bytes(case):
    writer = LineWriter(case["gateway"], case["site"], case["places"])
    values = {Quantity(name): value for name, value in case["values"].items()}
    lines = writer.readings(case["sensor"], values, case["at"])
    assert [line.decode() for line in lines] == [f"{line}\n" for line in case["lines"]]


@pytest.mark.parametrize("case", vectors("events.toml"))
def test_an_alert_event_becomes_these_bytes(case):
    writer = LineWriter(case["gateway"], case["site"], case["places"])
    event = AlertEvent(
        rule=case["rule"],
        sensor=case["sensor"],
        phase=Phase(case["phase"]),
        at=case["at"],
        since=case["since"],
        severity=Severity(case["severity"]),
        value=case.get("value"),
    )
    assert writer.event(event).decode() == f"{case['line']}\n"


# A backslash and a newline are written as others, so what they become does not come back.
NAME = st.text(
    st.characters(exclude_characters="\\\n", exclude_categories=["Cs"]), min_size=1, max_size=12
)
MOMENT = st.integers(0, 4_102_444_800_000_000).map(lambda n: EPOCH + timedelta(microseconds=n))
VALUE = st.floats(allow_nan=False, allow_infinity=False)


@given(NAME, NAME, NAME, st.dictionaries(st.sampled_from(list(FAMILY)), VALUE, min_size=1), MOMENT)
def test_readings_come_back_from_their_lines(gateway, sensor, place, values, at):
    writer = LineWriter(gateway, "site", {sensor: place})
    points = [parse_line(line) for line in writer.readings(sensor, values, at)]
    found = {record.quantity: record for point in points for record in records(point)}
    assert found == {q: Reading(sensor, q, value, at) for q, value in values.items()}
    for point in points:
        assert point.tags == {"gateway": gateway, "sensor": sensor, "place": place, "site": "site"}
        assert all(FAMILY[Quantity(name)] == point.measurement for name in point.fields)


@given(
    st.builds(
        AlertEvent,
        rule=NAME,
        sensor=st.just("") | NAME,
        phase=st.sampled_from(Phase),
        at=MOMENT,
        since=MOMENT,
        severity=st.sampled_from(Severity),
        value=st.none() | VALUE,
    )
)
def test_an_alert_event_comes_back_from_its_line(event):
    (found,) = records(parse_line(LineWriter("g12").event(event)))
    assert found == event


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_line_is_never_made_of_what_is_no_number(value):
    with pytest.raises(ValueError, match="not a finite number"):
        LineWriter("g12").readings("m", {Quantity.SOIL_PH: value}, AT)


def test_an_alert_event_with_a_doubtful_time_says_so_and_is_corrected_in_the_same_point():
    writer, early = LineWriter("g12"), datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    alert, true = (
        AlertEvent("r", "m", Phase.FIRING, at, at, Severity.DANGER, 31.4) for at in (early, AT)
    )
    doubtful = writer.event(alert, time_uncertain=True)
    better = corrected(doubtful, writer.event(true))
    assert parse_line(doubtful).fields["time_uncertain"] == 1
    assert parse_line(better).fields == {"happened_seconds": AT.timestamp(), "time_uncertain": 0}
    first, second = parse_line(doubtful), parse_line(better)
    assert (first.measurement, first.tags, first.time_ns) == (
        second.measurement,
        second.tags,
        second.time_ns,
    )
    assert list(records(first)) == [alert]


def test_a_loss_says_what_is_missing_and_why():
    writer = LineWriter("g12", "oouchi", {"m": "place"})
    line = writer.loss("budget", 17, (AT, AT + timedelta(hours=1)), AT + timedelta(days=1))
    assert line == (
        b"loss,gateway=g12,reason=budget,site=oouchi "
        b"from_seconds=1764000000,readings=17,until_seconds=1764003600 1764086400000000000\n"
    )
    assert parse_line(line).measurement == LOSS
    assert written_by("g12", line)


def test_every_quantity_but_the_packet_id_has_a_family():
    assert set(Quantity) - set(FAMILY) == {Quantity.PACKET_ID}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"air",
        b"air,gateway=g12 1",
        b"air,gateway=g12 t=1",
        b"air,gateway=g12 t=1 x",
        b"air,gateway=g12 t=1 99999999999999999999",
        b"air,gateway=g12 t=nan 1",
        b"air,gateway=g12 t=1e999 1",
        b"air,gateway=g12 t=1_0 1",
        b"air,gateway=g12 t=1i 1",
        b'air,gateway=g12 t="x" 1',
        b"air,gateway=g12 t 1",
        b"air,gateway t=1 1",
        b"air,gateway=g12,gateway=g13 t=1 1",
        b"air,gateway=g12 t=1,t=2 1",
        b"air,gateway=g12 t=1  1",
        b"air,gateway=g12\\ t=1 1",
        b"air,gateway=\xff t=1 1",
    ],
)
def test_a_line_of_others_is_refused(line):
    with pytest.raises(BadPayload, match="not a line of ours"):
        parse_line(line)


@given(st.binary(max_size=80) | st.text("air,= \\1.e-\n", max_size=40).map(str.encode))
def test_no_bytes_make_the_parser_raise_anything_else(line):
    try:
        list(records(parse_line(line)))
    except BadPayload:
        return


@pytest.mark.parametrize(
    "line",
    [
        b"air,gateway=g12 temperature_celsius=1 1",
        b"air,gateway=g12,sensor=m speed=1 1",
        b"alert,gateway=g12,phase=firing,severity=danger firing=1,since_seconds=1 1",
        b"alert,gateway=g12,phase=loud,rule=r,severity=danger firing=1,since_seconds=1 1",
        b"alert,gateway=g12,phase=firing,rule=r,severity=danger firing=1,since_seconds=1e300 1",
        b"alert,gateway=g12,phase=firing,rule=r,severity=danger firing=1 1",
    ],
)
def test_a_point_of_others_is_no_record(line):
    point = parse_line(line)
    with pytest.raises(BadPayload, match="no record of ours"):
        records(point)


# Whose lines they are


@pytest.mark.parametrize("gateway", ["g12", "里守, 1", "a=b", "g.*", "back\\slash"])
def test_all_lines_of_a_gateway_are_known_as_its_own(gateway):
    bare = AlertEvent("r", "", Phase.FIRING, AT, AT, Severity.DANGER)
    full = replace(
        bare,
        sensor="m",
        value=31.4,
        condition="above",
        quantity=Quantity.TEMPERATURE_CELSIUS,
        evidence=(("limit", 30.0),),
    )
    writer = LineWriter(gateway, "site", {"m": "place"})
    events = [writer.event(event) for event in (bare, full)]
    loss = writer.loss("budget", 17, (AT, AT), AT)
    lines = [*writer.readings("m", dict.fromkeys(FAMILY, 1.0), AT), *events, loss]
    assert written_by(gateway, b"".join(lines))


@pytest.mark.parametrize(
    "line",
    [
        b"air,gateway=g1 t=1 1",
        b"air,gateway=g123 t=1 1",
        b"air,gateway=G12 t=1 1",
        b"air,sensor=m,gateway=g12 t=1 1",
        b"air\\,gateway=g12,gateway=g13 t=1 1",
        b"air t=1,gateway=g12 1",
        b"gateway=g12 t=1 1",
        b",gateway=g12 t=1 1",
        b" air,gateway=g12 t=1 1",
        b"#air,gateway=g12 t=1 1",
        b"",
    ],
)
def test_one_line_of_another_gateway_is_noticed(line):
    assert not written_by("g12", GOOD_LINE + line + b"\n" + GOOD_LINE)


# Batches


@pytest.mark.parametrize("case", vectors("batches.toml", "good"))
def test_a_batch_is_these_bytes_and_back(case):
    payload, lines = case["payload"].lstrip("\n").encode(), case["lines"].lstrip("\n").encode()
    expected = Batch(case["boot"], Spans.parse(case["sequence"]), case["floor"], lines)
    assert encode_batch(expected, "line-protocol") == payload
    assert gzip.decompress(encode_batch(expected)) == payload
    assert decode_batch(payload) == decode_batch(gzip.compress(payload)) == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("case", vectors("batches.toml", "bad"))
def test_these_bytes_are_no_batch(case, pack):
    with pytest.raises(BadPayload):
        decode_batch(pack(case["payload"].encode()))


def test_the_same_batch_is_the_same_payload():
    assert encode_batch(batch()) == encode_batch(batch())


def test_a_later_version_may_say_more_in_the_header():
    payload = encode_batch(batch(), "line-protocol").replace(b"floor=0", b"floor=0 site=oouchi")
    assert decode_batch(payload) == batch()


@pytest.mark.parametrize("encoding", ["gzip", "line-protocol"])
@given(st.data())
def test_a_payload_with_a_flipped_byte_is_a_batch_or_refused(encoding, data):
    payload = bytearray(encode_batch(batch(GOOD_LINE * 2, "1-2"), encoding))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_batch(bytes(payload))
    except BadPayload:
        return
    assert found.lines.count(b"\n") == len(found.sequence)


@given(st.binary(max_size=200))
def test_no_payload_raises_anything_else(payload):
    for prefix in (b"", b"\x1f\x8b\x08\x00", b"#satomori 1 ", b"#satomori 1 boot=5f3a9c01 seq="):
        with pytest.raises(BadPayload):
            decode_batch(prefix + payload)


def test_a_gzip_bomb_takes_little_memory():
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(50)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(BadPayload, match="more than 1048576 bytes"):
        decode_batch(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_PAYLOAD_BYTES


def test_a_payload_of_a_megabyte_is_refused_packed_or_not():
    lines = GOOD_LINE * (MAX_PAYLOAD_BYTES // len(GOOD_LINE) + 1)
    for encoding in ("gzip", "line-protocol"):
        payload = encode_batch(batch(lines, f"1-{lines.count(GOOD_LINE)}"), encoding)
        with pytest.raises(BadPayload, match="more than 1048576 bytes"):
            decode_batch(payload)


def test_a_header_that_would_take_long_to_sort_is_refused():
    numbers = ",".join(str(n) for n in range(100_000, 1, -2))
    payload = f"#satomori 1 boot=5f3a9c01 seq={numbers} floor=0\n".encode() + b"\n" * 50_000
    with pytest.raises(BadPayload, match="a header of"):
        decode_batch(payload)


def test_a_gzip_that_is_cut_off_is_refused():
    with pytest.raises(BadPayload, match="cut off"):
        decode_batch(encode_batch(batch())[:-9])


# Confirmations


def test_a_confirmation_is_these_bytes_and_back():
    boots = {"5f3a9c01": Spans.parse("1-5000,5010-5020"), "00c0ffee": Spans.parse("7")}
    payload = b"1 5f3a9c01=1-5000,5010-5020 00c0ffee=7"
    assert encode_confirmed(boots) == payload
    assert decode_confirmed(payload) == boots


BOOT = st.from_regex("[0-9a-f]{8}", fullmatch=True)
SPAN = st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)).map(lambda s: (s[0], sum(s)))


@given(st.dictionaries(BOOT, st.lists(SPAN, max_size=20).map(Spans), max_size=8))
def test_what_is_confirmed_comes_back(boots):
    assert decode_confirmed(encode_confirmed(boots)) == boots


def test_the_longest_confirmation_is_taken():
    spans = Spans((MAX_NUMBER - 2 * n, MAX_NUMBER - 2 * n) for n in range(256))
    boots = {f"{n:08x}": spans for n in range(8)}
    assert decode_confirmed(encode_confirmed(boots)) == boots


def test_what_a_later_version_confirms_beside_is_skipped():
    assert decode_confirmed(b"1 until=x 5f3a9c01=7 also=") == {"5f3a9c01": Spans.parse("7")}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"1 ",
        b"2 5f3a9c01=7",
        b"5f3a9c01=7",
        b"1 5f3a9c01",
        b"1  5f3a9c01=7",
        b"1 5f3a9c01=1-",
        b"1 5f3a9c01=7\n",
        b'{"v":1,"boots":{}}',
        b"\xff",
        b"1 5f3a9c01=" + b"1," * MAX_CONFIRMED_BYTES + b"1",
    ],
)
def test_these_bytes_are_no_confirmation(payload):
    with pytest.raises(BadPayload, match="not a confirmation"):
        decode_confirmed(payload)


@given(st.binary(max_size=80) | st.text("1 =-,5f3a9c0", max_size=40).map(str.encode))
def test_no_confirmation_raises_anything_else(payload):
    for prefix in (b"", b"1 ", b"1 5f3a9c01="):
        try:
            decode_confirmed(prefix + payload)
        except BadPayload:
            continue


def test_times_are_kept_to_the_microsecond():
    at = AT + timedelta(microseconds=1)
    (line,) = LineWriter("g12").readings("m", {Quantity.SOIL_PH: 7.0}, at)
    assert parse_line(line).time_ns == 1764000000000001000
