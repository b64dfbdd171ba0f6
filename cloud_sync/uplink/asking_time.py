"""Asks an ingester what time it is, for a gateway whose clock nothing has set.

The answer lies anywhere between the question and its arrival here: taken to be in the middle, it is
wrong by half the round trip at most. Nobody may be there to answer, so it is asked again, more and
more rarely. Pure: the time is an argument, of one monotonic clock.
"""

from datetime import datetime, timedelta
from math import inf
from secrets import token_hex
from typing import NamedTuple

from cloud_sync.messages import Time

FIRST_WAIT_S, MAX_WAIT_S = 30.0, 900.0


class Answer(NamedTuple):
    """What time it is now."""

    at: datetime
    uncertainty_s: float


class AskingTime:
    """One question at a time: only the answer to the last one counts."""

    def __init__(self) -> None:
        self.next_s = 0.0
        """When to ask next, if the time is still wanted."""
        self._wait_s = FIRST_WAIT_S
        self._nonce, self._asked_s = "", inf

    def start_over(self) -> None:
        """Ask at once: there is a new connection, or an ingester that was not there before."""
        self.next_s, self._wait_s = 0.0, FIRST_WAIT_S

    def ask(self, now_s: float) -> str:
        """Return the nonce of a new question."""
        self._nonce, self._asked_s = token_hex(4), now_s
        self.next_s = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, MAX_WAIT_S)
        return self._nonce

    def answered(self, time: Time, heard_s: float, now_s: float) -> Answer | None:
        """Return what time it is now, by an answer that came at `heard_s`; None: to no question."""
        if not self._nonce or time.nonce != self._nonce:
            return None
        self._nonce = ""
        half_s = (heard_s - self._asked_s) / 2
        return Answer(time.at + timedelta(seconds=half_s + now_s - heard_s), half_s)
