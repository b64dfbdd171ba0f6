"""Looks at all parts of the running daemon and says how it is doing: for the page and the cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from time import monotonic

from agent.bookkeeper import Bookkeeper
from agent.clock import Clock
from agent.health import Health
from agent.intake import Sensor
from agent.journal import Cursor, Journal
from agent.pipeline import Pipeline
from agent.status import AlertStatus, JournalStatus, LinkStatus, SensorStatus, Status
from cloud_sync.uplink import LinkState, Uplink
from drivers.reading import Quantity
from drivers.transport import TransportState
from gateway_config.model import GatewayConfig
from rules.alert import Severity
from rules.engine import Watch
from rules.lifecycle import Phase


@dataclass
class Overview:
    """Everything there is to look at. It changes nothing."""

    config: GatewayConfig
    sensors: list[Sensor]
    pipeline: Pipeline
    bookkeeper: Bookkeeper
    journal: Journal
    health: Health
    clock: Clock
    started_at: datetime
    outbox: Cursor | None = None
    uplink: Uplink | None = None

    def status(self) -> Status:
        """Return how everything is doing now."""
        return Status(
            gateway=self.config.gateway.name,
            site=self.config.gateway.site,
            version=version("satomori"),
            at=self.clock.now(),
            started_at=self.started_at,
            clock_trusted=self.clock.anchor is not None,
            presence=self.pipeline.engine.presence,
            sensors=tuple(self._sensor(sensor) for sensor in self.sensors),
            alerts=self._alerts(),
            transports=self.health.transports,
            link=self._link(),
            journal=self._journal(),
        )

    def brief(self) -> dict[str, object]:
        """Return what the retained state topic says, for those who look after many gateways."""
        broken = [t.name for t in self.health.transports if t.state is TransportState.BROKEN]
        return {
            "gateway": self.config.gateway.name,
            "version": version("satomori"),
            "at": self.clock.now().isoformat(timespec="seconds"),
            "boot": self.journal.boot,
            "clock_trusted": self.clock.anchor is not None,
            "unconfirmed": self.outbox.unconfirmed if self.outbox else 0,
            "link_bytes_today": self.uplink.budget.used if self.uplink else 0,
            "waits_for_tomorrow": self.uplink.waits_for_tomorrow if self.uplink else False,
            "broken": broken,
        }

    def last_values(self) -> Mapping[str, Mapping[Quantity, float]]:
        """Return what each sensor measured last."""
        taken = self.pipeline.intake.sampler.taken
        return {name: {q: v.value for q, v in last.values.items()} for name, last in taken.items()}

    def _sensor(self, sensor: Sensor) -> SensorStatus:
        intake = self.pipeline.intake
        taken = intake.sampler.taken[sensor.name]
        return SensorStatus(
            name=sensor.name,
            place=sensor.place,
            kind=sensor.kind,
            values=dict(taken.values),
            heard_at=intake.heard_at.get(sensor.name, taken.at),
            damaged=intake.damaged.get(sensor.name, 0),
        )

    def _alerts(self) -> tuple[AlertStatus, ...]:
        places = {sensor.name: sensor.place for sensor in self.sensors}
        return tuple(
            AlertStatus(
                rule=watch.rule.name,
                sensor=watch.sensor,
                place=places.get(watch.sensor, ""),
                severity=watch.rule.severity,
                phase=watch.alert.phase,
                since=watch.alert.since,
                value=watch.value,
            )
            for watch in sorted(self.pipeline.engine.open, key=_urgency)
        )

    def _link(self) -> LinkStatus:
        uplink, outbox = self.uplink, self.outbox
        if uplink is None or outbox is None:
            return LinkStatus(LinkState.OFF, "", 0, None, 0)
        confirmed_at = None
        if uplink.confirmed_at is not None:
            confirmed_at = self.clock.now() - timedelta(seconds=monotonic() - uplink.confirmed_at)
        return LinkStatus(
            state=uplink.link,
            message=uplink.message,
            unconfirmed=outbox.unconfirmed,
            confirmed_at=confirmed_at,
            bytes_today=uplink.budget.used,
            max_bytes_today=uplink.budget.max_bytes,
        )

    def _journal(self) -> JournalStatus:
        journal, message = self.journal, self.bookkeeper.message
        lost = journal.lost
        if lost and not message:
            message = f"{lost} readings were lost since the start, because there was no room"
        return JournalStatus(journal.records, journal.used_bytes, journal.max_bytes, message)


def _urgency(watch: Watch) -> tuple[bool, int, datetime]:
    firing = watch.alert.phase is Phase.FIRING
    return not firing, list(Severity).index(watch.rule.severity), watch.alert.since
