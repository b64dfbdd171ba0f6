"""The real bleak on a real D-Bus; only bluetoothd and the radio are made up."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
from bleak.backends.bluezdbus import manager as bleak_manager
from bleak.exc import BleakDBusError, BleakError
from dbus_fast import Variant
from dbus_fast.errors import DBusError

from drivers.frame import Advertisement
from drivers.transport import TransportReport, TransportState
from drivers.transports.ble import BleTransport
from drivers.transports.ble_repair import Repair, RepairLadder, explain, power_cycle
from tests.fakes.bluez import FakeBluez
from tests.fakes.dbus import DbusDaemon, private_dbus_daemon
from tests.fakes.listener import Listener

DOOR = "A4:C1:38:00:00:01"
STRANGER = "66:55:44:33:22:11"
OPEN = {0xFCD2: bytes.fromhex("44000a2d01")}
NOW = datetime(2026, 11, 24, 3, 12, tzinfo=UTC)

STARTING, HEARING = TransportState.STARTING, TransportState.HEARING
SILENT, BROKEN = TransportState.SILENT, TransportState.BROKEN

QUICK: dict[str, Any] = {"quiet_s": 0.1, "retry_s": 0.02, "start_s": 1.0, "stop_s": 0.1}
"""Suspicious after a tenth of a second, so that faults are noticed within a test."""


async def next_report(heard: Listener, state: TransportState, words: str = "") -> str:
    """Wait for the next report of a state that contains these words, and return its message."""
    seen = len(heard.reports)

    def messages() -> list[str]:
        new = heard.reports[seen:]
        return [r.message for r in new if r.state is state and words in r.message]

    await heard.until(lambda: bool(messages()))
    return messages()[0]


def went_through(heard: Listener, *states: TransportState) -> bool:
    """Whether these states were reported in this order, perhaps with others in between."""
    told = iter(heard.states)
    return all(state in told for state in states)


@asynccontextmanager
async def beacon(bluez: FakeBluez, address: str = DOOR) -> AsyncIterator[None]:
    """A device that repeats itself as long as it is in reach, like a real one."""

    async def repeat() -> None:
        while True:
            bluez.advertise(address, service_data=OPEN)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def no_leftovers(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Collect at once the future with an unread exception that dbus-fast leaves when D-Bus dies.

    Its complaint, whenever that comes, fails what Python 3.11 is compiling just then. A log record
    with the exception would keep it.
    """
    with caplog.at_level(logging.CRITICAL, logger="bleak"):
        yield
    gc.collect()


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[DbusDaemon]:
    with private_dbus_daemon() as daemon:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon.address)
        yield daemon


@pytest.fixture
async def bluez(daemon: DbusDaemon) -> AsyncIterator[FakeBluez]:
    async with FakeBluez(daemon.address) as bluez:
        bluez.add_adapter()
        yield bluez
    await forget_bus()


async def forget_bus() -> None:
    """Close the connection that bleak keeps for as long as an event loop lives."""
    manager = bleak_manager._global_instances.pop(asyncio.get_running_loop(), None)
    if manager is not None and manager._bus is not None:
        manager._bus.disconnect()
        await asyncio.gather(manager._bus_watcher_task, return_exceptions=True)


def ble(addresses: frozenset[str] | None = frozenset({DOOR}), **settings: Any) -> BleTransport:
    return BleTransport(addresses, lambda: NOW, **settings)


# ---- what is heard ----


async def test_a_known_device_is_heard_with_all_it_sends(bluez: FakeBluez) -> None:
    async with Listener(ble()) as heard:
        await bluez.scanning()
        bluez.advertise(
            DOOR,
            service_data=OPEN,
            manufacturer_data={0x0969: b"\x01\x02"},
            name="front",
            rssi=-71,
        )
        await heard.until_frames(1)
        assert heard.frames == [
            Advertisement(
                address=DOOR,
                manufacturer_data={0x0969: b"\x01\x02"},
                service_data={"0000fcd2-0000-1000-8000-00805f9b34fb": OPEN[0xFCD2]},
                at=NOW,
                rssi_dbm=-71,
                name="front",
            )
        ]


