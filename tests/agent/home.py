"""A small home for tests of the daemon's parts: a door, a button, a meter, and what they send."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from weakref import finalize

from agent.intake import Intake, Sensor
from agent.journal import Journal
from agent.journal.block import is_event
from agent.pipeline import Pipeline
from agent.sampling import Sampler
from cloud_sync.wire import LineWriter, Point, parse_line
from drivers.devices.bthome import UUID, BTHome
from drivers.devices.gpio_button import GpioButton
from drivers.devices.gpio_contact import GpioContact
from drivers.frame import Advertisement, PinChange
from rules.conditions.opened import Opened
from rules.engine import Engine, Rule

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
ADDRESS = "A4:C1:38:00:00:01"
DEVICES = {"door": GpioContact(17), "button": GpioButton(27), "meter": BTHome(ADDRESS)}

OPENED = Rule("door is open", Opened(), ("door",))


def after(seconds=0.0):
    """Return AT and so many seconds."""
    return AT + timedelta(seconds=seconds)


def door(is_open, at=AT):
    return PinChange(17, is_open, at)


def press(at=AT):
    return PinChange(27, 0, at)


def meter(celsius, at=AT):
    number = round(celsius * 100).to_bytes(2, "little", signed=True)
    return Advertisement(ADDRESS, {}, {UUID: b"\x40\x02" + number}, at)


def pipeline(*rules, engine=None, journal=None, on_urgent=lambda: None):
    """Return a pipeline that has heard nothing yet; each number is taken."""
    interval = timedelta(microseconds=1)
    sensors = [Sensor(name, "", "kind", device, interval) for name, device in DEVICES.items()]
    intake = Intake(sensors, Sampler(dict.fromkeys(DEVICES, interval)))
    engine = engine or Engine(rules)
    return Pipeline(intake, engine, LineWriter("g1"), journal or _journal(), on_urgent=on_urgent)


def _journal():
    """Return a journal in a folder that goes when it goes."""
    folder = mkdtemp()
    journal = Journal(Path(folder) / "journal", max_bytes=100_000_000)
    finalize(journal, rmtree, folder)
    return journal


def readings_in(block):
    """Return the lines of a commit that are no events."""
    return [line for line in block.lines if not is_event(line)]


def events_in(block):
    """Return the lines of a commit that are events."""
    return [line for line in block.lines if is_event(line)]


def points(lines) -> list[Point]:
    return [parse_line(line) for line in lines]


def celsius(lines):
    """Return the temperatures in these lines."""
    return [point.fields["temperature_celsius"] for point in points(lines)]
