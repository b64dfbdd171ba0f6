"""The `satomori` command. Each subcommand loads only what it needs."""

import argparse
import asyncio
import contextlib
import gzip
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO, cast

if TYPE_CHECKING:
    from gateway_config.model import GatewayConfig

OK, WRONG = 0, 2

DEFAULT_CONFIG = Path("/etc/satomori/gateway.toml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parser().parse_args(argv)
    command = cast("Callable[[argparse.Namespace], int]", args.command)
    try:
        code = command(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads our output (`head`) has enough. Nothing more can be written, even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


class _AddCommand(Protocol):
    """Adds a subcommand, and returns its parser for arguments of its own."""

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], int], says: str
    ) -> argparse.ArgumentParser: ...


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="satomori", description="Watches over people who live alone and over small farms."
    )
    parser.add_argument("--version", action="version", version=f"satomori {version('satomori')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], says: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=says, description=says)
        sub.set_defaults(command=run)
        return sub

    _add_gateway_commands(command)
    _add_frame_commands(command)
    _add_rule_commands(command)
    _add_cloud_commands(command)
    return parser


def _add_gateway_commands(command: _AddCommand) -> None:
    from agent.demo.arguments import add_arguments as add_demo_arguments  # noqa: PLC0415
    from agent.journal_tool import add_arguments as add_journal_arguments  # noqa: PLC0415

    run = command("run", _run, "Run the daemon.")
    _config_option(run)
    run.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])

    check = command(
        "check", _check, "Check a configuration: exit 0, or 2 with every mistake in it."
    )
    check.add_argument("file", type=Path, metavar="FILE")

    add_demo_arguments(command("demo", _demo, "Show the whole way of the data, without hardware."))

    status = command("status", _status, "Say how the running daemon is doing: exit 0, 1 or 2.")
    _config_option(status)
    status.add_argument("--json", action="store_true", help="as JSON")

    says = "Look into the journal, or let something of it be sent again."
    for action in add_journal_arguments(command("journal", _journal, says)):
        _config_option(action)


def _add_frame_commands(command: _AddCommand) -> None:
    listen = command("listen", _listen, "Write down every frame that is heard, as JSON Lines.")
    listen.add_argument("--config", type=Path, help="listen as configured (else: all Bluetooth)")
    listen.add_argument("--seconds", type=_seconds, help="stop after so long (else: at Ctrl-C)")
    listen.add_argument("--out", type=Path, help="write here (.jsonl, .jsonl.gz), not to stdout")

    decode = command("decode", _decode, "Turn frames on stdin into readings on stdout.")
    decode.add_argument("--device", metavar="KIND", help="decode as this kind (else: try each)")
    decode.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", type=_pair)


def _add_rule_commands(command: _AddCommand) -> None:
    from agent.backtest import add_arguments as add_backtest_arguments  # noqa: PLC0415
    from agent.explain import add_arguments as add_explain_arguments  # noqa: PLC0415
    from agent.rule_tests import arguments as rule_tests  # noqa: PLC0415

    replay = command("replay", _replay, "Print the alerts that a recording would have raised.")
    _config_option(replay)
    replay.add_argument("--until", metavar="TIME", help="let time pass up to here")
    replay.add_argument("recording", type=Path, help="readings or frames: .jsonl, .csv, also .gz")

    says = "Say how often the rules would have fired, and what other thresholds would have done."
    backtest = command("backtest", _backtest, says)
    _config_option(backtest)
    add_backtest_arguments(backtest)

    explain = command("explain", _explain, "Say why an alert fired, in Japanese and English.")
    _config_option(explain)
    add_explain_arguments(explain)

    says = "Try stories on the rules: exit 0, 1 when one went otherwise, or 2 for a bad file."
    rule_tests.add_arguments(command("test-rules", _test_rules, says))


