"""Whether everything arrived: what was said, what the journal holds, and what is stored, compared.

Pure, so that a test can show that each kind of violation is found.

The feeder knows the truth: what each sensor said, and when. A thermometer never says the same
number twice, so that a row is known by its number; a door is known by its moment, since it is never
moved twice within several seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud_sync.wire import parse_line

NUMBER, STATE = "temperature_celsius", "contact_open"
"""The fields that sensors of the simulation have."""

WHOLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """Something a sensor said, and the gateway heard."""

    sensor: str
    field: str
    value: float
    at_s: float
    """Unix time, of a clock that is right."""
    owed: bool = True
    """False: the gateway may have lost it, because it was killed too soon after."""


@dataclass(frozen=True, slots=True)
class Row:
    """A point in InfluxDB, or a line in the journal."""

    measurement: str
    time_ns: int
    values: frozenset[tuple[str, str | float]]
    """Tags and fields."""

    @property
    def sensor(self) -> str:
        return str(dict(self.values).get("sensor", ""))

    @property
    def at_s(self) -> float:
        """Unix time at which it happened, as far as the row knows."""
        return float(dict(self.values).get("happened_seconds", self.time_ns / 1e9))

    @property
    def uncertainty_s(self) -> float:
        """By how much it may be wrong by its own account."""
        values = dict(self.values)
        return float(values.get("time_uncertain_seconds", 0.0))

    def __str__(self) -> str:
        words = " ".join(f"{name}={value}" for name, value in sorted(self.values))
        return f"{self.measurement} {words} at {self.time_ns / 1e9:.6f}"


@dataclass(frozen=True)
class Evidence:
    """All that is known when everything has been mended."""

    said: Sequence[Said]
    journal: Sequence[Row]
    stored: Sequence[Row]
    aside: Sequence[str] = field(default=())
    """Lines in the ingester's set-aside folder."""


def rows_of_lines(lines: Iterable[bytes]) -> list[Row]:
    """Return the rows that these lines make.

    A line that says the true time of an alert belongs to the alert's row. Any other two lines of
    one place are two rows, which is a mistake that `violations` finds.
    """
    rows: list[Row] = []
    of_place: dict[object, int] = {}
    for point in map(parse_line, lines):
        values: dict[str, str | float] = {**point.tags, **point.fields}
        place = point.measurement, point.time_ns, frozenset(point.tags.items())
        if "happened_seconds" in values and place in of_place:
            at = of_place[place]
            values = {**dict(rows[at].values), **values}
            rows[at] = Row(point.measurement, point.time_ns, frozenset(values.items()))
            continue
        of_place[place] = len(rows)
        rows.append(Row(point.measurement, point.time_ns, frozenset(values.items())))
    return rows


def row_of_influx(measurement: str, row: Mapping[str, str | float]) -> Row:
    values = {
        name: float(value) if isinstance(value, int | float) else value
        for name, value in row.items()
        if name != "time" and value is not None
    }
    return Row(measurement, int(row["time"]), frozenset(values.items()))


def violations(evidence: Evidence, tolerance_s: float) -> list[str]:
    """Return what is wrong, in words; nothing if every promise was kept."""
    found = [f"set aside: {line}" for line in evidence.aside]
    found += _not_the_same(evidence)
    rows_of, strangers = matched(evidence.said, evidence.stored)
    found += [f"stored, but never said: {row}" for row in strangers]
    for said, rows in zip(evidence.said, rows_of, strict=True):
        found += _about(said, rows, tolerance_s)
    for row in evidence.stored:
        found += _about_alert(row, evidence.said, tolerance_s)
    return found


def missing(said: Sequence[Said], stored: Sequence[Row]) -> int:
    """Return how many of those that are owed are not stored yet."""
    pairs = zip(said, matched(said, stored)[0], strict=True)
    return sum(each.owed and not rows for each, rows in pairs)


def _not_the_same(evidence: Evidence) -> Iterable[str]:
    journal, stored = set(evidence.journal), set(evidence.stored)
    if len(journal) != len(evidence.journal):
        yield "two records of the journal have the same place in InfluxDB"
    yield from (f"in the journal, but not stored: {row}" for row in journal - stored)
    yield from (f"stored, but not in the journal: {row}" for row in stored - journal)


def matched(said: Sequence[Said], stored: Sequence[Row]) -> tuple[list[list[Row]], list[Row]]:
    """Return the rows of each of `said`, and those that nobody said."""
    by_value: dict[tuple[str, str, float], list[int]] = defaultdict(list)
    for number, each in enumerate(said):
        by_value[each.sensor, each.field, each.value].append(number)
    rows: list[list[Row]] = [[] for _ in said]
    strangers = []
    for row in stored:
        about = [(name, float(value)) for name, value in row.values if name in {NUMBER, STATE}]
        candidates = [n for name, value in about for n in by_value[row.sensor, name, value]]
        if candidates:
            nearest = min(candidates, key=lambda n: abs(said[n].at_s - row.at_s))
            rows[nearest].append(row)
        elif about:
            strangers.append(row)
    return rows, strangers


def _about_alert(row: Row, said: Sequence[Said], tolerance_s: float) -> Iterable[str]:
    """An alert has the moment of the door that was opened, or shut."""
    values = dict(row.values)
    if row.measurement != "alert":
        return
    moments = [
        each.at_s
        for each in said
        if (each.sensor, each.field, each.value) == (row.sensor, STATE, values["firing"])
    ]
    off_s = min((abs(at_s - row.at_s) for at_s in moments), default=float("inf"))
    if off_s > tolerance_s + row.uncertainty_s:
        yield f"{off_s:.3f} s off: {row}"


def _about(said: Said, rows: Sequence[Row], tolerance_s: float) -> Iterable[str]:
    what = f"{said.sensor} {said.field}={said.value:g}, said at {said.at_s:.3f}"
    if said.owed and not rows:
        yield f"lost: {what}"
    if len(rows) > 1:
        yield f"stored {len(rows)} times: {what}: {'; '.join(map(str, rows))}"
    for row in rows:
        off_s = row.at_s - said.at_s
        # Numbers carry the whole second in which they were heard.
        early_s = WHOLE_S if said.field == NUMBER else 0.0
        allowed_s = tolerance_s + row.uncertainty_s
        if not -early_s - allowed_s <= off_s <= allowed_s:
            yield f"{off_s:+.3f} s off: {what}: {row}"
