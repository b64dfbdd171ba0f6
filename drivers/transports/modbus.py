"""Asks the devices on one RS-485 bus for their registers, each at its own interval.

There is one pair of wires, so there is one question at a time. A device that does not answer costs
the others the time it is waited for; that is why it is waited for shortly, and asked less and less
often, but never given up: whoever mends a cable does not have to know that there is a gateway.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum, auto
from functools import partial

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from drivers.device import Bus, ModbusDevice, Poll
from drivers.frame import Registers
from drivers.transport import Emit, Report, TransportReport, TransportState
from drivers.transports.changes import only_changes
from drivers.transports.port import (
    FIRST_RETRY_S,
    PORT_FAULTS,
    SLOWEST_RETRY_S,
    PortError,
    find_port,
    keep_open,
    open_port,
    port_error,
)

# For each question without an answer, pymodbus logs its last 20 frames; a report says it in words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

RETRIES = 1
"""A question that got no answer is repeated so many times before the device has failed."""

GAP_S = 0.05
"""Silence on the wires between two questions. The standard wants 3.5 characters, which is 8 ms at
4800 baud; cheap probes need several times that before they listen again."""

PATIENCE = 2
"""So many failures in a row do not yet make a device be asked less often."""

SLOWEST_POLL_S = 600.0
"""A device that fails is asked at least this often, or at its interval if that is longer."""

_MOST_DOUBLINGS = 16
"""Enough to reach SLOWEST_POLL_S from any interval that a bus can keep up with."""

_EXCEPTIONS: Mapping[int, str] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge: it needs longer",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "no response behind the gateway",
}
"""Meaning of exception codes: Modbus Application Protocol Specification V1.1b3, section 7; 7 from
the older PI-MBUS-300."""


class Schedule:
    """When one device is due: on a fixed grid of its interval, thinned out while it fails.

    All times are seconds of one clock that never jumps.
    """

    def __init__(self, start_s: float, interval_s: float) -> None:
        self._interval_s = interval_s
        self._failures = 0
        self.due_s = start_s
        """When it is to be asked next."""

    def answered(self, now_s: float) -> None:
        self._failures = 0
        self._skip(1, now_s)

    def failed(self, now_s: float) -> None:
        """After PATIENCE failures in a row the distance doubles with each, up to SLOWEST_POLL_S."""
        self._failures += 1
        doublings = min(max(0, self._failures - PATIENCE), _MOST_DOUBLINGS)
        slowest = max(1, int(SLOWEST_POLL_S / self._interval_s))
        self._skip(min(2**doublings, slowest), now_s)

    def _skip(self, intervals: int, now_s: float) -> None:
        """Go on by so many intervals, and by more where their time has gone by already."""
        late = math.ceil((now_s - self.due_s) / self._interval_s)
        self.due_s += max(intervals, late) * self._interval_s


class _Outcome(Enum):
    NOT_ASKED = auto()
    GOOD = auto()
    BAD = auto()
    """It answered, but not what it was asked."""
    SILENT = auto()


class _Failure(Exception):
    """A device did not answer as it should; the text says what it did, and what to do."""

    def __init__(self, outcome: _Outcome, text: str = "") -> None:
        super().__init__(text)
        self.outcome = outcome


class _Charge:
    """One device in our charge: when it is due, and how it did when it was last asked."""

    def __init__(self, device: ModbusDevice, start_s: float, interval_s: float) -> None:
        self.device = device
        self.schedule = Schedule(start_s, interval_s)
        self.outcome = _Outcome.NOT_ASKED
        self.trouble = ""
        """What a BAD outcome was, and what to do about it."""


class ModbusTransport:
    """One RS-485 bus and the devices on it.

    An adapter that is missing or was pulled out is looked for until it is back; all devices are
    then asked anew at once.
    """

    def __init__(
        self,
        bus: Bus,
        devices: Sequence[tuple[ModbusDevice, float]],
        now: Callable[[], datetime],
        *,
        timeout_s: float = 0.5,
        first_retry_s: float = FIRST_RETRY_S,
        slowest_retry_s: float = SLOWEST_RETRY_S,
    ) -> None:
        """Prepare; nothing is opened before `run`.

        devices: each with the interval in seconds at which it is asked.
        timeout_s: from a question until its answer has to be there, whole. A device that is dead
            holds up the bus for (RETRIES + 1) times as long.
        first_retry_s, slowest_retry_s: see port.keep_open.

        Raises ValueError without devices, and for an interval that is not positive.
        """
        if not devices:
            raise ValueError(f"no device to ask on {bus.port}")
        for device, interval_s in devices:
            if not interval_s > 0:
                raise ValueError(f"interval of unit {device.unit} is {interval_s}: give seconds")
        self._bus = bus
        self._devices = tuple(devices)
        self._now = now
        self._timeout_s = timeout_s
        self._first_retry_s = first_retry_s
        self._slowest_retry_s = slowest_retry_s
        self.wrong_length = 0
        """Answers dropped since the start because they had not as many registers as asked for."""

    @property
    def name(self) -> str:
        return f"modbus {self._bus.port}"

    async def run(self, emit: Emit, report: Report) -> None:
        """Ask until cancelled. A port is BROKEN when missing, STARTING when newly opened."""
        report = only_changes(report)
        await keep_open(
            partial(self._hear, emit, report),
            report,
            first_retry_s=self._first_retry_s,
            slowest_retry_s=self._slowest_retry_s,
        )

    async def _hear(self, emit: Emit, report: Report) -> None:
        """Open the port and ask whoever is due until it is lost; raises PortError."""
        clock = asyncio.get_running_loop().time
        charges = [_Charge(device, clock(), interval_s) for device, interval_s in self._devices]
        async with _connected(self._bus, self._timeout_s) as line:
            report(TransportReport(TransportState.STARTING))
            while True:
                charge = min(charges, key=lambda charge: charge.schedule.due_s)
                await line.raise_if_lost(within_s=max(GAP_S, charge.schedule.due_s - clock()))
                await self._measure(line, charge, emit)
                report(_summary(charges, self._bus))

    async def _measure(self, line: "_Line", charge: _Charge, emit: Emit) -> None:
        """Make all polls of one device, or as many as it answers; raises PortError."""
        clock = asyncio.get_running_loop().time
        try:
            for nth, poll in enumerate(charge.device.polls):
                if nth:
                    await asyncio.sleep(GAP_S)
                emit(await self._ask(line, charge.device.unit, poll))
        except _Failure as failure:
            charge.schedule.failed(clock())
            charge.outcome, charge.trouble = failure.outcome, str(failure)
        else:
            charge.schedule.answered(clock())
            charge.outcome, charge.trouble = _Outcome.GOOD, ""

    async def _ask(self, line: "_Line", unit: int, poll: Poll) -> Registers:
        """Raises _Failure and PortError."""
        values = await line.ask(unit, poll)
        if len(values) != poll.count:
            self.wrong_length += 1
            raise _Failure(_Outcome.BAD, _wrong_length(unit, poll, len(values)))
        return Registers(self._bus.port, unit, poll.function, poll.start, values, self._now())


def _summary(charges: Sequence[_Charge], bus: Bus) -> TransportReport:
    """HEARING as soon as anything answers; SILENT when all were asked and none answered."""
    outcomes = {charge.outcome for charge in charges}
    if outcomes & {_Outcome.GOOD, _Outcome.BAD}:
        state = TransportState.HEARING
    elif _Outcome.NOT_ASKED in outcomes:
        state = TransportState.STARTING
    else:
        state = TransportState.SILENT
    silent = [charge.device.unit for charge in charges if charge.outcome is _Outcome.SILENT]
    troubles = [_no_answer(silent, bus)] if silent else []
    troubles += [charge.trouble for charge in charges if charge.trouble]
    return TransportReport(state, " ".join(troubles))


def _no_answer(units: Sequence[int], bus: Bus) -> str:
    listed = ", ".join(map(str, units))
    who = f"Unit {listed} does" if len(units) == 1 else f"Units {listed} do"
    return (
        f"{who} not answer on {bus.port}. Check the address (each must have its own), the power, "
        f"that A and B are not swapped, and that the device is set to {bus.baud} baud."
    )


def _refusal(unit: int, poll: Poll, code: int) -> str:
    meaning = _EXCEPTIONS.get(code, "not in the standard")
    return (
        f'Unit {unit} answers with exception {code} ("{meaning}") when asked by function '
        f"{poll.function} for {poll.count} registers from {poll.start}. "
        "Check that gateway.toml describes the model that it is."
    )


def _wrong_length(unit: int, poll: Poll, count: int) -> str:
    return (
        f"Unit {unit} sent {count} registers where {poll.count} were asked for. "
        "Check that no other device has the same address."
    )


class _Line:
    """The open port with pymodbus behind it."""

    def __init__(self, client: AsyncModbusSerialClient, bus: Bus, lost: asyncio.Event) -> None:
        self._client = client
        self._bus = bus
        self._lost = lost

    async def raise_if_lost(self, *, within_s: float) -> None:
        """Wait, and raise PortError as soon as the port is lost."""
        try:
            async with asyncio.timeout(within_s):
                await self._lost.wait()
        except TimeoutError:
            return
        raise self._loss()

    async def ask(self, unit: int, poll: Poll) -> tuple[int, ...]:
        """Return the registers of the answer, however many there are.

        Raises _Failure for an exception or no answer, PortError when the port is lost.
        """
        try:
            answer = await self._request(unit, poll)
        except ModbusException as error:
            if self._lost.is_set():
                raise self._loss() from error
            raise _Failure(_Outcome.SILENT) from error
        if answer.isError():
            raise _Failure(_Outcome.BAD, _refusal(unit, poll, answer.exception_code))
        return tuple(answer.registers)

    async def _request(self, unit: int, poll: Poll) -> ModbusPDU:
        read = {
            3: self._client.read_holding_registers,
            4: self._client.read_input_registers,
        }[poll.function]
        return await read(poll.start, count=poll.count, device_id=unit)

    def _loss(self) -> PortError:
        return PortError(f"The serial port {self._bus.port} is gone. Plug the adapter in again.")


@asynccontextmanager
async def _connected(bus: Bus, timeout_s: float) -> AsyncIterator[_Line]:
    """Open the port by pymodbus, which never reopens it: we do, as its name may mean another path.

    Raises PortError.
    """
    path = find_port(bus.port)
    lost = asyncio.Event()

    def on_connect(connected: bool) -> None:
        if not connected:
            lost.set()

    client = AsyncModbusSerialClient(
        path,
        baudrate=bus.baud,
        parity=bus.parity,
        stopbits=bus.stop_bits,
        timeout=timeout_s,
        retries=RETRIES,
        reconnect_delay=0,
        trace_connect=on_connect,
    )
    try:
        await _connect(client, bus, path)
        yield _Line(client, bus, lost)
    finally:
        client.close()


async def _connect(client: AsyncModbusSerialClient, bus: Bus, path: str) -> None:
    """Connect, or raise PortError with the reason, which pymodbus keeps to itself."""
    try:
        if await client.connect():
            return
    except (*PORT_FAULTS, ValueError) as error:
        raise port_error("open", path, error) from error
    open_port(bus).close()
    raise PortError(f"Could not open the serial port {path}, though a moment later it opened.")