async def test_a_stranger_is_counted_but_not_let_through(bluez: FakeBluez) -> None:
    transport = ble()
    async with Listener(transport) as heard:
        await bluez.scanning()
        bluez.advertise(STRANGER, service_data=OPEN)
        bluez.advertise(STRANGER, service_data=OPEN)
        bluez.advertise(DOOR, service_data=OPEN)
        await heard.until_frames(1)
    assert [frame.source for frame in heard.frames] == [("ble", DOOR)]
    assert transport.strangers == 2


async def test_a_stranger_shows_that_the_radio_works(bluez: FakeBluez) -> None:
    async with Listener(ble()) as heard:
        await bluez.scanning()
        bluez.advertise(STRANGER)
        await next_report(heard, HEARING)
    assert heard.reports == [TransportReport(STARTING), TransportReport(HEARING)]


async def test_without_a_list_everybody_is_let_through(bluez: FakeBluez) -> None:
    async with Listener(ble(None)) as heard:
        await bluez.scanning()
        bluez.advertise(STRANGER)
        bluez.advertise(DOOR)
        await heard.until_frames(2)
    assert [frame.source for frame in heard.frames] == [("ble", STRANGER), ("ble", DOOR)]


async def test_a_device_that_repeats_itself_is_heard_each_time(bluez: FakeBluez) -> None:
    async with Listener(ble()) as heard:
        await bluez.scanning()
        for _ in range(3):
            bluez.advertise(DOOR, service_data=OPEN)
        await heard.until_frames(3)
    assert heard.frames[0] == heard.frames[1] == heard.frames[2]


async def test_an_unknown_signal_strength_is_none(bluez: FakeBluez) -> None:
    async with Listener(ble()) as heard:
        await bluez.scanning()
        bluez.advertise(DOOR, service_data=OPEN, rssi=127)
        await heard.until_frames(1)
    (frame,) = heard.frames
    assert isinstance(frame, Advertisement)
    assert frame.rssi_dbm is None


async def test_old_data_is_not_heard_again_when_the_adapter_is_switched_off(
    bluez: FakeBluez,
) -> None:
    window = "A4:C1:38:00:00:02"
    async with Listener(ble(frozenset({DOOR, window}))) as heard:
        await bluez.scanning()
        bluez.advertise(DOOR, service_data=OPEN)
        bluez.advertise(window, service_data=OPEN)
        await heard.until_frames(2)
        bluez.power(False)
        bluez.misreport(window, RSSI=Variant("n", -60))  # shows that all before it was read
        await heard.until_frames(3)
    assert [frame.source[1] for frame in heard.frames] == [DOOR, window, window]


# ---- how it is asked for ----


async def test_an_active_scan_filters_by_strength_but_never_by_service(bluez: FakeBluez) -> None:
    async with Listener(ble()):
        await bluez.scanning()
    assert bluez.filter["RSSI"] == -127
    assert "UUIDs" not in bluez.filter
    assert bluez.calls.index("SetDiscoveryFilter") < bluez.calls.index("StartDiscovery")


async def test_a_passive_scan_hears_bthome_and_switchbot_only(bluez: FakeBluez) -> None:
    async with Listener(ble(None, scan="passive")) as heard:
        await bluez.scanning()
        assert bluez.advertise("A4:C1:38:00:00:01", service_data={0xFCD2: b"\x40\x01\x61"})
        assert bluez.advertise("A4:C1:38:00:00:02", service_data={0xFD3D: b"d\x00\x64"})
        assert bluez.advertise("A4:C1:38:00:00:03", manufacturer_data={0x0969: b"\x01"})
        assert not bluez.advertise("A4:C1:38:00:00:04", manufacturer_data={0x004C: b"\x01"})
        await heard.until_frames(3)
    assert [frame.source[1][-1] for frame in heard.frames] == ["1", "2", "3"]
    assert "StartDiscovery" not in bluez.calls
    assert "UnregisterMonitor" in bluez.calls


async def test_the_adapter_is_the_one_asked_for(bluez: FakeBluez) -> None:
    bluez.add_adapter("hci1")
    async with Listener(ble(adapter="hci1")) as heard:
        await bluez.scanning()
        assert not bluez.advertise(DOOR, adapter="hci0")
        assert bluez.advertise(DOOR, adapter="hci1")
        await heard.until_frames(1)


