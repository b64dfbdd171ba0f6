"""Reads and writes capture files: frames as they were heard, one JSON object a line.

A capture is how a fault in a home or a field gets to a desk: `satomori listen` writes one,
`satomori decode` shows what the sensors said, and the recorded transport plays it to the daemon as
if live. docs/capture.md describes the format for others. Captures come from other people's
computers: every line is checked, and what is wrong with one ends as a BadCapture that says what.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

from drivers.device_address import ble_address
from drivers.frame import Advertisement, Frame, PinChange, Registers, SerialFrame

MAX_LINE_BYTES = 64 * 1024
"""No frame needs a tenth of it; a longer line is another kind of file, or an attack."""

KEPT_SPELLINGS = 1024
"""A capture says the same few addresses and UUIDs thousands of times; each is looked at once."""

_BASE_UUID = "-0000-1000-8000-00805f9b34fb"
_SHORT_UUID = re.compile(r"(?:0x)?([0-9a-f]{4}|[0-9a-f]{8})")
_LONG_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMPANY = re.compile(r"0x[0-9a-f]{1,4}|[1-9][0-9]{0,4}|0")

_Given: TypeAlias = dict[str, object]
_T = TypeVar("_T")
_REQUIRED = object()


class BadCapture(ValueError):
    """This is not a line of a capture file, or not such a file; the message says what is wrong."""


def frame_to_json(frame: Frame) -> str:
    """Return the frame as one line, without the newline."""
    return json.dumps({"at": frame.at.astimezone(UTC).isoformat(), **_written(frame)})


def _written(frame: Frame) -> dict[str, Any]:
    match frame:
        case Advertisement():
            return {
                "transport": "ble",
                "address": frame.address,
                "rssi": frame.rssi_dbm,
                "name": frame.name,
                "manufacturer_data": {
                    f"0x{company:04x}": data.hex()
                    for company, data in frame.manufacturer_data.items()
                },
                "service_data": {uuid: data.hex() for uuid, data in frame.service_data.items()},
            }
        case SerialFrame():
            return {"transport": "serial", "port": frame.port, "data": frame.data.hex()}
        case Registers():
            return {
                "transport": "modbus",
                "port": frame.port,
                "unit": frame.unit,
                "function": frame.function,
                "start": frame.start,
                "registers": list(frame.values),
            }
        case PinChange():
            return {"transport": "gpio", "pin": frame.pin, "level": frame.level}


def frame_from_json(line: str) -> Frame:
    """Return the frame on one line, its time in UTC.

    Raises BadCapture without the line's number, which only the caller knows.
    """
    given = _parsed(line)
    transport = _take(given, "transport", _transport)
    frame = _FRAMES[transport](given)
    if given:
        raise BadCapture(f"a {transport} frame has no {_shown(next(iter(given)))}")
    return frame


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a .jsonl or .jsonl.gz file, one at a time.

    Raises BadCapture, with the line's number, at the first line that is not a frame.
    """
    for number, line in numbered_lines(path):
        try:
            yield frame_from_json(line)
        except BadCapture as error:
            raise BadCapture(f"{path}, line {number}: {error}") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a .jsonl or .jsonl.gz file that are not blank, counted from 1.

    Raises OSError when the file cannot be read, BadCapture when it cannot be unpacked.
    """
    number = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for line in read_lines(file):
                number += 1
                if line.strip():
                    yield number, line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadCapture(
                f"{path} cannot be unpacked after line {number} ({error}): copy it once more"
            ) from None


class Lines(Protocol):
    """A file opened for reading bytes, such as sys.stdin.buffer."""

    def readline(self, size: int, /) -> bytes: ...


def read_lines(file: Lines) -> Iterator[str]:
    """Yield the lines of an open file, whatever is in it.

    Bytes that are not UTF-8 become U+FFFD. Of a line that is too long only the beginning is kept,
    which is still too long for frame_from_json.
    """
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line.decode(errors="replace")
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(file)


def _skip_line(file: Lines) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _parsed(line: str) -> _Given:
    if len(line) > MAX_LINE_BYTES:
        raise BadCapture(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        given = _READER.decode(line)
    except json.JSONDecodeError as error:
        raise BadCapture(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except (ValueError, RecursionError) as error:
        raise BadCapture(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadCapture(f"{_shown(given)} instead of an object in braces")
    return given


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_READER = json.JSONDecoder(parse_constant=_refuse_constant)


def _take(given: _Given, key: str, read: Callable[[object], _T], default: object = _REQUIRED) -> _T:
    """Take the key out of what was given, so that what is left over is what nobody knows."""
    value = given.pop(key, default)
    if value is _REQUIRED:
        raise BadCapture(f'"{key}" is missing')
    try:
        return read(value)
    except ValueError as error:
        raise BadCapture(f'"{key}": {error}') from None


def _advertisement(given: _Given) -> Advertisement:
    return Advertisement(
        address=_take(given, "address", _address),
        manufacturer_data=_take(given, "manufacturer_data", _by_company, {}),
        service_data=_take(given, "service_data", _by_uuid, {}),
        at=_take(given, "at", _time),
        rssi_dbm=_take(given, "rssi", _or_null(_integer(-127, 20)), None),
        name=_take(given, "name", _or_null(_text), None),
    )


def _serial_frame(given: _Given) -> SerialFrame:
    return SerialFrame(
        port=_take(given, "port", _text),
        data=_take(given, "data", _bytes),
        at=_take(given, "at", _time),
    )


def _registers(given: _Given) -> Registers:
    return Registers(
        port=_take(given, "port", _text),
        unit=_take(given, "unit", _integer(1, 247)),
        function=_take(given, "function", _integer(3, 4)),
        start=_take(given, "start", _integer(0, 0xFFFF)),
        values=_take(given, "registers", _words),
        at=_take(given, "at", _time),
    )


def _pin_change(given: _Given) -> PinChange:
    return PinChange(
        pin=_take(given, "pin", _integer(0, 27)),
        level=_take(given, "level", _integer(0, 1)),
        at=_take(given, "at", _time),
    )


_FRAMES: Mapping[str, Callable[[_Given], Frame]] = {
    "ble": _advertisement,
    "serial": _serial_frame,
    "modbus": _registers,
    "gpio": _pin_change,
}


def _wrong(value: object, expected: str) -> ValueError:
    return ValueError(f"{_shown(value)} instead of {expected}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    return value


def _transport(value: object) -> str:
    if not isinstance(value, str) or value not in _FRAMES:
        raise _wrong(value, f"one of {', '.join(_FRAMES)}")
    return value


def _address(value: object) -> str:
    return _ble_address(_text(value))


_ble_address = lru_cache(KEPT_SPELLINGS)(ble_address)


def _integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _wrong(value, f"a whole number from {low} to {high}")
        return value

    return read


def _or_null(read: Callable[[object], _T]) -> Callable[[object], _T | None]:
    return lambda value: None if value is None else read(value)


def _time(value: object) -> datetime:
    text = _text(value)
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong(value, 'a time with its offset, such as "2026-11-23T06:00:00+09:00"')


def _bytes(value: object) -> bytes:
    text = _text(value)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _wrong(value, "two hexadecimal digits a byte") from None


def _words(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 125:
        raise _wrong(value, "a list of 1 to 125 registers")
    word = _integer(0, 0xFFFF)
    return tuple(word(item) for item in value)


def _payloads_by(read_key: Callable[[str], _T]) -> Callable[[object], dict[_T, bytes]]:
    def read(value: object) -> dict[_T, bytes]:
        if not isinstance(value, dict):
            raise _wrong(value, "an object in braces")
        return {read_key(key): _bytes(data) for key, data in value.items()}

    return read


@lru_cache(KEPT_SPELLINGS)
def _company(key: str) -> int:
    number = int(key, 0) if _COMPANY.fullmatch(key.lower()) else 0x10000
    if number > 0xFFFF:
        raise _wrong(key, 'a company number such as "0x0969"')
    return number


@lru_cache(KEPT_SPELLINGS)
def _uuid(key: str) -> str:
    uuid = key.lower()
    if short := _SHORT_UUID.fullmatch(uuid):
        return short[1].zfill(8) + _BASE_UUID
    if not _LONG_UUID.fullmatch(uuid):
        raise _wrong(key, 'a UUID such as "fcd2"')
    return uuid


def _shown(value: object) -> str:
    """Return what to call the value in a message, however large it is."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'group'} of {len(value)}"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


_by_company, _by_uuid = _payloads_by(_company), _payloads_by(_uuid)
