"""Looks into the demonstration's journal and store while others write to them: counts, alerts."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from cloud_sync.wire import parse_line, records
from rules.alert import AlertEvent

RECORDS = "SELECT coalesce(sum(last - first + 1), 0) FROM entry"
EVENTS = "SELECT lines FROM entry WHERE lane = 'events' ORDER BY first"
ROWS = "SELECT count(*) FROM (SELECT DISTINCT measurement, tags, time_ns FROM points)"


def entered(journal: Path) -> int:
    """Return how many records are in the journal."""
    return int(_rows(journal, RECORDS)[0][0])


def stored(store: Path) -> int:
    """Return how many records are in the SQLite store."""
    return int(_rows(store, ROWS)[0][0])


def alerts(journal: Path) -> list[AlertEvent]:
    """Return all alert events in the journal, in order."""
    lines = b"".join(body for (body,) in _rows(journal, EVENTS)).splitlines()
    found = (record for line in lines for record in records(parse_line(line)))
    return [event for event in found if isinstance(event, AlertEvent)]


def unconfirmed(page_port: int) -> int:
    """Return how many records the daemon still has to be confirmed. Raises OSError."""
    try:
        with urlopen(f"http://127.0.0.1:{page_port}/status.json", timeout=5) as answer:
            return int(json.load(answer)["link"]["unconfirmed"])
    except (URLError, ValueError, KeyError) as problem:
        raise OSError(f"the daemon does not say how it is doing: {problem}") from problem


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()
