"""The series tables that gateways have published, and whom to ask for one that is missing.

A batch in columns names its series by a table, which its gateway publishes retained. The tables of
all gateways come with each connection; what is missing all the same is asked for, more and more
rarely, so that a gateway which cannot help spends no bytes on it.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from cloud_sync.columns import SeriesTable

MAX_SERIES = 200_000
"""In all tables together, at about 740 bytes each. A gateway has a few for each sensor."""

TABLES_EACH = 3
"""Of one gateway: the newest, and those before it that batches still under way may name."""

FIRST_WAIT_S, MAX_WAIT_S = 10.0, 3600.0
"""Between two questions to one gateway. Doubles until a batch of it could be read."""

MAX_ASKED = 10_000


class KnownTables:
    """The newest tables of each gateway, within limits; least lately used go first."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, OrderedDict[int, SeriesTable]] = OrderedDict()
        self._series = 0

    def add(self, gateway: str, payload: bytes) -> None:
        """Take up a table as it was published. Raises BadPayload."""
        table = SeriesTable.parse(payload)
        tables = self._tables.setdefault(gateway, OrderedDict())
        self._tables.move_to_end(gateway)
        if table.id not in tables:
            self._series += len(table.series)
        tables[table.id] = table
        tables.move_to_end(table.id)
        if len(tables) > TABLES_EACH:
            _, gone = tables.popitem(last=False)
            self._series -= len(gone.series)
        while self._series > MAX_SERIES and len(self._tables) > 1:
            _, forgotten = self._tables.popitem(last=False)
            self._series -= sum(len(gone.series) for gone in forgotten.values())

    def of(self, gateway: str) -> Callable[[int], SeriesTable | None]:
        """Return what finds a table of this gateway by its id."""
        return partial(self._find, gateway)

    def _find(self, gateway: str, table_id: int) -> SeriesTable | None:
        tables = self._tables.get(gateway)
        if tables is None:
            return None
        self._tables.move_to_end(gateway)
        return tables.get(table_id)


class Questions:
    """When a gateway may be asked again. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Gateway to the moment of the next question, and the wait after it."""

    def may_ask(self, gateway: str, now_s: float) -> bool:
        """Whether to ask it now; then it counts as asked."""
        next_s, wait_s = self._asked.get(gateway, (now_s, FIRST_WAIT_S))
        if now_s < next_s:
            return False
        self._asked[gateway] = now_s + wait_s, min(wait_s * 2, MAX_WAIT_S)
        self._asked.move_to_end(gateway)
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
        return True

    def answered(self, gateway: str) -> None:
        """Take note that its batches can be read."""
        self._asked.pop(gateway, None)
