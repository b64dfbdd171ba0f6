"""docs/wire.md says what the code does."""

import re
import tomllib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud_sync.broker import Broker, connect_properties
from cloud_sync.columns import SeriesTable, is_columns
from cloud_sync.columns.series import MAX_SERIES, MAX_TABLE_BYTES, Series
from cloud_sync.columns.values import MAX_SCALE
from cloud_sync.ingester.held import MAX_BOOTS, MAX_SPANS
from cloud_sync.messages import (
    MAX_BYTES,
    MAX_LOOK,
    decode_ask,
    decode_hello,
    decode_sign,
    decode_time,
    encode_ask,
    encode_hello,
    encode_sign,
    encode_time,
)
from cloud_sync.topics import parse_topic, partition, sign_topic, topic
from cloud_sync.wire import (
    ALERT,
    EVIDENCE,
    FAMILY,
    LOSS,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    LineWriter,
    corrected,
    decode_batch,
    decode_confirmed,
    encode_batch,
    encode_confirmed,
    parse_line,
    records,
)
from drivers.reading import Quantity
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase
from tests.fakes.servers import until

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
JOURNAL = Path(__file__).parents[2] / "agent" / "journal"
AT = datetime(2025, 11, 24, 16, tzinfo=UTC)
EVENT = AlertEvent(
    "rule",
    "meter",
    Phase.FIRING,
    AT,
    AT,
    Severity.DANGER,
    31.4,
    condition="above",
    quantity=Quantity.TEMPERATURE_CELSIUS,
    evidence=(("limit", 30.0),),
)


EXAMPLES = re.findall(r"```([\w-]*)\n(.*?)```", DOCUMENT, re.DOTALL)


def example(language, nth=0):
    return [text for found, text in EXAMPLES if found == language][nth]


def table_after(heading):
    """The cells of the code in the first columns of the first table below a heading."""
    text = DOCUMENT.split(heading, 1)[1].lstrip().split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()[2:]]
    return [[cell.strip("`") for cell in row] for row in rows]


def test_every_quantity_is_in_the_table_with_its_measurement():
    documented = {(row[0], row[1]) for row in table_after("others are absent.")}
    writer = LineWriter("g12")
    alert = writer.event(EVENT, time_uncertain=True)
    lines = [alert, corrected(alert, writer.event(EVENT)), writer.loss("budget", 1, (AT, AT), AT)]
    points = list(map(parse_line, lines))
    assert {point.measurement for point in points} == {ALERT, LOSS}
    assert documented == {
        *((family, quantity.value) for quantity, family in FAMILY.items()),
        *(
            (point.measurement, re.sub(rf"^{EVIDENCE}.*", f"{EVIDENCE}…", field))
            for point in points
            for field in point.fields
        ),
    }


def test_every_tag_is_in_the_table():
    documented = table_after("disk was full |\n")
    writer = LineWriter("g12", "site", {"meter": "place"})
    (reading,) = writer.readings("meter", dict.fromkeys(list(FAMILY)[:1], 1.0), AT)
    assert {row[0] for row in documented if row[1] == "all"} == set(parse_line(reading).tags)
    assert {row[0] for row in documented if row[1] != LOSS} == set(
        parse_line(writer.event(EVENT)).tags
    )
    loss = parse_line(writer.loss("budget", 1, (AT, AT), AT))
    assert {row[0] for row in documented if row[1] == LOSS} == set(loss.tags) - {"gateway", "site"}


def test_every_severity_and_phase_of_an_event_is_named():
    rows = {row[0]: row[2] for row in table_after("disk was full |\n")}
    assert set(re.findall(r"\w+", rows["severity"])) - {"or"} == set(Severity) - {Severity.PART}
    assert set(re.findall(r"\w+", rows["phase"])) - {"or"} == {Phase.FIRING, Phase.QUIET}


def test_every_topic_is_in_the_table():
    leaves = [row[0].replace("<sensor>", "meter") for row in table_after("<gateway>/<leaf>\n")]
    assert leaves == [
        *("readings", "events", "series", "confirmed", "hello", "time", "ask", "state"),
        "latest/meter",
    ]
    assert f"`{sign_topic('<client id>')}`" in DOCUMENT
    for leaf in leaves:
        assert parse_topic(topic("g12", leaf)).leaf == leaf
    gateway, named = re.search(r"The gateway `(\w+)`\s+is in `(p\d\d)`", DOCUMENT).groups()
    assert partition(gateway) == named


def test_the_batch_is_one_and_holds_records():
    payload = example("line-protocol").encode()
    batch = decode_batch(payload)
    assert (batch.boot, str(batch.sequence), batch.floor) == ("5f3a9c01", "118-119,121", 117)
    assert encode_batch(batch, "line-protocol") == payload
    for line in batch.lines.splitlines():
        assert list(records(parse_line(line)))


def test_the_confirmation_is_one():
    payload = example("text").strip().encode()
    assert encode_confirmed(decode_confirmed(payload)) == payload


@pytest.mark.parametrize(
    ("name", "encode", "decode"),
    [
        ("hello", encode_hello, decode_hello),
        ("time", encode_time, decode_time),
        ("ask", encode_ask, decode_ask),
        ("ingesters/…", encode_sign, decode_sign),
    ],
)
def test_the_other_messages_are_these(name, encode, decode):
    payloads = [row[1].encode() for row in table_after("at most 4 KiB.\n") if row[0] == name]
    assert payloads
    for payload in payloads:
        assert encode(decode(payload)) == payload


