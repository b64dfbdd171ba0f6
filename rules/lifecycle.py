"""The life of an alert. Everything that moves an alert from one phase to another is in this file.

             BREACHED while watched          held for hold_for
      QUIET -----------------------> PENDING -----------------> FIRING
       ^ ^                              |                          |
       | |   CLEAR, or not watched      |                          |
       | +------------------------------+                          |
       +-----------------------------------------------------------+
                                 CLEAR, watched or not

UNDECIDED (inside the margin) changes nothing. RENEWED (a sign of life) is CLEAR and, from that same
moment on, BREACHED: silence is an alert that waits from the last sign of life on. REPEATED (a call
button, once more) is BREACHED, and told again if it fires already.

"Watched" is whether the rule's hours and the resident's presence let it judge just now. It keeps an
alert from beginning; it never ends one that fires, because only evidence may give an all-clear.

There is no clock here: time is whatever the readings and `advance` say, so the same input always
gives the same events at the same times.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto

BEGINNING = datetime.min.replace(tzinfo=UTC)


class Verdict(StrEnum):
    """What one reading means to a condition."""

    BREACHED = auto()
    CLEAR = auto()
    UNDECIDED = auto()
    RENEWED = auto()
    REPEATED = auto()


class Phase(StrEnum):
    """Where an alert is in its life."""

    QUIET = auto()
    PENDING = auto()
    FIRING = auto()


_NEXT = {
    (Phase.QUIET, Verdict.BREACHED, True): Phase.PENDING,
    (Phase.QUIET, Verdict.RENEWED, True): Phase.PENDING,
    (Phase.QUIET, Verdict.REPEATED, True): Phase.PENDING,
    (Phase.PENDING, Verdict.CLEAR, True): Phase.QUIET,
    (Phase.PENDING, Verdict.RENEWED, True): Phase.PENDING,
    (Phase.PENDING, Verdict.BREACHED, False): Phase.QUIET,
    (Phase.PENDING, Verdict.CLEAR, False): Phase.QUIET,
    (Phase.PENDING, Verdict.UNDECIDED, False): Phase.QUIET,
    (Phase.PENDING, Verdict.RENEWED, False): Phase.QUIET,
    (Phase.PENDING, Verdict.REPEATED, False): Phase.QUIET,
    (Phase.FIRING, Verdict.CLEAR, True): Phase.QUIET,
    (Phase.FIRING, Verdict.CLEAR, False): Phase.QUIET,
    (Phase.FIRING, Verdict.RENEWED, True): Phase.PENDING,
    (Phase.FIRING, Verdict.RENEWED, False): Phase.QUIET,
    (Phase.FIRING, Verdict.REPEATED, True): Phase.FIRING,
    (Phase.FIRING, Verdict.REPEATED, False): Phase.FIRING,
}
"""(phase, verdict, watched) to the next phase. What is not in it changes nothing."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule watching one sensor, at one moment. Immutable: each step returns the next one."""

    phase: Phase = Phase.QUIET
    since: datetime = BEGINNING
    """The event time at which this phase began."""

    def judged(self, verdict: Verdict, watched: bool, at: datetime) -> "Alert":
        """Return the alert after a judgement at `at`; call `advanced` to `at` first."""
        phase = _NEXT.get((self.phase, verdict, watched))
        return self if phase is None else Alert(phase, at)

    def due(self, hold_for: timedelta) -> datetime | None:
        """Return when it will fire if nothing happens; None if it will not."""
        return self.since + hold_for if self.phase is Phase.PENDING else None

    def advanced(self, to: datetime, hold_for: timedelta) -> "Alert":
        """Return the alert once event time reached `to`; it fires at its due time, not at `to`."""
        due = self.due(hold_for)
        return Alert(Phase.FIRING, due) if due is not None and due <= to else self

    def shifted(self, by: timedelta) -> "Alert":
        """Return the same alert on a clock that was wrong by `by`."""
        return self if self.since == BEGINNING else Alert(self.phase, self.since + by)
