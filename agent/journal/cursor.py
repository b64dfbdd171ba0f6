"""A reader's place in the journal: what the uplink needs of it (under_way.Outbox).

What is confirmed rides along with the next commit: a power cut may forget some confirmations, and
what they were about is then sent twice, which is harmless. What is wanted again (`reopen`) is
offered under a label of its own in the place of its boot, because confirmations from before must
not count for it.
"""

from collections.abc import Iterator
from secrets import token_hex
from threading import Lock
from typing import Protocol

from agent.journal.manifest import Manifest, Place, spans_of
from cloud_sync.spans import Spans
from cloud_sync.topics import Lane
from cloud_sync.uplink.under_way import Entry

MAX_AGAIN = 16
"""How many times something can be wanted again before the first of it is confirmed."""


class Shelf(Protocol):
    """Where the records are."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def newest(self) -> int:
        """The number of the newest record that is on the card; 0 if there is none."""
        ...

    def lines(self, lane: Lane, after: int, through: int) -> Iterator[tuple[str, int, list[bytes]]]:
        """Yield (boot, number of the first, lines) of runs of records with consecutive numbers."""
        ...

    def missing(self, after: int) -> int:
        """Return the number up to which, from `after` on, there is nothing, whatever it was."""
        ...


class Cursor:
    """One reader. Its place is looked at by the thread that commits, too."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        self.name, self._shelf = name, shelf
        self._lock = Lock()
        place = shelf.manifest.cursors.get(name, Place())
        self._through, self._beyond = place.through, Spans.parse(place.beyond)
        self._again = {label: Spans.parse(text) for label, text in place.again.items()}
        self._nothing: dict[Lane, tuple[int, int, int]] = {}
        """From where to where there was nothing to offer when it was last looked at, and what was
        settled then."""

    @property
    def through(self) -> int:
        """The number up to which everything is confirmed."""
        return self._through

    @property
    def newest(self) -> int:
        """The number of the newest record that is on the card; 0 if there is none."""
        return self._shelf.newest

    @property
    def place(self) -> Place:
        """Where it stands, to be written down."""
        with self._lock:
            again = {label: str(spans) for label, spans in self._again.items()}
            return Place(self._through, str(self._beyond), again)

    @property
    def unconfirmed(self) -> int:
        """How many records are still to be confirmed, about."""
        return max(0, self.newest - self._through - len(self._beyond))

    def pending(self, lane: Lane, after: int, through: int, max_bytes: int) -> list[Entry]:
        """Return records of one boot above `after` and up to `through`, oldest first.

        At least one if there is any that is not confirmed, then as many as fit into `max_bytes`.
        """
        with self._lock:
            after = max(after, self._through)
            settled, through = self._shelf.manifest.settled, min(through, self._shelf.newest)
            # A backlog of a month without alerts is looked through once.
            start, end, known = self._nothing.get(lane, (0, 0, -1))
            is_known = start <= after <= end and known == settled
            begin = max(after, end) if is_known else after
            entries = self._gathered(lane, begin, through, max_bytes)
            if not entries:
                start, end = (start, max(end, through)) if is_known else (after, through)
                self._nothing[lane] = (start, end, settled)
            return entries

    def _gathered(self, lane: Lane, after: int, through: int, max_bytes: int) -> list[Entry]:
        entries: list[Entry] = []
        room = max_bytes
        for of_boot, first, lines in self._shelf.lines(lane, after, through):
            for start, end, boot in self._wanted(of_boot, first, first + len(lines) - 1):
                if entries and boot != entries[0].boot:
                    return entries
                count = _fitting(lines[start - first : end - first + 1], room)
                count = max(count, 0 if entries else 1)
                if count:
                    taken = lines[start - first : start - first + count]
                    entries.append(Entry(boot, start, start + count - 1, b"".join(taken)))
                    room -= len(entries[-1].lines)
                if count < end - start + 1:
                    return entries
        return entries

    def floor(self, boot: str) -> int:
        """Return the number up to which this boot has nothing that is not confirmed."""
        with self._lock:
            if boot in self._again:
                return next(iter(self._again[boot]))[0] - 1
            return max(self._through, self._bounds(boot)[0] - 1)

    def confirm(self, boot: str, numbers: Spans) -> None:
        """Never offer these records again. Unknown boots and numbers are ignored."""
        with self._lock:
            if boot in self._again:
                sent = self._again[boot]
                self._again[boot] = sent - numbers
                if not self._again[boot]:
                    del self._again[boot]
                self._done(sent & numbers)
                return
            first, last = self._bounds(boot)
            self._done(
                (numbers & Spans([(first, last)]) if first <= last else Spans()) - self._held_back
            )

    def reopen(self, numbers: Spans) -> int:
        """Offer these records again, if they are still there; returns how many that is, about."""
        with self._lock:
            known = numbers & Spans([(1, self.newest)]) if self.newest else Spans()
            if not known or len(self._again) >= MAX_AGAIN:
                return 0
            done = self._beyond
            if self._through:
                done.add(1, self._through)
            done = done - known
            self._again = {label: spans - known for label, spans in self._again.items()}
            self._again = {label: spans for label, spans in self._again.items() if spans}
            self._again[token_hex(4)] = known
            self._nothing.clear()
            self._through, self._beyond = 0, done
            self._advance()
            return len(known)

    @property
    def _held_back(self) -> Spans:
        return spans_of(str(spans) for spans in self._again.values())

    def _done(self, numbers: Spans) -> None:
        self._beyond.update(numbers)
        self._advance()

    def _advance(self) -> None:
        while True:
            through = self._beyond.through(self._through)
            # Numbers whose records are gone, or that were never given, hold nobody up.
            through = max(through, self._shelf.missing(through))
            if through == self._through:
                break
            self._through = through
        self._beyond.drop_through(self._through)
        if self._again and self._through:
            gone = Spans([(1, self._through)])
            self._again = {k: rest for k, spans in self._again.items() if (rest := spans - gone)}

    def _wanted(self, boot: str, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Yield what of these numbers is not confirmed, in order: (first, last, boot or label)."""
        wanted = Spans([(first, last)]) - self._beyond
        if not self._again:
            return ((start, end, boot) for start, end in wanted)
        again = [(*s, label) for label, spans in self._again.items() for s in wanted & spans]
        rest = [(*s, boot) for s in wanted - self._held_back]
        return iter(sorted(again + rest))

    def _bounds(self, boot: str) -> tuple[int, int]:
        """Return the first and the last number of a boot; 1 and 0 for one that is not known."""
        last = self.newest
        for known in reversed(self._shelf.manifest.boots):
            if known.label == boot:
                return known.first, last
            last = known.first - 1
        return 1, 0


def _fitting(lines: list[bytes], room: int) -> int:
    """Return how many of the first lines fit."""
    for count, line in enumerate(lines):
        room -= len(line)
        if room < 0:
            return count
    return len(lines)
