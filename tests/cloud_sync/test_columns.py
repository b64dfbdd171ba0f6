"""Batches as columns: the same bytes come back, whatever the lines are."""

import random
import time
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload, Batch
from cloud_sync.columns import SeriesTable, UnknownSeries, is_columns, pack, unpack
from cloud_sync.columns.bits import BitReader, BitWriter, packed, unzigzag, zigzag
from cloud_sync.columns.envelope import HAS_COLUMNS, HAS_RAW, IS_DEFLATED, VERSION_1
from cloud_sync.columns.series import MAX_SERIES, TABLE_VERSION_1, Series
from cloud_sync.spans import MAX_NUMBER, Spans
from cloud_sync.wire import decode_batch

T0_S = 1_764_000_000
ALERT_LINE = (
    "alert,gateway=g12,phase=firing,place=bedroom,rule=寝室が暑い,sensor=meter,severity=danger,"
    "site=oouchi firing=1,since_seconds=1764000000.5,value=31.4 1764000600000000000\n"
).encode()


def batch_of(lines, first=1, floor=0, boot="5f3a9c01"):
    count = lines.count(b"\n")
    return Batch(boot, Spans([(first, first + count - 1)]), floor, lines)


def there_and_back(batch, table=None):
    """Pack and unpack, with the table as it comes out of its own message."""
    table = SeriesTable() if table is None else table
    payload = pack(batch, table)
    arrived = SeriesTable.parse(table.payload())
    assert arrived.id == table.id
    return unpack(payload, {arrived.id: arrived}.get)


def line(sensor, at_ns, measurement="air", **fields):
    text = ",".join(f"{name}={str(value).removesuffix('.0')}" for name, value in fields.items())
    return f"{measurement},gateway=g12,sensor={sensor},site=oouchi {text} {at_ns}\n".encode()


def nodes(count=10, rounds=3, families=1, jitter_s=1, seed=1):
    """What some nodes say that measure the same every five minutes."""
    rng = random.Random(seed)
    frames = []
    for node in range(count):
        phase_s, level = rng.randrange(300), rng.randrange(100, 250)
        for nth in range(rounds):
            level += rng.choice([-1, 0, 0, 1])
            at = T0_S + phase_s + 300 * nth + rng.randint(-jitter_s, jitter_s)
            air = {"temperature_celsius": level / 10, "humidity_percent": 60 + level % 7}
            soil = {"soil_temperature_celsius": level / 20, "soil_ph": 6.4}
            some = [("air", air), ("soil", soil)][:families]
            frames.append((at, [line(f"node{node}", at * 10**9, m, **f) for m, f in some]))
    return [one for _, some in sorted(frames, key=lambda frame: frame[0]) for one in some]


# Any lines


ODD_NUMBERS = r"""
1e+16 -0 -0.5 0 1.10 007 1i "x" t 1=2 %s - .5 5. ٣
9999999999.999999999 12345678901 1.0000000001 9223372036854775807
"""
ODD_TIMES = "01 +1 1_0 -1 -0 9223372036854775807 9223372036854775808"
HEADS = r"""
air,gateway=g12,sensor=a
soil,gateway=g12,sensor=a
air,gateway=g12,sensor=b\ %s
alert,gateway=g12,rule=r
loss,gateway=g12,reason=budget
気
"""

