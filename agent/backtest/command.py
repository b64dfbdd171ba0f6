"""The command behind `satomori backtest`: for whoever sets a threshold and wants to know first.

Plays the gateway's own past, or a recording, to the rules as they are and as they might be, by the
engine that the daemon has, and says of each rule how often it would have fired, when and why.
"""

import argparse
import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

if TYPE_CHECKING:
    from agent.backtest.source import Source, Span
    from agent.backtest.tally import Alarm
    from agent.backtest.trial import Trial, Write
    from agent.backtest.variants import Variant
    from gateway_config.model import GatewayConfig

OK, DAMAGED, WRONG = 0, 1, 2

LEARNED: Final = timedelta(days=30)
"""What is judged before --since, uncounted: rules that learn remember 28 days, and a door may stand
open already."""

QUIET_END: Final = timedelta(hours=1)
"""Between the last reading and --until, above which somebody should know of it."""

COLUMNS: Final = (
    *("variant", "rule", "condition", "severity", "sensor", "fired_at", "since", "over_at"),
    *("lasted_s", "value", "quantity", "is_false", "evidence"),
)

PROGRESS_EVERY: Final = 20_000
"""Readings; about a second on a Raspberry Pi."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all but --config."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--journal", type=Path, metavar="DIR", help="this journal (else: the configuration's)"
    )
    where.add_argument(
        "--recording",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="recordings: .jsonl, .csv, line protocol, also .gz",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="from then on: 2026-11-01, 2026-11-01T06:00, or 30d before the end (else: all)",
    )
    parser.add_argument("--until", metavar="TIME", help="up to then (else: to the last reading)")
    parser.add_argument(
        "--change",
        action="append",
        nargs="+",
        default=[],
        metavar="RULE.key=value",
        help="one more column: with this changed; several together are one column",
    )
    parser.add_argument(
        "--change-config",
        action="append",
        type=Path,
        default=[],
        metavar="OTHER.toml",
        help="one more column: with the rules of this file",
    )
    parser.add_argument(
        "--true", type=Path, metavar="FILE", help="CSV from,until[,rule]: what really happened"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write each alarm here")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw the alarms here")


class Call(NamedTuple):
    """One call."""

    config: "GatewayConfig"
    args: argparse.Namespace
    out: TextIO
    err: TextIO

    @property
    def zone(self) -> tzinfo:
        return self.config.gateway.timezone


def run(config: "GatewayConfig", args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Do it; returns the exit code: 0, 1 if a part of the journal is damaged, 2 if it cannot."""
    from agent.journal.reader import Unreadable  # noqa: PLC0415
    from agent.journal_tool.selection import Refused  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return _backtest(Call(config, args, out, err))
    except (Unreadable, Refused) as problem:
        print(problem, file=err)
    return WRONG


def _backtest(call: Call) -> int:
    from agent.backtest.report import text  # noqa: PLC0415
    from agent.backtest.source import Span  # noqa: PLC0415
    from agent.backtest.trial import Trial  # noqa: PLC0415
    from agent.backtest.truth import read  # noqa: PLC0415
    from agent.backtest.variants import variants  # noqa: PLC0415

    args = call.args
    lanes = variants(args.config, call.config, args.change, args.change_config)
    names = [rule.name for lane in lanes for rule in lane.config.rule]
    if not names:
        raise _refused(f"{args.config} has no [[rule]]: write one, then try it here")
    truth = read(args.true, call.zone, names) if args.true else None
    _refuse_overwriting(call)
    source = _source(call)
    judged = _judged(call, source)
    warm = Span(judged.begin - LEARNED if judged.begin else None, judged.end)
    with ExitStack() as files:
        table = files.enter_context(_written(args.csv, "--csv"))
        picture = files.enter_context(_written(args.picture, "--picture"))
        trial = Trial(lanes, judged, truth, _alarm_writer(table, args.csv))
        progress = Progress(call.err, call.zone)
        try:
            trial.run(source.steps(warm, judged), progress.seen)
        except OSError as problem:
            raise _refused(f"{source.says} cannot be read to its end: {problem}") from problem
        finally:
            progress.clear()
        if trial.end is None:
            raise _refused(_nothing(source, judged, call.zone))
        if picture:
            from agent.backtest.picture import svg  # noqa: PLC0415

            picture.write(svg(trial, source.says, call.zone))
    print(text(trial, source.says, source.told, call.zone), file=call.out)
    for note in (*source.notes(), *_notes(trial, call)):
        print(note, file=call.err)
    return DAMAGED if source.is_damaged else OK


def _refused(says: str) -> Exception:
    from agent.journal_tool.selection import Refused  # noqa: PLC0415

    return Refused(says)


def _source(call: Call) -> "Source":
    from agent.backtest.source import FromJournal, FromRecordings  # noqa: PLC0415

    if call.args.recording:
        return FromRecordings(call.config, call.args.recording, call.err)
    return FromJournal(call.args.journal or call.config.journal.path)


