"""What a file in rules/conditions/ offers.

A condition is a frozen dataclass: its fields are its settings in gateway.toml, its class attributes
say what it watches, and `judge` says what one reading means. It has no memory and no clock: hold
time, hours, presence and the life of the alert are the engine's, the same for every condition.

A condition that has to know the past, or what time does, has no `judge`, but makes a Memory for
each of its alerts, which judges in its place. The engine keeps it, wakes it when it wants to be
woken, and writes it down with the rest of its state.

A condition over other rules has neither: it names them, and says what their states mean together.

A field of one of these names is no setting; the site gives it:

    zone                a tzinfo: what days and hours are meant in
    latitude_degrees    north is positive, WGS 84
    longitude_degrees   east is positive
    outer_doors         the names of the contacts on doors that lead outside; empty if not known

Some say more, as class attributes that others leave out; `traits_of` knows what that means:

    about_equipment     True: it is about a fault of equipment, never about a person
    choices             the quantities of which the rule names one (where `watches` is None)
    needs               groups of quantities: one of each group, or it could never judge
    needs_presence      True: it judges where the resident is, and could not without [presence]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, NewType, Protocol, TypeAlias, runtime_checkable

from drivers.reading import Quantity, Reading
from rules.lifecycle import Verdict
from rules.presence import Presence

FROM_SITE: Final = frozenset({"zone", "latitude_degrees", "longitude_degrees", "outer_doors"})

SensorName = NewType("SensorName", str)
"""A setting that names one of the rule's own sensors: the one with a part of its own."""

Evidence: TypeAlias = Mapping[str, float]
"""Figures that say why, each with its unit at the end of its name (`usual_s`, `limit`: in the unit
of the quantity). What is not known is left out."""


class Kind(Protocol):
    """What every condition says about itself."""

    watches: ClassVar[frozenset[Quantity] | None]
    """The quantities it judges; None: the rule names one."""

    together: ClassVar[bool]
    """True: one alert over all the rule's sensors. False: one alert for each of them."""

    from_silence: ClassVar[bool]
    """True: it judges that nothing was heard, so it is breached from the beginning on and each
    sign of life renews it; the time during which nobody listened does not count."""


class Judge(Protocol):
    """Says what readings mean."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Say what this reading means. `previous` is that sensor's last value of this quantity."""
        ...


class Forgetful(Kind, Judge, Protocol):
    """A judgement on one reading alone."""


class Memory:
    """The past of one alert. Bounded, in event time, and plain data when it is dumped.

    What it is told comes in the order of event time. It is woken at `due`, not before and not
    after, however often somebody looks.
    """

    __slots__ = ()

    follows_presence: ClassVar[bool] = False
    """Whether it wants to be told when the resident comes and goes."""

    due: datetime | None = None
    """When it wants to be woken next, though nothing is heard; None: never."""

    def judge(self, reading: Reading, previous: float | None) -> Verdict:
        """Say what this reading means. `previous` is that sensor's last value of this quantity."""
        raise TypeError(f"{type(self).__name__} cannot judge {reading} after {previous}")

    def advance(self, at: datetime) -> Verdict:  # noqa: ARG002
        """Say what it means that it is `at`, when it was due; after that `due` is later."""
        return Verdict.UNDECIDED

    def tell(self, presence: Presence, at: datetime) -> Verdict:  # noqa: ARG002
        """Say what it means that the resident is seen to come or go."""
        return Verdict.UNDECIDED

    def resume(self, at: datetime, since: datetime | None) -> None:
        """Begin to listen, or go on at `at` after nobody listened from `since` on.

        What was not heard says nothing.
        """

    def evidence(self, at: datetime) -> Evidence:  # noqa: ARG002
        """Return what speaks for its judgement at `at`, beside the settings."""
        return {}

    def shift(self, by: timedelta) -> None:
        """Go on with a clock that was wrong by `by`."""
        raise TypeError(f"{type(self).__name__} cannot go {by} on")

    def dump(self) -> Any:
        """Return it as plain data for JSON."""
        raise TypeError(f"{type(self).__name__} cannot be written down")


@runtime_checkable
class Remembering(Kind, Protocol):
    """A judgement on a reading and what came before it."""

    def remember(self, dumped: Any = None) -> Memory:
        """Return a new memory, or the one that was dumped, perhaps with other settings."""
        ...


@runtime_checkable
class Joining(Kind, Protocol):
    """A judgement on other rules, which stand before it. It watches no sensor of its own."""

    rules: tuple[str, ...]
    """Their names."""

    def join(self, firing: Sequence[bool]) -> bool:
        """Whether it is breached, when these of its rules fire."""
        ...


Condition: TypeAlias = Forgetful | Remembering | Joining
"""One kind of judgement."""


@dataclass(frozen=True)
class Traits:
    """What a kind of condition says about itself if it wants to, at its defaults."""

    about_equipment: bool = False
    choices: frozenset[Quantity] | None = None
    """None: whatever lasts."""
    needs: tuple[frozenset[Quantity], ...] = ()
    """Of each sensor, or of all of them if they are judged together."""
    needs_presence: bool = False


def traits_of(kind: type[Condition]) -> Traits:
    """Return what it says, or else the defaults."""
    names = [field.name for field in fields(Traits)]
    return Traits(**{name: getattr(kind, name) for name in names if hasattr(kind, name)})


def kind_of(condition: Condition) -> str:
    """Return how gateway.toml calls it: its file in rules/conditions/."""
    return type(condition).__module__.rpartition(".")[2]


def settings_of(condition: Condition) -> Evidence:
    """Return those of its settings that are figures; a duration in seconds, named `..._s`."""
    found: dict[str, float] = {}
    for field in fields(condition):  # type: ignore[arg-type]
        value = getattr(condition, field.name)
        if isinstance(value, timedelta):
            found[f"{field.name}_s"] = value.total_seconds()
        elif isinstance(value, int | float) and field.name not in FROM_SITE:
            found[field.name] = float(value)
    return found


def sensors_named(condition: Condition) -> set[str]:
    """Return the sensors that its settings name."""
    names = set[str]()
    for field in fields(condition):  # type: ignore[arg-type]
        value = getattr(condition, field.name)
        if field.type in ("SensorName", SensorName):
            names.add(value)
        elif field.type in ("tuple[SensorName, ...]", tuple[SensorName, ...]):
            names.update(value)
    return names
