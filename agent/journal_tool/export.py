"""What `satomori journal export` writes: the records, in order, one at a time.

    line-protocol   everything, as InfluxDB has it
    jsonl, csv      the readings, one a line, as `satomori replay` reads them

A time that was put right from a guess carries by how many seconds it may be wrong, in
`time_uncertain_seconds`; of one that nobody knows yet that is "unknown". Means, in a journal that
was thinned, say of how many readings in `mean_of`.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, TextIO, cast

from agent.clock import EPOCH, MICROSECOND
from agent.journal.block import is_event
from agent.journal.reader import Record
from cloud_sync.wire import BadPayload, parse_line
from drivers.reading import Quantity

FORMATS: Final = ("line-protocol", "csv", "jsonl")

COLUMNS: Final = ("at", "sensor", "quantity", "value", "mean_of", "time_uncertain_seconds")
DOUBT: Final = "time_uncertain_seconds"

QUANTITIES: Final = frozenset(Quantity)


class Sink(Protocol):
    """Writes one record; returns whether the format can say it."""

    def __call__(self, record: Record) -> bool: ...


def sink(name: str, out: TextIO) -> Sink:
    """Return what writes records in this format to `out`."""
    if name == "csv":
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        return lambda record: _each(record, writer.writerow)
    if name == "jsonl":
        return lambda record: _each(record, lambda row: print(_json(row), file=out))
    return lambda record: _line(record, out)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the readings of a record. Raises BadPayload, ValueError or OverflowError."""
    head, fields, _ = record.line.rsplit(b" ", 2)
    found = dict(pair.split("=") for pair in fields.decode("ascii").split(","))
    row: dict[str, Any] = {
        "at": (EPOCH + record.at_us * MICROSECOND).isoformat(),
        "sensor": _sensor(head),
    }
    extra: dict[str, Any] = {k: int(found[k]) for k in ("mean_of", DOUBT) if k in found}
    if not record.is_settled:
        extra[DOUBT] = "unknown"
    for name, value in found.items():
        if name in QUANTITIES:
            yield {**row, "quantity": name, "value": float(value), **extra}


@lru_cache(maxsize=1024)
def _sensor(head: bytes) -> str:
    return parse_line(head + b" x=0 0").tags.get("sensor", "")


def _each(record: Record, write: Callable[[dict[str, Any]], object]) -> bool:
    if is_event(record.line):
        return False
    try:
        found = list(rows(record))
    except (BadPayload, ValueError, OverflowError):
        return False
    for row in found:
        write(row)
    return bool(found)


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def _line(record: Record, out: TextIO) -> bool:
    out.write(record.line.decode(errors="replace"))
    return True


@contextmanager
def output(path: Path | None, stdout: TextIO) -> Iterator[TextIO]:
    """Yield where to write: a file, packed if it is called .gz, or `stdout`. Raises OSError."""
    if path is None:
        yield stdout
    elif path.suffix == ".gz":
        with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
            yield cast("TextIO", file)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
