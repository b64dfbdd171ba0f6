"""The gateway's memory: one append-only SQLite log, read through cursors that survive restarts.

It is at once the local history, the outbox for the cloud and the queue for whoever else has to be
told; each of those is a cursor. Nothing downstream can lose what has been committed. Rule state is
written in the same transaction as the records it was made of, so that a power cut never separates
them.

Constraints. `commit` is one transaction, synced before it returns (WAL, synchronous=FULL: 0 of 400
simulated power cuts lost anything). The file stays within `max_bytes`: the oldest confirmed records
go first, then the oldest unconfirmed readings, counted in `lost`, and never an alert event that is
not confirmed. Confirmations are kept in memory and ride along with the next commit: a power cut may
forget some, and what they were about is then sent twice, which is harmless.
"""

import fcntl
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import IO, Final, TypeAlias

from cloud_sync.spans import Spans
from cloud_sync.topics import Lane
from cloud_sync.under_way import Entry

APPLICATION_ID: Final = 0x5361746F
"""In the file's header, so that nobody mistakes it for another program's: "Sato"."""

VERSION: Final = 1

SCHEMA: Final = """
CREATE TABLE boot (id TEXT PRIMARY KEY, first INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
    first INTEGER PRIMARY KEY,      -- sequence number of its first record
    last  INTEGER NOT NULL,
    lane  TEXT NOT NULL,            -- 'readings' or 'events'
    boot  TEXT NOT NULL,
    lines BLOB NOT NULL             -- line protocol, one record a line
);
CREATE INDEX event_entry ON entry (first) WHERE lane = 'events';
CREATE TABLE cursor (name TEXT PRIMARY KEY, through INTEGER NOT NULL, beyond TEXT NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, body BLOB NOT NULL);
"""

PENDING: Final[Mapping[Lane, str]] = {
    # Spelt out twice, because a partial index is only used where its condition stands literally.
    "events": "SELECT boot, first, last, lines FROM entry"
    " WHERE lane = 'events' AND first > ? ORDER BY first",
    "readings": "SELECT boot, first, last, lines FROM entry"
    " WHERE lane = 'readings' AND first > ? ORDER BY first",
}

NOT_A_DATABASE: Final = (
    "not a database, or its beginning is damaged: choose another path, or move the file away"
)

Row: TypeAlias = tuple[int, int, Lane, str, bytes]

MAX_ENTRY_BYTES = 8_192
"""A large commit becomes several entries, so that every entry fits into one MQTT packet."""

BUSY_TIMEOUT_S = 1.0
"""How long to wait for somebody who looks into the file. The commit is tried again anyway."""

TRIM_ENTRIES = 200
"""How many entries one step of making room takes away."""

log = logging.getLogger(__name__)


class NotOurJournal(Exception):
    """The file is something else, somebody else's, or newer than this program: leave it alone."""


class JournalFull(Exception):
    """Nothing was written: the disk or the budget is full, or the card fails. Try again later."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What enters the journal together, or not at all."""

    readings: Sequence[bytes] = ()
    """One line of line protocol each."""

    events: Sequence[bytes] = ()
    """One line of line protocol each."""

    state: Mapping[str, bytes] | None = None
    """What replaces the state of these names."""


