"""A lamp that is lit while an alert fires, and a buzzer that sounds when one begins to."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from rules.alert import Severity
from rules.engine import Watch
from rules.lifecycle import Phase

LOUD = frozenset({Severity.DANGER, Severity.WARNING})
"""A notice or a fault of equipment wakes nobody."""

log = logging.getLogger(__name__)


class Output(Protocol):
    """A pin that can be switched. After an exception, switching again is trying again."""

    def on(self) -> None: ...
    def off(self) -> None: ...
    def close(self) -> None: ...


class Signals:
    """Switches the outputs to what the open alerts ask for; call `update` every second or so."""

    def __init__(
        self,
        lamp: Output | None,
        buzzer: Output | None,
        *,
        buzzer_for: timedelta,
        alerts: Callable[[], Sequence[Watch]],
    ) -> None:
        self._lamp, self._buzzer = lamp, buzzer
        self._faulty: set[str] = set()
        self._buzzer_for, self._alerts = buzzer_for, alerts

    def update(self, at: datetime) -> None:
        """Switch to what is right at `at`. An output that fails is told in the log, once."""
        firing = [watch for watch in self._alerts() if watch.alert.phase is Phase.FIRING]
        self._switch("lamp", self._lamp, on=bool(firing))
        loud = (w.alert.since for w in firing if w.rule.severity in LOUD)
        sounds = any(at - since < self._buzzer_for for since in loud)
        self._switch("buzzer", self._buzzer, on=sounds)

    def close(self) -> None:
        """Switch off, and let go of the pins."""
        for output in (self._lamp, self._buzzer):
            if output is not None:
                output.close()

    def _switch(self, name: str, output: Output | None, *, on: bool) -> None:
        if output is None:
            return
        try:
            (output.on if on else output.off)()
            self._faulty.discard(name)
        except Exception as problem:  # noqa: BLE001  # a lamp that fails must not stop the watching
            if name not in self._faulty:
                log.warning("the %s cannot be switched: %s", name, problem)
            self._faulty.add(name)
