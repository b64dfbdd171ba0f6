"""What to do about a Bluetooth scan that hears nothing or cannot be started, and how to say it.

Apart from the transport, because it is where experience with faults gathers: which repair comes
next, how the adapter is switched off and on, and what each error means to the person who reads it.
"""

import asyncio
from enum import Enum, auto
from typing import Final

from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError

FAULTS: Final = (BleakError, OSError, EOFError, AuthError)
"""All that a scan was seen to fail with: a missing D-Bus is a FileNotFoundError, a dying one an
EOFError, and a TimeoutError is an OSError."""


class Repair(Enum):
    """What can be done about a scan that hears nothing."""

    RESTART = auto()
    """Scan anew, with a new scanner: some milliseconds of deafness."""
    POWER_CYCLE = auto()
    """Switch the adapter off and on first: some seconds, and connections of others break."""


class RepairLadder:
    """Chooses the next repair while one kind of trouble lasts, and how long to wait between them.

    Two restarts, then a power cycle, then the same with twice the wait, up to the longest wait. It
    counts tries and knows no clock.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = max(first_s, longest_s)
        self.reset()

    def reset(self) -> None:
        """Start at the bottom again: the trouble is over."""
        self.tries = 0
        self.wait_s = self._first_s

    def climb(self) -> Repair:
        """Return what to try next."""
        self.tries += 1
        if self.tries % 3:
            return Repair.RESTART
        self.wait_s = min(2 * self.wait_s, self._longest_s)
        return Repair.POWER_CYCLE


async def power_cycle(adapter: str, timeout_s: float) -> None:
    """Switch an adapter off and on again, through bluetoothd.

    That also ends scans of this process that bluetoothd believes to be running still.

    Raises:
        BleakDBusError: bluetoothd refused.
        OSError, EOFError, AuthError: no D-Bus; a TimeoutError: no answer.
    """
    async with asyncio.timeout(timeout_s):
        bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        try:
            for powered in (False, True):
                reply = await bus.call(_set_powered(adapter, powered))
                if reply.message_type is MessageType.ERROR:
                    raise BleakDBusError(reply.error_name or "", reply.body)
        finally:
            bus.disconnect()


def _set_powered(adapter: str, powered: bool) -> Message:
    return Message(
        destination="org.bluez",
        path=f"/org/bluez/{adapter}",
        interface="org.freedesktop.DBus.Properties",
        member="Set",
        signature="ssv",
        body=["org.bluez.Adapter1", "Powered", Variant("b", powered)],
    )


_NO_BLUETOOTHD: Final = "bluetoothd does not run; start it: `sudo systemctl start bluetooth`"
_HANGS: Final = "bluetoothd does not answer; restart it: `sudo systemctl restart bluetooth`"
_NO_ADAPTER: Final = "there is no adapter {adapter}; plug it in (`bluetoothctl list` shows all)"
_OFF: Final = "{adapter} is switched off; `bluetoothctl power on`, and if refused, `rfkill list`"
_BLOCKED: Final = "{adapter} is blocked; `sudo rfkill unblock bluetooth`"
_BUSY: Final = "{adapter} is busy; if that lasts, `sudo systemctl restart bluetooth`"
_DENIED: Final = "this user may not use Bluetooth; add it to the group bluetooth, then start anew"
_REFUSED: Final = "bluetoothd refuses; `journalctl -u bluetooth` may tell why"
_NOT_PASSIVE: Final = (
    "bluetoothd cannot scan passively; start it with --experimental, or scan actively"
)
_NO_DBUS: Final = "D-Bus cannot be reached; `systemctl status dbus`, or restart the computer"

_ADVICE: Final = {
    "org.freedesktop.DBus.Error.ServiceUnknown": _NO_BLUETOOTHD,
    "org.freedesktop.DBus.Error.NameHasNoOwner": _NO_BLUETOOTHD,
    "org.freedesktop.DBus.Error.NoReply": _HANGS,
    "org.freedesktop.DBus.Error.TimedOut": _HANGS,
    "org.freedesktop.DBus.Error.UnknownObject": _NO_ADAPTER,
    "org.freedesktop.DBus.Error.UnknownMethod": _NO_ADAPTER,
    "org.freedesktop.DBus.Error.AccessDenied": _DENIED,
    "org.bluez.Error.NotReady": _OFF,
    "org.bluez.Error.Blocked": _BLOCKED,
    "org.bluez.Error.InProgress": _BUSY,
    "org.bluez.Error.Busy": _BUSY,
}


def explain(error: Exception, adapter: str) -> str:
    """Return what went wrong with a scan on the adapter, and what a person can do about it."""
    advice = _advice(error).format(adapter=adapter)
    return f"cannot scan on {adapter}: {advice}. It goes on trying. [{error!r}]"


def _advice(error: Exception) -> str:
    match error:
        case BleakDBusError():
            return _ADVICE.get(error.dbus_error, _REFUSED)
        case BleakError() if "not found" in str(error):
            return _NO_ADAPTER
        case BleakError() if "passive" in str(error):
            return _NOT_PASSIVE
        case TimeoutError():
            return _HANGS
        case OSError() | EOFError() | AuthError() | BleakBluetoothNotAvailableError():
            return _NO_DBUS
        case _:
            return _REFUSED