NAME = st.sampled_from(["temperature_celsius", "humidity_percent", "a", "b%s", "µ", r"c\,d"])
NUMBER = st.one_of(
    st.integers(-2000, 2000).map(lambda n: repr(n / 10).removesuffix(".0")),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False).map(lambda n: repr(n).removesuffix(".0")),
    st.sampled_from([*ODD_NUMBERS.split(), ""]),
)
FIELDS = st.lists(st.tuples(NAME, NUMBER), min_size=1, max_size=3).map(
    lambda fields: ",".join(f"{name}={number}" for name, number in fields)
)
HEAD = st.sampled_from([*HEADS.split("\n"), "air,x\0y"])
TIME = st.one_of(
    st.integers(0, 900).map(lambda s: str((T0_S + s) * 10**9)),
    st.integers(0, 10**6).map(lambda us: str(T0_S * 10**9 + us * 1000)),
    st.integers(-(2**64), 2**64).map(str),
    st.sampled_from([*ODD_TIMES.split(), ""]),
)
MOULD = st.builds("{} {} {}".format, HEAD, FIELDS, TIME).map(str.encode)
LINE = st.one_of(MOULD, MOULD, MOULD, st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")))


@settings(max_examples=300)
@given(st.lists(LINE, min_size=1, max_size=30))
@example([b"a y=1 5", b"b x=2,y=3 5"])
@example([b"a b=1 5", b"a b=1 4", b"a b=1 5", b"a b=1 4"])
@example([b""])
@example([b"a b=1 5", b"", b"a b=2 6"])
@example([b"a b=1,b=2 5"])
@example([b"a b,1=c,2=3 5", b"a b=1,c=2 5"])
@example([b"a b=1 -5", b"a b=2 -3", b"a b=3 -1"])
@example([b"a b=1 1", b"a b=1 1000", b"c b=1 2000000", b"d b=1 3000000000", b"d b=1 6000000000"])
def test_any_lines_come_back(lines):
    batch = batch_of(b"".join(one + b"\n" for one in lines))
    assert there_and_back(batch) == batch


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), min_size=1, max_size=9),
    st.integers(0, MAX_NUMBER - 1000),
    st.one_of(st.integers(0, 40), st.just(MAX_NUMBER)),
    st.from_regex("[0-9a-f]{8}", fullmatch=True),
)
def test_boot_numbers_and_floor_come_back(spans, offset, floor, boot):
    sequence = Spans((offset + first, offset + first + more) for first, more in spans)
    lines = b"".join(line("a", (T0_S + n) * 10**9, t=n) for n in range(len(sequence)))
    batch = Batch(boot, sequence, floor, lines)
    assert there_and_back(batch) == batch


@pytest.mark.parametrize("families", [1, 2])
@pytest.mark.parametrize("jitter_s", [0, 1, 20])
def test_regular_lines_come_back_and_nothing_is_carried_raw(families, jitter_s):
    batch = batch_of(b"".join(nodes(rounds=30, families=families, jitter_s=jitter_s)))
    table = SeriesTable()
    assert there_and_back(batch, table) == batch
    assert not pack(batch, table)[0] & HAS_RAW


def test_lines_in_any_order_come_back():
    lines = nodes(rounds=20, families=2)
    random.Random(2).shuffle(lines)
    batch = batch_of(b"".join(lines))
    assert there_and_back(batch) == batch


def test_what_is_in_no_order_at_all_is_not_sorted_for_minutes():
    lines = [line("a", n * 10**9, t=1) for n in range(4000, 0, -1)]
    batch = batch_of(b"".join(lines))
    payload = pack(batch, SeriesTable())
    assert not payload[0] & HAS_COLUMNS
    assert unpack(payload, lambda _: None) == batch


def test_alternating_states_cost_less_than_a_byte():
    lines = [line("door", (T0_S + 7 * n) * 10**9, contact_open=n % 2) for n in range(200)]
    table = SeriesTable()
    pack(batch_of(lines[0]), table)
    assert len(pack(batch_of(b"".join(lines)), table)) < 40


def test_the_same_batch_is_the_same_payload():
    batch, table = batch_of(b"".join(nodes())), SeriesTable()
    assert pack(batch, table) == pack(batch, table)


def test_there_have_to_be_as_many_lines_as_numbers():
    for lines, numbers in ((b"x\n", "1-2"), (b"x\ny", "1-2"), (b"x\ny\n", "1"), (b"", "")):
        with pytest.raises(ValueError, match="lines for the sequence"):
            pack(Batch("5f3a9c01", Spans.parse(numbers), 0, lines), SeriesTable())


# How few bytes


