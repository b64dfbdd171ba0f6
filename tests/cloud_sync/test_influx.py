import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.request import Request, urlopen

import pytest
from influxdb_client.rest import ApiException

from cloud_sync.influx import InfluxStore
from cloud_sync.spans import Spans
from cloud_sync.store import Refused, Rejected, TooLarge, Unavailable
from cloud_sync.wire import FAMILY, Batch, LineWriter, encode_batch
from drivers.reading import Quantity
from tests.fakes.servers import free_port, nginx_v2

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

LINE = b"air,gateway=g12,sensor=m temperature_celsius=21.5 1764000000000000000\n"
AT = datetime(2025, 11, 24, 16, tzinfo=UTC)


@pytest.fixture
def store(influx_bucket):
    store = InfluxStore(influx_bucket.url, bucket=influx_bucket.name, org="satomori")
    yield store
    store.close()


def test_lines_arrive_as_they_were_written(store, influx_bucket):
    store.write(LINE + LINE.replace(b"21.5", b"22").replace(b"000000000\n", b"000000001\n"))
    assert influx_bucket.rows("air") == [
        {
            "time": 1764000000000000000,
            "gateway": "g12",
            "sensor": "m",
            "temperature_celsius": 21.5,
        },
        {
            "time": 1764000000000000001,
            "gateway": "g12",
            "sensor": "m",
            "temperature_celsius": 22,
        },
    ]


def test_a_line_that_comes_again_changes_nothing(store, influx_bucket):
    for _ in range(3):
        store.write(LINE)
    assert len(influx_bucket.rows("air")) == 1


def test_every_quantity_is_a_field_of_its_family(store, influx_bucket):
    values = dict.fromkeys(FAMILY, 1.5)
    store.write(b"".join(LineWriter("g12").readings("m", values, AT)))
    for quantity, family in FAMILY.items():
        (row,) = influx_bucket.rows(family)
        assert row[quantity.value] == 1.5


def test_influx_understands_names_as_people_write_them(store, influx_bucket):
    names = [
        "居間",
        "front door",
        "a,b=c d",
        "'\"quoted\"'",
        "#1",
        "tab\there",
        "ﾀﾞｲﾄﾞｺﾛ",
        "🐗",
        "\r",
        "a/",
    ]
    lines = [
        line
        for name in names
        for line in LineWriter(name, name, {name: name}).readings(name, {Quantity.SOIL_PH: 7.0}, AT)
    ]
    store.write(b"".join(lines))
    found = influx_bucket.rows("soil")
    assert sorted(row["sensor"] for row in found) == sorted(names)
    for row in found:
        assert row["gateway"] == row["site"] == row["place"] == row["sensor"]


def test_influx_understands_every_way_to_write_a_number(store, influx_bucket):
    numbers = [0.0, -0.5, 1e-7, 5e-324, 1e16, 1.7976931348623157e308, 0.1, 2.9000000000000004]
    for second, number in enumerate(numbers):
        at = AT.replace(second=second)
        store.write(b"".join(LineWriter("g12").readings("m", {Quantity.SOIL_PH: number}, at)))
    assert [row["soil_ph"] for row in influx_bucket.rows("soil")] == numbers


@pytest.mark.parametrize("bad", [b"bad line\n", LINE.replace(b"=21.5", b"=21i"), b"air t=1 x\n"])
def test_one_bad_line_means_rejected(store, influx_bucket, bad):
    store.write(LINE)
    with pytest.raises(Rejected, match=r"answered 400: .*(parse|type conflict|timestamp)"):
        store.write(LINE + bad)


@pytest.mark.parametrize(
    ("status", "meaning", "words"),
    [
        (400, Refused, "Bad Request"),
        (422, Refused, "no reason given"),
        (413, TooLarge, "Too Large"),
        (401, Refused, "Check the token"),
        (403, Refused, "the right to write"),
        (404, Refused, "create it with `influx bucket create --org satomori --name test"),
        (301, Refused, "Check the address"),
        (418, Refused, "Check the address"),
        (408, Unavailable, "cannot be reached"),
        (429, Unavailable, "Too Many Requests"),
        (500, Unavailable, "answered 500"),
        (502, Unavailable, "answered 502"),
        (503, Unavailable, "answered 503"),
        (504, Unavailable, "answered 504"),
    ],
)
def test_each_status_means_what_to_do_next(store, influx_bucket, status, meaning, words):
    influx_bucket.answer(status)
    with pytest.raises(meaning, match=words) as caught:
        store.write(LINE)
    assert influx_bucket.url in str(caught.value)
    assert "<" not in str(caught.value)
    influx_bucket.answer(None)
    store.write(LINE)


@pytest.mark.parametrize("status", [429, 503])
def test_the_store_says_when_it_wants_to_be_asked_again(store, influx_bucket, status):
    influx_bucket.answer(status)
    with pytest.raises(Unavailable) as caught:
        store.write(LINE)
    assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize(("ahead_s", "expected"), [(120, range(110, 121)), (-120, range(1))])
def test_a_date_by_which_to_ask_again_is_compared_with_the_clock_of_the_server(
    influx_bucket, tmp_path, ahead_s, expected
):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    with nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", retry_after=date) as busy:
        busy.answer(503)
        store = InfluxStore(busy.url, bucket=influx_bucket.name)
        with pytest.raises(Unavailable) as caught:
            store.write(LINE)
        store.close()
    assert int(caught.value.retry_after_s) in expected


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "Mon, 99 Nov 2026 12:00:00 GMT"])
def test_what_says_not_when_to_ask_again_says_nothing(influx_bucket, tmp_path, text):
    with nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", retry_after=text) as busy:
        busy.answer(429)
        store = InfluxStore(busy.url, bucket=influx_bucket.name)
        with pytest.raises(Unavailable) as caught:
            store.write(LINE)
        store.close()
    assert caught.value.retry_after_s is None


