"""The commands behind `satomori set-aside`: look at what no store would take, and try it again.

They work on the folder of an ingester, which may go on running.
"""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TextIO

from agent.ingest import add_store_arguments, opened_store, store_is_complete
from cloud_sync.store import StoreError

MAX_HEAPS = 50
MAX_EXAMPLE = 200
"""Characters of a line that are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` needs."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    says = "Say what is in the folder: how many, whose, why, since when, and an example."
    listing = actions.add_parser("list", help=says, description=says)
    says = "Write the lines again: what the store takes leaves the folder, the rest stays."
    trying = actions.add_parser("retry", help=says, description=says)
    for action in (listing, trying):
        action.add_argument(
            "folder", type=Path, metavar="FOLDER", help="--set-aside of the ingester"
        )
    add_store_arguments(trying)


def run(args: argparse.Namespace) -> int:
    """Do it. Returns the exit status: 1 for lines that stay, 2 for what cannot be done."""
    if not args.folder.is_dir():
        words = f"{args.folder} is no folder: say what `satomori ingest` has as --set-aside"
        print(words, file=sys.stderr)
        return 2
    try:
        return show(args.folder, sys.stdout) if args.action == "list" else _retry(args)
    except (StoreError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2


def show(folder: Path, out: TextIO) -> int:
    """Print what is in the folder. Raises OSError."""
    from cloud_sync.retry import heaps  # noqa: PLC0415  # the gateway's commands do without

    found, unreadable = heaps(folder)
    for heap in found[:MAX_HEAPS]:
        example = heap.example[:MAX_EXAMPLE].decode(errors="backslashreplace")
        print(f"{heap.count} of gateway {heap.gateway or '?'}: {heap.reason}", file=out)
        print(
            f"    from {heap.since:%Y-%m-%d %H:%M:%S} to {heap.until:%Y-%m-%d %H:%M:%S} UTC",
            file=out,
        )
        print(f"    {example}", file=out)
    if len(found) > MAX_HEAPS:
        rest = sum(heap.count for heap in found[MAX_HEAPS:])
        print(f"{rest} more, for {len(found) - MAX_HEAPS} other reasons", file=out)
    if unreadable:
        print(f"{unreadable} that cannot be read: see the files themselves", file=out)
    if not found and not unreadable:
        print("nothing is set aside", file=out)
    return 1 if found or unreadable else 0


def _retry(args: argparse.Namespace) -> int:
    """Try again what is in the folder. Raises StoreError and OSError."""
    from cloud_sync.retry import Outcome, retry  # noqa: PLC0415

    if not store_is_complete(args):
        return 2
    outcome = Outcome()
    try:
        with closing(opened_store(args)) as store:
            retry(args.folder, store, outcome)
    finally:
        print(f"{outcome.stored} stored")
        for reason, count in outcome.refused.most_common(MAX_HEAPS):
            print(f"{count} stay: {reason}")
        if outcome.left:
            print(f"{outcome.left} were not tried: no lines of the gateway they came from")
    return 1 if outcome.refused or outcome.left else 0