def size(lines, table=None):
    table = SeriesTable() if table is None else table
    return len(pack(batch_of(b"".join(lines), 100_000, 99_999), table))


def test_a_quarter_of_an_hour_of_ten_nodes_fits_into_few_bytes():
    lines = nodes(families=2)
    assert len(lines) == 60
    assert size(lines) <= 110


def test_lines_of_one_frame_share_their_time_for_nothing():
    air, soil = (nodes(rounds=12, families=n) for n in (1, 2))
    apart = [b"soil" + one.removeprefix(b"air") for one in air]
    assert size(soil) < size(air) + size(apart) - 30


def test_neighbours_are_told_by_their_difference():
    far = [line(f"n{n}", T0_S * 10**9, t=100_000 + n) for n in range(50)]
    near = [line(f"n{n}", T0_S * 10**9, t=n) for n in range(50)]
    assert size(far) <= size(near) + 6


def test_a_line_that_does_not_fit_costs_little_and_spoils_nothing():
    lines = nodes(rounds=12)
    odd = [*lines[:60], line("node3", 5, temperature_celsius="1e+22"), *lines[60:]]
    assert size(odd) <= size(lines) + 80


def test_an_alert_needs_no_table():
    table = SeriesTable()
    batch = batch_of(ALERT_LINE)
    payload = pack(batch, table)
    assert table.series == []
    assert unpack(payload, lambda _: None) == batch
    assert len(payload) < len(ALERT_LINE) - 60


# The series table


def test_a_batch_that_teaches_nothing_leaves_the_table_as_it_is():
    table = SeriesTable()
    pack(batch_of(nodes()[0]), table)
    learnt = table.id
    pack(batch_of(nodes()[0]), table)
    assert table.id == learnt
    pack(batch_of(line("other", 5, t=1)), table)
    assert table.id != learnt


def test_the_table_says_what_the_lines_have_in_common():
    table = SeriesTable()
    pack(batch_of(b"".join(nodes(count=1, families=2))), table)
    text = (
        b"air,gateway=g12,sensor=node0,site=oouchi temperature_celsius,humidity_percent\n"
        b"soil,gateway=g12,sensor=node0,site=oouchi soil_temperature_celsius,soil_ph\n"
    )
    assert zlib.decompress(table.payload()[1:], wbits=-15) == text
    assert table.id == zlib.crc32(text)


def test_an_earlier_table_is_not_enough_for_a_later_batch():
    early, late = SeriesTable(), SeriesTable()
    pack(batch_of(nodes()[0]), early)
    payload = pack(batch_of(b"".join(nodes())), late)
    with pytest.raises(UnknownSeries, match=f"{late.id:08x}") as caught:
        unpack(payload, {early.id: early}.get)
    assert caught.value.table_id == late.id
    with pytest.raises(UnknownSeries):
        decode_batch(payload)
    assert decode_batch(payload, {late.id: late}.get) == unpack(payload, {late.id: late}.get)


def test_a_full_table_is_begun_anew():
    table = SeriesTable()
    table.learn(Series(f"x{n}", ("t",)) for n in range(MAX_SERIES))
    batch = batch_of(b"".join(nodes()))
    assert there_and_back(batch, table) == batch
    assert len(table.series) == 10
    assert SeriesTable.parse(table.payload()).series == table.series


def test_a_batch_of_more_series_than_a_table_has_comes_back_all_the_same():
    lines = b"".join(b"x%d t=%d 5\n" % (n, n) for n in range(MAX_SERIES + 100))
    table = SeriesTable()
    assert there_and_back(batch_of(lines), table) == batch_of(lines)
    assert len(table.series) == MAX_SERIES


