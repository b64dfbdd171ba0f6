"""All that gateway.toml can say: each section, each option, its unit, its limits and its default.

The rest of the program gets this tree and never a string to be read again: durations are timedelta,
files are Path, the time zone is ZoneInfo, devices and conditions are the objects that do the work.
Options are named as in the file; example.toml explains them to those who write one, and a test
holds the two together.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SkipValidation,
    Strict,
    ValidationInfo,
)

from drivers.device import Device
from gateway_config.duration import duration_between
from rules.alert import Severity
from rules.condition import Condition
from rules.engine import Rule

MAX_NAME = 80
"""Characters of a name: it has to fit on a phone."""

_IDEOGRAPHIC_SPACE = "\u3000"
"""Python does not count it as printable, but Japanese is written with it."""


def _name(text: str) -> str:
    if not 1 <= len(text) <= MAX_NAME:
        raise ValueError(f"has {len(text)} characters: 1 to {MAX_NAME} are allowed")
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    for char in text:
        if char == "\\" or not (char.isprintable() or char == _IDEOGRAPHIC_SPACE):
            raise ValueError(f"contains {char!a}: a name is of characters that can be seen")
    return text


def _matching(pattern: str, allowed: str) -> AfterValidator:
    """Return a check of the whole text that says in words what is allowed."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {allowed}")
        return text

    return AfterValidator(check)


def kind_name(cls: type) -> str:
    """Return how the file names a class of drivers/devices/ or rules/conditions/."""
    return cls.__module__.rpartition(".")[2]


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(str(value))
    except (ValueError, KeyError, OSError):
        raise ValueError('is not a time zone such as "Asia/Tokyo"') from None


def _beside_file(path: Path, info: ValidationInfo) -> Path:
    return info.context / path if isinstance(info.context, Path) else path


def _sensor_names(value: object) -> object:
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    if value == "all" or isinstance(value, tuple):
        return value
    raise ValueError('must be "all" or a list of names in brackets, such as ["玄関", "寝室"]')


Name: TypeAlias = Annotated[str, AfterValidator(_name)]
"""What people call something: any characters that can be seen, 1 to 80, without a backslash."""

Label: TypeAlias = Annotated[str, AfterValidator(lambda text: text and _name(text))]
"""A Name, or "" for none."""

GatewayName: TypeAlias = Annotated[
    str, _matching("[a-z0-9-]{1,40}", "1 to 40 of the characters a-z, 0-9 and -")
]
Host: TypeAlias = Annotated[
    str, _matching("[A-Za-z0-9._:-]{1,253}", "a host name or an address, without scheme and port")
]
Adapter: TypeAlias = Annotated[str, _matching("hci[0-9]{1,2}", "an adapter such as hci0")]
HoursOfDay: TypeAlias = Annotated[
    str, _matching("[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}", "hours such as 22:00-05:00")
]
File: TypeAlias = Annotated[Path, Strict(False), AfterValidator(_beside_file)]
"""A relative path counts from the folder of gateway.toml."""

Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]
Pin: TypeAlias = Annotated[int, Field(ge=0, le=27)]
"""A GPIO pin by its BCM number."""

Names: TypeAlias = Annotated[frozenset[Name], Strict(False), Field(min_length=1)]


class Settings(BaseModel):
    """One table of the file. Types are taken as written: "8883" is no number and 1 is not true."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
    )


class GatewaySettings(Settings):
    """Who this gateway is."""

    name: GatewayName
    """Unique among all gateways; it is in topics and tags, so it must be no personal name."""

    site: Label = ""
    """The village, house or farm where the gateway stands, as a tag on all it stores."""

    timezone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("Asia/Tokyo")
    """In which the hours of rules are meant and the page shows times."""

    latitude_degrees: Annotated[float | None, Field(ge=-90, le=90)] = None
    """Where it stands, north is positive (WGS 84); needed by what has to know the sunset."""

    longitude_degrees: Annotated[float | None, Field(ge=-180, le=180)] = None
    """East is positive."""


class JournalSettings(Settings):
    """The gateway's memory: what is not yet confirmed, and the newest history."""

    path: File = Path("/var/lib/satomori/journal")
    """The folder; the one above it must exist and be writable."""

    max_mb: Annotated[int, Field(ge=10, le=1_000_000)] = 500
    """Megabytes it may grow to before the oldest records go, confirmed ones first."""

    commit_every: Annotated[timedelta, duration_between("0.1 s", "5 min")] = timedelta(seconds=30)
    """How long readings may wait to be written together, and so what a power cut can lose."""


