"""A store: where records end up, and how it says no.

The ingester confirms a record to its gateway once `write` has returned, and not before. What it
does when `write` raises depends only on which of these errors it is, so every store sorts its own
troubles into them: the lines are at fault, somebody has to change a setting, or it is a matter of
waiting.
"""

from typing import Protocol


class Store(Protocol):
    """Takes lines of line protocol, with times in nanoseconds. Written twice is written once."""

    def write(self, lines: bytes) -> None:
        """Return when all the lines are stored for good.

        Raises StoreError, and then some of them may be stored.
        """
        ...


class StoreError(Exception):
    """Not all lines are stored. The message says where, why, and what to do."""


class Rejected(StoreError):
    """At least one of these lines will never be taken: find it, set it aside, write the others."""

    def __init__(self, reason: str, all_of: int | None = None) -> None:
        """`all_of`: of how many lines the reason is true, where the store says so."""
        super().__init__(reason)
        self.all_of = all_of


class TooLarge(StoreError):
    """Too much at once: write it in two halves."""


class Refused(StoreError):
    """Somebody has to change something: sound the alarm, confirm nothing, try again slowly."""


class Unavailable(StoreError):
    """Not now: keep the lines, confirm nothing, try again soon."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is when the store asks to be tried again; None if it does not say."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s
