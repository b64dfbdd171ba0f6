"""The lamp and the buzzer on gpiozero's own mock pins."""

import logging
from datetime import UTC, datetime, timedelta

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from agent.signals import Signals
from drivers.reading import Quantity, Reading
from drivers.transports.gpio import Output
from rules.alert import Severity
from rules.conditions.opened import Opened
from rules.engine import Engine, Rule

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
LAMP, BUZZER = 22, 23


@pytest.fixture
def pins():
    factory = gpiozero.Device.pin_factory = MockFactory()
    yield factory
    factory.reset()
    gpiozero.Device.pin_factory = None


class Home:
    """A door, a rule about it, a lamp and a buzzer."""

    def __init__(self, severity=Severity.WARNING, hold_s=0):
        rule = Rule(
            "open", Opened(), ("door",), hold_for=timedelta(seconds=hold_s), severity=severity
        )
        self.engine = Engine([rule])
        self.signals = Signals(
            Output(LAMP),
            Output(BUZZER),
            buzzer_for=timedelta(minutes=1),
            alerts=lambda: self.engine.open,
        )

    def door(self, is_open, after_s=0):
        at = AT + timedelta(seconds=after_s)
        self.engine.observe(Reading("door", Quantity.CONTACT_OPEN, is_open, at))

    def update(self, after_s=0):
        at = AT + timedelta(seconds=after_s)
        self.engine.advance(at)
        self.signals.update(at)


def lit(pins):
    """Return whether the lamp is lit and the buzzer sounds."""
    return pins.pin(LAMP).state, pins.pin(BUZZER).state


def test_the_lamp_is_lit_as_long_as_an_alert_fires_and_the_buzzer_sounds_at_first(pins):
    home = Home()
    home.update()
    assert lit(pins) == (0, 0)
    home.door(1)
    home.update(1)
    assert lit(pins) == (1, 1)
    home.update(59)
    assert lit(pins) == (1, 1)
    home.update(60)
    assert lit(pins) == (1, 0)
    home.door(0, 3600)
    home.update(3600)
    assert lit(pins) == (0, 0)


def test_an_alert_that_only_waits_switches_nothing(pins):
    home = Home(hold_s=30)
    home.door(1)
    home.update(29)
    assert lit(pins) == (0, 0)
    home.update(30)
    assert lit(pins) == (1, 1)


@pytest.mark.parametrize(
    ("severity", "sounds"),
    [
        (Severity.DANGER, 1),
        (Severity.WARNING, 1),
        (Severity.NOTICE, 0),
        (Severity.FAULT, 0),
    ],
)
def test_only_what_cannot_wait_is_heard(pins, severity, sounds):
    home = Home(severity)
    home.door(1)
    home.update()
    assert lit(pins) == (1, sounds)


def test_the_buzzer_sounds_its_time_though_the_clock_is_set_back(pins):
    home = Home()
    home.door(1)
    home.update()
    home.engine.shift(timedelta(hours=-3))
    home.update(-3 * 3600 + 59)
    assert lit(pins) == (1, 1)
    home.update(-3 * 3600 + 60)
    assert lit(pins) == (1, 0)


def test_an_output_that_is_not_there_is_not_switched(pins):
    home = Home()
    signals = Signals(None, None, buzzer_for=timedelta(1), alerts=lambda: home.engine.open)
    home.door(1)
    signals.update(AT)
    signals.close()


def test_pins_that_cannot_be_used_are_told_once_and_do_not_stop_the_watching(monkeypatch, caplog):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "a library that is not installed")
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    home = Home()
    home.door(1)
    for second in range(10):
        home.update(second)
    told = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [text.partition(":")[0] for text in told] == [
        "the lamp cannot be switched",
        "the buzzer cannot be switched",
    ]


def test_an_output_that_comes_back_is_switched_again(pins, caplog):
    home = Home()
    home.door(1)
    with gpiozero.OutputDevice(LAMP):  # somebody else has the lamp's pin
        home.update()
        assert pins.pin(BUZZER).state
        assert "the lamp cannot be switched" in caplog.text
    home.update(1)
    assert lit(pins) == (1, 1)


def test_at_the_end_everything_is_switched_off(pins):
    home = Home()
    home.door(1)
    home.update()
    home.signals.close()
    assert [pins.pin(number).function for number in (LAMP, BUZZER)] == ["input", "input"]