class ClockSettings(Settings):
    """Whom to believe what time it is."""

    source: Literal["auto", "system"] = "auto"
    """"auto" believes NTP and the ingester; "system" also a clock with a battery, or a host's."""


class UplinkSettings(Settings):
    """The MQTT broker that everything is sent to."""

    host: Host
    """The broker's name or address."""

    tls: bool = True
    """Whether the connection is encrypted and the broker has to prove who it is."""

    port: Port = Field(default_factory=lambda data: 8883 if data["tls"] else 1883)
    """The broker's TCP port."""

    ca_file: File | None = None
    """PEM file of the authorities that may vouch for the broker; None: those the system trusts."""

    cert_file: File | None = None
    """PEM file of our own certificate, for brokers that ask for one."""

    key_file: File | None = None
    """PEM file of the certificate's key; None: it is in `cert_file`."""

    username: Name | None = None
    """Whom the broker knows us as."""

    password_file: File | None = None
    """The file whose only line is the password; it is read when connecting, and never before."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """The version of MQTT; "auto" is 5, or 3.1.1 where the broker knows no more."""

    encoding: Literal["columns", "gzip", "line-protocol"] = "columns"
    """How a batch is packed; the others are larger, but can be read without us."""

    confirmed_by: Literal["ingester", "broker"] = "ingester"
    """Whose word lets records go: "broker" loses what the broker acknowledged and then lost."""

    send_every: Annotated[timedelta, duration_between("1 s", "1 d")] = timedelta(minutes=5)
    """How long readings may wait to be sent together; alerts leave at once."""

    keepalive: Annotated[timedelta, duration_between("10 s", "18 h")] | None = None
    """After which silence the connection is tested; after 1.5 times that the broker says of a dead
    gateway that it is offline. None: see `tested_after`."""

    max_mb_per_day: Annotated[float, Field(ge=0.1, le=1_000_000)] = 5.0
    """Megabytes (10^6) of a day, both ways and with all headers, above which readings wait."""

    home_assistant: bool = False
    """Whether sensors are announced to Home Assistant by MQTT discovery."""

    @property
    def tested_after(self) -> timedelta:
        """The keepalive: as it is set, or so long that what is sent anyway is test enough."""
        if self.keepalive is not None:
            return self.keepalive
        return min(max(timedelta(minutes=4), self.send_every * 1.5), timedelta(hours=18))


class PageSettings(Settings):
    """The gateway's own web page."""

    enabled: bool = True
    """Whether there is a page at all."""

    listen: Host = "127.0.0.1"
    """The address it is served on; "0.0.0.0" shows it, without a password, to the whole network."""

    port: Port = 8080
    """Its TCP port."""


class BleSettings(Settings):
    """The Bluetooth radio; it is used when a sensor needs it."""

    adapter: Adapter = "hci0"
    """Which radio, as in /sys/class/bluetooth."""

    scan: Literal["active", "passive"] = "active"
    """Whether sensors are asked for what they do not say by themselves, such as their battery."""

    quiet: Annotated[timedelta, duration_between("30 s", "1 h")] = timedelta(seconds=90)
    """After which silence on all channels the radio is thought to hang and is started again."""


class RecordedSettings(Settings):
    """A capture that is played as if it were live; all radios, ports and pins are left alone."""

    file: File
    """What `satomori listen` wrote: .jsonl or .jsonl.gz."""

    speed: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """How many times as fast as it was heard."""

    repeat: bool = False
    """Whether it begins again at its end."""


