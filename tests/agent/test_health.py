"""How the transports are doing, and what a real socket in systemd's place is told."""

import contextlib
import logging
import socket
from datetime import UTC, datetime, timedelta

import pytest

from agent import health
from agent.health import Health, notify_systemd
from agent.status import TransportStatus
from drivers.transport import TransportReport, TransportState

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)
STARTING, HEARING = TransportState.STARTING, TransportState.HEARING
BROKEN = TransportState.BROKEN


class Days:
    """A health whose clock is set by the test."""

    def __init__(self):
        self.day = 0
        self.health = Health(["ble", "gpio"], lambda: AT + timedelta(days=self.day))

    def report(self, day, state, message="", transport="ble"):
        self.day = day
        self.health.reporter(transport)(TransportReport(state, message))

    def status(self, transport=0):
        return self.health.transports[transport]


@pytest.fixture
def days():
    return Days()


def test_at_first_all_transports_are_starting(days):
    assert days.health.transports == (
        TransportStatus("ble", STARTING, "", AT),
        TransportStatus("gpio", STARTING, "", AT),
    )


def test_a_state_lasts_since_it_began_whatever_its_message_says(days):
    days.report(1, BROKEN, "hci0 is down")
    days.report(2, BROKEN, "hci0 is gone")
    since = AT + timedelta(days=1)
    assert days.status() == TransportStatus("ble", BROKEN, "hci0 is gone", since)
    days.report(3, HEARING)
    assert days.status() == TransportStatus("ble", HEARING, "", AT + timedelta(days=3))


def test_transports_do_not_mix(days):
    days.report(1, BROKEN, "no pin", transport="gpio")
    assert (days.status().state, days.status(1).state) == (STARTING, BROKEN)


def test_the_same_report_again_is_not_told_again(days, caplog):
    caplog.set_level(logging.INFO)
    for day in range(100):
        days.report(day, BROKEN, "hci0 is down")
    days.report(100, HEARING)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "ble is broken: hci0 is down"),
        ("INFO", "ble is hearing"),
    ]


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_systemd_hears_what_it_is_told(systemd):
    for message in ("READY=1", "WATCHDOG=1"):
        notify_systemd(message)
    assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]


def test_a_socket_in_the_abstract_name_space_is_reached(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{tmp_path}")
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")
        notify_systemd("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, ""])
def test_without_systemd_nobody_is_told(monkeypatch, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify_systemd("READY=1")


def test_a_socket_that_is_gone_is_no_fault_of_the_daemon(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify_systemd("WATCHDOG=1")
    assert "nobody takes WATCHDOG=1" in caplog.text


def test_a_systemd_that_does_not_read_is_not_waited_for(systemd, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(health, "NOTIFY_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"x" * 1000, systemd.getsockname())
    notify_systemd("WATCHDOG=1")
    assert "nobody takes WATCHDOG=1" in caplog.text