def table_message(text):
    packer = zlib.compressobj(9, wbits=-15)
    return bytes([TABLE_VERSION_1]) + packer.compress(text) + packer.flush()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xd9" + table_message(b"a b\n")[1:],
        table_message(b"a b\n")[:-1],
        table_message(b"a b\n") + b"x",
        table_message(b"a b"),
        table_message(b"a b\na b\n"),
        table_message(b"a b\n" * 1_000_000),
        table_message(b"".join(b"a%d b\n" % n for n in range(MAX_SERIES + 1))),
        b"\xd8\xff\xff",
    ],
)
def test_these_bytes_are_no_table(payload):
    with pytest.raises(BadPayload, match="series table"):
        SeriesTable.parse(payload)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_table_raise_anything_else(payload):
    for prefix in (b"", b"\xd8", table_message(b"")[:-1]):
        try:
            table = SeriesTable.parse(prefix + payload)
        except BadPayload:
            continue
        assert SeriesTable.parse(table.payload()).id == table.id


# Numbers as bits


@given(
    st.lists(st.integers(0, 6))
    | st.lists(st.sampled_from([0, 0, 0, 0, 0, 7]), max_size=300)
    | st.lists(st.integers(0, 1 << 64), max_size=40)
    | st.lists(st.sampled_from([0, 1, 3, 10**6, 10**15]), max_size=40)
)
def test_numbers_come_back(numbers):
    writer = BitWriter()
    writer.numbers(numbers)
    writer.gamma(5)
    reader = BitReader(writer.to_bytes())
    assert reader.numbers(len(numbers)) == numbers
    assert reader.gamma() == 5
    reader.end()


@pytest.mark.parametrize(
    ("numbers", "bits"),
    [
        ([], ""),
        ([0] * 1000, "0000"),
        ([0, 1, 2], "0010 1 01 001"),
        ([4, 5, 7], "0100 01 01 01 00 01 11"),
        ([0] * 60 + [3], "0001 1 0111 01 11100 0010 001"),
        ([20_000], "1111 000000 001 0111000100000"),
        ([13] * 3, f"0010 {(8 * '0' + '1') * 3} 00110 00110 00110"),
    ],
)
def test_numbers_are_these_bits(numbers, bits):
    written = BitWriter()
    written.text(bits.replace(" ", ""))
    assert BitReader(written.to_bytes()).numbers(len(numbers)) == numbers
    if numbers != [13] * 3:
        assert packed(numbers) == bits.replace(" ", "")


def test_one_large_number_does_not_spoil_the_others():
    assert len(packed([1] * 100 + [10**9])) < 350


def test_zigzag_counts_to_and_fro():
    assert [zigzag(n) for n in (0, -1, 1, -2, 2, -(2**80))] == [0, 1, 2, 3, 4, 2**81 - 1]
    assert all(unzigzag(zigzag(n)) == n for n in (-(2**80), -1, 0, 1, 2**80))


# What is no batch


def found_or_refused(payload, table):
    """Unpack within a second, or refuse; nothing else."""
    started_s = time.process_time()
    try:
        batch = unpack(payload, {table.id: table}.get)
    except BadPayload:
        batch = None
    assert time.process_time() - started_s < 1
    if batch:
        assert batch.lines.count(b"\n") == len(batch.sequence)
        assert len(batch.lines) <= MAX_PAYLOAD_BYTES
    return batch


MIXED = b"".join([*nodes(rounds=6, families=2)[:50], ALERT_LINE, *nodes(seed=3)])


@given(st.data())
def test_a_damaged_payload_is_a_batch_or_refused(data):
    table = SeriesTable()
    payload = bytearray(pack(batch_of(MIXED), table))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    found_or_refused(bytes(payload), table)


