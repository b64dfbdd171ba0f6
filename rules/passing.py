"""What is over by itself after a while, because nobody and nothing says that it is."""

from datetime import datetime, timedelta
from typing import Any

from rules.condition import Memory
from rules.lifecycle import Verdict
from rules.snapshot import dump_time, load_time_if_any

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=7)


class Passing(Memory):
    """Clear `over_after` after it began last; the time while nobody listened does not count."""

    __slots__ = ("_over_after", "due")

    def __init__(self, over_after: timedelta, due: str | None) -> None:
        """`due` is what `dump` returned, if anything."""
        self._over_after = over_after
        self.due: datetime | None = load_time_if_any(due)

    @property
    def is_on(self) -> bool:
        """Whether it began and is not over."""
        return self.due is not None

    def begin(self, at: datetime) -> None:
        """Begin, or begin again: the time counts from now."""
        self.due = at + self._over_after

    def end(self) -> None:
        """Be over before the time is."""
        self.due = None

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Be over: it was woken because the time is."""
        self.end()
        return Verdict.CLEAR

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Wait on: what would have ended it could not be heard."""
        if self.due is not None and since is not None:
            self.due += at - since

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        if self.due is not None:
            self.due += by

    def dump(self) -> Any:
        """Return it as plain data."""
        return dump_time(self.due)


def require_over_after(over_after: timedelta) -> None:
    """Raise ValueError unless it is a while."""
    if not SHORTEST <= over_after <= LONGEST:
        raise ValueError(f"over_after {over_after} is not from 1 min to 7 d")
