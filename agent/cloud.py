"""Joins the uplink with the journal, the clock and what an engineer asks for, for app.py."""

from datetime import date, datetime
from typing import TYPE_CHECKING

from agent import site
from agent.journal import Journal, Loss
from agent.journal.requests import Requests
from agent.timekeeper import Timekeeper
from cloud_sync.home_assistant import HomeAssistant
from cloud_sync.spans import Spans
from cloud_sync.uplink import Host, Uplink
from gateway_config.model import GatewaySettings, UplinkSettings

if TYPE_CHECKING:
    from agent.overview import Overview

MAX_ANSWER_UNCERTAINTY_S = 1.0
"""An ingester's answer what time it is that was longer on the way is not believed."""


class Cloud:
    """This gateway's way to the cloud."""

    def __init__(
        self,
        gateway: GatewaySettings,
        section: UplinkSettings,
        journal: Journal,
        timekeeper: Timekeeper,
        overview: "Overview",
    ) -> None:
        self._gateway, self._journal = gateway, journal
        self._timekeeper, self._clock, self._overview = timekeeper, timekeeper.clock, overview
        self._settled = journal.manifest.settled
        self.outbox = journal.cursor("uplink")
        self._requests = Requests(journal.folder, self.outbox)
        home_assistant = HomeAssistant(gateway.name, gateway.site, overview.last_values)
        self.uplink = Uplink(
            site.broker(section),
            site.uplink_settings(gateway.name, section),
            self.outbox,
            self._host(),
            retained=home_assistant if section.home_assistant else None,
        )

    def tick(self) -> None:
        """Do what an engineer asks for. Call it about once a second, and not during a commit."""
        if self._requests.look():
            self.uplink.look_again()

    def committed(self) -> None:
        """Something new is on the card."""
        self._requests.committed()
        settled, self._settled = self._settled, self._journal.manifest.settled
        if settled != self._settled:
            self.uplink.look_again()
        self.uplink.wake()

    def _host(self) -> Host:
        return Host(
            state=self._overview.brief,
            today=self._today,
            wants_time=lambda: self._clock.wants_time,
            on_time=self._on_time,
            on_lost=self._on_lost,
        )

    def _today(self) -> date | None:
        zone = self._gateway.timezone
        return self._clock.now().astimezone(zone).date() if self._clock.anchor else None

    def _on_time(self, at: datetime, uncertainty_s: float) -> None:
        if uncertainty_s <= MAX_ANSWER_UNCERTAINTY_S:
            self._timekeeper.learn(at)

    def _on_lost(self, _boot: str, numbers: Spans, _why: str) -> None:
        self._journal.lose(Loss("refused", len(numbers), *self._journal.times_of(numbers)))
