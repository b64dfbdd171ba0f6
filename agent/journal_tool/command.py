"""The commands behind `satomori journal`: for the engineer who wants to know what is in there.

All work beside a running daemon and without one. None of them writes to the journal: `resend` only
leaves a request (journal/requests.py).
"""

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from agent.journal_tool.selection import Wanted
    from gateway_config.model import GatewayConfig

OK, DAMAGED, WRONG = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Add the actions; returns their parsers, for what all of them can be told."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, run: Action, says: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=says, description=says)
        sub.set_defaults(action=run)
        return sub

    status = action("status", _status, "Say how full it is, and what waits in it for what.")
    status.add_argument("--json", action="store_true", help="as JSON")
    verify = action("verify", _verify, "Read all of it: exit 0 (sound), 1 (damaged), 2 (cannot).")
    export = action("export", _export, "Write out the records, in order.")
    _time_options(export)
    export.add_argument("--format", choices=["line-protocol", "csv", "jsonl"], default="jsonl")
    export.add_argument(
        "--out", type=Path, metavar="FILE", help="write here (also .gz), not to stdout"
    )
    resend = action("resend", _resend, "Ask the daemon to send records to the cloud again.")
    which = resend.add_mutually_exclusive_group(required=True)
    which.add_argument("--numbers", metavar="SPANS", help="these, such as 118-500,600")
    which.add_argument("--all", action="store_true", help="everything that is still there")
    _time_options(resend, which)
    return [status, verify, export, resend]


def _time_options(
    parser: argparse.ArgumentParser, which: "argparse._MutuallyExclusiveGroup | None" = None
) -> None:
    (which or parser).add_argument(
        "--from", dest="begin", metavar="TIME", help="from this time on (2026-11-23T06:00)"
    )
    parser.add_argument("--to", dest="end", metavar="TIME", help="up to this time")


class Call(NamedTuple):
    """One call of one action."""

    config: "GatewayConfig"
    args: argparse.Namespace
    out: TextIO
    err: TextIO

    @property
    def folder(self) -> Path:
        return self.config.journal.path


Action = Callable[[Call], int]


def run(config: "GatewayConfig", args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Do it; returns the exit code."""
    from agent.journal.reader import Unreadable  # noqa: PLC0415
    from agent.journal_tool.selection import Refused  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(args.action(Call(config, args, out, err)))
    except (Unreadable, Refused) as problem:
        print(problem, file=err)
    except BrokenPipeError:
        raise
    except OSError as problem:
        print(f"{config.journal.path}: {problem}", file=err)
    return WRONG


def _status(call: Call) -> int:
    from agent.clock import System, now  # noqa: PLC0415
    from agent.journal.reader import opened  # noqa: PLC0415
    from agent.journal_tool.status import gathered, text  # noqa: PLC0415

    max_bytes = call.config.journal.max_mb * 1_000_000
    body = gathered(opened(call.folder), max_bytes, System().boot_id())
    if call.args.json:
        print(json.dumps(body, ensure_ascii=False), file=call.out)
    else:
        print(text(body, now(), call.config.gateway.timezone), file=call.out)
    return OK


def _verify(call: Call) -> int:
    from agent.journal.reader import paths  # noqa: PLC0415
    from agent.journal_tool.verify import checked  # noqa: PLC0415

    files = blocks = records = damaged = 0
    for file in checked(paths(call.folder)):
        files, blocks, records = files + 1, blocks + file.blocks, records + file.records
        numbers = f"{file.first} to {file.last}" if file.records else "none"
        verdict = "DAMAGED" if file.problems else "sound"
        print(
            f"{file.path.name}  {verdict}  {file.blocks} blocks, records {numbers}", file=call.out
        )
        for said in (*file.problems, *filter(None, [file.note])):
            print(f"    {said}", file=call.out)
        damaged += bool(file.problems)
    print(f"{files} files, {blocks} sound blocks, {records} records", file=call.out)
    if damaged:
        print(
            f"{damaged} files are damaged. Nothing has to be repaired: the daemon keeps to what is "
            "sound, sets the rest aside, and reports it as a loss. If it goes on, the card is "
            "failing: `satomori journal export`, then replace it",
            file=call.err,
        )
    return DAMAGED if damaged else OK


def _export(call: Call) -> int:
    from agent.journal.reader import opened  # noqa: PLC0415
    from agent.journal_tool.export import output, sink  # noqa: PLC0415
    from agent.journal_tool.selection import Refused, between  # noqa: PLC0415

    wanted, files, args = _wanted_time(call), opened(call.folder), call.args
    unreadable: list[tuple[int, int]] = []
    written = left_out = unknown = 0
    try:
        with output(args.out, call.out) as out:
            write = sink(args.format, out)
            for record in between(files, wanted, lambda *span: unreadable.append(span)):
                if write(record):
                    written, unknown = written + 1, unknown + (not record.is_settled)
                else:
                    left_out += 1
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise Refused(f"{args.out or 'stdout'} cannot be written: {problem}") from problem
    print(f"{written} records", file=call.err)
    if left_out:
        what = "alerts, losses and such are only in --format line-protocol"
        print(f"{left_out} left out: {what}", file=call.err)
    if unknown:
        print(f"{unknown} with a time that may be wrong: nobody knows it yet", file=call.err)
    for first, last in unreadable:
        print(f"{first} to {last} are damaged and left out", file=call.err)
    return DAMAGED if unreadable else OK


def _resend(call: Call) -> int:
    from agent.journal.cursor import MAX_AGAIN  # noqa: PLC0415
    from agent.journal.reader import is_in_use, opened  # noqa: PLC0415
    from agent.journal.requests import ask  # noqa: PLC0415
    from agent.journal_tool.selection import Refused, amount, numbered  # noqa: PLC0415

    uplink, args = call.config.uplink, call.args
    if uplink is None:
        raise Refused("the configuration has no [uplink]: nothing is sent from here")
    if args.end and not args.begin:
        raise Refused("--to goes with --from only")
    time, files = _wanted_time(call), opened(call.folder)
    wanted, gone = numbered(files, time if args.begin else None, args.numbers)
    records, size = amount(files, wanted)
    try:
        waiting = ask(call.folder, wanted)
    except BlockingIOError as problem:
        raise Refused("somebody else asks at this moment: try again") from problem
    except PermissionError as problem:
        raise Refused(f"{problem}: run this as root, or as the user of the daemon") from problem
    except ValueError as problem:
        raise Refused(f"{problem}: remove that file, or ask for fewer spans") from problem
    when = "now" if is_in_use(call.folder) else "when the daemon runs again"
    if any(len(place.again) >= MAX_AGAIN for place in files.manifest.cursors.values()):
        when = f"when the first of {MAX_AGAIN} earlier requests is through"
    print(
        f"about {records} records, {size / 1e3:.1f} kB as they lie on the card, are sent again "
        f"{when}, within the {uplink.max_mb_per_day:g} MB a day that the link may use",
        file=call.out,
    )
    if gone:
        print(f"gone, and not sent: {str(gone)[:200]}", file=call.out)
    if waiting != wanted:
        print(f"with what was asked for before: {str(waiting)[:200]}", file=call.out)
    return OK


def _wanted_time(call: Call) -> "Wanted":
    """Raises Refused."""
    from agent.journal_tool.selection import wanted_time  # noqa: PLC0415

    return wanted_time(call.args.begin, call.args.end, call.config.gateway.timezone)
