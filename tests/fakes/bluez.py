"""A fake bluetoothd: `org.bluez` on a D-Bus of one's own, for the real bleak to talk to.

Radios, bluetoothd and root are not to be had where tests run, and a mock of bleak would hide the
very faults that matter. So only what lies behind D-Bus is made up; the client, its process and the
bus are real. The client may live in another process, or be the test itself:

    with private_bus() as address:
        async with FakeBluez(address) as bluez:          # bluetoothd starts
            bluez.add_adapter("hci0")
            ...                                          # start the client on the same address
            await bluez.scanning()                       # it scans
            bluez.advertise("A4:C1:38:00:00:01", service_data={0xFCD2: b"\\x40\\x01\\x61"})
                                                         # bluetoothd dies at the end

What it imitates was measured on bluetoothd 5.66 and 5.82 or read in their source:

- A device is an object that keeps all it ever advertised; only changes are signalled. An unchanged
  RSSI is signalled again only to a client that filters by RSSI.
- Switching an adapter off ends all scans for good, and takes the RSSI off every device, which
  clients see as a change of the device.
- A client that leaves the bus stops scanning.
- A passive scan (an advertisement monitor) hears only what matches its patterns.

Faults to order: `deaf`, `refusal`, `unanswered`, `misreport()`, `power()`, `remove_adapter()`, and
`stop()`, which is what a crash of bluetoothd looks like from outside. There is no GATT.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

from dbus_fast import Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

Properties: TypeAlias = dict[str, Variant]
Answer: TypeAlias = tuple[str, list[Any]]
"""Signature and body of the reply to a method call."""

Pattern: TypeAlias = tuple[int, int, bytes]
"""Start position, AD type, content: what an advertisement monitor looks for."""

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
MONITOR = "org.bluez.AdvertisementMonitor1"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

_NOTHING: Answer = ("", [])
_TRIES_FOR_PATTERNS = 100
"""A client shows a monitor only after it heard that it was registered."""
_UUID = "{:08x}-0000-1000-8000-00805f9b34fb"
_RSSI_CHANGE_DB = 8
"""A smaller change is not signalled to those who do not filter by RSSI."""


@dataclass
class _Adapter:
    """One radio, and who scans with it."""

    path: str
    filters: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The discovery filter that each client has set."""
    scans: set[str] = field(default_factory=set)
    """Clients that scan actively."""
    monitors: dict[tuple[str, str], list[Pattern]] = field(default_factory=dict)
    """Passive scans, by client and path."""

    @property
    def scanned(self) -> bool:
        return bool(self.scans or self.monitors)

    @property
    def filters_by_rssi(self) -> bool:
        return any("RSSI" in self.filters.get(client, {}) for client in self.scans)


@dataclass(frozen=True)
class _Heard:
    """One advertisement."""

    service_data: Mapping[int, bytes]
    manufacturer_data: Mapping[int, bytes]
    name: str | None
    rssi: int

    @property
    def properties(self) -> Properties:
        """As bluetoothd shows it; what was not sent is left out."""
        found = {"RSSI": Variant("n", self.rssi)}
        if self.service_data:
            services = {_UUID.format(k): Variant("ay", v) for k, v in self.service_data.items()}
            found["ServiceData"] = Variant("a{sv}", services)
        if self.manufacturer_data:
            makers = {k: Variant("ay", v) for k, v in self.manufacturer_data.items()}
            found["ManufacturerData"] = Variant("a{qv}", makers)
        if self.name is not None:
            found |= {"Name": Variant("s", self.name), "Alias": Variant("s", self.name)}
        return found

    @property
    def structures(self) -> list[tuple[int, bytes]]:
        """As sent on the air: AD type and data (Bluetooth assigned numbers, 2.3)."""
        services = [(0x16, _little_endian(k) + v) for k, v in self.service_data.items()]
        makers = [(0xFF, _little_endian(k) + v) for k, v in self.manufacturer_data.items()]
        return services + makers


def _little_endian(number: int) -> bytes:
    return number.to_bytes(2, "little")


