"""Batches to bytes and back; see cloud_sync/columns/."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from cloud_sync.batch import MAX_PAYLOAD_BYTES, BadPayload, Batch
from cloud_sync.columns.bits import BitReader, BitWriter
from cloud_sync.columns.envelope import Envelope, opened, seal
from cloud_sync.columns.frames import Disorder, Frame, Kind, read_frames, write_frames
from cloud_sync.columns.lines import Strand, take_apart
from cloud_sync.columns.series import SeriesTable
from cloud_sync.columns.values import read_columns, write_columns

Find: TypeAlias = Callable[[int], SeriesTable | None]
"""Returns the series table of an id; None if it is not known here."""


PIECES: Final = 3
"""Of a line that is put together: up to the first number, up to the time, and the rest."""


class UnknownSeries(BadPayload):
    """The batch names a series table that is not known here. Ask for it, and unpack again."""

    def __init__(self, table_id: int) -> None:
        super().__init__(f"a batch with the unknown series table {table_id:08x}")
        self.table_id = table_id


def pack(batch: Batch, table: SeriesTable) -> bytes:
    """Return the payload. What it needs of `table` is added: if its id changed, publish it first.

    Raises ValueError if there are not as many lines as numbers.
    """
    lines = batch.lines.decode("latin-1").split("\n")
    if lines.pop() or not lines or len(lines) != len(batch.sequence):
        raise ValueError(f"{len(lines)} lines for the sequence {str(batch.sequence)[:80]}")
    strands = _known(take_apart(lines), table)
    try:
        bits, raw = _packed(strands, table, len(lines)) if strands else (b"", range(len(lines)))
    except Disorder:
        bits, raw = b"", range(len(lines))
    text = "".join([f"{lines[row]}\n" for row in raw]).encode("latin-1")
    table_id = table.id if bits else None
    return seal(Envelope(batch.boot, batch.sequence, batch.floor, text, table_id, bits))


def _known(strands: Sequence[Strand], table: SeriesTable) -> dict[int, Strand]:
    """Return the lines of each series by its place in the table, which learns what is new."""
    wanted = [strand.series for strand in sorted(strands, key=lambda strand: strand.rows)]
    table.make_room(wanted)
    table.learn(wanted)
    places = {strand.series: table.find(strand.series) for strand in strands}
    return {place: strand for strand in strands if (place := places[strand.series]) is not None}


def _packed(
    strands: Mapping[int, Strand], table: SeriesTable, count: int
) -> tuple[bytes, Sequence[int]]:
    """Return the columns, and which lines are not in them. Raises Disorder."""
    places, times = [-1] * count, [0] * count
    for place, strand in strands.items():
        for row, time_ns in zip(strand.rows, strand.times, strict=True):
            places[row], times[row] = place, time_ns
    raw = [row for row, place in enumerate(places) if place < 0]
    writer = BitWriter()
    writer.numbers([b - a - 1 for a, b in zip([-1, *raw], raw, strict=False)])
    write_frames(writer, _frames(places, times, table))
    groups = _groups(strands, table)
    write_columns(writer, [[strands[p].columns[n] for p, n in group] for group in groups])
    return writer.to_bytes(), raw


def _frames(places: Sequence[int], times: Sequence[int], table: SeriesTable) -> list[Frame]:
    """Join lines of one sensor and one moment whose series follow each other in the table."""
    frames: list[Frame] = []
    first = end = time_ns = -1
    for place, time in zip(places, times, strict=True):
        if place == end and time == time_ns and table.tags[first] == table.tags[end]:
            end += 1
        elif place >= 0:
            if end >= 0:
                frames.append(Frame(Kind(first, end), time_ns))
            first, end, time_ns = place, place + 1, time
    return [*frames, Frame(Kind(first, end), time_ns)]


def _groups(places: Iterable[int], table: SeriesTable) -> list[list[tuple[int, int]]]:
    """Return the columns (series, number of the field) of each name of a field."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for place in sorted(places):
        for number, name in enumerate(table.series[place].names):
            groups.setdefault(name, []).append((place, number))
    return list(groups.values())


def unpack(payload: bytes, find: Find) -> Batch:
    """Return what `pack` was given. Raises BadPayload; UnknownSeries if the table is not known."""
    envelope = opened(payload)
    *raw, rest = envelope.raw.decode("latin-1").split("\n")
    count = len(envelope.sequence)
    if envelope.table_id is None:
        text, lines = envelope.raw, len(raw)
    else:
        table = find(envelope.table_id)
        if table is None:
            raise UnknownSeries(envelope.table_id)
        text = _unpacked(BitReader(envelope.bits), table, raw, count).encode("latin-1")
        lines = count
    if rest or lines != count or len(text) > MAX_PAYLOAD_BYTES:
        raise BadPayload(f"columns: {lines} lines, {len(text)} bytes, for {count} numbers")
    return Batch(envelope.boot, envelope.sequence, envelope.floor, text)


def _unpacked(reader: BitReader, table: SeriesTable, raw: Sequence[str], count: int) -> str:
    """Return `count` lines, the raw ones among them."""
    if not len(raw) < count <= MAX_PAYLOAD_BYTES:
        raise BadPayload(f"columns: {len(raw)} raw lines of {count}")
    gaps = reader.numbers(len(raw))
    places, ends = read_frames(reader, table.bytes_before, count - len(raw))
    fields = _read_fields(reader, table, Counter(places))
    reader.end()
    pieces = [""] * (PIECES * len(places))
    pieces[0::PIECES] = map(table.heads.__getitem__, places)
    pieces[1::PIECES] = map(next, map(fields.__getitem__, places))
    pieces[2::PIECES] = ends
    return "".join(_merged(pieces, raw, gaps) if raw else pieces)


def _read_fields(
    reader: BitReader, table: SeriesTable, lines: Mapping[int, int]
) -> dict[int, Iterator[str]]:
    """Return what the lines of each series say between head and time, given how many they are."""
    places = sorted(lines)
    groups: dict[str, list[int]] = {}
    for place in places:
        for name in table.series[place].names:
            groups.setdefault(name, []).append(lines[place])
    columns = dict(zip(groups, read_columns(reader, list(groups.values())), strict=True))
    ends = dict.fromkeys(columns, 0)
    fields = {}
    for place in places:
        some = []
        for name in table.series[place].names:
            start, ends[name] = ends[name], ends[name] + lines[place]
            some.append(columns[name][start : ends[name]])
        texts = iter(some[0])
        if len(some) > 1:
            for joint, other in zip(table.joints[place], some[1:], strict=True):
                texts = map(joint.join, zip(texts, other, strict=True))
        fields[place] = texts
    return fields


def _merged(pieces: Sequence[str], raw: Sequence[str], gaps: Sequence[int]) -> list[str]:
    """Put the raw lines where they were, each behind so many of the others."""
    merged: list[str] = []
    at = 0
    for gap, text in zip(gaps, raw, strict=True):
        merged += pieces[at : at + PIECES * gap]
        merged.append(f"{text}\n")
        at += PIECES * gap
    return [*merged, *pieces[at:]]
