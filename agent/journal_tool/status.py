"""What `satomori journal status` says: how full the journal is, and what waits in it for what.

It opens the newest file, and of the others what is needed for the oldest record, the oldest that is
not confirmed, and losses; so it takes seconds at most, however large the journal is.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from agent.clock import EPOCH, MICROSECOND
from agent.journal.files import DAMAGED, Files
from agent.journal.manifest import Manifest, Place, Stretch
from agent.journal.reader import Record, is_in_use, newest_record, paths, records
from agent.journal.requests import waiting
from cloud_sync.spans import Spans
from cloud_sync.wire import LOSS, BadPayload, parse_line

MAX_TOLD = 10
"""Boots, stretches and losses that are told one by one, the newest; JSON has them all."""

MAX_TEXT = 200
"""Characters of a list of spans that are shown."""


def gathered(files: Files, max_bytes: int, kernel: str) -> dict[str, Any]:
    """Return all there is to say, as plain data for JSON. Raises OSError.

    `kernel` names the machine's present start. Times are microseconds since 1970, or None.
    """
    first, newest = files.first, files.manifest.next - 1
    on_card = [size for path in paths(files.folder) if (size := _size(path)) is not None]
    manifest = files.manifest
    return {
        "folder": str(files.folder),
        "in_use": is_in_use(files.folder),
        "files": len(on_card),
        "bytes": sum(on_card),
        "max_bytes": max_bytes,
        "numbers": [first, newest] if first <= newest else None,
        "oldest_us": _time_us(next(records(files), None)),
        "newest_us": _time_us(newest_record(files)),
        "boots": [
            {"label": b.label, "first": b.first, "machine_start": b.kernel} for b in manifest.boots
        ],
        "cursors": {name: _cursor(files, place) for name, place in manifest.cursors.items()},
        "asked_to_resend": _asked(files.folder),
        "unsettled": [_stretch(manifest, stretch, kernel) for stretch in manifest.unsettled],
        "losses": list(_losses(files)),
        "damaged": _damaged(files.folder / DAMAGED),
    }


def _size(path: Path) -> int | None:
    """Return how long a file is; None if the daemon has removed it meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _time_us(record: Record | None) -> int | None:
    return record.at_us if record else None


def _cursor(files: Files, place: Place) -> dict[str, Any]:
    """Return where a cursor stands, as the newest commit says; it may have got further since."""
    first, newest = files.first, files.manifest.next - 1
    beyond = Spans.parse(place.beyond)
    through = max(place.through, first - 1)
    unconfirmed = (Spans([(through + 1, newest)]) if through < newest else Spans()) - beyond
    highest = max((last for _, last in beyond), default=through)
    holes = unconfirmed & Spans([(1, highest)]) if highest else Spans()
    return {
        "through": place.through,
        "holes": str(holes),
        "unconfirmed": len(unconfirmed),
        "oldest_unconfirmed_us": _time_us(_oldest(files, unconfirmed)),
        "again": dict(place.again),
    }


def _oldest(files: Files, numbers: Spans) -> Record | None:
    """Return the first of these records that is still there."""
    for first, last in numbers:
        record = next(records(files, first - 1), None)
        if record is None or record.number <= last:
            return record
    return None


def _asked(folder: Path) -> str:
    try:
        return str(waiting(folder))
    except (OSError, ValueError) as problem:
        return f"unreadable: {problem}"


def _stretch(manifest: Manifest, stretch: Stretch, kernel: str) -> dict[str, Any]:
    name = stretch.stamp.kernel
    known = manifest.kernels.get(name)
    if known and known.anchors:
        why = "the time became known meanwhile: the running daemon puts it right"
    elif name == kernel:
        why = "the clock was not set since the machine was started: it needs NTP, or the ingester"
    else:
        why = "the clock was never right in that start of the machine: it is put right, as well as "
        why += "can be, when the time is known in this one"
    return {
        "first": stretch.first,
        "last": stretch.last,
        "records": stretch.last - stretch.first + 1,
        "machine_start": name,
        "why": why,
    }


def _losses(files: Files) -> Iterator[dict[str, Any]]:
    prefix = f"{LOSS},".encode()
    for record in records(files, events=True):
        if not record.line.startswith(prefix):
            continue
        try:
            point = parse_line(record.line)
            yield {
                "number": record.number,
                "at_us": record.at_us,
                "reason": point.tags["reason"],
                "readings": int(point.fields["readings"]),
                "from_us": int(point.fields["from_seconds"] * 1e6),
                "until_us": int(point.fields["until_seconds"] * 1e6),
            }
        except (BadPayload, KeyError):
            continue


