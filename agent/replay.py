"""The command behind `satomori replay`: what would have been alerted, from a recording.

Takes what recording.py reads, and prints one alert event a line. The same input always gives the
same output: event time is the only time.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from agent import site
from agent.recording import BadRecording, Recordings
from drivers.capture import BadCapture
from gateway_config.model import GatewayConfig
from rules.alert import AlertEvent

MAX_TOLD = 20
"""Unreadable lines that are told one by one; all are counted."""


@dataclass
class Replay:
    """One run of a recording through a site's rules."""

    config: GatewayConfig
    err: TextIO
    readings: int = 0
    unreadable: int = 0
    unknown: set[str] = field(default_factory=set)
    """Sensors in the recording that the configuration does not know."""

    def __post_init__(self) -> None:
        self.engine = site.engine(self.config)
        self.recordings = Recordings(self.config)

    def events(self, path: Path, until: datetime | None) -> Iterator[AlertEvent]:
        """Yield what is alerted, up to `until` (None: up to the last reading).

        Raises OSError, csv.Error, BadCapture or BadRecording if the file as a whole is of no use.
        """
        for reading in self.recordings.readings(path, self._complain):
            if until is not None and reading.at > until:
                continue
            if not self.recordings.knows(reading.sensor):
                self.unknown.add(reading.sensor)
            self.readings += 1
            yield from self.engine.observe(reading)
        if until is not None:
            yield from self.engine.advance(until)

    def _complain(self, number: int, problem: Exception) -> None:
        self.unreadable += 1
        if self.unreadable <= MAX_TOLD:
            print(f"line {number}: left out, because of: {problem}", file=self.err)


def replay(
    config: GatewayConfig, path: Path, until: datetime | None, out: TextIO, err: TextIO
) -> int:
    """Print the alert events as JSON Lines; returns the exit code."""
    run = Replay(config, err)
    try:
        for event in run.events(path, until):
            print(event_to_json(event), file=out)
    except BrokenPipeError:
        raise
    except (OSError, csv.Error, BadCapture, BadRecording) as problem:
        print(f"{path} cannot be replayed: {problem}", file=err)
        return 2
    if run.unknown:
        names = ", ".join(map(repr, sorted(run.unknown)[:MAX_TOLD]))
        print(f"not in the configuration: {names}", file=err)
    intake = run.recordings.intake
    if intake.strangers:
        print(f"{intake.strangers} frames of no sensor in the configuration", file=err)
    if intake.damaged:
        print(f"{sum(intake.damaged.values())} damaged frames", file=err)
    print(
        f"{run.readings} readings judged, {run.engine.late} of them too late; "
        f"{run.unreadable} lines left out",
        file=err,
    )
    return 0


def event_to_json(event: AlertEvent) -> str:
    """Return one line; times are UTC."""
    body = {
        "at": event.at.astimezone(UTC).isoformat(),
        "rule": event.rule,
        "sensor": event.sensor,
        "phase": event.phase,
        "severity": event.severity,
        "since": event.since.astimezone(UTC).isoformat(),
        "value": event.value,
    }
    return json.dumps(body, ensure_ascii=False)
