"""What `satomori journal verify` does: reads every block of every file, and judges it."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from agent.journal.block import HEADER, MAGIC, MAX_PAYLOAD_BYTES, BadBlock, Block
from agent.journal.segment import LONGEST_BYTES, Segment

SECTOR_BYTES: Final = 512
"""What a card writes whole or not at all."""

LOOKS: Final = 5
"""Into the newest file, if something is strange: it may be a commit that is just being written."""

BETWEEN_LOOKS_S: Final = 0.05


class Checked(NamedTuple):
    """What one file is like."""

    path: Path
    blocks: int
    """That are sound."""
    records: int
    first: int
    last: int
    """The numbers of the records; `last` is below `first` if there are none."""
    problems: Sequence[str]
    """What is damaged, and where."""
    note: str = ""
    """What looks strange, and is as it should be."""


def checked(paths: Sequence[Path]) -> Iterator[Checked]:
    """Judge the files, in the order of their names. Raises PermissionError.

    A file that the daemon removes meanwhile is left out.
    """
    for path in paths:
        try:
            yield _newest(path) if path == paths[-1] else _complete(path)
        except FileNotFoundError:
            continue
        except PermissionError:
            raise
        except OSError as problem:
            yield Checked(path, 0, 0, 1, 0, [f"cannot be read: {problem.strerror}"])


def _complete(path: Path) -> Checked:
    segment = Segment.open(path)
    problems = _problems(segment)
    # A complete file ends with its last block; but until it is cut there are zeros.
    if rest := _rest(segment):
        problems.append(_piece(segment.end, segment.end + len(rest)))
    return _judged(segment, problems)


def _newest(path: Path) -> Checked:
    segment = Segment.open(path)
    rest = _rest(segment)
    for _ in range(LOOKS - 1):
        if not rest and not segment.damaged:
            break
        seen = segment.end, rest
        time.sleep(BETWEEN_LOOKS_S)
        segment = Segment.open(path)
        rest = _rest(segment)
        # What moves is being written. A daemon in a hurry may be caught at it every time.
        if (segment.end, rest) != seen:
            rest = b""
    problems, note = _problems(segment), ""
    if rest and is_torn(rest, segment.end):
        note = (
            f"at byte {segment.end} lies the beginning of a commit that was under way when the "
            "power went: it never counted, and the next start clears it away"
        )
    elif rest:
        problems.append(_piece(segment.end, segment.end + len(rest)))
    return _judged(segment, problems, note)


def _judged(segment: Segment, problems: list[str], note: str = "") -> Checked:
    heads = [head for head in segment.heads if head.records]
    first = heads[0].first if heads else segment.first
    last = heads[-1].last if heads else first - 1
    records = sum(head.records for head in heads)
    if not segment.heads and not problems:
        problems = [*problems, "there is no block in it"]
    return Checked(segment.path, len(segment.heads), records, first, last, problems, note)


def _problems(segment: Segment) -> list[str]:
    problems = [_piece(start, end) for start, end in segment.damaged]
    if segment.path.stat().st_size > LONGEST_BYTES:
        problems.append(f"longer than {LONGEST_BYTES} bytes: it is no file of ours")
    for head in segment.heads:
        try:
            Block.decode(segment.read(head))
        except BadBlock as problem:
            problems.append(f"records {head.first} to {head.last}, at byte {head.at}: {problem}")
    return problems


def _piece(start: int, end: int) -> str:
    return f"bytes {start} to {end} are damaged"


def _rest(segment: Segment) -> bytes:
    """Return what lies behind the last block, without the zeros at its end."""
    return segment.read_span(segment.end, segment.size).rstrip(b"\0")


def is_torn(rest: bytes, at: int) -> bool:
    """Whether these bytes, at that place in the file, are a commit that was not written whole.

    A commit is written into zeros, and packed bytes hold no run of zeros. So where a whole sector
    of it is zeros it never arrived; otherwise all of it was there once, and is damaged now.
    """
    end = len(rest)
    if rest[:4] == MAGIC and len(rest) >= HEADER.size:
        length = HEADER.unpack_from(rest)[2]
        end = HEADER.size + length if length <= MAX_PAYLOAD_BYTES else end
    whole = rest.ljust(end, b"\0")[:end]
    cuts = [0, *range(-at % SECTOR_BYTES or SECTOR_BYTES, end, SECTOR_BYTES), end]
    pieces = (whole[a:b] for a, b in pairwise(cuts) if b - a > 8)
    return any(not piece.strip(b"\0") for piece in pieces)
