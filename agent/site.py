"""What the configuration means to the pieces that the daemon, replay and the demo are made of."""

from collections.abc import Sequence

from agent.intake import Intake, Sensor
from agent.sampling import Sampler
from cloud_sync.broker import Broker
from cloud_sync.uplink import UplinkSettings
from cloud_sync.wire import LineWriter
from gateway_config.model import GatewayConfig
from gateway_config.model import UplinkSettings as UplinkSection
from rules.presence import PresenceSensors


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
    return PresenceSensors(section.doors, section.interior, section.away_after)


def line_writer(config: GatewayConfig) -> LineWriter:
    """Return what writes this gateway's records."""
    places = {sensor.name: sensor.place for sensor in config.sensor}
    return LineWriter(config.gateway.name, config.gateway.site, places)


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
        keepalive_s=int(section.keepalive.total_seconds()),
    )


def uplink_settings(gateway: str, section: UplinkSection) -> UplinkSettings:
    """Return how this gateway sends."""
    return UplinkSettings(
        gateway=gateway,
        encoding=section.encoding,
        confirmed_by=section.confirmed_by,
        send_every_s=section.send_every.total_seconds(),
    )
