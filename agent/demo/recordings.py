"""Makes the demonstration's recordings: two hours of a home, a paddy and a greenhouse, as heard.

Run it to write them anew: `python -m agent.demo.recordings`. Nothing in them is random, and nobody
was watched for them. What happens, from 06:00 on: she gets up at 06:05, and the front door stands
open from 06:30 to 07:10; the paddy's soil dries out until somebody waters it at 07:30; the
greenhouse grows hot until its window is opened at 07:40; at 06:50 she presses the call button.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from drivers.capture import frame_to_json
from drivers.frame import Advertisement, Frame, PinChange, Registers

HERE = Path(__file__).parent
START = datetime.fromisoformat("2026-11-23T06:00:00+09:00")
MINUTES = 120

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
SWITCHBOT = "0000fd3d-0000-1000-8000-00805f9b34fb"
WOAN = 0x0969

DOOR, BEDROOM = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"
LIVING_ROOM, GREENHOUSE = "C1:5B:07:00:00:03", "C1:5B:07:00:00:04"
PHONE = "5E:11:22:33:44:55"
CALL_BUTTON_PIN, WINDOW_PIN = 17, 27
PADDY_PORT = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"


def minute(number: float) -> datetime:
    """Return the moment so many minutes after the start."""
    return START + timedelta(minutes=number)


def home() -> Iterator[Frame]:
    """Yield what a home's gateway hears, in the order of time."""
    door = [(0, 0), (20, 1), (21, 0), (30, 1), (70, 0), (95, 1), (96, 0)]
    for number, (at, is_open) in enumerate(door):
        # Each packet is sent three times, so that one is heard: the same number, the same packet.
        for again in range(3):
            body = bytes([0x40, 0x00, number, 0x01, 87, 0x1A, is_open])
            yield _advertisement(DOOR, minute(at + again / 200), service={BTHOME: body})
    for at in range(MINUTES):
        celsius = 17.0 + 3.0 * math.sin(at / MINUTES * math.pi / 2)
        body = bytes([0x40, 0x00, at % 256, 0x01, 93, 0x02])
        body += round(celsius * 100).to_bytes(2, "little", signed=True)
        body += bytes([0x03]) + (5800 - at * 5).to_bytes(2, "little")
        yield _advertisement(BEDROOM, minute(at + 0.2), service={BTHOME: body})
        moving = at >= 5 and at % 11 in (5, 6, 9)
        yield _advertisement(
            LIVING_ROOM,
            minute(at + 0.4),
            service={SWITCHBOT: bytes([0x73, 0x40 * moving, 78, 0, at % 256, 0])},
            manufacturer={WOAN: _woan(LIVING_ROOM, at, bytes([0x40 * moving, 0, at % 256]))},
        )
        # A passer-by's phone, of no interest to anybody here.
        if at % 3 == 0:
            yield _advertisement(PHONE, minute(at + 0.6), manufacturer={0x004C: b"\x10\x05\x01"})
    for pressed_at, level in ((0, 1), (50, 0), (50.02, 1)):
        yield PinChange(CALL_BUTTON_PIN, level, minute(pressed_at))


def paddy() -> Iterator[Frame]:
    """Yield what a soil probe answers once a minute: drying out, then watered at 07:30."""
    for at in range(MINUTES):
        moisture = 31.0 - at * 0.2 if at < 90 else 36.0
        celsius = 11.0 + at / 60
        values = (round(moisture * 10), round(celsius * 10), 420 + at // 4)
        yield Registers(PADDY_PORT, 1, 3, 0, values, minute(at + 0.1))


def greenhouse() -> Iterator[Frame]:
    """Yield a greenhouse that grows hot until its window is opened at 07:40."""
    for at in range(MINUTES):
        celsius = 14.0 + at * 0.24 if at < 100 else 38.0 - (at - 100) * 1.2
        tenths = round(celsius * 10)
        climate = bytes([tenths % 10, 0x80 | tenths // 10, 90 - at // 3])
        yield _advertisement(
            GREENHOUSE,
            minute(at + 0.3),
            service={SWITCHBOT: bytes([0x77, 0, 64])},
            manufacturer={WOAN: _woan(GREENHOUSE, at, bytes([0]) + climate + bytes([0]))},
        )
    for at, level in ((0, 0), (100, 1)):
        yield PinChange(WINDOW_PIN, level, minute(at))


def _woan(address: str, count: int, body: bytes) -> bytes:
    return bytes.fromhex(address.replace(":", "")) + bytes([count % 256]) + body


def _advertisement(
    address: str,
    at: datetime,
    *,
    service: dict[str, bytes] | None = None,
    manufacturer: dict[int, bytes] | None = None,
) -> Advertisement:
    rssi_dbm = -60 - int(address[-1], 16)
    return Advertisement(address, manufacturer or {}, service or {}, at, rssi_dbm)


def write(frames: Iterable[Frame], path: Path) -> None:
    """Write a recording, in the order of time."""
    ordered = sorted(frames, key=lambda frame: frame.at)
    path.write_text("".join(f"{frame_to_json(frame)}\n" for frame in ordered), encoding="utf-8")


if __name__ == "__main__":
    for scene in (home, paddy, greenhouse):
        write(scene(), HERE / f"{scene.__name__}.jsonl")