def _judged(call: Call, source: "Source") -> "Span":
    """Return what --since and --until mean. Raises Refused."""
    from agent.backtest.source import Span  # noqa: PLC0415

    args = call.args
    end = _moment("--until", args.until, call.zone) if args.until else None
    begin = None
    if args.since and (ago := _ago(args.since)) is not None:
        last = end or source.newest()
        if last is None:
            raise _refused(f"{source.says} holds no reading yet: nothing to judge")
        begin = last - ago
    elif args.since:
        begin = _moment("--since", args.since, call.zone)
    if begin and end and end <= begin:
        raise _refused(f"--until {args.until} is not after --since {args.since}: give a later one")
    return Span(begin, end)


def _ago(text: str) -> timedelta | None:
    from gateway_config.duration import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except (ValueError, OverflowError):
        return None


def _moment(option: str, text: str, zone: tzinfo) -> datetime:
    from agent.recording import moment  # noqa: PLC0415

    try:
        return moment(text, zone)
    except (ValueError, OverflowError) as problem:
        more = ', or how long before the end: "30d"' if option == "--since" else ""
        raise _refused(
            f'{option} {text!r} is not a time ({problem}): write "2026-11-01" or '
            f'"2026-11-01T06:00"{more}'
        ) from problem


def _nothing(source: "Source", judged: "Span", zone: tzinfo) -> str:
    from agent.backtest.words import when  # noqa: PLC0415

    begin = f" from {when(judged.begin, zone)} on" if judged.begin else ""
    end = f" up to {when(judged.end, zone)}" if judged.end else ""
    newest = source.newest()
    if newest is None:
        advice = "is it the right one? `satomori journal status` looks into a journal"
    else:
        advice = (
            f"its newest is of {when(newest, zone)}: change --since or --until, or leave it out"
        )
    says = f"{source.says} holds no reading{begin}{end} that could be judged; {advice}"
    return "\n".join([says, *source.notes()])


def _notes(trial: "Trial", call: Call) -> Iterator[str]:
    """Yield what may not be as it was meant."""
    if trial.late:
        yield f"{trial.late} readings came too late to be judged: a recording must be in order"
    if trial.end and trial.last and trial.end - trial.last > QUIET_END:
        from agent.backtest.words import when  # noqa: PLC0415

        last = when(trial.last, call.zone)
        yield f"nothing is recorded from {last} on: up to --until that counts as silence"
    known = {sensor.name for sensor in call.config.sensor}
    for variant in trial.variants[1:]:
        named = {sensor for rule in variant.config.rule for sensor in rule.sensors}
        if strangers := sorted(named - known):
            yield f"{variant.key}: the sensors are those of --config, without {strangers}"


# ---- files


def _refuse_overwriting(call: Call) -> None:
    args = call.args
    read = [args.config, args.true, *args.change_config, *(args.recording or ())]
    taken = {path.absolute() for path in read if path is not None}
    for option, path in (("--csv", args.csv), ("--picture", args.picture)):
        if path is not None and path.absolute() in taken:
            raise _refused(f"{option} {path} is used already here: give another name")
        if path is not None:
            taken.add(path.absolute())


@contextmanager
def _written(path: Path | None, option: str) -> Iterator[TextIO | None]:
    """Yield where to write. The file is there when all of it is written, and not before.

    Raises Refused.
    """
    if path is None:
        yield None
        return
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(path)
    except OSError as problem:
        unfinished.unlink(missing_ok=True)
        raise _unwritable(option, path, problem) from problem
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _alarm_writer(file: TextIO | None, path: Path) -> "Write":
    """Return what writes alarms as rows: one after the other, when they are over."""
    if file is None:
        return lambda variant, alarm: None  # noqa: ARG005
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(variant: "Variant", alarm: "Alarm") -> None:
        try:
            writer.writerow(_cells(variant, alarm))
        except OSError as problem:
            raise _unwritable("--csv", path, problem) from problem

    return write


def _unwritable(option: str, path: Path, problem: OSError) -> Exception:
    return _refused(
        f"{option} {path} cannot be written ({problem.strerror or problem}): give a file in a "
        "folder that is there and yours, with room on it"
    )


def _cells(variant: "Variant", alarm: "Alarm") -> Sequence[object]:
    from agent.backtest import words  # noqa: PLC0415

    event, over = alarm.event, alarm.over
    return (
        *(variant.key, event.rule, event.condition, event.severity, event.sensor),
        *(words.iso(event.at), words.iso(event.since), words.iso(over) if over else ""),
        (over - event.at).total_seconds() if over else "",
        *("" if event.value is None else event.value, event.quantity or ""),
        "" if alarm.is_true is None else int(not alarm.is_true),
        words.evidence(event),
    )


class Progress:
    """Says on a terminal how far it is; elsewhere, nothing."""

    def __init__(self, err: TextIO, zone: tzinfo) -> None:
        self._err, self._zone = err, zone
        self._is_on = err.isatty()
        self._count = 0

    def seen(self, at: datetime) -> None:
        """One more reading is judged."""
        self._count += 1
        if self._is_on and self._count % PROGRESS_EVERY == 0:
            day = f"{at.astimezone(self._zone):%Y-%m-%d}"
            print(f"\r{day}  {self._count} readings", end="\x1b[K", file=self._err, flush=True)

    def clear(self) -> None:
        if self._is_on:
            print("\r\x1b[K", end="", file=self._err, flush=True)
