"""What a recording would have alerted: of every kind of file, whole, odd or hostile."""

import gzip
import io
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import replay as replaying
from agent.recording import moment
from drivers.capture import frame_to_json
from drivers.devices.bthome import UUID
from gateway_config.load import load
from tests.agent.home import AT, after, door, meter

CONFIG = """
[gateway]
name = "g1"

[[sensor]]
name = "door"
device = "gpio_contact"
pin = 17

[[sensor]]
name = "寝室"
device = "bthome"
address = "A4:C1:38:00:00:01"

[[rule]]
name = "戸が開いたまま"
condition = "opened"
sensor = "door"
hold = "10 min"

[[rule]]
name = "too warm"
condition = "above"
sensor = "寝室"
quantity = "temperature_celsius"
limit = 30.0

[[rule]]
name = "open at night"
condition = "opened"
sensor = "door"
hours = "22:00-05:00"
"""

FIRED = {
    "at": "2026-11-23T06:10:00+00:00",
    "rule": "戸が開いたまま",
    "sensor": "door",
    "phase": "firing",
    "severity": "warning",
    "since": "2026-11-23T06:00:00+00:00",
    "value": 1.0,
}
OVER = FIRED | {"at": "2026-11-23T06:20:00+00:00", "phase": "quiet", "value": 0.0}


