"""`satomori explain`: for whoever was woken by an alert, or asks about it the next day.

It reads the journal beside a running daemon or without one, and changes nothing in it.
"""

import argparse
import sys
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from agent.explain.alerts import Alert
    from gateway_config.model import GatewayConfig

OK, WRONG = 0, 2

LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "alert",
        nargs="*",
        metavar="ALERT",
        help="its number, or the name of its rule or a part of that (else: the newest alert)",
    )
    parser.add_argument(
        "--list", action="store_true", help=f"list the newest {LISTED} with their numbers instead"
    )


def run(
    config: "GatewayConfig",
    args: argparse.Namespace,
    out: TextIO = sys.stdout,
    err: TextIO = sys.stderr,
    now: datetime | None = None,
) -> int:
    """Explain it; returns the exit code. `now` decides what is "today"."""
    from agent.clock import now as machine_now  # noqa: PLC0415
    from agent.explain.alerts import alerts_in, chosen  # noqa: PLC0415
    from agent.journal.reader import Unreadable, opened  # noqa: PLC0415
    from agent.journal_tool.selection import Refused  # noqa: PLC0415

    now = machine_now() if now is None else now
    damaged: list[tuple[int, int]] = []
    try:
        found = alerts_in(opened(config.journal.path), lambda *span: damaged.append(span))
        for first, last in damaged:
            print(f"records {first} to {last} are damaged: alerts in there are missing", file=err)
        if args.list and found:
            _list(config, found, out, now)
        else:
            asked = " ".join(args.alert).strip()
            _explain(config, chosen(found, asked, config.gateway.timezone), out, now)
    except (Unreadable, Refused) as problem:
        print(problem, file=err)
        return WRONG
    except BrokenPipeError:
        raise
    except OSError as problem:
        print(f"{config.journal.path}: {problem}", file=err)
        return WRONG
    return OK


def _explain(config: "GatewayConfig", alert: "Alert", out: TextIO, now: datetime) -> None:
    from agent.explain.text import Speaker  # noqa: PLC0415
    from agent.web.words import LANGUAGES, Words  # noqa: PLC0415

    rule = next((rule for rule in config.rule if rule.name == alert.event.rule), None)
    for n, language in enumerate(LANGUAGES):
        words = Words(language, now, config.gateway.timezone)
        if n:
            print(file=out)
        for line in Speaker(words).lines(alert, rule):
            print(line, file=out)


def _list(config: "GatewayConfig", found: "list[Alert]", out: TextIO, now: datetime) -> None:
    from agent.explain.text import heading  # noqa: PLC0415
    from agent.web.words import Words  # noqa: PLC0415

    words = Words("ja", now, config.gateway.timezone)
    for alert in found[-LISTED:]:
        print(heading(alert, words), file=out)
