"""Statuses to draw: a good day, a bad one, and the parts to make others from."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.sampling import LastValue
from agent.status import (
    AlertStatus,
    JournalStatus,
    LinkStatus,
    SensorStatus,
    Status,
    TransportStatus,
)
from cloud_sync.uplink import LinkState
from drivers.reading import Quantity
from drivers.transport import TransportState
from rules.alert import Severity
from rules.lifecycle import Phase
from rules.presence import Presence

JAPAN = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 11, 3, 3, 34, 20, tzinfo=UTC)  # 12:34 in Japan


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def sensor(
    name: str, place: str, kind: str, values: Mapping[Quantity, tuple[float, datetime]]
) -> SensorStatus:
    last = {quantity: LastValue(value, at, at) for quantity, (value, at) in values.items()}
    heard_at = max((value.at for value in last.values()), default=None)
    return SensorStatus(name, place, kind, last, heard_at, damaged=0)


def firing(rule: str, severity: Severity, **parts: object) -> AlertStatus:
    alert = AlertStatus(rule, "", "", severity, Phase.FIRING, ago(minutes=12), None)
    return replace(alert, **parts)


FRONT_DOOR = replace(
    sensor(
        "玄関の戸",
        "玄関",
        "switchbot_contact",
        {
            Quantity.CONTACT_OPEN: (0, ago(hours=3, minutes=21)),
            Quantity.BATTERY_PERCENT: (85, ago(hours=2)),
        },
    ),
    heard_at=ago(minutes=2),
)
LIVING_ROOM = sensor(
    "居間の人感センサー",
    "居間",
    "switchbot_motion",
    {Quantity.MOTION_DETECTED: (1, ago(minutes=4)), Quantity.BATTERY_PERCENT: (92, ago(hours=1))},
)
METER = sensor(
    "温湿度計",
    "居間",
    "switchbot_meter",
    {
        Quantity.TEMPERATURE_CELSIUS: (21.46, ago(minutes=3)),
        Quantity.HUMIDITY_PERCENT: (58, ago(minutes=3)),
        Quantity.BATTERY_PERCENT: (74, ago(minutes=3)),
    },
)
CALL_BUTTON = replace(
    sensor("呼び出しボタン", "寝室", "gpio_button", {Quantity.BUTTON_EVENT: (1, ago(days=3))}),
    heard_at=ago(days=3),
)
SOIL = sensor(
    "上の田のハウス",
    "畑",
    "soil_probe",
    {
        Quantity.SOIL_MOISTURE_PERCENT: (23.4, ago(minutes=9)),
        Quantity.SOIL_TEMPERATURE_CELSIUS: (17.8, ago(minutes=9)),
        Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM: (1240, ago(minutes=9)),
        Quantity.SOIL_PH: (6.24, ago(minutes=9)),
    },
)
NEVER_HEARD = SensorStatus("台所の人感センサー", "台所", "bthome", {}, None, damaged=0)

BLE = TransportStatus("ble", TransportState.HEARING, "", ago(days=6))
MODBUS = TransportStatus(
    "modbus /dev/serial/by-id/usb-FTDI", TransportState.HEARING, "", ago(days=6)
)
BROKEN_BLE = TransportStatus(
    "ble",
    TransportState.BROKEN,
    "hci0 is down and could not be brought up (org.bluez.Error.NotReady). Trying again in 60 s. "
    "Look at it with `bluetoothctl show`; unplug the Bluetooth stick and plug it in again.",
    ago(minutes=42),
)

ONLINE = LinkStatus(LinkState.ONLINE, "", 3, ago(seconds=20), 1_234_567, 5_000_000)
NO_LINK = LinkStatus(
    LinkState.WAITING,
    "mqtt.example.jp:8883 cannot be reached (No route to host). Next attempt in 300 s. "
    "Check the router and the SIM.",
    1_832,
    ago(hours=5, minutes=10),
    1_234_567,
)

JOURNAL = JournalStatus(182_345, 41_300_000, 500_000_000, "")

GOOD_DAY = Status(
    gateway="oouchi-07",
    site="大内・山田花子さん宅",
    version="0.1.0",
    at=NOW,
    started_at=ago(days=6, hours=2),
    clock_trusted=True,
    presence=Presence.HOME,
    sensors=(FRONT_DOOR, LIVING_ROOM, METER, CALL_BUTTON, SOIL),
    alerts=(),
    transports=(BLE, MODBUS),
    link=ONLINE,
    journal=JOURNAL,
)

BAD_DAY = replace(
    GOOD_DAY,
    clock_trusted=False,
    sensors=(
        replace(FRONT_DOOR, heard_at=ago(hours=26), damaged=3),
        LIVING_ROOM,
        sensor(
            "温湿度計",
            "居間",
            "switchbot_meter",
            {
                Quantity.TEMPERATURE_CELSIUS: (-3.5, ago(hours=7)),
                Quantity.HUMIDITY_PERCENT: (81, ago(hours=7)),
                Quantity.BATTERY_PERCENT: (9, ago(hours=7)),
            },
        ),
        NEVER_HEARD,
        SOIL,
    ),
    alerts=(
        firing(
            "朝から動きがありません",
            Severity.DANGER,
            since=ago(hours=4, minutes=30),
        ),
        firing(
            "玄関の戸が開いたままです", Severity.WARNING, sensor="玄関の戸", place="玄関", value=1
        ),
        firing(
            "土が乾いています",
            Severity.NOTICE,
            sensor="上の田のハウス",
            place="畑",
            since=ago(days=2),
        ),
        firing(
            "玄関のセンサーが届いていません",
            Severity.FAULT,
            sensor="玄関の戸",
            place="玄関",
            since=ago(hours=20),
        ),
    ),
    transports=(BROKEN_BLE, MODBUS),
    link=NO_LINK,
    journal=replace(
        JOURNAL,
        message="database or disk is full: /var/lib/satomori/journal.db. Free some space: `df -h`.",
    ),
)
