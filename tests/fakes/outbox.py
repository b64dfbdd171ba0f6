"""A journal in memory, for tests of what reads it: it keeps the promises of under_way.Outbox."""

from dataclasses import dataclass, field
from secrets import token_hex

from cloud_sync.spans import Spans
from cloud_sync.topics import Lane
from cloud_sync.uplink.under_way import Entry


@dataclass
class MemoryOutbox:
    """`keep` appends records; `unconfirmed` says which ones are still to be sent."""

    boot: str = "0b00700b"
    records: list[tuple[Lane, bytes]] = field(default_factory=list)
    """Record n is at n - 1."""
    unconfirmed: Spans = field(default_factory=Spans)
    hidden: Spans = field(default_factory=Spans)
    """Readings whose time is not settled."""
    labels: dict[str, Spans] = field(default_factory=dict)
    """What was reopened, by its label."""

    def keep(self, *lines: bytes, lane: Lane = "readings") -> None:
        for line in lines:
            self.records.append((lane, line))
            self.unconfirmed.add(self.newest, self.newest)

    @property
    def newest(self) -> int:
        return len(self.records)

    def pending(self, lane: Lane, after: int, through: int, max_bytes: int) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        offered = self.unconfirmed & Spans([(after + 1, through)]) if through > after else Spans()
        for number in (n for a, b in offered - self.hidden for n in range(a, b + 1)):
            kind, line = self.records[number - 1]
            boot = self._boot_of(number)
            if kind != lane:
                continue
            size += len(line)
            if entries and (size > max_bytes or boot != entries[0].boot):
                break
            if entries and entries[-1].last == number - 1:
                last = entries.pop()
                entries.append(Entry(boot, last.first, number, last.lines + line))
            else:
                entries.append(Entry(boot, number, number, line))
        return entries

    def floor(self, boot: str) -> int:
        first, _ = next(iter(self.unconfirmed), (self.newest + 1, 0))
        return first - 1

    def confirm(self, boot: str, numbers: Spans) -> None:
        ours = Spans([(1, self.newest)]) if self.records else Spans()
        for label, spans in self.labels.items():
            ours = ours & spans if label == boot else ours - spans
        if boot in {self.boot, *self.labels}:
            self.unconfirmed = self.unconfirmed - (numbers & ours)

    def reopen(self, numbers: Spans) -> int:
        known = numbers & Spans([(1, self.newest)])
        self.labels[token_hex(4)] = known
        self.unconfirmed.update(known)
        return len(known)

    def _boot_of(self, number: int) -> str:
        labels = [label for label, spans in self.labels.items() if spans.covers(number, number)]
        return labels[-1] if labels else self.boot
