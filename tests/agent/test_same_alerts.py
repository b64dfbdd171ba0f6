"""Kills, power cuts and clocks that are set, at any moment: people are told the same, and once.

Simulated lives of a home with real rules, pipeline and journal, each made from its seed.
"""

import json
import random
from datetime import timedelta

import pytest

from agent.clock import EPOCH, MICROSECOND
from agent.journal.block import Stamp
from cloud_sync.wire import parse_line
from drivers.reading import Quantity
from rules.conditions.above import Above
from rules.conditions.opened import Opened
from rules.engine import Engine, Rule
from tests.agent import home as homes
from tests.agent.home import OPENED, after, door, meter, press
from tests.agent.journals import Desk, kill

# No hold time ends just when something else happens: then a microsecond would decide.
LEFT_OPEN = Rule("door left open", Opened(), ("door",), hold_for=timedelta(seconds=180.05))
WARM = Rule("warm", Above(30), ("meter",), Quantity.TEMPERATURE_CELSIUS)
LONG_WARM = Rule(
    "warm for long",
    Above(28),
    ("meter",),
    Quantity.TEMPERATURE_CELSIUS,
    hold_for=timedelta(seconds=120.55),
)
OF_DOORS = (OPENED, LEFT_OPEN)
RULES = (*OF_DOORS, WARM, LONG_WARM)

FRAMES = 250
KERNEL = "kernel"


def life(seed):
    """Yield (seconds, frame or None to let time pass): what happens, whoever listens."""
    rnd = random.Random(seed)
    at_s, is_open, celsius = 0.0, 0, 25.0
    for _ in range(FRAMES):
        at_s += rnd.choice([0.3, 1, 7, 20, 70])
        match rnd.choice(["door", "meter", "meter", "press", "tick", "tick"]):
            case "door":
                is_open = 1 - is_open
                yield at_s, lambda at, value=is_open: door(value, at)
            case "meter":
                celsius += rnd.choice([-3, -1, 1, 3])
                celsius = min(max(celsius, 20), 36)
                yield at_s, lambda at, value=celsius: meter(value, at)
            case "press":
                yield at_s, press
            case "tick":
                yield at_s, None


