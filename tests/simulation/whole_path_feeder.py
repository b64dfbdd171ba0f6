"""The sensors of a simulated site: they talk to a fake BlueZ, and we know what was heard."""

import asyncio
import random
import time
from dataclasses import dataclass, replace

from tests.fakes.bluez import FakeBluez
from tests.simulation.whole_path_check import NUMBER, STATE, Said

BTHOME = 0xFCD2
PACKET_ID, TEMPERATURE, OPENING = 0x00, 0x02, 0x1A
"""Objects of BTHome 2: a temperature is a signed 16-bit number of hundredths of a degree."""

FIRST_CELSIUS_HUNDREDTHS = -3_000

NAP = 40
"""So many advertisements doors rest, and then they are awake as long: 4.8 s each."""


@dataclass(frozen=True)
class Sensors:
    """What a site has. Every third advertisement is a door's, if there are any and they are awake.

    The gateway takes a number of a sensor once a second: each has to have its turn less often. A
    door makes it write everything to the card at once; so that there is something to lose, doors
    rest half of the time.
    """

    meters: int = 10
    doors: int = 16
    moment_s: float = 0.12
    """From one advertisement to the next: here a meter has its turn every 1 to 1.4 s."""

    @property
    def names(self) -> list[str]:
        return [f"meter {n}" for n in range(self.meters)] + [f"door {n}" for n in range(self.doors)]

    def address(self, name: str) -> str:
        return f"A4:C1:38:00:00:{self.names.index(name):02X}"


class Feeder:
    """Lets sensors talk, as long as `run` is not cancelled."""

    def __init__(self, bluez: FakeBluez, sensors: Sensors, seed: int) -> None:
        self.said: list[Said] = []
        """What a scan has heard."""
        self._bluez, self._sensors = bluez, sensors
        self._addresses = {name: sensors.address(name) for name in sensors.names}
        self._chance = random.Random(seed)
        self._moment = self._numbers = self._states = 0
        """How many advertisements there were, and how many of each kind."""

    async def run(self) -> None:
        while True:
            self._speak()
            await asyncio.sleep(self._sensors.moment_s * self._chance.uniform(0.9, 1.1))

    def may_be_lost(self, after_s: float, routine_after_s: float | None = None) -> None:
        """What was said after this Unix time is not owed: the gateway was killed.

        `routine_after_s` counts for what is not written to the card at once, if it is earlier.
        """
        routine_s = after_s if routine_after_s is None else routine_after_s
        self.said = [
            replace(said, owed=False)
            if said.at_s > (after_s if said.field == STATE else routine_s)
            else said
            for said in self.said
        ]

    def _speak(self) -> None:
        self._moment += 1
        are_awake = self._sensors.doors and self._moment // NAP % 2
        if are_awake and self._moment % 3 == 0:
            turn, number = divmod(self._states, self._sensors.doors)
            self._states += 1
            self._say(f"door {number}", STATE, turn % 2, bytes([OPENING, turn % 2]))
        else:
            turn, number = divmod(self._numbers, self._sensors.meters)
            self._numbers += 1
            hundredths = FIRST_CELSIUS_HUNDREDTHS + turn
            value = bytes([TEMPERATURE, *hundredths.to_bytes(2, "little", signed=True)])
            self._say(f"meter {number}", NUMBER, hundredths / 100, value)

    def _say(self, sensor: str, field: str, value: float, body: bytes) -> None:
        packet = bytes([0x40, PACKET_ID, self._moment % 256]) + body
        at_s = time.time()
        if self._bluez.advertise(self._addresses[sensor], service_data={BTHOME: packet}):
            self.said.append(Said(sensor, field, value, at_s))