def test_points_beyond_the_retention_policy_are_rejected_and_counted(influx_bucket):
    influx_bucket.influx.query(
        f'CREATE RETENTION POLICY "day" ON "{influx_bucket.database}" DURATION 1d REPLICATION 1'
    )
    store = InfluxStore(influx_bucket.url, bucket=f"{influx_bucket.database}/day")
    with pytest.raises(Rejected, match="beyond retention policy") as caught:
        store.write(LINE + LINE.replace(b"000000000\n", b"000000001\n"))
    store.close()
    assert caught.value.all_of == 2


def test_a_retention_policy_that_does_not_exist_has_to_be_made(influx_bucket):
    store = InfluxStore(influx_bucket.url, bucket=f"{influx_bucket.database}/nowhere")
    with pytest.raises(Refused, match=r"retention policy not found.*create it"):
        store.write(LINE)
    store.close()


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ({"message": "Please provide either orgID or org"}, Refused),
        ({"error": "database is required"}, Refused),
        ({"message": "failure writing points to database: partial write: dropped=1"}, Rejected),
        ({"message": "unable to parse 'air,bucket=x': missing fields"}, Rejected),
    ],
)
def test_influxdb_2_blames_the_lines_or_the_settings(words, meaning):
    store = InfluxStore("http://localhost", bucket="b")
    problem = ApiException(status=400, reason="Bad Request")
    problem.body = json.dumps(words).encode()
    assert type(store._meaning(problem)) is meaning
    store.close()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x00b"])
def test_bytes_that_are_no_text_stop_nothing(store, influx_bucket, name):
    store.write(LINE.replace(b"sensor=m", b"sensor=" + name) + LINE)
    assert len(influx_bucket.rows("air")) == 2


def test_a_bucket_that_does_not_exist_is_named(influx_bucket):
    store = InfluxStore(influx_bucket.url, bucket="nowhere/autogen")
    with pytest.raises(Refused, match=r"database not found.*There is no bucket 'nowhere/autogen'"):
        store.write(LINE)
    store.close()


def test_a_page_of_a_proxy_in_another_encoding_is_no_disaster(influx_bucket):
    store = InfluxStore(f"{influx_bucket.url}/latin-1", bucket=influx_bucket.name)
    with pytest.raises(Unavailable, match="something else answered"):
        store.write(LINE)
    store.close()


def test_what_is_not_there_is_unavailable():
    store = InfluxStore(f"http://127.0.0.1:{free_port()}", bucket="b")
    with pytest.raises(Unavailable, match=r"Connection refused.*check the address"):
        store.write(LINE)
    store.close()


def test_tls_to_a_server_without_it_is_refused(influx_bucket):
    store = InfluxStore(influx_bucket.url.replace("http", "https"), bucket=influx_bucket.name)
    with pytest.raises(Refused, match=r"SSL.*CA file"):
        store.write(LINE)
    store.close()


def test_the_token_comes_from_its_file_and_is_never_logged(influx_bucket, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "token"
    with nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", token="s3cret") as guarded:
        store = InfluxStore(guarded.url, bucket=influx_bucket.name)
        with pytest.raises(Refused, match="Check the token"):
            store.write(LINE)
        store.close()
        secret.write_text("s3cret\n")
        store = InfluxStore(guarded.url, bucket=influx_bucket.name, token_file=secret)
        store.write(LINE)
        store.close()
    assert len(influx_bucket.rows("air")) == 1
    assert "s3cret" not in caplog.text


def test_a_token_that_cannot_be_read_is_said_at_once(tmp_path):
    with pytest.raises(Refused, match=f"cannot be read from {tmp_path}/token"):
        InfluxStore("http://localhost", bucket="b", token_file=tmp_path / "token")


def test_lines_are_packed_on_the_way(influx_bucket, tmp_path):
    lines = b"".join(LINE.replace(b"000000000\n", b"%09d\n" % n) for n in range(1000))
    small = len(lines) // 4
    with nginx_v2(influx_bucket.influx.url, tmp_path / "nginx", max_body_bytes=small) as narrow:
        store = InfluxStore(narrow.url, bucket=influx_bucket.name)
        store.write(lines)
        store.close()
    assert len(influx_bucket.rows("air")) == 1000


@pytest.mark.parametrize("leaf", ["/write?db={database}", "/write?db={database}&precision=n"])
def test_influx_takes_a_whole_payload_and_skips_its_header(influx_bucket, leaf):
    """This is what lets Telegraf and others read batches without us."""
    payload = encode_batch(Batch("5f3a9c01", Spans([(1, 1)]), 0, LINE), "line-protocol")
    url = influx_bucket.influx.url + leaf.format(database=influx_bucket.database)
    with urlopen(Request(url, payload), timeout=10) as response:
        assert response.status == 204
    assert len(influx_bucket.rows("air")) == 1


def test_victoria_metrics_takes_the_same_lines(victoria_metrics_server):
    store = InfluxStore(victoria_metrics_server.url, bucket="any")
    for _ in range(2):
        store.write(b"".join(LineWriter("g12").readings("m", dict.fromkeys(FAMILY, 1.5), AT)))
    store.close()
    assert victoria_metrics_server.count("g12") == len(FAMILY)