def test_the_series_table_is_one():
    lines = example("text", 1).splitlines()
    table = SeriesTable()
    table.learn(
        Series(head, tuple(names.split(",")))
        for head, names in (line.rsplit(" ", 1) for line in lines)
    )
    assert [str(series) for series in SeriesTable.parse(table.payload()).series] == lines
    assert table.payload()[0] == 0xD8


def test_the_first_bytes_tell_the_encoding():
    (columns, *_), (gzip, *_), (text, *_) = table_after("how it is encoded:\n")
    first, last = (int(octet, 16) for octet in re.findall(r"\b[0-9a-f]{2}\b", columns))
    assert {octet for octet in range(256) if is_columns(bytes([octet]))} == set(
        range(first, last + 1)
    )
    payload = decode_batch(example("line-protocol").encode())
    assert encode_batch(payload, "gzip").startswith(bytes.fromhex(gzip))
    assert encode_batch(payload, "line-protocol").startswith(text.encode())


def test_the_limits_are_those_of_the_code():
    assert "at most 1 MiB, its header at most 64 KiB" in DOCUMENT
    assert (MAX_PAYLOAD_BYTES, MAX_HEADER_BYTES) == (1 << 20, 64 << 10)
    assert f"at most {MAX_TABLE_BYTES >> 10} KiB and {MAX_SERIES:,} lines" in DOCUMENT
    assert f"how many decimals its numbers have at most, 0 to {MAX_SCALE}" in DOCUMENT
    assert MAX_BYTES == 4 << 10
    assert timedelta(hours=1) == MAX_LOOK
    numbers = re.search(r"the (\d+) boots of a gateway .* most (\d+) spans", DOCUMENT, re.DOTALL)
    assert tuple(map(int, numbers.groups())) == (MAX_BOOTS, MAX_SPANS)


def test_telegraf_is_configured_for_the_topics_of_batches():
    config = tomllib.loads(example("toml"))
    (consumer,) = config["inputs"]["mqtt_consumer"]
    assert consumer["topics"] == [f"satomori/v1/+/+/{leaf}" for leaf in ("readings", "events")]
    assert consumer["topic_tag"] == ""
    assert consumer["data_format"] == "influx"


def test_the_fields_that_any_reading_may_have_are_made_so():
    documented = {row[0] for row in table_after("two fields more:\n")}
    made = "".join(path.read_text(encoding="utf-8") for path in JOURNAL.glob("*.py"))
    assert documented == {"time_uncertain_seconds", "mean_of"}
    assert all(f",{name}=%d" in made for name in documented)


@contextmanager
def logged_in(port, user, folder, topics=()):
    """Somebody at the broker, who has subscribed; yields the client, and the topics it hears of."""
    password_file = folder / user
    password_file.write_text("s3cret")
    broker = Broker("127.0.0.1", port, tls=False, username=user, password_file=password_file)
    client = broker.client(user, protocol=5, session_expiry_s=0)
    heard, subscribed = [], []
    client.on_message = lambda _client, _userdata, message: heard.append(message.topic)
    client.on_subscribe = lambda *_: subscribed.append(True)
    broker.connect(client, connect_properties(session_expiry_s=0))
    client.loop_start()
    try:
        until(client.is_connected)
        for name in topics:
            client.subscribe(name, 1)
        until(lambda: len(subscribed) == len(topics))
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_the_access_list_lets_each_do_its_own_and_no_more(start_mosquitto, tmp_path):
    users = dict.fromkeys(["ingester", "g12", "g13"], "s3cret")
    port = start_mosquitto(passwords=users, acl=example("acl")).port

    def publish(user, name):
        # Mosquitto 2.0.11 hangs up on who publishes what is forbidden: a login for each message.
        with logged_in(port, user, tmp_path) as (client, _):
            info = client.publish(name, b"x", qos=1)
            until(lambda: info.is_published() or not client.is_connected())

    up = ("readings", "events", "series", "hello")
    down = ("confirmed", "time", "ask")
    sign = sign_topic("ingester")
    everything = [*(f"satomori/v1/+/+/{leaf}" for leaf in (*up, *down)), sign_topic("+")]
    with logged_in(port, "ingester", tmp_path, everything) as (ingester, stored):
        for name in [*(topic("g12", leaf) for leaf in (*up, "state", "latest/m", *down)), sign]:
            publish("g13", name)
        for name in [*(topic("g12", leaf) for leaf in (*down, *up)), sign]:
            publish("g12", name)
        until(lambda: len(stored) == len(up))
        assert stored == [topic("g12", leaf) for leaf in up]
        with logged_in(port, "g12", tmp_path, everything) as (_, heard):
            for leaf in down:
                for gateway in ("g13", "g12"):
                    ingester.publish(topic(gateway, leaf), b"x", qos=1)
            ingester.publish(sign, b"x", qos=1)
            until(lambda: sign in heard)
    assert heard == [*(topic("g12", leaf) for leaf in down), sign]


@pytest.mark.servers
@pytest.mark.timeout(60)
def test_mosquitto_understands_its_settings(start_mosquitto):
    settings = [line for line in example("conf").splitlines() if "allow_anonymous" not in line]
    start_mosquitto(extra="\n".join(settings).replace("max_queued_messages 0", ""))
