"""What the configuration means to the pieces that the daemon, replay and the demo are made of."""

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from agent.clock import EPOCH, MICROSECOND, Clock
from agent.intake import Intake, Sensor
from agent.journal import Journal, Loss
from agent.sampling import Sampler
from cloud_sync.broker import Broker
from cloud_sync.uplink import UplinkSettings
from cloud_sync.wire import LineWriter
from gateway_config.model import GatewayConfig
from gateway_config.model import UplinkSettings as UplinkSection
from rules.engine import Engine
from rules.hours import Hours
from rules.presence import PresenceSensors

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # tail.py takes no file of others


def sensors(config: GatewayConfig) -> list[Sensor]:
    """Return the sensors in the order of the file."""
    return [Sensor(s.name, s.place, s.kind, s.device, s.interval) for s in config.sensor]


def intake(config: GatewayConfig) -> Intake:
    """Return an intake that has heard nothing yet."""
    found: Sequence[Sensor] = sensors(config)
    return Intake(found, Sampler({sensor.name: sensor.interval for sensor in found}))


def presence_sensors(config: GatewayConfig) -> PresenceSensors | None:
    """Return which sensors tell of presence; None if the file names none."""
    section = config.presence
    if section is None:
        return None
    return PresenceSensors(
        section.doors,
        section.interior,
        section.away_after,
        section.buttons,
        section.pause_for,
        Hours.parse(section.sleep, config.gateway.timezone) if section.sleep else None,
        absent_after=section.absent_after,
    )


def engine(config: GatewayConfig) -> Engine:
    """Return the rules, which have heard nothing yet."""
    return Engine(config.rule, presence_sensors(config))


def resumed(config: GatewayConfig, before: Engine, at: datetime) -> Engine:
    """Return the rules as they go on at `at`, when nobody listened since the time of `before`."""
    presence = presence_sensors(config)
    return Engine.restore(config.rule, before.snapshot(), presence, listening_from=at)


def line_writer(config: GatewayConfig) -> LineWriter:
    """Return what writes this gateway's records."""
    places = {sensor.name: sensor.place for sensor in config.sensor}
    return LineWriter(config.gateway.name, config.gateway.site, places)


def tail(config: GatewayConfig) -> Path | None:
    """Return where what is not on the card yet survives a kill: in memory, not on the card.

    systemd names a folder for it; without systemd it is /dev/shm. None where neither is.
    """
    name = sha256(str(config.journal.path.absolute()).encode()).hexdigest()[:12]
    if folders := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(folders.split(":")[0]) / f"{name}.tail"
    return SHARED_MEMORY / f"satomori-{os.getuid()}-{name}.tail" if SHARED_MEMORY.is_dir() else None


def journal(config: GatewayConfig, clock: Clock, kernel: str) -> Journal:
    """Open the journal. Raises NotOurJournal or JournalFull."""
    lines = line_writer(config)

    def write_loss(loss: Loss) -> bytes:
        span = [EPOCH + moment_us * MICROSECOND for moment_us in (loss.from_us, loss.until_us)]
        return lines.loss(loss.reason, loss.readings, (span[0], span[1]), clock.now())

    return Journal(
        config.journal.path,
        max_bytes=config.journal.max_mb * 1_000_000,
        tail=tail(config),
        kernel=kernel,
        write_loss=write_loss,
    )


def broker(section: UplinkSection) -> Broker:
    """Return how to reach the MQTT broker."""
    return Broker(
        host=section.host,
        port=section.port,
        tls=section.tls,
        ca_file=section.ca_file,
        cert_file=section.cert_file,
        key_file=section.key_file,
        username=section.username,
        password_file=section.password_file,
        protocol=section.protocol,
        keepalive_s=int(section.tested_after.total_seconds()),
    )


def uplink_settings(gateway: str, section: UplinkSection) -> UplinkSettings:
    """Return how this gateway sends."""
    return UplinkSettings(
        gateway=gateway,
        encoding=section.encoding,
        confirmed_by=section.confirmed_by,
        send_every_s=section.send_every.total_seconds(),
        max_bytes_per_day=int(section.max_mb_per_day * 1e6),
    )