class FakeBluez:
    """One bluetoothd, from its start to its end."""

    def __init__(self, address: str) -> None:
        """Take the address of the bus; nothing happens before start()."""
        self.deaf = False
        """True: scanning goes on, but nothing is ever heard, as when firmware hangs."""
        self.refusal: DBusError | None = None
        """What StartDiscovery fails with."""
        self.unanswered: set[str] = set()
        """Names of methods that are neither carried out nor answered, as when it hangs."""
        self.calls: list[str] = []
        """Names of the methods called so far, in order."""
        self.filter: dict[str, Any] = {}
        """What the last SetDiscoveryFilter asked for, but for the empty one at a scan's end."""
        self.starts = 0
        """How often a scan was started."""
        self._address = address
        self._bus: MessageBus | None = None
        self._objects: dict[str, dict[str, Properties]] = {}
        self._adapters: dict[str, _Adapter] = {}
        self._activations: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Appear on the bus as org.bluez."""
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._on_message)
        await bus.call(_watch_for_clients_that_leave())
        owner = await bus.request_name("org.bluez")
        assert owner is RequestNameReply.PRIMARY_OWNER, "another bluetoothd is on this bus"
        self._bus = bus

    async def stop(self) -> None:
        """Vanish from the bus without a word; without effect when already gone."""
        bus, self._bus = self._bus, None
        if bus is None:
            return
        bus.disconnect()
        # The bus may have died first, which is no fault of the fake.
        await asyncio.gather(bus.wait_for_disconnect(), return_exceptions=True)

    async def scanning(self, starts: int = 1) -> None:
        """Return once a client scans, and scans have been started at least that often."""
        while self.starts < starts or not any(a.scanned for a in self._adapters.values()):
            await self._changed.wait()

    async def called(self, member: str, times: int = 1) -> None:
        """Return once clients have called a method at least that often."""
        while self.calls.count(member) < times:
            await self._changed.wait()

    # ---- what the test does to the hardware ----

    def add_adapter(self, name: str = "hci0", *, powered: bool = True) -> None:
        """Plug in a radio."""
        path = _adapter_path(name)
        self._adapters[name] = _Adapter(path)
        properties = {
            "Address": Variant("s", "00:1A:7D:DA:71:13"),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
        }
        kinds = {"SupportedMonitorTypes": Variant("as", ["or_patterns"])}
        self._add(path, {ADAPTER: properties, MONITOR_MANAGER: kinds})

    def remove_adapter(self, name: str = "hci0") -> None:
        """Unplug a radio, with all that it has heard."""
        path = _adapter_path(name)
        del self._adapters[name]
        for device in self._devices(path):
            self._remove(device)
        self._remove(path)

    def power(self, on: bool, name: str = "hci0") -> None:
        """Switch a radio on or off, as `bluetoothctl power` does."""
        path = _adapter_path(name)
        if not on:
            self._adapters[name].scans.clear()
            for device in self._devices(path):
                self._change(device, DEVICE, {}, gone=["RSSI"])
            self._change(path, ADAPTER, {"Discovering": Variant("b", False)})
        self._change(path, ADAPTER, {"Powered": Variant("b", on)})

    def powered(self, name: str = "hci0") -> bool:
        """Whether a radio is switched on."""
        return bool(self._objects[_adapter_path(name)][ADAPTER]["Powered"].value)

    def advertise(
        self,
        address: str,
        *,
        service_data: Mapping[int, bytes] | None = None,
        manufacturer_data: Mapping[int, bytes] | None = None,
        name: str | None = None,
        rssi: int = -60,
        adapter: str = "hci0",
    ) -> bool:
        """Let a device send one advertisement, and return whether a scan heard it.

        Services are named by their 16-bit number, signal strength is in dBm.
        """
        radio = self._adapters.get(adapter)
        heard = _Heard(service_data or {}, manufacturer_data or {}, name, rssi)
        if radio is None or self.deaf or not self.powered(adapter) or not _hears(radio, heard):
            return False
        path = _device_path(radio, address)
        if path in self._objects:
            self._update(radio, path, heard)
        else:
            self._add(path, {DEVICE: _new_device(radio, address) | heard.properties})
        return True

    def misreport(self, address: str, adapter: str = "hci0", **properties: Variant) -> None:
        """Signal properties of a device that bluetoothd would never send, such as wrong types."""
        path = _device_path(self._adapters[adapter], address)
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, properties, []])

    # ---- the object tree, and its signals ----

    def _devices(self, adapter: str) -> list[str]:
        return [path for path in self._objects if path.startswith(adapter + "/")]

    def _add(self, path: str, interfaces: dict[str, Properties]) -> None:
        self._objects[path] = interfaces
        self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _remove(self, path: str) -> None:
        interfaces = list(self._objects.pop(path))
        self._signal("/", OBJECTS, "InterfacesRemoved", "oas", [path, interfaces])

    def _update(self, radio: _Adapter, path: str, heard: _Heard) -> None:
        """Merge an advertisement into what is known of the device, and signal what is new."""
        known = self._objects[path][DEVICE]
        news = heard.properties
        for mapping in ("ManufacturerData", "ServiceData"):
            if mapping in news and mapping in known:
                merged = known[mapping].value | news[mapping].value
                news[mapping] = Variant(news[mapping].signature, merged)
        least_db = 0 if radio.filters_by_rssi else _RSSI_CHANGE_DB
        if "RSSI" in known and abs(known["RSSI"].value - heard.rssi) < least_db:
            del news["RSSI"]
        self._change(path, DEVICE, news, always=["RSSI"])

    def _change(
        self,
        path: str,
        interface: str,
        news: Properties,
        *,
        gone: Sequence[str] = (),
        always: Collection[str] = (),
    ) -> None:
        known = self._objects[path][interface]
        news = {k: v for k, v in news.items() if k in always or known.get(k) != v}
        gone = [k for k in gone if known.pop(k, None) is not None]
        known.update(news)
        if news or gone:
            body = [interface, news, gone]
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _signal(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        if self._bus is not None and self._bus.connected:
            self._bus.send(Message.new_signal(path, interface, member, signature, body))

    # ---- method calls ----

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            self._client_left(message.body[0])
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        self.calls.append(message.member or "")
        self._wake_waiting()
        if message.member in self.unanswered:
            return True
        signature, body = self._handler(message)(message)
        return Message.new_method_return(message, signature, body)

    def _handler(self, call: Message) -> Callable[[Message], Answer]:
        handlers: dict[tuple[str | None, str | None], Callable[[Message], Answer]] = {
            (OBJECTS, "GetManagedObjects"): self._get_managed_objects,
            (PROPERTIES, "Set"): self._set_property,
            (ADAPTER, "SetDiscoveryFilter"): self._set_discovery_filter,
            (ADAPTER, "StartDiscovery"): self._start_discovery,
            (ADAPTER, "StopDiscovery"): self._stop_discovery,
            (MONITOR_MANAGER, "RegisterMonitor"): self._register_monitor,
            (MONITOR_MANAGER, "UnregisterMonitor"): self._unregister_monitor,
        }
        if call.path != "/" and call.path not in self._objects:
            raise DBusError("org.freedesktop.DBus.Error.UnknownObject", f"no {call.path}")
        try:
            return handlers[call.interface, call.member]
        except KeyError:
            name = f"{call.interface}.{call.member}"
            raise DBusError("org.freedesktop.DBus.Error.UnknownMethod", f"no {name}") from None

    def _get_managed_objects(self, _: Message) -> Answer:
        return "a{oa{sa{sv}}}", [self._objects]

    def _set_property(self, call: Message) -> Answer:
        interface, name, value = call.body
        if (interface, name) != (ADAPTER, "Powered"):
            raise DBusError("org.freedesktop.DBus.Error.PropertyReadOnly", name)
        self.power(value.value, _adapter_name(call))
        return _NOTHING

    def _set_discovery_filter(self, call: Message) -> Answer:
        wanted = {name: variant.value for name, variant in call.body[0].items()}
        self._adapter_when_on(call).filters[call.sender] = wanted
        if wanted:
            self.filter = wanted
        return _NOTHING

    def _start_discovery(self, call: Message) -> Answer:
        adapter = self._adapter_when_on(call)
        if self.refusal is not None:
            raise self.refusal
        if call.sender in adapter.scans:
            raise DBusError("org.bluez.Error.InProgress", "Operation already in progress")
        adapter.scans.add(call.sender)
        self._change(adapter.path, ADAPTER, {"Discovering": Variant("b", True)})
        self._scan_started()
        return _NOTHING

    def _stop_discovery(self, call: Message) -> Answer:
        adapter = self._adapter_when_on(call)
        if call.sender not in adapter.scans:
            raise DBusError("org.bluez.Error.Failed", "No discovery started")
        adapter.scans.remove(call.sender)
        self._change(adapter.path, ADAPTER, {"Discovering": Variant("b", bool(adapter.scans))})
        return _NOTHING

    def _adapter_when_on(self, call: Message) -> _Adapter:
        if not self.powered(_adapter_name(call)):
            raise DBusError("org.bluez.Error.NotReady", "Resource Not Ready")
        return self._adapters[_adapter_name(call)]

    def _register_monitor(self, call: Message) -> Answer:
        adapter = self._adapters[_adapter_name(call)]
        activation = asyncio.create_task(self._activate(adapter, call.sender, call.body[0]))
        self._activations.add(activation)
        activation.add_done_callback(self._activations.discard)
        return _NOTHING

    async def _activate(self, adapter: _Adapter, client: str, monitor: str) -> None:
        """Ask the client what to look for, and look for it from then on."""
        assert self._bus is not None
        for _ in range(_TRIES_FOR_PATTERNS):
            reply = await self._bus.call(_ask_for_patterns(client, monitor))
            if reply.message_type is MessageType.METHOD_RETURN:
                adapter.monitors[client, monitor] = reply.body[0].value
                await self._bus.call(Message(client, monitor, MONITOR, "Activate"))
                self._scan_started()
                return

    def _unregister_monitor(self, call: Message) -> Answer:
        adapter = self._adapters[_adapter_name(call)]
        adapter.monitors.pop((call.sender, call.body[0]), None)
        return _NOTHING

    def _scan_started(self) -> None:
        self.starts += 1
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _client_left(self, client: str) -> None:
        for adapter in self._adapters.values():
            adapter.filters.pop(client, None)
            adapter.scans.discard(client)
            for key in [k for k in adapter.monitors if k[0] == client]:
                del adapter.monitors[key]


def _watch_for_clients_that_leave() -> Message:
    rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"
    bus = "org.freedesktop.DBus"
    return Message(bus, "/org/freedesktop/DBus", bus, "AddMatch", signature="s", body=[rule])


def _ask_for_patterns(client: str, monitor: str) -> Message:
    body = [MONITOR, "Patterns"]
    return Message(client, monitor, PROPERTIES, "Get", signature="ss", body=body)


def _adapter_path(name: str) -> str:
    return f"/org/bluez/{name}"


def _adapter_name(call: Message) -> str:
    assert call.path is not None
    return call.path.removeprefix("/org/bluez/")


def _device_path(adapter: _Adapter, address: str) -> str:
    return f"{adapter.path}/dev_{address.replace(':', '_')}"


def _new_device(adapter: _Adapter, address: str) -> Properties:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Alias": Variant("s", address.replace(":", "-")),
        "Adapter": Variant("o", adapter.path),
        "UUIDs": Variant("as", []),
        "Connected": Variant("b", False),
        "ServicesResolved": Variant("b", False),
    }


def _hears(adapter: _Adapter, heard: _Heard) -> bool:
    if adapter.scans:
        return True
    patterns = [pattern for each in adapter.monitors.values() for pattern in each]
    return any(
        ad_type == wanted_type and data[start : start + len(content)] == bytes(content)
        for start, wanted_type, content in patterns
        for ad_type, data in heard.structures
    )
