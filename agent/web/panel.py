"""The folded part at the bottom: link, clock, journal, receivers, for whoever keeps it running."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.status import Status
from agent.web.glance import link_words
from agent.web.words import Words


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is, how it is, and what is wrong with it."""

    label: str
    text: str
    message: str = ""
    """In English, as it stands in the log; "" when all is well."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


def panel(status: Status, say: Words) -> tuple[Group, ...]:
    """Return all groups, in the order in which one looks for a fault."""
    clock = say("panel.clock_trusted" if status.clock_trusted else "panel.clock_doubtful")
    device = (
        Row(say("panel.clock"), clock),
        Row(say("panel.gateway"), status.gateway),
        Row(say("panel.version"), status.version),
        Row(say("panel.started"), say.time(status.started_at)),
    )
    return (
        Group(say("panel.transports"), tuple(_transports(status, say))),
        Group(say("panel.link"), tuple(_link(status, say))),
        Group(say("panel.journal"), tuple(_journal(status, say))),
        Group(say("panel.sensors"), tuple(_sensors(status, say))),
        Group(say("panel.device"), device),
    )


def _transports(status: Status, say: Words) -> Iterator[Row]:
    for transport in status.transports:
        text = say(
            "panel.with",
            text=say(f"transport.{transport.state}"),
            detail=say("card.since", time=say.time(transport.since)),
        )
        yield Row(transport.name, text, transport.message)


def _link(status: Status, say: Words) -> Iterator[Row]:
    link = status.link
    confirmed = say.ago(link.confirmed_at) if link.confirmed_at else say("panel.never")
    yield Row(say("panel.state"), link_words(link, say), link.message)
    yield Row(say("panel.unconfirmed"), say.number(link.unconfirmed))
    yield Row(say("panel.confirmed"), confirmed)
    today = say.size(link.bytes_today)
    if link.max_bytes_today is not None:
        today = say("panel.of", size=today, limit=say.size(link.max_bytes_today))
    yield Row(say("panel.today"), today)


def _journal(status: Status, say: Words) -> Iterator[Row]:
    journal = status.journal
    state = say("panel.journal_failing" if journal.message else "panel.journal_ok")
    yield Row(say("panel.state"), state, journal.message)
    yield Row(say("panel.records"), say.number(journal.records))
    size = say("panel.of", size=say.size(journal.bytes), limit=say.size(journal.max_bytes))
    yield Row(say("panel.size"), size)


def _sensors(status: Status, say: Words) -> Iterator[Row]:
    for sensor in status.sensors:
        heard = say.ago(sensor.heard_at) if sensor.heard_at else say("panel.never")
        if sensor.damaged:
            heard = say("panel.damaged", heard=heard, count=sensor.damaged)
        yield Row(sensor.name, say("panel.with", text=heard, detail=sensor.kind))
