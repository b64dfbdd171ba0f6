"""Damages the files of a journal as a dying card does: zeros, nonsense, a wrong bit."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent.journal.block import Block, scan
from tests.simulation.power_cut import SECTOR_BYTES

MAX_SECTORS = 6
CUT_SHORT = 0.1
"""How likely a damaged file has also lost its end."""


class Rot(NamedTuple):
    """What was on the card, and what still is."""

    present: set[bytes]
    """Lines that were there."""
    spared: set[bytes]
    """Those in blocks that are not damaged."""


def rot(folder: Path, rnd: Random) -> Rot:
    """Damage some files of the journal in this folder."""
    paths = sorted(folder.glob("*.blocks"))
    unlucky = rnd.sample(paths, min(len(paths), rnd.randint(1, 2)))
    present, spared = set[bytes](), set[bytes]()
    for path in paths:
        before = path.read_bytes()
        after = damaged(before, rnd) if path in unlucky else before
        if after != before:
            # In place, and not a byte more: the file system knows nothing of it.
            with path.open("r+b") as file:
                file.write(after)
                file.truncate()
        for head in scan(before).heads:
            block = before[head.at : head.at + head.size]
            lines = Block.decode(block).lines
            present.update(lines)
            if after[head.at : head.at + head.size] == block:
                spared.update(lines)
    return Rot(present, spared)


def damaged(content: bytes, rnd: Random) -> bytes:
    """Return it with some sectors damaged, mostly where something is written."""
    written = len(content.rstrip(b"\0"))
    damages: list[Callable[[bytes], bytes]] = [
        lambda sector: bytes(len(sector)),
        lambda sector: rnd.randbytes(len(sector)),
        lambda sector: _flipped(sector, rnd),
    ]
    result = bytearray(content)
    for _ in range(rnd.randint(1, MAX_SECTORS)):
        end = written if rnd.random() < 0.9 else len(content)
        at = rnd.randrange(0, max(end, 1), SECTOR_BYTES)
        result[at : at + SECTOR_BYTES] = rnd.choice(damages)(bytes(result[at : at + SECTOR_BYTES]))
    if rnd.random() < CUT_SHORT:
        del result[rnd.randrange(0, len(result) + 1) :]
    return bytes(result)


def _flipped(sector: bytes, rnd: Random) -> bytes:
    """Return it with one bit the other way."""
    result = bytearray(sector)
    if result:
        result[rnd.randrange(len(result))] ^= 1 << rnd.randrange(8)
    return bytes(result)