class Gateway:
    """The daemon's parts as app.py joins them, on a machine whose clock is set now and then."""

    def __init__(self, desk, rules):
        self.desk, self.rules = desk, rules
        self.offset = timedelta(0)
        self.hurried = False
        self.start(0.0)

    def start(self, at_s):
        self.journal = self.desk.open(kernel=KERNEL, write_loss=None)
        engine = Engine(self.rules)
        if (snapshot := self.journal.state("engine")) is not None:
            engine = Engine.restore(self.rules, json.loads(snapshot))
        self.home = homes.pipeline(engine=engine, journal=self.journal, on_urgent=self.hurry)
        if (sampled := self.journal.state("sampler")) is not None:
            self.home.intake.sampler.load(sampled)
        self.home.catch_up(self.journal.since_state())
        known = self.journal.manifest.kernels[KERNEL]
        step = self.offset - known.offset_us * MICROSECOND
        if step and self.home.engine.now is not None:
            self.home.shift(step)
        self.journal.set_stamp(self.stamp)
        if self.home.engine.now is not None:
            snapshot, now = self.home.engine.snapshot(), after(at_s) + self.offset
            self.home.engine = Engine.restore(self.rules, snapshot, listening_from=now)

    @property
    def stamp(self):
        return Stamp(KERNEL, self.offset // MICROSECOND, settled=False)

    def hurry(self):
        self.hurried = True

    def hear(self, at_s, frame):
        if frame is None:
            self.home.advance(after(at_s) + self.offset)
        else:
            self.home.receive(frame(after(at_s) + self.offset))

    def set_clock(self, step):
        self.offset += step
        self.home.shift(step)
        self.journal.set_stamp(self.stamp)

    def commit(self):
        self.hurried = False
        while (block := self.home.take()) is not None:
            self.journal.commit(block)
            if not self.journal.waiting:
                break

    def kill(self, at_s):
        kill(self.journal)
        self.start(at_s)

    def cut_power(self, at_s):
        kill(self.journal)
        self.desk.power_cut()
        self.start(at_s)

    def told(self):
        """Return (rule, phase, true time) of each alert on the card."""
        events = [
            (parse_line(line), stamp)
            for block in self.desk.blocks()
            for _, line, stamp in block.numbered()
            if line.startswith(b"alert,")
        ]
        return [
            (
                p.tags["rule"],
                p.tags["phase"],
                EPOCH + (p.time_ns // 1000 - stamp.offset_us) * MICROSECOND,
            )
            for p, stamp in events
        ]


def undisturbed(desk, rules, seed):
    gateway = Gateway(desk, rules)
    for at_s, frame in life(seed):
        gateway.hear(at_s, frame)
    gateway.commit()
    kill(gateway.journal)
    found = gateway.told()
    assert len(found) == len(set(found))
    assert len(found) > 20
    return sorted(found)


def is_same(found, expected):
    """Whether it is the same, but for the fraction of a second that numbers leave out."""
    found = sorted(found)
    assert [event[:2] for event in found] == [event[:2] for event in expected]
    off = [abs(a[2] - b[2]) for a, b in zip(found, expected, strict=True)]
    assert max(off) < timedelta(seconds=1)
    return True


def desk_in(folder):
    return Desk(folder / "journal", folder / "tail", {"segment_bytes": 20_000})


@pytest.mark.parametrize("seed", range(25))
def test_kills_at_any_moment_change_nothing_of_what_people_are_told(tmp_path, seed):
    expected = undisturbed(desk_in(tmp_path / "calm"), RULES, seed)
    rnd, gateway = random.Random(seed), Gateway(desk_in(tmp_path), RULES)
    for at_s, frame in life(seed):
        gateway.hear(at_s, frame)
        if rnd.random() < 0.1:
            gateway.kill(at_s)
        if gateway.hurried and rnd.random() < 0.6:
            gateway.commit()
        if rnd.random() < 0.1:
            gateway.commit()
        if rnd.random() < 0.1:
            gateway.kill(at_s)
    gateway.commit()
    kill(gateway.journal)
    assert is_same(gateway.told(), expected)


@pytest.mark.parametrize("seed", range(25))
def test_clocks_that_are_set_and_kills_change_nothing_either(tmp_path, seed):
    expected = undisturbed(desk_in(tmp_path / "calm"), RULES, seed)
    rnd, gateway = random.Random(seed), Gateway(desk_in(tmp_path), RULES)
    for at_s, frame in life(seed):
        if rnd.random() < 0.08:
            gateway.set_clock(timedelta(seconds=rnd.choice([-1, 1]) * rnd.randint(60, 20_000)))
        if rnd.random() < 0.05:
            gateway.kill(at_s)
        gateway.hear(at_s, frame)
        if gateway.hurried and rnd.random() < 0.7:
            gateway.commit()
        if rnd.random() < 0.08:
            gateway.kill(at_s)
    gateway.commit()
    kill(gateway.journal)
    assert is_same(gateway.told(), expected)


@pytest.mark.parametrize("seed", range(25))
def test_power_cuts_change_nothing_of_what_doors_have_said(tmp_path, seed):
    expected = undisturbed(desk_in(tmp_path / "calm"), OF_DOORS, seed)
    rnd, gateway = random.Random(seed), Gateway(desk_in(tmp_path), OF_DOORS)
    for at_s, frame in life(seed):
        gateway.hear(at_s, frame)
        # What is urgent is on the card before anything else happens.
        if gateway.hurried or rnd.random() < 0.1:
            gateway.commit()
        if rnd.random() < 0.1:
            gateway.cut_power(at_s)
        if rnd.random() < 0.05:
            gateway.kill(at_s)
    gateway.commit()
    kill(gateway.journal)
    assert sorted(gateway.told()) == expected