def forged(tail="", **changes):
    """A batch of three lines of one series, one part of which says something else."""
    parts = {
        "kinds": 1,
        "series": [0],
        "lengths": [0],
        "counts": [zigzag(2)],
        "units": [0],
        "second": 0,
        "starts": [0],
        "periods": [zigzag(7)],
        "misses": [0, 0],
        "ranks": [0, 0, 0],
        "scales": [0],
        "firsts": [zigzag(1)],
        "predictor": 0,
        "steps": [zigzag(1)] * 2,
        "numbering": b"\1\2\0\0",
    }
    parts |= changes
    table = SeriesTable()
    pack(batch_of(b"a b=1 5\nc b=1 5\n"), table)
    writer = BitWriter()
    writer.gamma(parts["kinds"] - 1)
    for name in ("series", "lengths", "counts", "units"):
        writer.numbers(parts[name])
    writer.bits(zigzag(parts["second"]), 36)
    writer.bits(0, 1)
    for name in ("starts", "periods", "misses", "ranks", "scales"):
        writer.numbers(parts[name])
    writer.bits(0, 1)
    writer.numbers(parts["firsts"])
    writer.bits(0, 1)
    writer.bits(parts["predictor"], 2)
    writer.numbers(parts["steps"])
    writer.text(tail)
    head = bytes([VERSION_1 | HAS_COLUMNS]) + bytes(4) + table.id.to_bytes(4, "big")
    return head + parts["numbering"] + writer.to_bytes(), table


def test_what_is_forged_below_is_a_batch_otherwise():
    payload, table = forged()
    batch = unpack(payload, {table.id: table}.get)
    assert batch.lines == b"a b=1 0\na b=2 7000000000\na b=3 14000000000\n"
    payload, table = forged(ranks=[1, 0, 0])
    batch = unpack(payload, {table.id: table}.get)
    assert batch.lines == b"a b=1 7000000000\na b=2 0\na b=3 14000000000\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": 2**40},
        {"series": [zigzag(2)]},
        {"series": [zigzag(-1)]},
        {"lengths": [zigzag(2)]},
        {"counts": [zigzag(3)]},
        {"counts": [zigzag(1)]},
        {"counts": [zigzag(2**40)]},
        {"kinds": 2, "series": [0, 0], "lengths": [0, 0], "counts": [zigzag(-1), zigzag(3)]},
        {
            "kinds": 2,
            "series": [0, 0],
            "lengths": [zigzag(-1), zigzag(1)],
            "counts": [0, zigzag(2)],
            "units": [0, 0],
            "starts": [0, 0],
            "ranks": [0, 0, 0, 0],
        },
        {"units": [zigzag(4)]},
        {"units": [zigzag(-1)]},
        {"second": 2**34},
        {"second": -(2**34)},
        {"periods": [zigzag(2**63)]},
        {"ranks": [3, 0, 0]},
        {"ranks": [0, 0, 1]},
        {"ranks": [2**63, 0, 0]},
        {"scales": [10]},
        {"firsts": [zigzag(10**19)]},
        {"steps": [zigzag(-2 * 10**19), 0]},
        {"predictor": 3},
        {"scales": [1], "tail": "1"},
        {"tail": "0" * 8},
        {"numbering": b"\1\2\x0a\0"},
        {"numbering": b"\0\2\0\0"},
        {"numbering": b"\1\2\0\1"},
        {"numbering": b"\1" + b"\xff" * 9 + b"\0\0"},
        {"numbering": b"\1" + b"\x80" * 10 + b"\2\0\0"},
    ],
    ids=str,
)
def test_one_part_that_cannot_be_is_refused(changes):
    payload, table = forged(**changes)
    assert found_or_refused(payload, table) is None


def test_a_list_cannot_have_more_numbers_than_places():
    writer = BitWriter()
    writer.bits(1, 4)
    writer.gamma(2**40)
    writer.text("0" * 100)
    with pytest.raises(BadPayload, match="more numbers than places"):
        BitReader(writer.to_bytes()).numbers(5)


@pytest.mark.parametrize("bits", ["0010 000000000 1 1", "0001 1 0001 1 0000 0000", "0010 1"])
def test_a_list_that_nobody_writes_is_refused(bits):
    writer = BitWriter()
    writer.text(bits.replace(" ", ""))
    with pytest.raises(BadPayload, match="columns"):
        BitReader(writer.to_bytes()[:2]).numbers(20 if bits == "0010 1" else 2)


