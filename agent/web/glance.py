"""What the top of the page says: all well, look here, or that nobody can be sure just now.

A page that is green because nothing arrives is worse than no page. So "all is well" is said only
when no alert fires *and* nothing gives reason to doubt the quiet: each such reason is a `Doubt`.
People and equipment are told apart everywhere: an alert of severity FAULT and every doubt stand in
a section of their own that says that it is not about a person.

Alerts that are only pending are not drawn: nobody should act on them, and a rule about silence is
pending all the time while all is well. They are in /status.json.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from agent.status import AlertStatus, LinkStatus, Status, TransportStatus
from agent.web.cards import stopped
from agent.web.words import TABLE, Words
from cloud_sync.uplink import LinkState
from drivers.transport import TransportState
from rules.alert import Severity
from rules.lifecycle import Phase
from rules.presence import Presence

UNDELIVERED_AFTER = timedelta(hours=1)
"""Records that wait longer than this for the cloud: those far away do not see what you see."""

NAMED = 3
"""So many sensors are named in one sentence; the others are counted."""


class Level(StrEnum):
    """The one thing to take away from a glance, the most urgent first."""

    DANGER = auto()
    LOOK = auto()
    EQUIPMENT = auto()
    NOTICE = auto()
    WELL = auto()


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert, or one doubt, as it is read."""

    severity: Severity
    title: str
    where: str = ""
    since: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line below the headline."""

    icon: str
    text: str


@dataclass(frozen=True, slots=True)
class Glance:
    """The top of the page."""

    level: Level
    headline: str
    because: str
    also: str
    facts: tuple[Fact, ...]
    people: tuple[Notice, ...]
    """Alerts about people and fields."""
    equipment: tuple[Notice, ...]
    """Alerts about equipment, then doubts."""


def glance(status: Status, say: Words) -> Glance:
    """Judge the whole status."""
    firing = [alert for alert in status.alerts if alert.phase is Phase.FIRING]
    people = [alert for alert in firing if alert.severity is not Severity.FAULT]
    equipment = [_alert(alert, say) for alert in firing if alert.severity is Severity.FAULT]
    equipment += doubts(status, say)
    level = _level({alert.severity for alert in people}, doubtful=bool(equipment))
    return Glance(
        level,
        say(f"level.{level}"),
        say(f"because.{level}", count=len(people)),
        say("also.equipment") if equipment and level is not Level.EQUIPMENT else "",
        tuple(_facts(status, say)),
        tuple(_alert(alert, say) for alert in people),
        tuple(equipment),
    )


def _level(severities: set[Severity], *, doubtful: bool) -> Level:
    if Severity.DANGER in severities:
        return Level.DANGER
    if Severity.WARNING in severities:
        return Level.LOOK
    if doubtful:
        return Level.EQUIPMENT
    return Level.NOTICE if severities else Level.WELL


def doubts(status: Status, say: Words) -> Iterator[Notice]:
    """Yield each reason why quiet need not mean that all is well."""
    if not status.clock_trusted:
        yield _doubt("clock", say)
    if status.journal.message:
        yield _doubt("journal", say)
    for transport in status.transports:
        yield from _transport_doubts(transport, say)
    yield from _sensor_doubts(status, say)
    if undelivered(status):
        yield _doubt("link", say)


def _doubt(name: str, say: Words, /, **parts: object) -> Notice:
    return Notice(
        Severity.FAULT, say(f"doubt.{name}", **parts), advice=say(f"doubt.{name}.do", **parts)
    )


def _transport_doubts(transport: TransportStatus, say: Words) -> Iterator[Notice]:
    if not _hears(transport):
        yield _doubt(transport.state.value, say, name=_receiver(transport.name, say))


def _hears(transport: TransportStatus) -> bool:
    return transport.state is TransportState.HEARING


def _receiver(name: str, say: Words) -> str:
    """Say "Bluetooth radio" for "ble"; the panel has the full name with its port."""
    words = f"receiver.{name.partition(' ')[0]}"
    return say(words) if words in TABLE else name


def _sensor_doubts(status: Status, say: Words) -> Iterator[Notice]:
    if not status.sensors:
        yield _doubt("no_sensors", say)
    never = [sensor.name for sensor in status.sensors if not sensor.values]
    if never:
        yield _doubt("never_heard", say, sensors=_names(never, say))
    old = [sensor.name for sensor in status.sensors if stopped(sensor, status.at)]
    if old:
        yield _doubt("old", say, sensors=_names(old, say))


def _names(names: Sequence[str], say: Words) -> str:
    shown = say("names.join").join(names[:NAMED])
    more = len(names) - NAMED
    return say("names.more", names=shown, count=more) if more > 0 else shown


def undelivered(status: Status) -> bool:
    """Whether what is seen here has not reached the cloud for too long, though it should."""
    link = status.link
    if link.state is LinkState.OFF or not link.unconfirmed:
        return False
    return status.at - _last_proof(link, status.started_at) > UNDELIVERED_AFTER


def _last_proof(link: LinkStatus, started_at: datetime) -> datetime:
    return max(started_at, link.confirmed_at or started_at)


def _alert(alert: AlertStatus, say: Words) -> Notice:
    return Notice(
        alert.severity,
        alert.rule,
        " ・ ".join(part for part in (alert.place, alert.sensor) if part),
        say("alerts.since", time=say.time(alert.since), length=say.length(say.now - alert.since)),
    )


def _facts(status: Status, say: Words) -> Iterator[Fact]:
    now = "fact.at" if status.clock_trusted else "fact.at_doubtful"
    yield Fact("clock", say(now, time=say.time(status.at)))
    heard = [(sensor.heard_at, sensor.name) for sensor in status.sensors if sensor.heard_at]
    if heard:
        at, sensor = max(heard)
        yield Fact("sensor", say("fact.heard", ago=say.ago(at), sensor=sensor))
    else:
        yield Fact("sensor", say("fact.nothing_heard"))
    # A guess from what was heard is no longer worth telling when a receiver hears nothing.
    if status.presence is not Presence.UNKNOWN and all(map(_hears, status.transports)):
        yield Fact("home", say(f"presence.{status.presence}"))
    yield Fact("link", link_words(status.link, say))


def link_words(link: LinkStatus, say: Words) -> str:
    """Say how the link is doing. Connected without proof of arrival is not simply connected."""
    unproven = link.state is LinkState.ONLINE and link.message
    return say("link.unproven" if unproven else f"link.{link.state}")
