"""A journal in a folder of its own, and what is done to it in tests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.journal import Cursor, Journal, Loss
from agent.journal.block import Block, Head, scan

BIG = 100_000_000
EVERYTHING = 1 << 40
AT_US = 1_795_392_000_000_000
"""2026-11-23, in microseconds."""


def line(number: int, family: str = "air", sensor: str = "s", at_us: int | None = None) -> bytes:
    """Return a record that can be told from all others, a second after the one before."""
    at_us = AT_US + number * 1_000_000 if at_us is None else at_us
    return f"{family},gateway=g,sensor={sensor} value={number} {at_us}000\n".encode()


def lines(numbers: Iterable[int], family: str = "air") -> list[bytes]:
    return [line(number, family) for number in numbers]


def alert(number: int) -> bytes:
    return line(number, "alert", "door")


def loss_line(loss: Loss) -> bytes:
    says = f"readings={loss.readings},from_us={loss.from_us},until_us={loss.until_us}"
    return f"loss,gateway=g,reason={loss.reason} {says} {loss.until_us}000\n".encode()


@dataclass
class Desk:
    """Opens the journal of one folder again and again, as starts of the daemon do."""

    folder: Path
    tail: Path | None
    options: Mapping[str, object] = field(default_factory=dict)

    def open(self, **options: object) -> Journal:
        all_options = {"max_bytes": BIG, "write_loss": loss_line, **self.options, **options}
        return Journal(self.folder, tail=self.tail, **all_options)

    def power_cut(self) -> None:
        """Forget what is in memory."""
        if self.tail:
            self.tail.unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.blocks"))

    def heads(self) -> Iterator[tuple[Path, Head]]:
        """Yield all blocks on the card."""
        for path in self.segments():
            for head in scan(path.read_bytes()).heads:
                yield path, head

    def blocks(self) -> list[Block]:
        return [
            Block.decode(path.read_bytes()[head.at : head.at + head.size])
            for path, head in self.heads()
        ]

    def losses(self) -> list[bytes]:
        """Return the losses on the card, by reason and number of readings."""
        return [
            each.split(b"reason=")[1].split(b",")[0]
            for block in self.blocks()
            for each in block.lines
            if each.startswith(b"loss,")
        ]


def kill(journal: Journal) -> None:
    """Let the daemon be gone, as after kill -9: nothing is said, and the lock is free."""
    if journal._waiting._tail:
        journal._waiting._tail.close()
    journal._files.close()
    journal._opened.close()


def commit(journal: Journal, *new: bytes, **states: bytes) -> None:
    """Append these and commit all that waits, in as many commits as it takes."""
    journal.append(list(new))
    block = journal.take(states)
    while block is not None:
        journal.commit(block)
        block = journal.take(states) if journal.waiting else None


def offered(cursor: Cursor, max_bytes: int = EVERYTHING) -> list[tuple[str, int, bytes]]:
    """Return (boot, number, line) of all that is pending, in the order of the numbers."""
    found = []
    for lane in ("events", "readings"):
        after = 0
        while entries := cursor.pending(lane, after, EVERYTHING, max_bytes):
            assert len({entry.boot for entry in entries}) == 1
            for entry in entries:
                assert entry.first > after
                of_entry = entry.lines.splitlines(keepends=True)
                assert len(of_entry) == entry.last - entry.first + 1
                numbers = range(entry.first, entry.last + 1)
                boots = [entry.boot] * len(of_entry)
                found += zip(boots, numbers, of_entry, strict=True)
                after = entry.last
    return sorted(found, key=lambda record: record[1])


def kept(journal: Journal) -> list[tuple[str, int, bytes]]:
    """Return all that a new reader gets."""
    return offered(journal.cursor("somebody new"))


def kept_lines(journal: Journal) -> list[bytes]:
    """Return the lines that are no losses."""
    return [each for _, _, each in kept(journal) if not each.startswith(b"loss,")]