# ---- faults ----


async def test_a_scan_that_hears_is_left_alone(bluez: FakeBluez) -> None:
    async with Listener(ble(quiet_s=0.3)) as heard, beacon(bluez):
        await heard.until_frames(40)
    assert bluez.starts == 1
    assert heard.reports == [TransportReport(STARTING), TransportReport(HEARING)]


async def test_a_scan_that_went_deaf_is_started_anew(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK)) as heard, beacon(bluez):
        await next_report(heard, HEARING)
        bluez.deaf = True
        message = await next_report(heard, SILENT)
        await bluez.scanning(starts=bluez.starts + 1)
        bluez.deaf = False
        await next_report(heard, HEARING)
    assert "nothing heard from any device since 2026-11-24 03:1" in message
    assert "restarting the scan (try 1)" in message
    assert went_through(heard, STARTING, HEARING, SILENT, HEARING)
    assert not went_through(heard, BROKEN)


async def test_an_adapter_that_stays_deaf_is_switched_off_and_on(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK)) as heard:
        await next_report(heard, SILENT, "(try 2)")
        assert "Set" not in bluez.calls
        await next_report(heard, SILENT, "switching hci0 off and on (try 3)")
        await bluez.scanning(starts=4)
        assert bluez.calls.count("Set") == 2
        assert bluez.powered()


async def test_repairs_grow_rarer_while_nothing_is_heard(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK | {"quiet_s": 0.05})) as heard:
        await next_report(heard, SILENT, "(try 3)")
        third_s = monotonic()
        await next_report(heard, SILENT, "(try 4)")
    assert monotonic() - third_s >= 0.1


async def test_after_something_was_heard_repairs_begin_from_the_start(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK)) as heard:
        await next_report(heard, SILENT, "(try 2)")
        async with beacon(bluez):
            await next_report(heard, HEARING)
        await next_report(heard, SILENT, "(try 1)")


async def test_an_adapter_switched_off_is_reported_and_switched_on_again(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK)) as heard, beacon(bluez):
        await next_report(heard, HEARING)
        bluez.power(False)
        message = await next_report(heard, BROKEN)
        await next_report(heard, HEARING)
    assert "hci0 is switched off; `bluetoothctl power on`" in message
    assert went_through(heard, STARTING, HEARING, SILENT, BROKEN, HEARING)


async def test_an_adapter_that_was_unplugged_is_used_when_it_is_back(bluez: FakeBluez) -> None:
    async with Listener(ble(**QUICK)) as heard, beacon(bluez):
        await next_report(heard, HEARING)
        bluez.remove_adapter()
        message = await next_report(heard, BROKEN)
        bluez.add_adapter()
        await next_report(heard, HEARING)
    assert "there is no adapter hci0; plug it in" in message
    assert went_through(heard, STARTING, HEARING, SILENT, BROKEN, HEARING)


@pytest.mark.parametrize("scan", ["active", "passive"])
async def test_bluetoothd_may_be_restarted(bluez: FakeBluez, daemon: DbusDaemon, scan: str) -> None:
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(Listener(ble(scan=scan, **QUICK)))
        async with beacon(bluez):
            await next_report(heard, HEARING)
        await bluez.stop()
        message = await next_report(heard, BROKEN)
        restarted = await stack.enter_async_context(FakeBluez(daemon.address))
        restarted.add_adapter()
        await stack.enter_async_context(beacon(restarted))
        await next_report(heard, HEARING)
    assert "bluetoothd does not run; start it: `sudo systemctl start bluetooth`" in message
    assert went_through(heard, STARTING, HEARING, SILENT, BROKEN, HEARING)