def _add_cloud_commands(command: _AddCommand) -> None:
    from agent.ingest import add_arguments as add_ingest_arguments  # noqa: PLC0415
    from agent.set_aside_tool import add_arguments as add_set_aside_arguments  # noqa: PLC0415

    add_ingest_arguments(command("ingest", _ingest, "Cloud side: bring MQTT into InfluxDB."))

    says = "Cloud side: look at what no store would take, and try it again."
    add_set_aside_arguments(command("set-aside", _set_aside, says))


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _loaded(path: Path) -> "GatewayConfig | None":
    """Return the configuration; None if it has mistakes, which are then on stderr."""
    from gateway_config.load import BadConfig, load  # noqa: PLC0415

    try:
        return load(path)
    except BadConfig as problem:
        print(problem, file=sys.stderr)
        return None


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(level=args.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent import app, clock, site  # noqa: PLC0415
    from agent.journal import JournalFull, NotOurJournal  # noqa: PLC0415

    system = clock.System()
    ours = clock.Clock(system, always_right=config.clock.source == "system")
    try:
        journal = site.journal(config, ours, system.boot_id())
    except (JournalFull, NotOurJournal) as problem:
        print(problem, file=sys.stderr)
        return WRONG
    asyncio.run(app.run(config, journal, ours, system.boot_id()))
    return OK


def _check(args: argparse.Namespace) -> int:
    from agent.check import check  # noqa: PLC0415

    return check(args.file, sys.stdout, sys.stderr)


def _demo(args: argparse.Namespace) -> int:
    from agent.demo.show import show  # noqa: PLC0415

    return show(args)


def _listen(args: argparse.Namespace) -> int:
    config = None
    if args.config is not None and (config := _loaded(args.config)) is None:
        return WRONG
    from agent.listen import listen  # noqa: PLC0415

    try:
        with _output(args.out) as out:
            return listen(config, args.seconds, out, sys.stderr)
    except BrokenPipeError:
        raise
    except OSError as problem:
        print(f"{args.out or 'stdout'} cannot be written: {problem}", file=sys.stderr)
        return WRONG


def _decode(args: argparse.Namespace) -> int:
    from agent.decode import decode  # noqa: PLC0415

    # A capture may hold anything: a byte that is no UTF-8 spoils its own line only.
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    return decode(sys.stdin, sys.stdout, sys.stderr, args.device, dict(args.set))


def _replay(args: argparse.Namespace) -> int:
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent.recording import moment  # noqa: PLC0415
    from agent.replay import replay  # noqa: PLC0415

    until: datetime | None = None
    if args.until is not None:
        try:
            until = moment(args.until, config.gateway.timezone)
        except ValueError as problem:
            print(f"--until {args.until!r} is not a time: {problem}", file=sys.stderr)
            return WRONG
    return replay(config, args.recording, until, sys.stdout, sys.stderr)


def _backtest(args: argparse.Namespace) -> int:
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent.backtest import run  # noqa: PLC0415

    return run(config, args, sys.stdout, sys.stderr)


def _explain(args: argparse.Namespace) -> int:
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent.explain import run  # noqa: PLC0415

    return run(config, args, sys.stdout, sys.stderr)


def _test_rules(args: argparse.Namespace) -> int:
    from agent.rule_tests.command import run  # noqa: PLC0415

    return run(args.files, args.config, sys.stdout, sys.stderr)


def _status(args: argparse.Namespace) -> int:
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent.remote_status import status  # noqa: PLC0415

    return status(config, sys.stdout, sys.stderr, as_json=args.json)


def _journal(args: argparse.Namespace) -> int:
    config = _loaded(args.config)
    if config is None:
        return WRONG
    from agent.journal_tool import run  # noqa: PLC0415

    return run(config, args, sys.stdout, sys.stderr)


def _ingest(args: argparse.Namespace) -> int:
    from agent.ingest import run  # noqa: PLC0415

    return run(args)


def _set_aside(args: argparse.Namespace) -> int:
    from agent.set_aside_tool import run  # noqa: PLC0415

    return run(args)


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
    elif path.suffix == ".gz":
        with gzip.open(path, "wt", encoding="utf-8") as file:
            yield cast("TextIO", file)
    else:
        with path.open("w", encoding="utf-8") as file:
            yield file
