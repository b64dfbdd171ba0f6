"""An RS-485 bus with soil probes on it, answered by pymodbus's own serial server.

The program under test, in this process or another, opens `port`. Probes can die, come back, answer
too shortly, and lose registers, all while they are being asked.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.fakes.pty_port import PtyCable

ADDRESSES = 0x400
BAUD = 9600
PATIENCE_S = 5.0


class SoilBus:
    """A bus that answers as long as the `async with` block lasts.

    async with SoilBus(tmp_path, {1: {0: 305, 1: 226}}) as bus:
        ... bus.port ...
    """

    def __init__(self, folder: Path, probes: Mapping[int, Mapping[int, int]]) -> None:
        """folder: an empty one; probes: for each unit, the number in each of its registers."""
        self.registers = {unit: dict(numbers) for unit, numbers in probes.items()}
        """What each unit answers; an address that is not there is an illegal one."""
        self.dead: set[int] = set()
        """Units that say nothing; nor do those that are not in `registers`."""
        self.short: set[int] = set()
        """Units that leave the last register out of their answers."""
        self.asked: list[tuple[int, int]] = []
        """Unit and first register of each question, in order, repetitions too."""
        self._folder = folder
        self._was_asked = asyncio.Event()

    @property
    def port(self) -> str:
        return self._cable.near.path

    async def __aenter__(self) -> Self:
        self._cable = PtyCable(self._folder)
        self._server = ModbusSerialServer(
            [self._device(unit) for unit in self.registers],
            port=self._cable.far.path,
            baudrate=BAUD,
            trace_packet=self._on_packet,
            trace_pdu=self._on_pdu,
        )
        await self._server.serve_forever(background=True)
        # pymodbus begins to read one turn of the loop later, and cannot be closed before that.
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.shutdown()
        self._cable.close()

    def unplug(self) -> None:
        self._cable.unplug()

    def plug(self) -> None:
        self._cable.plug()

    async def until_asked(self) -> None:
        """Wait for the first question."""
        async with asyncio.timeout(PATIENCE_S):
            await self._was_asked.wait()

    def disturb(self, noise: bytes) -> None:
        """Let these bytes come out of the wires."""
        self._cable.near.write(noise)

    def _device(self, unit: int) -> SimDevice:
        block = SimData(0, count=ADDRESSES, values=0, datatype=DataType.REGISTERS)
        return SimDevice(unit, [block], action=partial(self._look_up, unit))

    async def _look_up(self, unit: int, *request: Any) -> ExcCodes | None:
        """Put the present numbers into the registers that are about to be read."""
        _function, first, start, count, current, _new = request
        for address in range(start, start + count):
            if address not in self.registers[unit]:
                return ExcCodes.ILLEGAL_ADDRESS
            current[address - first] = self.registers[unit][address]
        return None

    def _on_pdu(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self.asked.append((pdu.dev_id, pdu.address))
            self._was_asked.set()
        elif pdu.dev_id in self.short:
            pdu.registers = pdu.registers[:-1]
        return pdu

    def _on_packet(self, sending: bool, packet: bytes) -> bytes:
        silent = packet[0] in self.dead or packet[0] not in self.registers
        return b"" if sending and silent else packet