class SignalSettings(Settings):
    """A lamp and a buzzer on this gateway, for those in the room; each is left out by default."""

    lamp_pin: Pin | None = None
    """BCM number of the pin that is high as long as an alert fires."""

    buzzer_pin: Pin | None = None
    """BCM number of the pin that is high when an alert begins to fire."""

    buzzer_for: Annotated[timedelta, duration_between("1 s", "1 h")] = timedelta(minutes=1)
    """For how long the buzzer sounds."""


class PresenceSettings(Settings):
    """How to tell whether the resident is at home."""

    doors: Names
    """Contacts on the doors that lead outside."""

    interior: Names
    """Sensors inside that only somebody inside sets off."""

    away_after: Annotated[timedelta, duration_between("1 min", "12 h")] = timedelta(minutes=10)
    """How long it must be still inside after an outer door before the resident counts as away."""

    buttons: Annotated[frozenset[Name], Strict(False)] = frozenset()
    """One press says "I am fine, I am back", a long one asks for a pause."""

    pause_for: Annotated[timedelta, duration_between("10 min", "24 h")] = timedelta(hours=2)
    """How long nobody is watched after a long press."""

    sleep: str | None = None
    """Hours in which the resident, when still, is taken to be asleep, such as "21:00-06:00"."""

    absent_after: Annotated[timedelta, duration_between("12 h", "14 d")] = timedelta(hours=36)
    """After how long away the resident is taken to be on a journey."""


class SensorSettings(Settings):
    """One device at this site."""

    name: Name
    """What people call it; unique at this site."""

    place: Label = ""
    """Where it is, as a tag on what it measures and for people who go there."""

    device: SkipValidation[Device]
    """What kind of hardware it is, with the settings of that kind."""

    interval: Annotated[timedelta, duration_between("1 s", "1 d")] = timedelta(minutes=1)
    """How often a number is kept, or asked for; states are kept at each change, events always."""

    @property
    def kind(self) -> str:
        """Which file in drivers/devices/ decodes it."""
        return kind_name(type(self.device))


class RuleSettings(Settings):
    """One rule as it is written, before it is known which sensors it means."""

    name: Name
    """What people are told when it fires; unique at this site."""

    condition: SkipValidation[Condition]
    """What it judges, with the settings of that kind."""

    sensor: str | None = None
    """The sensor it watches; this or `sensors`."""

    sensors: Annotated[tuple[str, ...] | Literal["all"], PlainValidator(_sensor_names)] = ()
    """Several, or "all" that can measure what it judges."""

    quantity: str | None = None
    """What to judge, where the condition does not know by itself."""

    hold: Annotated[timedelta, duration_between("0 s", "90 d")] = timedelta(0)
    """How long it must be so before the alert fires."""

    hours: HoursOfDay | None = None
    """The hours of the day during which it judges; None: all day."""

    presence: Literal["home", "asleep", "away", "absent"] | None = None
    """Only while the resident is at home, or only while away; None: always."""

    unless: Annotated[tuple[str, ...], Strict(False)] = ()
    """Rules that stand before this one; while one of them fires, this one is deaf."""

    severity: Annotated[Severity, Strict(False)] | None = None
    """How much of a hurry it is in; None: a fault if the sensor is silent, else a warning."""


class GatewayConfig(Settings):
    """The whole file."""

    gateway: GatewaySettings
    """Who this gateway is."""

    journal: JournalSettings = JournalSettings()
    """Its memory."""

    clock: ClockSettings = ClockSettings()
    """Its clock."""

    uplink: UplinkSettings | None = None
    """Where everything is sent; None: nowhere, everything stays here."""

    page: PageSettings = PageSettings()
    """Its own web page."""

    ble: BleSettings = BleSettings()
    """Its Bluetooth radio."""

    recorded: RecordedSettings | None = None
    """A capture to play in place of all radios, ports and pins; None: everything is live."""

    signals: SignalSettings = SignalSettings()
    """Its lamp and buzzer."""

    presence: PresenceSettings | None = None
    """How to tell whether the resident is at home; None: nobody can tell."""

    sensor: tuple[SensorSettings, ...] = ()
    """All sensors, in the order of the file."""

    rule: Annotated[tuple[Rule, ...], SkipValidation] = ()
    """All rules, in the order of the file."""