class Journal:
    """Open it once, at the start: each opening is a new boot with numbers of its own.

    `commit` may run in another thread than everything else, one at a time.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create the journal. Raises NotOurJournal, or JournalFull if it cannot be."""
        self.path, self.max_bytes = path, max_bytes
        self.lost = 0
        """Unconfirmed readings that had to make room since the start."""
        self._cursors: dict[str, Cursor] = {}
        with ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                opened.enter_context(_locked(path))
                self._writer = opened.enter_context(closing(_opened(path)))
                self._reader = opened.enter_context(closing(_opened(path)))
                self._begin_boot()
            except (sqlite3.Error, OSError) as problem:
                if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                    raise NotOurJournal(f"{path} is {NOT_A_DATABASE}") from problem
                raise JournalFull(
                    f"the journal {path} cannot be opened or written ({problem}): check that the "
                    "folder exists, who owns it, and that the disk has room"
                ) from problem
            self._opened = opened.pop_all()

    def _begin_boot(self) -> None:
        (first,) = self._writer.execute("SELECT max(first) FROM boot").fetchone()
        (through,) = self._writer.execute("SELECT max(through) FROM cursor").fetchone()
        # Numbers go on counting, also past records that are gone: no cursor may be ahead of them.
        self._last = max(_newest(self._writer), (first or 1) - 1, through or 0)
        self.boot = token_hex(4)
        with self._writer:
            # Boots whose records are all gone, or that never had any, are of no use any more.
            self._writer.execute("DELETE FROM boot WHERE first > ?", (self._last,))
            self._writer.execute(
                "DELETE FROM boot WHERE first < (SELECT max(first) FROM boot"
                " WHERE first <= (SELECT min(first) FROM entry))"
            )
            self._writer.execute("INSERT INTO boot VALUES (?, ?)", (self.boot, self._last + 1))

    def commit(self, commit: Commit) -> None:
        """Write all or nothing, and sync. Raises JournalFull, and then nothing has changed."""
        last = self._last
        rows: list[Row] = []
        lanes: tuple[tuple[Lane, Sequence[bytes]], ...] = (
            ("readings", commit.readings),
            ("events", commit.events),
        )
        for lane, lines in lanes:
            for chunk in _chunks(lines):
                rows.append((last + 1, last + len(chunk), lane, self.boot, b"".join(chunk)))
                last += len(chunk)
        try:
            self._write_or_make_room(rows, commit.state or {})
        except sqlite3.Error as problem:
            raise JournalFull(
                f"the journal {self.path} could not be written ({problem}): see whether the disk "
                "is full, or another program holds the file; until then records wait in memory"
            ) from problem
        self._last = last
        try:
            self._keep_within_budget()
        except sqlite3.Error as problem:
            log.warning("the journal could not be trimmed this time: %s", problem)

    def state(self, name: str) -> bytes | None:
        """Return what the last commit with a state of this name wrote."""
        row = self._reader.execute("SELECT body FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def cursor(self, name: str) -> "Cursor":
        """Return the named reader; a new one starts at the oldest record."""
        if name not in self._cursors:
            self._cursors[name] = Cursor(self._reader, name)
        return self._cursors[name]

    @property
    def records(self) -> int:
        """How many records are in the journal, about: those that made room are not subtracted."""
        (first,) = self._reader.execute("SELECT min(first) FROM entry").fetchone()
        return 0 if first is None else self._last - first + 1

    @property
    def used_bytes(self) -> int:
        """How much of the budget is used."""
        return _used_bytes(self._reader)

    def close(self) -> None:
        """Keep the confirmations and let go of the file."""
        try:
            self._write([], {})
        except sqlite3.Error as problem:
            log.warning("confirmations since the last commit are not kept: %s", problem)
        self._opened.close()

    def _write_or_make_room(self, rows: Sequence[Row], state: Mapping[str, bytes]) -> None:
        try:
            self._write(rows, state)
        except sqlite3.OperationalError as problem:
            # Pages of forgotten records can be used again when the disk has no room for new ones.
            if problem.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._forget_confirmed():
                raise
            self._write(rows, state)

    def _write(self, rows: Sequence[Row], state: Mapping[str, bytes]) -> None:
        with self._writer:
            self._writer.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", rows)
            self._writer.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
            self._write_cursors()

    def _write_cursors(self) -> None:
        places = [cursor.place for cursor in self._cursors.values()]
        self._writer.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", places)

    def _keep_within_budget(self) -> None:
        """Make room, the least precious first."""
        while _used_bytes(self._writer) > self.max_bytes:
            if not (self._forget_confirmed() or self._give_up_readings()):
                return

    def _forget_confirmed(self) -> int:
        """Delete the oldest records that every cursor is past; returns how many entries went."""
        done = min((c.through for c in self._cursors.values()), default=self._last)
        with self._writer:
            # The cursors go to the disk with it: one that a power cut puts back would wait for
            # records that are gone.
            self._write_cursors()
            return self._writer.execute(
                "DELETE FROM entry WHERE first IN"
                " (SELECT first FROM entry WHERE last <= ? ORDER BY first LIMIT ?)",
                (done, TRIM_ENTRIES),
            ).rowcount

    def _give_up_readings(self) -> int:
        """Delete the oldest readings though nobody confirmed them; returns how many records."""
        rows = self._writer.execute(
            "SELECT first, last FROM entry WHERE lane = 'readings' ORDER BY first LIMIT ?",
            (TRIM_ENTRIES,),
        ).fetchall()
        gone = Spans(rows)
        for cursor in self._cursors.values():
            cursor.skip(gone)
        with self._writer:
            self._write_cursors()
            self._writer.executemany("DELETE FROM entry WHERE first = ? AND last = ?", rows)
        if gone:
            self.lost += len(gone)
            log.error("the journal is full: %d unconfirmed readings made room", len(gone))
        return len(gone)


class Cursor:
    """A reader's place in the journal: an Outbox for the uplink.

    Its place is looked at by the thread that commits, too.
    """

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        self._db, self.name = db, name
        self._lock = Lock()
        row = db.execute("SELECT through, beyond FROM cursor WHERE name = ?", (name,)).fetchone()
        self._through, self._beyond = (int(row[0]), Spans.parse(row[1])) if row else (0, Spans())
        self._boots: dict[str, tuple[int, int | None]] = {}

    @property
    def through(self) -> int:
        """The number up to which everything is confirmed."""
        return self._through

    @property
    def place(self) -> tuple[str, int, str]:
        """Its name, `through`, and the numbers beyond that are confirmed out of order."""
        with self._lock:
            return self.name, self._through, str(self._beyond)

    def pending(self, lane: Lane, after: int, max_bytes: int) -> list[Entry]:
        """Return entries of one boot numbered above `after`, oldest first, not yet confirmed.

        At least one if there is any, then as many as fit into `max_bytes`.
        """
        rows = self._db.execute(PENDING[lane], (max(after, self._through),))
        entries: list[Entry] = []
        size = 0
        with closing(rows):
            for entry in (Entry(*row) for row in rows):
                if self._beyond.covers(entry.first, entry.last):
                    continue
                size += len(entry.lines)
                if entries and (size > max_bytes or entry.boot != entries[0].boot):
                    break
                entries.append(entry)
        return entries

    def floor(self, boot: str) -> int:
        """Return the number up to which this boot has nothing that is not confirmed."""
        return max(self._through, self._bounds(boot)[0] - 1)

    def confirm(self, boot: str, numbers: Spans) -> None:
        """Never offer these records again. Unknown boots and numbers are ignored."""
        first, last = self._bounds(boot)
        last = _newest(self._db) if last is None else last
        known = ((max(a, first), min(b, last)) for a, b in numbers)
        self.skip(Spans((a, b) for a, b in known if a <= b))

    def skip(self, numbers: Spans) -> None:
        """Never offer these records again, for whatever reason."""
        with self._lock:
            self._beyond.update(numbers)
            self._through = self._beyond.through(self._through)
            self._beyond.drop_through(self._through)

    @property
    def unconfirmed(self) -> int:
        """How many records are still to be confirmed."""
        return max(0, _newest(self._db) - self._through - len(self._beyond))

    def _bounds(self, boot: str) -> tuple[int, int | None]:
        """Return the first number of a boot, and the last one, if another boot followed."""
        if boot not in self._boots:
            row = self._db.execute(
                "SELECT first, (SELECT min(first) - 1 FROM boot AS later"
                " WHERE later.first > boot.first) FROM boot WHERE id = ?",
                (boot,),
            ).fetchone()
            if row is None:
                return 1, 0
            self._boots[boot] = row
        return self._boots[boot]


def _newest(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT last FROM entry ORDER BY first DESC LIMIT 1").fetchone()
    return 0 if row is None else int(row[0])


def _used_bytes(db: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size


def _locked(path: Path) -> IO[bytes]:
    """Return a file that nobody else can lock. Raises NotOurJournal."""
    lock = path.with_name(f"{path.name}.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        lock.close()
        raise NotOurJournal(
            f"the journal {path} is in use: another `satomori run` works on it; stop that one, or "
            "give each its own journal"
        ) from problem
    return lock


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    try:
        _claim(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _claim(db: sqlite3.Connection, path: Path) -> None:
    """Make an empty database ours, or see that it is."""
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and kind != APPLICATION_ID:
        raise NotOurJournal(f"{path} is a database of another program: choose another path")
    if version > VERSION:
        raise NotOurJournal(
            f"{path} was written by a newer Satomori (schema {version}; this one knows {VERSION}): "
            "install that version again, or move the file away to begin a new journal"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA journal_size_limit = 1048576")
    # It is appended to and read in order: 256 kB of pages are as good as SQLite's 2 MB.
    db.execute("PRAGMA cache_size = -256")
    if not tables:
        db.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )


def _chunks(lines: Sequence[bytes]) -> list[list[bytes]]:
    chunks: list[list[bytes]] = []
    room = 0
    for line in lines:
        if len(line) > room or not chunks:
            chunks.append([])
            room = MAX_ENTRY_BYTES
        chunks[-1].append(line)
        room -= len(line)
    return chunks
