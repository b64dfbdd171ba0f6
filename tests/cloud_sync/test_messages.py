import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.messages import (
    MAX_BYTES,
    MAX_LOOK,
    MAX_NONCE,
    Ask,
    Sign,
    Time,
    decode_ask,
    decode_hello,
    decode_sign,
    decode_time,
    encode_ask,
    encode_hello,
    encode_sign,
    encode_time,
)
from cloud_sync.spans import Spans
from cloud_sync.topics import PARTITIONS
from cloud_sync.wire import EPOCH, BadPayload

AT = datetime(2025, 11, 24, 16, 0, 0, 250, tzinfo=UTC)
DECODERS = [decode_hello, decode_time, decode_ask, decode_sign]
NONCE = st.text(min_size=1, max_size=MAX_NONCE)
MOMENT = st.integers(0, 4_102_444_800_000_000).map(lambda us: EPOCH + timedelta(microseconds=us))
PARTITION = st.integers(0, PARTITIONS - 1)


@pytest.mark.parametrize(
    ("payload", "encode", "decode", "message"),
    [
        (b'{"v":1,"nonce":"b7c1"}', encode_hello, decode_hello, "b7c1"),
        (
            b'{"v":1,"nonce":"b7c1","time_us":1764000000000250}',
            encode_time,
            decode_time,
            Time("b7c1", AT),
        ),
        (b'{"v":1,"ask":"series"}', encode_ask, decode_ask, Ask("series")),
        (
            b'{"v":1,"ask":"look","for_s":600}',
            encode_ask,
            decode_ask,
            Ask("look", look_for=timedelta(minutes=10)),
        ),
        (
            b'{"v":1,"ask":"resend","numbers":"1-5000,5010"}',
            encode_ask,
            decode_ask,
            Ask("resend", numbers=Spans.parse("1-5000,5010")),
        ),
        (
            b'{"v":1,"state":"online","start":"5b1e77aa","partitions":[0,31]}',
            encode_sign,
            decode_sign,
            Sign(online=True, start="5b1e77aa", first_partition=0, last_partition=31),
        ),
        (
            b'{"v":1,"state":"offline","start":"5b1e77aa","partitions":[5,5]}',
            encode_sign,
            decode_sign,
            Sign(online=False, start="5b1e77aa", first_partition=5, last_partition=5),
        ),
    ],
)
def test_a_message_is_these_bytes_and_back(payload, encode, decode, message):
    assert encode(message) == payload
    assert decode(payload) == message


@given(NONCE)
def test_a_hello_comes_back(nonce):
    assert decode_hello(encode_hello(nonce)) == nonce


@given(NONCE, MOMENT)
def test_a_time_comes_back_to_the_microsecond(nonce, at):
    time = Time(nonce, at)
    assert decode_time(encode_time(time)) == time


@given(st.booleans(), st.text(max_size=MAX_NONCE), PARTITION, PARTITION)
def test_a_sign_comes_back_and_serves_its_partitions(online, start, one, other):
    first, last = sorted((one, other))
    sign = decode_sign(encode_sign(Sign(online, start, first, last)))
    assert sign == Sign(online, start, first, last)
    assert {p for p in range(PARTITIONS) if sign.serves(p)} == set(range(first, last + 1))


def test_nobody_looks_for_longer_than_an_hour_at_a_time():
    assert decode_ask(b'{"v":1,"ask":"look","for_s":86400}').look_for == MAX_LOOK


def test_what_a_later_version_says_beside_is_skipped():
    assert decode_hello(b'{"v":1,"nonce":"b7c1","mood":[]}') == "b7c1"
    assert decode_ask(b'{"v":1,"ask":"series","for_s":"x","numbers":1}') == Ask("series")


REFUSED = {
    decode_hello: [
        '{"v":1}',
        '{"v":1,"nonce":""}',
        '{"v":1,"nonce":7}',
        f'{{"v":1,"nonce":"{"x" * (MAX_NONCE + 1)}"}}',
    ],
    decode_time: [
        '{"v":1,"nonce":"x"}',
        '{"v":1,"nonce":"x","time_us":-1}',
        '{"v":1,"nonce":"x","time_us":1.5}',
        '{"v":1,"nonce":"x","time_us":true}',
        '{"v":1,"nonce":"x","time_us":"1764000000000250"}',
        '{"v":1,"nonce":"x","time_us":9007199254740992}',
        '{"v":1,"time_us":1764000000000250}',
    ],
    decode_ask: [
        '{"v":1}',
        '{"v":1,"ask":"money"}',
        '{"v":1,"ask":["series"]}',
        '{"v":1,"ask":"look"}',
        '{"v":1,"ask":"look","for_s":-1}',
        '{"v":1,"ask":"look","for_s":9007199254740991}',
        '{"v":1,"ask":"resend"}',
        '{"v":1,"ask":"resend","numbers":"5-1"}',
        '{"v":1,"ask":"resend","numbers":[1,2]}',
    ],
    decode_sign: [
        '{"v":1,"state":"online","start":"x"}',
        '{"v":1,"state":"online","start":"x","partitions":[0,64]}',
        '{"v":1,"state":"online","start":"x","partitions":[2,1]}',
        '{"v":1,"state":"online","start":"x","partitions":[-1,1]}',
        '{"v":1,"state":"online","start":"x","partitions":[1]}',
        '{"v":1,"state":"online","start":"x","partitions":"01"}',
        '{"v":1,"start":"x","partitions":[0,1]}',
        '{"v":1,"state":"online","partitions":[0,1]}',
    ],
}
NO_MESSAGES = ["", "1", "[]", "null", "{}", '{"v":2,"nonce":"x"}', '{"v":"1","nonce":"x"}', "x"]


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        *((decode, payload) for decode, some in REFUSED.items() for payload in some),
        *((decode, payload) for decode in DECODERS for payload in NO_MESSAGES),
    ],
)
def test_these_bytes_are_no_message(decode, payload):
    with pytest.raises(BadPayload, match="not a message of ours"):
        decode(payload.encode())


@pytest.mark.parametrize("decode", DECODERS)
def test_a_message_has_a_limit(decode):
    short = b'{"v":1,"nonce":"x","ask":"series","time_us":1,"start":"x","state":"online",'
    short += b'"partitions":[0,1]}'
    assert decode(short.ljust(MAX_BYTES))
    for long in (short.ljust(MAX_BYTES + 1), b"[" * 100_000):
        with pytest.raises(BadPayload):
            decode(long)
    with pytest.raises(BadPayload):
        decode(b"[" * MAX_BYTES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["nonce", "time_us", "ask", "for_s", "numbers", "state", "start"])
DOCUMENTS = st.dictionaries(
    KEYS | st.just("partitions"), JSON | st.sampled_from(["look", "resend"])
)


@given(DOCUMENTS | JSON, st.sampled_from([1, 1, 1, 2, "1"]))
def test_no_document_raises_anything_else(document, version):
    if isinstance(document, dict):
        document = {"v": version, **document}
    payload = json.dumps(document).encode()
    for read in [partial(decode, payload) for decode in DECODERS]:
        try:
            read()
        except BadPayload:
            continue


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(payload):
    for decode in DECODERS:
        with pytest.raises(BadPayload):
            decode(b'{"v":1,' + payload)
