"""A decoder that was written after docs/wire.md reads the vectors, and so does ours."""

import tomllib
from itertools import groupby
from pathlib import Path

import pytest

from cloud_sync.columns import SeriesTable, pack, unpack
from cloud_sync.columns.envelope import PRESET
from cloud_sync.spans import Spans
from cloud_sync.wire import Batch
from tests.cloud_sync import columns_decoder

VECTORS = Path(__file__).parents[1] / "vectors" / "wire" / "columns.toml"
CASES = tomllib.loads(VECTORS.read_text(encoding="utf-8"))["case"]


def spans(numbers):
    found = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        first, *_, last = [number for _, number in [*run] * 2]
        found.append(f"{first}-{last}" if first != last else f"{first}")
    return ",".join(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_decoder_after_the_document_reads_the_vectors(case):
    payload, table = bytes.fromhex(case["payload"]), bytes.fromhex(case["series"])
    assert columns_decoder.table_text(table).decode() == case["table"].lstrip("\n")
    boot, numbers, floor, lines = columns_decoder.decoded(payload, table)
    assert lines.decode() == case["lines"].lstrip("\n")
    assert (boot, spans(numbers), floor) == (case["boot"], case["sequence"], case["floor"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_implementation_makes_and_reads_the_vectors(case):
    lines = case["lines"].lstrip("\n").encode()
    batch = Batch(case["boot"], Spans.parse(case["sequence"]), case["floor"], lines)
    payload, table = bytes.fromhex(case["payload"]), bytes.fromhex(case["series"])
    learnt = SeriesTable()
    learnt.learn(SeriesTable.parse(table).series)
    packed = pack(batch, learnt)
    # What deflate makes differs between versions of zlib.
    assert packed == payload or payload[0] & 4
    assert learnt.id == SeriesTable.parse(table).id
    assert unpack(payload, {learnt.id: learnt}.get) == batch


def test_the_vectors_show_each_part_of_the_encoding():
    payloads = [bytes.fromhex(case["payload"]) for case in CASES]
    assert {payload[0] & 3 for payload in payloads} == {1, 2, 3}
    assert {payload[0] & 8 for payload in payloads} == {0, 8}
    assert any(payload[0] & 4 for payload in payloads)
    assert len(CASES) >= 6


def test_the_preset_dictionary_is_in_the_document():
    assert columns_decoder.PRESET == PRESET
