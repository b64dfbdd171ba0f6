"""Bluetooth LE: hears advertisements through bluetoothd, and keeps hearing them.

bleak's scanner notices no fault. When bluetoothd is restarted, the adapter is unplugged or its
firmware hangs, there is no error, only silence. So the flow of advertisements from anybody is
watched, and when it stops the scan is started anew with a new scanner, which mends most faults; if
that is fruitless, the adapter is switched off and on through bluetoothd.

What can be lost: what is sent during quiet_s after a fault, and for the moment a repair takes. In a
lonely house silence is normal, so the repairs become rare while nothing is heard: at first every
quiet_s, later every LONGEST_QUIET_S. Nothing is queued here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from drivers.frame import Advertisement
from drivers.transport import Emit, Report, TransportReport, TransportState
from drivers.transports.ble_repair import FAULTS, Repair, RepairLadder, explain, power_cycle

LONGEST_QUIET_S: Final = 900.0
"""Repairs are at least this rare in the end, while all seems well but nothing is heard."""

LONGEST_PAUSE_S: Final = 60.0
"""Attempts are at most this far apart while there is no adapter, bluetoothd or D-Bus."""

PASSIVE_PATTERNS: Final = (
    OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, b"\xd2\xfc"),
    OrPattern(0, AdvertisementDataType.SERVICE_DATA_UUID16, b"\x3d\xfd"),
    OrPattern(0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, b"\x69\x09"),
)
"""What a passive scan listens for: service data of BTHome (0xFCD2) and SwitchBot (0xFD3D), and
SwitchBot's manufacturer data (0x0969, Woan Technology), least significant byte first as on the air.

SwitchBot sends its service data in the scan response, which a passive scan does not ask for: a
device that needs both needs an active scan. https://bthome.io/format/ and
https://github.com/OpenWonderLabs/SwitchBotAPI-BLE"""

_NO_RSSI: Final = -127
"""bleak's value where bluetoothd gives none."""

_RSSI_UNKNOWN: Final = 127
"""The controller's word for "not available" (Bluetooth Core, vol 4 part E, 7.7.65.2)."""

_log = logging.getLogger(__name__)


