"""A lamp that is lit while an alert fires, and a buzzer that sounds when one begins to."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from rules.alert import Severity
from rules.engine import Watch
from rules.lifecycle import Phase

LOUD = frozenset({Severity.DANGER, Severity.WARNING})
"""A notice or a fault of equipment wakes nobody."""


class Output(Protocol):
    """A pin that can be switched."""

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
        self._buzzer_for, self._alerts = buzzer_for, alerts

    def update(self, at: datetime) -> None:
        """Switch to what is right at `at`."""
        firing = [watch for watch in self._alerts() if watch.alert.phase is Phase.FIRING]
        _switch(self._lamp, on=bool(firing))
        loud = (w.alert.since for w in firing if w.rule.severity in LOUD)
        _switch(self._buzzer, on=any(at - since < self._buzzer_for for since in loud))

    def close(self) -> None:
        """Switch off, and let go of the pins."""
        for output in (self._lamp, self._buzzer):
            if output is not None:
                output.close()


def _switch(output: Output | None, *, on: bool) -> None:
    if output is not None:
        (output.on if on else output.off)()
