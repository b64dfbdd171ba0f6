"""What the uplink knows from one connection to the next: settings, window, budget, troubles."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from typing import Literal, Protocol, TypeAlias

from cloud_sync.spans import Spans
from cloud_sync.topics import partition, topic
from cloud_sync.uplink.asking_time import AskingTime
from cloud_sync.uplink.byte_budget import ByteBudget
from cloud_sync.uplink.ingesters import Ingesters
from cloud_sync.uplink.packing import Packer
from cloud_sync.uplink.under_way import UnderWay
from cloud_sync.wire import Encoding

MIN_ROOM_BYTES = 1_000
"""Fewer of a day's bytes than these are not worth a packet."""

LOOK_EVERY_S = 10.0

ConfirmedBy: TypeAlias = Literal["ingester", "broker"]
"""Whose word moves the cursor. "broker" is weaker, for consumers that do not confirm."""

Trouble: TypeAlias = Literal["link", "lost", "series", "silence", "refusal", "away", "budget"]
"""The first two are over with the next connection, series when it is tried again, silence and
refusal with the next confirmation, the others when readings may go again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UplinkSettings:
    """What the site decides."""

    gateway: str
    encoding: Encoding = "columns"
    confirmed_by: ConfirmedBy = "ingester"
    send_every_s: float = 300.0
    """How long readings may wait to be sent together. Alerts never wait."""
    max_bytes_per_day: int | None = None
    """IP bytes both ways, above which readings wait for the next day; None: no limit."""


class Retained(Protocol):
    """What else is told to the broker while connected: discovery, last values."""

    def announcements(self) -> Mapping[str, bytes]:
        """Return retained messages by topic, to be sent at each connect."""
        ...

    def changes(self) -> Mapping[str, bytes]:
        """Return retained messages by topic that have changed since the last call."""
        ...


@dataclass(frozen=True)
class Host:
    """What the uplink asks of the gateway and tells it. All of it is fast and raises nothing."""

    state: Callable[[], Mapping[str, object]]
    """How the gateway is doing, as JSON for the retained state topic."""
    today: Callable[[], date | None]
    """The gateway's own day; None as long as nobody knows what day it is."""
    wants_time: Callable[[], bool] = lambda: False
    """Whether nothing has set the clock."""
    on_time: Callable[[datetime, float], None] = lambda _at, _uncertainty_s: None
    """What time it is at this moment, and by how many seconds that may be wrong."""
    on_lost: Callable[[str, Spans, str], None] = lambda _boot, _numbers, _why: None
    """The broker will never take these records of this boot: they are given up, and why."""


@dataclass
class Standing:
    """What outlives a connection."""

    settings: UplinkSettings
    host: Host
    under_way: UnderWay
    retained: Retained | None = None
    confirmed_at: float | None = None
    """time.monotonic() of the last confirmation."""
    without_series_until_s: float = 0.0
    """Until when batches have to do without the series table."""
    look_until_s: float = 0.0
    """Until when somebody looks, and readings are sent more often."""
    troubles: dict[Trouble, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.packer = Packer(self.settings.encoding)
        self.ingesters = Ingesters(int(partition(self.settings.gateway).removeprefix("p")))
        self.asking_time = AskingTime()
        self.budget = ByteBudget(self.settings.max_bytes_per_day)

    @property
    def expects_ingester(self) -> bool:
        """Whether an ingester of ours is at the other end, which confirms and answers."""
        return self.settings.confirmed_by == "ingester"

    @property
    def waits_for_tomorrow(self) -> bool:
        """Whether readings wait because today's bytes are used up."""
        return self.budget.room("fresh") < MIN_ROOM_BYTES

    def topic(self, leaf: str) -> str:
        """Return our topic that ends in `leaf`."""
        return topic(self.settings.gateway, leaf)

    def interval_s(self, now_s: float) -> float:
        """Return how long readings wait for each other just now."""
        every_s = self.settings.send_every_s
        return min(every_s, LOOK_EVERY_S) if now_s < self.look_until_s else every_s

    def choose_encoding(self, now_s: float) -> None:
        """Pack as the site wants it, or without the series table as long as it does not arrive."""
        wanted = self.settings.encoding
        if wanted == "columns" and now_s < self.without_series_until_s:
            wanted = "gzip"
        else:
            self.is_over("series")
        self.packer.encoding = wanted

    def complain(self, trouble: Trouble, message: str) -> None:
        """Keep it for the page, and tell the engineer once."""
        if self.troubles.get(trouble) != message:
            log.warning("%s", message)
        self.troubles[trouble] = message

    def is_over(self, *troubles: Trouble) -> None:
        """These are well again."""
        for trouble in troubles:
            self.troubles.pop(trouble, None)

    def confirm(self, boot: str, numbers: Spans) -> bool:
        """Let go of what is stored; returns whether any of it was under way."""
        self.confirmed_at = monotonic()
        was_under_way = self.under_way.confirmed(boot, numbers)
        if was_under_way:
            self.is_over("silence", "refusal")
            self.passed(boot, numbers)
        return was_under_way

    def passed(self, boot: str, numbers: Spans) -> None:
        """The broker has taken a batch: it is not the broker that takes none."""
        for lost_boot, lost in self.under_way.passed(boot, numbers).items():
            self.give_up(lost_boot, lost, "each time that it was sent, the connection ended")

    def hung_up(self, *, is_refusal: bool) -> None:
        """The broker ended the connection; `is_refusal`: because of what was sent, it says."""
        sent = self.under_way.hung_up(monotonic(), is_refusal=is_refusal)
        if sent is not None and is_refusal and len(sent.numbers) > 1:
            self.packer.was_too_large(sent.size)

    def give_up(self, boot: str, numbers: Spans, why: str) -> None:
        """Never send these again, say so, and let the gateway remember it."""
        self.complain(
            "lost",
            f"record {numbers} of boot {boot} can never be sent ({why}), so it is skipped: it "
            "stays in the journal; `satomori journal export` shows it",
        )
        self.under_way.outbox.confirm(boot, numbers)
        self.host.on_lost(boot, numbers, why)