class BleTransport:
    """One Bluetooth adapter that listens to advertisements."""

    name = "ble"

    def __init__(
        self,
        addresses: frozenset[str] | None,
        now: Callable[[], datetime],
        *,
        adapter: str = "hci0",
        scan: Literal["active", "passive"] = "active",
        quiet_s: float = 90.0,
        retry_s: float = 1.0,
        start_s: float = 15.0,
        stop_s: float = 1.5,
    ) -> None:
        """Prepare to listen; nothing is opened before run().

        Args:
            addresses: Devices to let through, upper-case; None lets everything through.
            now: Gives the time that frames are stamped with.
            adapter: The adapter's name in `bluetoothctl list` and /sys/class/bluetooth.
            scan: An active scan asks devices for their scan response, and hears every repetition. A
                passive one spares their batteries, but hears PASSIVE_PATTERNS only, and of those
                only changes, so that a sensor that repeats itself seems silent; bluetoothd has to
                run with --experimental.
            quiet_s: So long without an advertisement from anybody raises suspicion.
            retry_s: Pause before the first attempt to recover from an error; it grows.
            start_s: So long may bluetoothd take to start a scan, or to switch the adapter.
            stop_s: So long may it take to stop one, also when cancelled.
        """
        self.strangers = 0
        """Advertisements dropped because nobody asked for that device."""
        self._addresses = addresses
        self._now = now
        self._adapter = adapter
        self._mode: Literal["active", "passive"] = scan
        # A filter of any kind makes BlueZ 5.82 scan without pauses: without one it was deaf for 5 s
        # of every 15 s. Filtering by service would lose devices that send only service data.
        self._bluez = BlueZScannerArgs(
            adapter=adapter, filters={"RSSI": -127}, or_patterns=list(PASSIVE_PATTERNS)
        )
        self._quiet_s = quiet_s
        self._start_s = start_s
        self._stop_s = stop_s
        self._silence = RepairLadder(quiet_s, LONGEST_QUIET_S)
        self._errors = RepairLadder(retry_s, LONGEST_PAUSE_S)

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled, and mend what can be mended.

        STARTING until somebody is heard, HEARING as long as somebody is; SILENT when a scan runs
        but hears nobody, BROKEN when none can be started.
        """
        self._emit, self._report = emit, report
        self._heard_s = monotonic()
        self._hearing = asyncio.Event()
        self._told = TransportReport(TransportState.STARTING)
        report(self._told)
        repair = Repair.RESTART
        while True:
            try:
                if repair is Repair.POWER_CYCLE:
                    await power_cycle(self._adapter, self._start_s)
                async with self._scanning():
                    await self._until_quiet()
                self._hearing.clear()
                repair = self._silence.climb()
                self._tell(TransportState.SILENT, self._words_for_silence(repair))
            except FAULTS as error:
                self._hearing.clear()
                repair = self._errors.climb()
                self._tell(TransportState.BROKEN, explain(error, self._adapter))
                await asyncio.sleep(self._errors.wait_s)

    @asynccontextmanager
    async def _scanning(self) -> AsyncIterator[None]:
        scanner = BleakScanner(self._on_advertisement, None, self._mode, bluez=self._bluez)
        async with asyncio.timeout(self._start_s):
            await scanner.start()
        try:
            self._errors.reset()
            if self._told.state is TransportState.BROKEN:
                self._tell(TransportState.STARTING)
            yield
        finally:
            await self._stop(scanner)

    async def _stop(self, scanner: BleakScanner) -> None:
        """Stop a scan, or leave it behind: one that broke cannot always be stopped."""
        try:
            async with asyncio.timeout(self._stop_s):
                await scanner.stop()
        except FAULTS as error:
            _log.info("left a scan on %s behind that did not stop: %r", self._adapter, error)

    async def _until_quiet(self) -> None:
        """Return when somebody was heard but no longer is, or nobody for long enough."""
        try:
            async with asyncio.timeout(self._silence.wait_s):
                await self._hearing.wait()
        except TimeoutError:
            return
        # An event for each advertisement would cost more than a look from time to time.
        while (left_s := self._heard_s + self._quiet_s - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left_s)

    def _on_advertisement(self, device: BLEDevice, data: AdvertisementData) -> None:
        if self._addresses is not None and device.address not in self._addresses:
            self.strangers += 1
        elif data.rssi != _NO_RSSI:
            self._emit(self._frame(device, data))
        else:
            # Not heard: bluetoothd takes the RSSI off all devices when the adapter is switched off,
            # and bleak hands their old data on as if it were new.
            return
        self._heard_s = monotonic()
        if not self._hearing.is_set():
            self._hearing.set()
            self._silence.reset()
            self._tell(TransportState.HEARING)

    def _frame(self, device: BLEDevice, data: AdvertisementData) -> Advertisement:
        return Advertisement(
            address=device.address,
            manufacturer_data=data.manufacturer_data,
            service_data=data.service_data,
            at=self._now(),
            rssi_dbm=None if data.rssi == _RSSI_UNKNOWN else data.rssi,
            name=data.local_name,
        )

    def _words_for_silence(self, repair: Repair) -> str:
        since = self._now() - timedelta(seconds=monotonic() - self._heard_s)
        what = {
            Repair.RESTART: "restarting the scan",
            Repair.POWER_CYCLE: f"switching {self._adapter} off and on",
        }[repair]
        return (
            f"scanning on {self._adapter}, but nothing heard from any device since "
            f"{since:%Y-%m-%d %H:%M:%S %Z}; {what} (try {self._silence.tries}). Where few devices "
            "are in reach this can be normal; otherwise look at their batteries and at the antenna."
        )

    def _tell(self, state: TransportState, message: str = "") -> None:
        """Report a change, but not the same again."""
        told = TransportReport(state, message)
        if told != self._told:
            self._told = told
            self._report(told)
