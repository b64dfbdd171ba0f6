"""The command `satomori decode`: frames in, one reading a line out, without a gateway.toml.

    satomori decode --device bthome < frames.jsonl > readings.jsonl

It shows what a device file makes of a capture: to try a new device file, to see why a sensor says
nothing, to turn what a gateway heard into numbers for another program. docs/capture.md describes
both formats. Captures come from strangers: what cannot be used is reported, and the rest is read.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TextIO, TypeAlias, get_type_hints

from pydantic import TypeAdapter, ValidationError

import drivers.devices
from drivers.capture import BadCapture, frame_from_json
from drivers.device import Device
from drivers.frame import Frame
from gateway_config.kinds import UnknownKind, find, kinds
from gateway_config.mistakes import did_you_mean

DONE = 0
WRONG_CALL = 2

IDENTITY: Mapping[str, object] = {
    "address": "00:00:00:00:00:00",
    "port": "/dev/serial/by-id/example",
    "unit": 1,
    "pin": 17,
}
"""The settings that say which one of its kind a device is, each with an example. What is not given
is taken from the frames, so that every device of the kind is decoded."""

Candidates: TypeAlias = Callable[[Frame], Iterable[tuple[str, Device]]]
"""Returns the devices that a frame may come from, with their kinds."""


class WrongCall(ValueError):
    """The command line asks for what there is not."""


def decode(
    lines: Iterable[str],
    out: TextIO,
    err: TextIO,
    kind: str | None,
    settings: Mapping[str, str],
) -> int:
    """Decode frames and return the exit code of the command.

    Args:
        lines: One frame each, as in a capture file.
        out: Gets a line for each reading: "at", "sensor", "quantity", "value" and, when no kind was
            given, "device": the kind that recognised the frame.
        err: Gets a line for each frame that cannot be used, and a summary.
        kind: A file in drivers/devices/; None tries them all.
        settings: Of the device, as written on the command line.

    Returns:
        0, whatever the frames were like; 2, with no frame read, if kind or settings are wrong.
    """
    try:
        candidates = _guessed(settings) if kind is None else _chosen(kind, settings)
    except WrongCall as error:
        print(f"satomori decode: {error}", file=err)
        return WRONG_CALL
    decoder = _Decoder(candidates, out, err, names_device=kind is None)
    for number, line in enumerate(lines, 1):
        if line.strip():
            decoder.take(number, line)
    print(decoder.summary, file=err)
    return DONE


class _Decoder:
    """Decodes one line after the other, and counts."""

    def __init__(
        self, candidates: Candidates, out: TextIO, err: TextIO, *, names_device: bool
    ) -> None:
        self._candidates, self._out, self._err = candidates, out, err
        self._names_device = names_device
        self._count = Counter[str]()

    def take(self, number: int, line: str) -> None:
        try:
            frame = frame_from_json(line)
        except BadCapture as error:
            self._count["unreadable"] += 1
            print(f"line {number}: unreadable: {error}", file=self._err)
            return
        self._count["frames"] += 1
        try:
            recognised = list(self._candidates(frame))
            self._count["strange"] += not recognised
            for kind, device in recognised:
                self._decode(frame, kind, device)
        except ValueError as error:  # DamagedFrame, or where it is from is refused by the device
            self._count["damaged"] += 1
            sensor = _sensor(frame)
            shown = sensor if sensor.isprintable() else repr(sensor)
            print(f"line {number}: {shown}: damaged: {error}", file=self._err)

    def _decode(self, frame: Frame, kind: str, device: Device) -> None:
        for quantity, value in device.decode(frame).items():
            reading = {
                "at": frame.at.isoformat(),
                "sensor": _sensor(frame),
                "quantity": quantity,
                "value": value,
            }
            if self._names_device:
                reading["device"] = kind
            print(json.dumps(reading), file=self._out)
            self._count["readings"] += 1

    @property
    def summary(self) -> str:
        count = self._count
        return (
            f"frames: {count['frames']}, readings: {count['readings']}, "
            f"damaged: {count['damaged']}, not recognised: {count['strange']}, "
            f"unreadable lines: {count['unreadable']}"
        )


def _sensor(frame: Frame) -> str:
    """Return where the frame is from: nothing here knows a sensor's name."""
    return " ".join(frame.source[1:])


def _guessed(settings: Mapping[str, str]) -> Candidates:
    """Return candidates of every kind that recognises the frame."""
    if settings:
        raise WrongCall("--set gives settings of a device: name it with --device")
    classes = {kind: find(drivers.devices, kind) for kind in kinds(drivers.devices)}

    def candidates(frame: Frame) -> Iterable[tuple[str, Device]]:
        for kind, cls in classes.items():
            if device := cls.recognise(frame):
                yield kind, device

    return candidates


def _chosen(kind: str, settings: Mapping[str, str]) -> Candidates:
    """Return candidates of this kind only: the one in the settings, or whichever sent the frame."""
    try:
        cls = find(drivers.devices, kind)
    except UnknownKind as error:
        raise WrongCall(str(error)) from None
    given = _converted(kind, cls, settings)
    from_frame = [f.name for f in fields(cls) if f.name in IDENTITY and f.name not in given]
    _make(kind, cls, given | {name: IDENTITY[name] for name in from_frame})

    def candidates(frame: Frame) -> Iterable[tuple[str, Device]]:
        if frame.source[0] != cls.transport:
            return
        device = cls(**given, **{name: getattr(frame, name) for name in from_frame})
        if device.source == frame.source:
            yield kind, device

    return candidates


def _converted(kind: str, cls: type[Any], settings: Mapping[str, str]) -> dict[str, object]:
    """Return the settings as the types that the device's fields have."""
    types = get_type_hints(cls)
    own = [field.name for field in fields(cls)]
    for name in settings:
        if name not in own:
            hint = did_you_mean(name, own)
            raise WrongCall(
                f"{kind} has no setting {name!r}; {hint + ' ' if hint else ''}"
                f"(there are: {', '.join(own)})"
            )
    return {name: _value(name, types[name], text) for name, text in settings.items()}


def _value(name: str, of_type: Any, text: str) -> object:
    try:
        return TypeAdapter(of_type).validate_strings(text)
    except ValidationError as error:
        raise WrongCall(f"--set {name}={text}: {error.errors()[0]['msg']}") from None


def _make(kind: str, cls: type[Any], settings: Mapping[str, object]) -> None:
    """Try the settings once, before the first frame."""
    required = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
    if missing := [name for name in required if name not in settings]:
        raise WrongCall(f"{kind} needs {' '.join(f'--set {name}=…' for name in missing)}")
    try:
        cls(**settings)
    except ValueError as error:
        raise WrongCall(str(error)) from None