@dataclass
class Ran:
    """What one call printed and returned."""

    code: int
    out: str
    err: list[str]

    @property
    def events(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def times(self):
        """When something began to fire or was over, in seconds after AT."""
        return [(datetime.fromisoformat(e["at"]) - AT).total_seconds() for e in self.events]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "gateway.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return load(path)


@pytest.fixture
def run(config, tmp_path):
    """Replays lines from a file of this name; bytes are written as they are."""

    def run(content, name="recording.jsonl", until=None):
        path = tmp_path / name
        if not isinstance(content, bytes):
            content = "".join(f"{line}\n" for line in content).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return replayed(config, path, until)

    return run


def replayed(config, path, until=None):
    out, err = io.StringIO(), io.StringIO()
    code = replaying.replay(config, path, until, out, err)
    return Ran(code, out.getvalue(), err.getvalue().splitlines())


def reading(is_open, seconds, sensor="door", at=None):
    at = at or after(seconds).isoformat()
    row = {"at": at, "sensor": sensor, "quantity": "contact_open", "value": is_open}
    return json.dumps(row, ensure_ascii=False)


FRAMES = [frame_to_json(door(1)), frame_to_json(door(0, after(1200)))]
READINGS = [reading(1, 0), reading(0, 1200)]
CSV = [
    "at,sensor,quantity,value",
    "2026-11-23T06:00:00+00:00,door,contact_open,1",
    "2026-11-23T06:20:00+00:00,door,contact_open,0",
]


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize(
    ("lines", "name"),
    [(FRAMES, "frames.jsonl"), (READINGS, "readings.jsonl"), (CSV, "readings.csv")],
)
def test_every_kind_of_file_gives_the_same_alerts(run, lines, name, packed):
    ran = run(lines, name + packed)
    assert ran.events == [FIRED, OVER]
    assert ran.code == 0
    assert ran.err == ["2 readings judged, 0 of them too late; 0 lines left out"]


def test_the_same_recording_gives_the_same_bytes_each_time(run):
    lines = [reading(n % 2, n * 700) for n in range(200)] + ["what?", reading(1, 0, "nobody")]
    first, second = run(lines), run(lines)
    assert (first.out, first.err) == (second.out, second.err)
    assert len(first.events) > 100


def test_frames_and_readings_may_stand_in_one_file(run):
    assert run([FRAMES[0], "", "  ", READINGS[1]]).events == [FIRED, OVER]


def test_frames_are_sampled_as_the_daemon_would(run):
    lines = [frame_to_json(meter(t, after(s))) for s, t in [(0, 20), (10, 31), (60, 32)]]
    ran = run(lines)
    assert [(e["rule"], e["value"]) for e in ran.events] == [("too warm", 32.0)]
    assert ran.err == ["2 readings judged, 0 of them too late; 0 lines left out"]


def test_time_goes_on_until_the_given_moment_and_no_further(run):
    assert run(READINGS[:1]).times == []
    assert run(READINGS[:1], until=after(599)).times == []
    assert run(READINGS[:1], until=after(600)).times == [600]
    ran = run(READINGS, until=after(1000))
    assert ran.times == [600]
    assert ran.err == ["1 readings judged, 0 of them too late; 0 lines left out"]


def test_a_moment_before_the_recording_leaves_nothing(run):
    assert run(READINGS, until=after(-3600)).times == []


def test_a_time_without_offset_is_local_time_of_the_site(run):
    local = [reading(1, 0, at="2026-11-23T15:00:00"), reading(0, 0, at="2026-11-23 15:20")]
    assert run(local).events == [FIRED, OVER]


def test_a_naive_time_in_csv_is_local_too(run):
    rows = [
        "at,sensor,quantity,value",
        "2026-11-23 15:00,door,contact_open,1",
        "2026-11-23 15:20,door,contact_open,0",
    ]
    assert run(rows, "local.csv").events == [FIRED, OVER]


def test_hours_of_a_rule_are_of_the_site(run):
    ran = run([reading(1, 0, at="2026-11-23T21:59:00+09:00")], until=after(9 * 3600))
    night = [e["at"] for e in ran.events if e["rule"] == "open at night"]
    assert night == ["2026-11-23T13:00:00+00:00"]


def test_columns_may_stand_in_any_order_among_others_and_quoted(run):
    rows = [
        '"value","note","sensor","at","quantity"',
        '1,"a, b","door","2026-11-23T06:00:00Z",contact_open',
        '0,"","door","2026-11-23T06:20:00Z",contact_open',
    ]
    assert run(rows, "odd.csv").events == [FIRED, OVER]


def test_csv_that_excel_has_saved_is_read(run):
    text = "\ufeff" + "\r\n".join(CSV) + "\r\n"
    assert run(text.encode(), "excel.csv").events == [FIRED, OVER]


def test_readings_that_come_late_are_counted_and_do_not_turn_time_back(run):
    ran = run([reading(1, 0), reading(0, 1200), reading(1, 300), reading(0, 1195)])
    assert ran.times == [600, 1200]
    assert ran.err == ["4 readings judged, 1 of them too late; 0 lines left out"]


def test_readings_of_decode_which_names_sensors_by_their_address_are_understood(run):
    reading = {"quantity": "temperature_celsius", "value": 31, "sensor": "A4:C1:38:00:00:01"}
    ran = run([json.dumps(reading | {"at": "2026-11-23T06:00:00+00:00"})])
    assert [(e["sensor"], e["phase"]) for e in ran.events] == [("寝室", "firing")]


def test_sensors_that_are_not_configured_are_named(run):
    names = ["納屋", "\x1b[2J"]
    ran = run([reading(1, n, name) for n, name in enumerate(names)])
    assert ran.events == []
    assert ran.err[0] == "not in the configuration: '\\x1b[2J', '納屋'"


def test_frames_that_gave_nothing_are_counted(run):
    stranger, damaged = replace(meter(20), address="A4:C1:38:00:00:99"), meter(20)
    damaged.service_data[UUID] = damaged.service_data[UUID][:-1]
    ran = run(map(frame_to_json, [stranger, stranger, damaged]))
    assert ran.err[:2] == ["2 frames of no sensor in the configuration", "1 damaged frames"]


HOSTILE = [
    "{",
    "[]",
    "null",
    "17",
    '"at"',
    "{}",
    '{"at": 5}',
    '{"transport": "ble"}',
    '{"transport": ["ble"]}',
    '{"transport": "gpio", "at": "2026-11-23T06:00:00", "pin": 17, "level": 1}',
    '{"transport": "gpio", "at": "9999-12-31T23:59:59Z", "pin": 17, "level": 1}',
    '{"transport": "gpio", "at": "0001-01-01T00:00:00Z", "pin": 17, "level": 1}',
    reading(1, 0, at="yesterday"),
    reading(1, 0, at="0001-01-01T00:00:00+09:00"),
    reading(1, 0, at="9999-12-31T23:59:59-09:00"),
    reading(1, 0, at=["2026"]),
    reading("open", 0),
    reading(None, 0),
    reading([1], 0),
    reading(float("nan"), 0),
    reading(float("-inf"), 0),
    reading(10**400, 0),
    reading("1e999", 0),
    reading(1, 0).replace("contact_open", "door"),
    reading(1, 0).replace('"contact_open"', "[]"),
    reading(1, 0).replace('"contact_open"', '{"a": 1}'),
    "[" * 50_000,
    "\x00",
    "\ufeff{}",
    "9" * 5000,
    "x" * 100_000,
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_line_that_cannot_be_used_costs_itself_only(run, line):
    ran = run([READINGS[0], line, READINGS[1]])
    assert ran.events == [FIRED, OVER]
    assert ran.err[0].startswith("line 2: left out, because of: ")
    assert ran.err[1:] == ["2 readings judged, 0 of them too late; 1 lines left out"]
    assert ran.code == 0


def test_bytes_that_are_no_text_cost_their_line_only(run):
    ran = run(f"{READINGS[0]}\n".encode() + b"\xff\xfe\x00\x81\n" + READINGS[1].encode())
    assert ran.events == [FIRED, OVER]


@pytest.mark.parametrize(
    "row",
    [
        "",
        ",,,",
        "2026-11-23T06:05:00Z,door,contact_open",
        "2026-11-23T06:05:00Z,door,contact_open,open",
        "2026-11-23T06:05:00Z,door,contact_open,nan",
        '2026-11-23T06:05:00Z,"door,contact_open,0',
        "2026-11-23T06:05:00Z;door;contact_open;0",
        "x" * 200_000,
        '"' + "x" * 200_000,
        "\x00",
    ],
    ids=range(10),
)
def test_a_row_that_cannot_be_used_costs_itself_only(run, row):
    ran = run([*CSV[:2], row, CSV[2]], "rows.csv")
    assert ran.events == [FIRED, OVER]
    assert ran.code == 0
    left_out = [line for line in ran.err if line.startswith("line 3: left out")]
    assert len(left_out) == bool(row)


def test_a_reading_that_lacks_something_is_told_what(run):
    ran = run(['{"at": "2026-11-23T06:00:00Z", "sensor": "door"}'])
    assert ran.err[0] == "line 1: left out, because of: it has no quantity, value"


def test_of_many_bad_lines_the_first_are_told_and_all_are_counted(run):
    ran = run(["{"] * 1000)
    assert len(ran.err) == 21
    assert ran.err[-1] == "0 readings judged, 0 of them too late; 1000 lines left out"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("at,sensor,value", "no column quantity"),
        ("at;sensor;quantity;value", "no column at, quantity, sensor, value"),
        ('"at', "unexpected end of data"),
        ("", "no column at, quantity, sensor, value"),
    ],
)
def test_a_csv_file_without_the_columns_is_refused(run, header, told):
    ran = run([header, *CSV[1:]] if header else [], "headless.csv")
    assert (ran.code, ran.out) == (2, "")
    assert "headless.csv cannot be replayed: " in ran.err[0]
    assert told in ran.err[0]


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(config, tmp_path):
    for path in (tmp_path / "nowhere.jsonl", tmp_path, tmp_path / "no.csv.gz"):
        ran = replayed(config, path)
        assert ran.code == 2
        assert ran.err[0].startswith(f"{path} cannot be replayed: ")


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
@pytest.mark.parametrize("damage", ["not gzip", "cut", "flipped"])
def test_a_packed_file_that_is_damaged_is_refused(config, tmp_path, name, damage):
    packed = bytearray(gzip.compress("\n".join([*CSV, *READINGS * 500]).encode()))
    if damage == "flipped":
        packed[len(packed) // 2 :] = bytes(b ^ 0xFF for b in packed[len(packed) // 2 :])
    content = {"not gzip": b"at,sensor\n", "cut": bytes(packed[:-20]), "flipped": bytes(packed)}
    (tmp_path / name).write_bytes(content[damage])
    ran = replayed(config, tmp_path / name)
    assert ran.code == 2
    assert "cannot be unpacked" in ran.err[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.text(), st.binary().map(repr)), max_size=5), st.booleans())
def test_no_file_makes_it_fail_without_a_word(config, tmp_path, lines, is_csv):
    path = tmp_path / ("any.csv" if is_csv else "any.jsonl")
    path.write_text("\n".join([*(CSV[:1] if is_csv else []), *lines]), "utf-8", "replace")
    assert replayed(config, path).code == 0


def test_a_moment_is_read_in_the_zone_or_with_its_offset(config):
    zone = config.gateway.timezone
    assert moment("2026-11-23T15:00", zone) == moment("2026-11-23T06:00Z", zone) == AT
    assert moment("2026-11-23", zone) == AT - timedelta(hours=15)
    assert moment("2026-11-23T15:00", zone).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "now", "15:00", "9999-12-31", "0001-01-01", "2026-13-01"])
def test_what_is_no_moment_is_refused(config, text):
    with pytest.raises(ValueError):
        moment(text, config.gateway.timezone)