def _damaged(folder: Path) -> dict[str, Any]:
    sizes = [path.stat().st_size for path in folder.iterdir()] if folder.is_dir() else []
    return {"folder": str(folder), "pieces": len(sizes), "bytes": sum(sizes)}


# ---- for people


def text(body: dict[str, Any], now: datetime, zone: tzinfo) -> str:
    """Return it for people, with times in `zone`."""
    used = "a daemon works on it" if body["in_use"] else "no daemon works on it"
    lines = [
        f"journal    {body['folder']}; {used}",
        (
            f"size       {body['files']} files, {body['bytes'] / 1e6:.1f} of "
            f"{body['max_bytes'] / 1e6:.0f} MB"
        ),
    ]
    if body["numbers"] is None:
        lines.append("records    none yet")
    else:
        first, newest = body["numbers"]
        times = [_when(body[key], zone) for key in ("oldest_us", "newest_us")]
        lines.append(f"records    {first} to {newest}, from {times[0]} to {times[1]}")
    lines += _boot_lines(body["boots"])
    for name, cursor in body["cursors"].items():
        lines += _cursor_lines(name, cursor, now, zone)
    if body["asked_to_resend"]:
        lines.append(f"asked for  {_short(body['asked_to_resend'])} are to be sent again")
    lines += _stretch_lines(body["unsettled"])
    lines += _loss_lines(body["losses"], zone)
    damaged = body["damaged"]
    if damaged["pieces"]:
        lines.append(
            f"damaged    {damaged['pieces']} pieces, {damaged['bytes']} bytes, set aside in "
            f"{damaged['folder']}: copy them, then they can be removed"
        )
    return "\n".join(lines)


def _boot_lines(boots: list[dict[str, Any]]) -> list[str]:
    starts = len({boot["machine_start"] for boot in boots})
    lines = [f"boots      {len(boots)}, in {starts} starts of the machine"] if boots else []
    return lines + [
        f"           {b['label']} from number {b['first']}, machine start {b['machine_start'][:8]}"
        for b in boots[-MAX_TOLD:]
    ]


def _cursor_lines(name: str, cursor: dict[str, Any], now: datetime, zone: tzinfo) -> list[str]:
    unconfirmed, oldest_us = cursor["unconfirmed"], cursor["oldest_unconfirmed_us"]
    line = f"cursor     {name}: confirmed through {cursor['through']}; {unconfirmed} unconfirmed"
    if unconfirmed and oldest_us is not None:
        age = now - (EPOCH + oldest_us * MICROSECOND)
        line += f", the oldest from {_when(oldest_us, zone)}, {_age(age)} ago"
    lines = [line]
    if cursor["holes"]:
        lines.append(f"           not confirmed, though later ones are: {_short(cursor['holes'])}")
    lines += [
        f"           wanted again, as boot {label}: {_short(spans)}"
        for label, spans in cursor["again"].items()
    ]
    return lines


def _stretch_lines(stretches: list[dict[str, Any]]) -> list[str]:
    if not stretches:
        return []
    count = sum(stretch["records"] for stretch in stretches)
    return [
        f"time       {count} records wait for theirs",
        *(f"           {s['first']} to {s['last']}: {s['why']}" for s in stretches[-MAX_TOLD:]),
    ]


def _loss_lines(losses: list[dict[str, Any]], zone: tzinfo) -> list[str]:
    if not losses:
        return ["lost       nothing"]
    reasons = Counter(loss["reason"] for loss in losses)
    told = ", ".join(f"{count} × {reason}" for reason, count in reasons.items())
    readings = sum(loss["readings"] for loss in losses)
    lines = [f"lost       {readings} readings known of, on {len(losses)} occasions: {told}"]
    for loss in losses[-MAX_TOLD:]:
        count = loss["readings"] or "nobody knows how many"
        span = f"{_when(loss['from_us'], zone)} to {_when(loss['until_us'], zone)}"
        lines.append(f"           {loss['reason']}: {count}, from {span}")
    return lines


def _short(spans: str) -> str:
    return spans if len(spans) <= MAX_TEXT else f"{spans[:MAX_TEXT]}…"


def _when(time_us: int | None, zone: tzinfo) -> str:
    if not time_us:
        return "nobody knows when"
    try:
        return f"{(EPOCH + time_us * MICROSECOND).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return "nobody knows when"


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
