"""What is sent fits into a packet, and as much of it as fits."""

import random

import pytest

from cloud_sync.batch import Batch
from cloud_sync.spans import Spans
from cloud_sync.uplink.packing import MAX_PACKET_BYTES, MAX_RAW_BYTES, Packer
from cloud_sync.wire import decode_batch

chance = random.Random(3)
LINES = [
    b"air,gateway=g12,sensor=s%d temperature_celsius=%.4f %d000000\n"
    % (n % 5, chance.uniform(-20, 40), 1_764_000_000_000 + n * 7_919)
    for n in range(2_000)
]


def batch(count, first=0):
    lines = b"".join(LINES[first : first + count])
    return Batch("0b00700b", Spans([(first + 1, first + count)]), first, lines)


def unpacked(payload, packer):
    return decode_batch(payload, lambda _: packer.table)


@pytest.mark.parametrize("encoding", ["columns", "gzip", "line-protocol"])
@pytest.mark.parametrize("limit", [MAX_PACKET_BYTES, 1_500])
def test_what_does_not_fit_loses_its_end_and_not_much_more(encoding, limit):
    packer = Packer(encoding)
    packer.max_bytes = limit
    sent, payload = packer.fit(batch(2_000), float("inf"))
    assert len(payload) <= limit
    assert len(payload) > limit * 0.6 or len(sent.sequence) == 2_000
    assert unpacked(payload, packer) == sent
    assert sent.lines == b"".join(LINES[: len(sent.sequence)])


@pytest.mark.parametrize("encoding", ["columns", "gzip", "line-protocol"])
def test_the_next_one_is_asked_for_in_the_right_size(encoding):
    packer = Packer(encoding)
    packer.max_bytes = 1_500
    packer.fit(batch(500), float("inf"))
    raw_bytes = packer.raw_bytes(float("inf"))
    _, payload = packer.fit(batch(raw_bytes * 500 // len(batch(500).lines)), float("inf"))
    assert 1_000 < len(payload) <= 1_500


def test_one_record_is_sent_whatever_its_size():
    packer = Packer("line-protocol")
    sent, payload = packer.fit(batch(3), 10)
    assert len(sent.sequence) == 1
    assert len(payload) > 10


def test_never_more_lines_than_an_alert_can_wait_for():
    assert Packer("columns").raw_bytes(float("inf")) <= MAX_RAW_BYTES


def test_the_rest_of_a_days_bytes_is_a_limit_too():
    packer = Packer("line-protocol")
    assert packer.raw_bytes(500) <= 2_000
    _, payload = packer.fit(batch(100), 500)
    assert len(payload) <= 500


def test_a_broker_may_want_less():
    packer = Packer("gzip")
    packer.broker_takes(1 << 28)
    assert packer.max_bytes == MAX_PACKET_BYTES
    packer.broker_takes(2_000)
    assert 1_500 < packer.max_bytes < 2_000
    packer.was_too_large(1_600)
    assert packer.max_bytes == 800
    for _ in range(20):
        packer.was_too_large(100)
    assert packer.max_bytes == 256
