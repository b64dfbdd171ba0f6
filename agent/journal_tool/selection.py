"""Which records an engineer means: by their numbers, or by their times."""

from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import NamedTuple

from agent.clock import EPOCH, MICROSECOND
from agent.journal.files import Files
from agent.journal.reader import Record, records
from agent.recording import moment
from cloud_sync.spans import Spans


class Refused(Exception):
    """What is asked for makes no sense: says why, and what would."""


class Wanted(NamedTuple):
    """A span of time, both ends included, in microseconds since 1970; None: without an end."""

    begin_us: int | None = None
    end_us: int | None = None

    def holds(self, at_us: int) -> bool:
        return (self.begin_us is None or at_us >= self.begin_us) and (
            self.end_us is None or at_us <= self.end_us
        )


def wanted_time(begin: str | None, end: str | None, zone: tzinfo) -> Wanted:
    """Return what --from and --to mean. Raises Refused."""
    wanted = Wanted(_time_us("--from", begin, zone), _time_us("--to", end, zone))
    if wanted.begin_us is not None and not wanted.holds(wanted.begin_us):
        raise Refused(f"--to {end} is before --from {begin}")
    return wanted


def _time_us(option: str, text: str | None, zone: tzinfo) -> int | None:
    if text is None:
        return None
    try:
        return (moment(text, zone) - EPOCH) // MICROSECOND
    except (ValueError, OverflowError) as problem:
        raise Refused(f"{option} {text!r} is not a time: {problem}") from problem


def between(
    files: Files, wanted: Wanted, on_unreadable: Callable[[int, int], None] = lambda *_: None
) -> Iterator[Record]:
    """Yield the records of that time, in the order of their numbers."""
    found = records(files, on_unreadable=on_unreadable)
    return (record for record in found if wanted.holds(record.at_us))


def numbered(files: Files, time: Wanted | None, numbers: str | None) -> tuple[Spans, Spans]:
    """Return which records are meant and still there, and which are gone.

    They are those of that time, or those with these numbers, or all. Raises Refused.
    """
    first, newest = files.first, files.manifest.next - 1
    if newest < first:
        raise Refused("there is no record in the journal yet")
    there, gone = Spans([(first, newest)]), Spans()
    if time is not None:
        there = _of_time(files, time)
    elif numbers is not None:
        wanted = _parsed(numbers)
        if not wanted & there or wanted - Spans([(1, newest)]):
            raise Refused(f"--numbers {numbers[:80]}: there are {first} to {newest}")
        there, gone = wanted & there, wanted - there
    return there, gone


def _parsed(numbers: str) -> Spans:
    try:
        return Spans.parse(numbers)
    except ValueError as problem:
        raise Refused(f"--numbers: {problem}") from problem


def _of_time(files: Files, time: Wanted) -> Spans:
    spans = Spans()
    for record in between(files, time):
        spans.add(record.number, record.number)
    if not spans:
        raise Refused("no record is from that time; `satomori journal status` says what there is")
    return spans


def amount(files: Files, numbers: Spans) -> tuple[int, int]:
    """Return how many records these are, and how many bytes on the card, both about."""
    count = size = 0
    for file in files.manifest.filed:
        if file.first <= file.last and numbers.covers(file.first, file.last):
            count, size = count + file.last - file.first + 1, size + file.bytes
            numbers -= Spans([(file.first, file.last)])
    for first, last in numbers:
        for _, head in files.heads(first - 1, last):
            here = min(last, head.last) - max(first, head.first) + 1
            part = here / (head.last - head.first + 1)
            count, size = count + round(head.records * part), size + round(head.size * part)
    return count, size