@pytest.mark.parametrize("scan", ["active", "passive"])
async def test_d_bus_may_be_restarted(
    no_leftovers: None, bluez: FakeBluez, daemon: DbusDaemon, scan: str
) -> None:
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(Listener(ble(scan=scan, **QUICK)))
        async with beacon(bluez):
            await next_report(heard, HEARING)
        daemon.kill()
        message = await next_report(heard, BROKEN)
        daemon.start()
        restarted = await stack.enter_async_context(FakeBluez(daemon.address))
        restarted.add_adapter()
        await stack.enter_async_context(beacon(restarted))
        await next_report(heard, HEARING)
    assert "D-Bus cannot be reached" in message
    assert went_through(heard, STARTING, HEARING, SILENT, BROKEN, HEARING)


async def test_a_gateway_may_start_before_bluetoothd(daemon: DbusDaemon) -> None:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(forget_bus)
        heard = await stack.enter_async_context(Listener(ble(**QUICK)))
        await next_report(heard, BROKEN, "bluetoothd does not run")
        bluez = await stack.enter_async_context(FakeBluez(daemon.address))
        await next_report(heard, BROKEN, "there is no adapter hci0")
        bluez.add_adapter()
        await bluez.scanning()
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
    assert went_through(heard, STARTING, BROKEN, HEARING)


async def test_a_scan_that_is_refused_is_tried_again(bluez: FakeBluez) -> None:
    bluez.refusal = DBusError("org.bluez.Error.Failed", "Operation failed")
    async with Listener(ble(retry_s=0.02)) as heard:
        message = await next_report(heard, BROKEN)
        bluez.refusal = None
        await next_report(heard, STARTING)
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
    assert "bluetoothd refuses; `journalctl -u bluetooth` may tell why" in message
    assert went_through(heard, STARTING, BROKEN, STARTING, HEARING)


async def test_a_second_trouble_is_not_taken_for_the_first(bluez: FakeBluez) -> None:
    """Two attempts that failed yesterday do not make today's first one the third."""
    failed = DBusError("org.bluez.Error.Failed", "Operation failed")
    async with Listener(ble(**QUICK)) as heard:
        bluez.refusal = failed
        await bluez.called("StartDiscovery", times=2)
        bluez.refusal = None
        await next_report(heard, STARTING)
        bluez.refusal = failed
        await next_report(heard, BROKEN)
        await bluez.called("StartDiscovery", times=bluez.calls.count("StartDiscovery") + 1)
    assert "Set" not in bluez.calls


async def test_the_same_trouble_is_reported_once(bluez: FakeBluez) -> None:
    bluez.refusal = DBusError("org.bluez.Error.Failed", "Operation failed")
    async with Listener(ble(retry_s=0.001)) as heard:
        await next_report(heard, BROKEN)
        bluez.refusal = DBusError("org.bluez.Error.InProgress", "Operation already in progress")
        await next_report(heard, BROKEN, "busy")
        await bluez.called("StartDiscovery", times=bluez.calls.count("StartDiscovery") + 4)
    assert [report.state for report in heard.reports] == [STARTING, BROKEN, BROKEN]


async def test_a_bluetoothd_that_hangs_is_not_waited_for(bluez: FakeBluez) -> None:
    bluez.unanswered = {"StartDiscovery"}
    async with Listener(ble(start_s=0.1, retry_s=0.02)) as heard:
        message = await next_report(heard, BROKEN)
        bluez.unanswered = set()
        await bluez.scanning()
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
    assert "bluetoothd does not answer; restart it" in message


async def test_a_scan_that_cannot_be_stopped_is_ended_by_switching_off(bluez: FakeBluez) -> None:
    """bluetoothd takes the old scan for running still, and so refuses a new one."""
    bluez.unanswered = {"StopDiscovery"}
    async with Listener(ble(**QUICK)) as heard:
        await next_report(heard, SILENT)
        message = await next_report(heard, BROKEN)
        await bluez.scanning(starts=2)
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
    assert "hci0 is busy" in message
    assert bluez.calls.count("Set") == 2


async def test_garbage_from_bluetoothd_does_no_harm(
    bluez: FakeBluez, caplog: pytest.LogCaptureFixture
) -> None:
    async with Listener(ble(None)) as heard:
        await bluez.scanning()
        bluez.advertise(STRANGER, service_data=OPEN)
        await heard.until_frames(1)
        bluez.misreport(STRANGER, ServiceData=Variant("as", ["not", "a", "mapping"]))
        bluez.misreport(STRANGER, Address=Variant("u", 7), RSSI=Variant("s", "loud"))
        bluez.misreport("00:00:00:00:00:00", RSSI=Variant("n", -50))
        bluez.advertise(DOOR, service_data=OPEN)
        await heard.until_frames(2)
    assert heard.frames[-1].source == ("ble", DOOR)
    assert "has no attribute 'items'" in caplog.text


