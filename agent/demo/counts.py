"""Looks into the demonstration's journal and store while others write to them: counts, alerts."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from agent.journal.reader import opened, records
from cloud_sync import wire
from rules.alert import AlertEvent

ROWS = "SELECT count(*) FROM (SELECT DISTINCT measurement, tags, time_ns FROM points)"


def entered(journal: Path) -> int:
    """Return how many records are in the journal. Raises Unreadable."""
    files = opened(journal)
    return sum(head.records for _, head in files.heads(0, files.manifest.next))


def stored(store: Path) -> int:
    """Return how many records are in the SQLite store."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return int(db.execute(ROWS).fetchone()[0])


def alerts(journal: Path) -> list[AlertEvent]:
    """Return all alert events in the journal, in order. Raises Unreadable."""
    points = (wire.parse_line(r.line) for r in records(opened(journal), events=True))
    # What corrects the time of one is no alert of its own.
    told = (p for p in points if p.measurement == wire.ALERT and "firing" in p.fields)
    found = (event for point in told for event in wire.records(point))
    return [event for event in found if isinstance(event, AlertEvent)]


def unconfirmed(page_port: int) -> int:
    """Return how many records the daemon still has to be confirmed. Raises OSError."""
    try:
        with urlopen(f"http://127.0.0.1:{page_port}/status.json", timeout=5) as answer:
            return int(json.load(answer)["link"]["unconfirmed"])
    except (URLError, ValueError, KeyError) as problem:
        raise OSError(f"the daemon does not say how it is doing: {problem}") from problem
