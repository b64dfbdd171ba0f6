"""Which records a broker cannot take, if it says so only by hanging up each time it gets them.

Such a record would be sent for ever, and everything behind it would wait. So what was on its way
when the connection ended, again and again and each time at once, is sent in smaller pieces, which
helps on a bad link as well. A single record that does so is put apart, and the next one is tried.
If that gets through, the record has its turn again at once. Only if each of TRIALS times others get
through and it does not, it is the record and neither the broker nor the link, and it is lost.

Pure: no clock, no input or output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_sync.spans import Spans

HASTE_S = 5.0
"""A link that dies takes longer to be noticed: see USER_TIMEOUT_MS in broker.py."""

STRIKES = 3
TRIALS = 3
MAX_RECORDS = 1 << 20
PIECES = 8
"""Into so many a batch is divided, and so many have to arrive before pieces grow again."""


@dataclass
class Doubts:
    """What is known against some records, and how many at a time are sent therefore."""

    max_records: int = MAX_RECORDS
    _apart: dict[str, Spans] = field(default_factory=dict)
    _suspect: tuple[str, int] | None = None
    """Boot and first number of what was on its way when the connection ended last."""
    _strikes: int = 0
    _trials: int = 0
    """How many times others got through while it was apart."""
    _passed: int = 0

    @property
    def is_one_apart(self) -> bool:
        """Whether a record waits for others to be tried."""
        return bool(self._apart)

    def apart(self, boot: str) -> Spans:
        """Return which records of this boot are not to be sent for now."""
        return Spans(self._apart.get(boot, ()))

    def hung_up(
        self, boot: str, numbers: Spans, after_s: float, *, is_refusal: bool = False
    ) -> None:
        """The connection ended `after_s` after these left, and nobody has acknowledged them.

        `is_refusal`: it was said to be because of what was sent, so that once is enough.
        """
        if after_s > HASTE_S:
            return
        first, _ = next(iter(numbers))
        if (boot, first) != self._suspect:
            self._suspect, self._strikes, self._trials = (boot, first), 0, 0
        self._strikes += STRIKES if is_refusal else 1
        if self._strikes < STRIKES:
            return
        self._strikes = self._passed = 0
        if len(numbers) > 1:
            self.max_records = max(1, len(numbers) // PIECES)
        else:
            # The second in a row: whatever is sent ends the connection.
            self._apart = {} if self._apart else {boot: Spans([(first, first)])}

    def passed(self, boot: str, numbers: Spans) -> Mapping[str, Spans]:
        """These have arrived; returns the records, by boot, that are lost therefore."""
        self._passed += 1
        if self._passed >= PIECES:
            self.max_records, self._passed = min(self.max_records * 2, MAX_RECORDS), 0
        if self._suspect and boot == self._suspect[0] and numbers.covers(*[self._suspect[1]] * 2):
            self._suspect = None
        tried, self._apart = self._apart, {}
        if not tried:
            return {}
        self._trials += 1
        # Once more is enough, now that it is known that others get through.
        self._strikes = STRIKES - 1
        return tried if self._trials >= TRIALS else {}