# ---- the end ----


async def test_a_cancelled_transport_stops_the_scan(bluez: FakeBluez) -> None:
    async with Listener(ble()) as heard:
        await bluez.scanning()
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
    assert "StopDiscovery" in bluez.calls


async def test_a_cancelled_transport_does_not_wait_for_a_hanging_bluetoothd(
    bluez: FakeBluez,
) -> None:
    bluez.unanswered = {"StopDiscovery"}
    async with Listener(ble(stop_s=0.05)) as heard:
        await bluez.scanning()
        bluez.advertise(DOOR)
        await next_report(heard, HEARING)
        cancelled_s = monotonic()
    assert "StopDiscovery" in bluez.calls
    assert monotonic() - cancelled_s < 2


async def test_a_transport_can_be_cancelled_while_it_waits_to_try_again(
    daemon: DbusDaemon,
) -> None:
    async with Listener(ble(retry_s=60)) as heard:
        await next_report(heard, BROKEN)
    await forget_bus()


# ---- the parts ----


def test_the_ladder_restarts_twice_then_switches_off_and_on() -> None:
    ladder = RepairLadder(first_s=90, longest_s=900)
    repairs = [ladder.climb() for _ in range(6)]
    assert repairs == [Repair.RESTART, Repair.RESTART, Repair.POWER_CYCLE] * 2


def test_the_ladder_waits_longer_after_each_round_up_to_a_limit() -> None:
    ladder = RepairLadder(first_s=90, longest_s=900)
    waits_s = []
    for _ in range(4000):
        waits_s.append(ladder.wait_s)
        ladder.climb()
    assert waits_s[:15:3] == [90, 180, 360, 720, 900]
    assert waits_s[-1] == 900


def test_the_ladder_starts_again_at_the_bottom() -> None:
    ladder = RepairLadder(first_s=90, longest_s=900)
    for _ in range(5):
        ladder.climb()
    ladder.reset()
    assert (ladder.tries, ladder.wait_s, ladder.climb()) == (0, 90, Repair.RESTART)


def test_the_ladder_never_waits_less_than_it_was_told() -> None:
    ladder = RepairLadder(first_s=3600, longest_s=900)
    for _ in range(5):
        ladder.climb()
    assert ladder.wait_s == 3600


async def test_an_adapter_that_refuses_to_be_switched_is_reported(daemon: DbusDaemon) -> None:
    async with FakeBluez(daemon.address):
        with pytest.raises(BleakDBusError, match="UnknownObject"):
            await power_cycle("hci9", timeout_s=5)


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        (BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", []), "start bluetooth"),
        (BleakDBusError("org.freedesktop.DBus.Error.UnknownObject", []), "plug it in"),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", []), "the group bluetooth"),
        (BleakDBusError("org.bluez.Error.NotReady", []), "bluetoothctl power on"),
        (BleakDBusError("org.bluez.Error.Blocked", []), "rfkill unblock bluetooth"),
        (BleakDBusError("org.bluez.Error.InProgress", []), "restart bluetooth"),
        (BleakDBusError("org.bluez.Error.Failed", []), "journalctl -u bluetooth"),
        (BleakError("adapter 'hci7' not found"), "there is no adapter hci7; plug it in"),
        (BleakError("passive scanning on Linux requires BlueZ >= 5.56"), "--experimental"),
        (TimeoutError(), "restart bluetooth"),
        (FileNotFoundError(2, "No such file"), "systemctl status dbus"),
        (EOFError(), "systemctl status dbus"),
    ],
)
def test_each_fault_says_what_to_do_next(error: Exception, next_step: str) -> None:
    message = explain(error, "hci7")
    assert message.startswith("cannot scan on hci7: ")
    assert next_step in message
    assert repr(error) in message
