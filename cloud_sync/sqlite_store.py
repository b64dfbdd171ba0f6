"""The small store: one SQLite file, for the demonstration and for a village without a server.

It keeps what InfluxDB would keep and promises the same: a point is known by its measurement, tags,
time and field, so that a record that comes again changes nothing.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cloud_sync.store import Refused, Rejected, Unavailable
from cloud_sync.wire import BadPayload, Point, parse_line

SCHEMA = """
CREATE TABLE IF NOT EXISTS points (
    measurement TEXT NOT NULL,
    tags TEXT NOT NULL,           -- a JSON object, keys in order
    time_ns INTEGER NOT NULL,     -- nanoseconds since 1970, UTC
    field TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (measurement, tags, time_ns, field)
) WITHOUT ROWID
"""

WRITE = """
INSERT INTO points VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value
"""

BUSY_TIMEOUT_S = 10.0
"""How long to wait for another program that is writing to the file."""


class SqliteStore:
    """One file. It may be used from any thread, by one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises Refused."""
        self._path = path
        try:
            self._db = _opened(path)
        except sqlite3.Error as problem:
            raise Refused(
                f"{path} cannot be opened as a SQLite file ({problem}): check that its folder "
                "exists, that it may be written, and that it is no other file"
            ) from problem

    def __str__(self) -> str:
        return f"SQLite file {self._path}"

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def write(self, lines: bytes) -> None:
        """Return when the file has all the lines. Raises StoreError; then it has none of them."""
        rows = [row for line in lines.split(b"\n") if line for row in _rows(line)]
        try:
            with self._db:
                self._db.executemany(WRITE, rows)
        except sqlite3.OperationalError as problem:
            raise Unavailable(
                f"{self} cannot be written ({problem}): check that the disk has room, and that no "
                "other program keeps the file to itself"
            ) from problem
        except sqlite3.Error as problem:
            raise Refused(f"{self} is damaged ({problem}): put a copy in its place") from problem

    def count(self, measurement: str = "") -> int:
        """Return the number of points (one for each field of a line), of all or one measurement."""
        query = "SELECT count(*) FROM points WHERE ? IN (measurement, '')"
        (count,) = self._db.execute(query, [measurement]).fetchone()
        return int(count)

    def points(self, measurement: str) -> Iterator[Point]:
        """Yield the points of a measurement, one for each field, by tags and then by time."""
        rows = self._db.execute(
            "SELECT tags, field, value, time_ns FROM points WHERE measurement = ?"
            " ORDER BY tags, time_ns, field",
            [measurement],
        )
        for tags, field, value, time_ns in rows:
            yield Point(measurement, json.loads(tags), {field: value}, time_ns)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        # A record in here is confirmed, and then its gateway may forget it: so FULL.
        db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {SCHEMA}")
    except BaseException:
        db.close()
        raise
    return db


def _rows(line: bytes) -> Iterator[tuple[str, str, int, str, float]]:
    try:
        point = parse_line(line)
    except BadPayload as problem:
        raise Rejected(str(problem)) from problem
    tags = json.dumps(point.tags, ensure_ascii=False, sort_keys=True)
    for field, value in point.fields.items():
        yield point.measurement, tags, point.time_ns, field, value