def test_a_batch_with_gaps_everywhere_is_refused_before_they_are_sorted():
    sequence = Spans((n, n) for n in range(1, 140_003, 2))
    payload = pack(Batch("5f3a9c01", sequence, 0, b"x\n" * len(sequence)), SeriesTable())
    with pytest.raises(BadPayload, match="spans"):
        unpack(payload, lambda _: None)


def test_a_table_has_a_limit_of_bytes_too():
    table = SeriesTable()
    table.learn(Series("x" * 100_000 + str(n), ("t",)) for n in range(9))
    assert len(table.series) == 5
    assert len(SeriesTable.parse(table.payload()).series) == 5


def test_a_payload_that_is_cut_off_is_refused():
    table = SeriesTable()
    payload = pack(batch_of(MIXED), table)
    assert found_or_refused(payload, table)
    for length in range(len(payload)):
        assert found_or_refused(payload[:length], table) is None
    assert found_or_refused(payload + b"\0", table) is None


@given(st.integers(0, 15), st.binary(max_size=300))
def test_no_bytes_raise_anything_else(flags, payload):
    table = SeriesTable()
    pack(batch_of(MIXED), table)
    found_or_refused(bytes([VERSION_1 | flags]) + payload, table)
    head = bytes([VERSION_1 | flags]) + bytes(4) + table.id.to_bytes(4, "big")
    for numbering in (b"\1\0\0\0", b"\1\x3b\0\0", b"\1\xff\xff\x3f\0\0"):
        found_or_refused(head + numbering + payload, table)


def test_text_is_not_taken_for_columns():
    assert not any(map(is_columns, (b"", b"#satomori 1", b"\x1f\x8b", b"{", b"\xd8", b"\xbf")))


def test_a_bomb_of_raw_lines_takes_little_memory():
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(50)) + packer.flush()
    payload = bytes([VERSION_1 | HAS_RAW | IS_DEFLATED]) + bytes(4) + b"\1\0\0\0" + bomb
    tracemalloc.start()
    with pytest.raises(BadPayload, match="more than 1048576 bytes"):
        unpack(payload, lambda _: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_PAYLOAD_BYTES


def bomb_of_columns(lines):
    """A few bytes that say that one series has so many equal lines."""
    table = SeriesTable()
    pack(batch_of(b"a b=1 5\n"), table)
    writer = BitWriter()
    writer.gamma(0)
    writer.numbers([0])
    writer.numbers([0])
    writer.numbers([zigzag(lines - 1)])
    writer.text("0" * 1000)
    octets, number = b"", lines - 1
    while number > 127:
        octets, number = octets + bytes([number & 127 | 128]), number >> 7
    numbering = b"\1" + octets + bytes([number]) + b"\0\0"
    head = bytes([VERSION_1 | HAS_COLUMNS]) + bytes(4) + table.id.to_bytes(4, "big")
    return head + numbering + writer.to_bytes(), table


@pytest.mark.parametrize("lines", [200_000, 1_048_576, 2**31, 2**62])
def test_a_bomb_of_columns_is_refused_before_it_grows(lines):
    payload, table = bomb_of_columns(lines)
    tracemalloc.start()
    with pytest.raises(BadPayload):
        unpack(payload, {table.id: table}.get)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_PAYLOAD_BYTES


def test_a_batch_of_more_than_a_megabyte_is_refused():
    batch = batch_of(b"x" * 1000 + b"\n" * 49 + line("a", 5, t=1))
    assert there_and_back(batch) == batch
    half = b"x" * (MAX_PAYLOAD_BYTES // 2) + b"\n"
    with pytest.raises(BadPayload):
        there_and_back(batch_of(half + b"".join(line("a" * 1000, n, t=n) for n in range(600))))
    lines = b"".join(line("a" * 1000, n, t=n) for n in range(1100))
    with pytest.raises(BadPayload):
        there_and_back(batch_of(lines))
    with pytest.raises(BadPayload):
        there_and_back(batch_of(b"x" * MAX_PAYLOAD_BYTES + b"\n"))
