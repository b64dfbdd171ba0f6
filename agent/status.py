"""How the gateway is doing at one moment: what the page draws and `satomori status` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.sampling import LastValue
from cloud_sync.uplink import LinkState
from drivers.reading import Quantity
from drivers.transport import TransportState
from rules.alert import Severity
from rules.lifecycle import Phase
from rules.presence import Presence


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """One sensor of this site."""

    name: str
    place: str
    """"" when gateway.toml gives none."""
    kind: str
    """Which file in drivers/devices/ decodes it."""
    values: Mapping[Quantity, LastValue]
    """Empty as long as nothing was heard."""
    heard_at: datetime | None
    """When the last frame came that could be decoded; None: not since the journal began."""
    damaged: int
    """Frames since the start that could not be trusted."""


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """One alert that is pending or firing."""

    rule: str
    sensor: str
    """"" for a rule over several sensors of which none has spoken yet."""
    place: str
    severity: Severity
    phase: Phase
    """PENDING or FIRING."""
    since: datetime
    """When this phase began."""
    value: float | None


@dataclass(frozen=True, slots=True)
class TransportStatus:
    """One radio, one port or the pins."""

    name: str
    state: TransportState
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The way to the cloud."""

    state: LinkState
    message: str
    """What went wrong last and what is done about it; "" when all is well."""
    unconfirmed: int
    """Records that the cloud has not confirmed yet."""
    confirmed_at: datetime | None
    """When the last confirmation came."""
    bytes_today: int
    """What it has cost since midnight: IP packets both ways, with all their headers."""
    max_bytes_today: int | None = None
    """Above which readings wait for tomorrow; None: no limit."""


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """The memory of the gateway."""

    records: int
    bytes: int
    max_bytes: int
    message: str
    """Why records cannot be written just now; "" when all is well."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment."""

    gateway: str
    site: str
    version: str
    at: datetime
    started_at: datetime
    clock_trusted: bool
    """False: the time may be wrong, because nothing has set the clock since power came back."""
    presence: Presence
    sensors: tuple[SensorStatus, ...]
    """In the order of gateway.toml."""
    alerts: tuple[AlertStatus, ...]
    """The most urgent first."""
    transports: tuple[TransportStatus, ...]
    link: LinkStatus
    journal: JournalStatus
