"""Soil probes on RS-485 (Modbus RTU): moisture and temperature, mostly conductivity, sometimes pH.

The probes on sale belong to four families that look alike and answer each other's questions, but
put other things into the registers. Holding registers (function 3), unsigned unless marked ±:

    profile   baud  moisture     temperature   conductivity  pH
    dfrobot   9600  0  0.1 %     1  0.1 °C ±   2  1 µS/cm    3  0.1     DFRobot SEN0600 to SEN0604
    renke     4800  0  0.1 %     1  0.1 °C ±   2  1 µS/cm    3  0.1     Renke RS-ECTH, ComWinTop CWT
    jxct      9600  18 0.1 %     19 0.1 °C ±   21 1 µS/cm    6  0.01    JXCT JXBS-3001
    sensecap  9600  1  0.01 %    0  0.01 °C ±  2  1 µS/cm    –          Seeed S-Temp&VWC&EC-02

- The profile has to be given: a probe read by the wrong one gives numbers that can look right. What
  cannot be true of soil is refused, which finds a wrong profile within a day or two.
- What a model does not measure is not asked for: there may be something else in its place. Without
  `ph`, dfrobot and renke have the salinity in register 3 (SEN0601, CWT THC-S).
- A register that the maker does not describe is not asked for either, not even between two others.
- No "not available" codes are known.
- Nitrogen, phosphorus and potassium (NPK, "7 in 1") are not read. Such a probe does not measure
  them: it computes them from the conductivity, the maker of CWT calls it a rough method, and the
  registers can be written (SEN0605: 30 to 32), so that they return what somebody once put there.
- SEN0603 (conductivity and pH only) does not fit: it has no moisture and no temperature.

Sources: wiki.dfrobot.com for SEN0600 to SEN0604; manuals of Renke RS-ECTH, CWT-Soil-THC-S and JXCT
JXBS-3001; Seeed "Soil Moisture & Temperature & EC Sensor", V1.0, chapter 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal, Self, TypeAlias

from drivers.device import Bus, Poll
from drivers.frame import DamagedFrame, Frame, Registers, Source
from drivers.reading import Quantity

Profile: TypeAlias = Literal["dfrobot", "renke", "jxct", "sensecap"]

MOISTURE = Quantity.SOIL_MOISTURE_PERCENT
TEMPERATURE = Quantity.SOIL_TEMPERATURE_CELSIUS
CONDUCTIVITY = Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM
PH = Quantity.SOIL_PH

PLAUSIBLE: Mapping[Quantity, tuple[float, float]] = {
    MOISTURE: (0, 100),
    TEMPERATURE: (-20, 60),
    CONDUCTIVITY: (0, 20_000),
    PH: (0, 14),
}
"""Lowest and highest value of soil in a field; 20 000 µS/cm is where the probes' scales end."""

BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
LAST_UNIT = 247


@dataclass(frozen=True, slots=True)
class _Register:
    """Where a quantity is, and by what its number is divided; whole numbers keep 235/10 23.5."""

    address: int
    per: int

    def value(self, number: int, *, signed: bool) -> float:
        return (number - 0x10000 if signed and number >= 0x8000 else number) / self.per


@dataclass(frozen=True, slots=True)
class _Family:
    baud: int
    registers: Mapping[Quantity, _Register]


_MOISTURE_FIRST: Mapping[Quantity, _Register] = {
    MOISTURE: _Register(0, per=10),
    TEMPERATURE: _Register(1, per=10),
    CONDUCTIVITY: _Register(2, per=1),
    PH: _Register(3, per=10),
}
_FAMILIES: Mapping[Profile, _Family] = {
    "dfrobot": _Family(9600, _MOISTURE_FIRST),
    "renke": _Family(4800, _MOISTURE_FIRST),
    "jxct": _Family(
        9600,
        {
            PH: _Register(6, per=100),
            MOISTURE: _Register(18, per=10),
            TEMPERATURE: _Register(19, per=10),
            CONDUCTIVITY: _Register(21, per=1),
        },
    ),
    "sensecap": _Family(
        9600,
        {
            TEMPERATURE: _Register(0, per=100),
            MOISTURE: _Register(1, per=100),
            CONDUCTIVITY: _Register(2, per=1),
        },
    ),
}
"""The registers of each family in ascending order."""


@dataclass(frozen=True, slots=True)
class SoilProbe:
    """One probe, told apart by its port and its address on the bus."""

    port: str
    """A device path; "/dev/serial/by-id/…" survives replugging. `*` stands for anything."""
    profile: Profile
    """Which family it belongs to: see the table on top of this file."""
    unit: int = 1
    """Its Modbus address, 1 to 247. All leave the factory as 1: set each to its own."""
    baud: int | None = None
    """None: the speed with which the family leaves the factory."""
    conductivity: bool = True
    """Whether this model measures it."""
    ph: bool = False
    """Whether this model measures it."""

    transport: ClassVar[Literal["ble", "serial", "modbus", "gpio"]] = "modbus"
    measures: ClassVar[frozenset[Quantity]] = frozenset(PLAUSIBLE)

    def __post_init__(self) -> None:
        if not self.port.startswith("/"):
            raise ValueError(
                f'port = "{self.port}": give a path such as "/dev/serial/by-id/usb-FTDI*"'
            )
        if self.profile not in _FAMILIES:
            known = ", ".join(f'"{name}"' for name in _FAMILIES)
            raise ValueError(f'profile = "{self.profile}": give one of {known}')
        if not 1 <= self.unit <= LAST_UNIT:
            raise ValueError(f"unit = {self.unit}: a Modbus address is 1 to {LAST_UNIT}")
        if self.baud not in (None, *BAUDS):
            raise ValueError(f"baud = {self.baud}: give one of {', '.join(map(str, BAUDS))}")
        if self.ph and PH not in _FAMILIES[self.profile].registers:
            raise ValueError(f'ph = true: no probe of profile "{self.profile}" measures pH')

    @property
    def source(self) -> Source:
        return ("modbus", self.port, str(self.unit))

    @property
    def bus(self) -> Bus:
        return Bus(self.port, self.baud or _FAMILIES[self.profile].baud)

    @property
    def polls(self) -> tuple[Poll, ...]:
        """One for each run of registers without a gap."""
        runs: list[tuple[int, int]] = []
        for register in self._registers().values():
            if runs and sum(runs[-1]) == register.address:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((register.address, 1))
        return tuple(Poll(3, start, count) for start, count in runs)

    def decode(self, frame: Frame) -> dict[Quantity, float]:
        """Return what the registers of one poll say; the answers to other questions say nothing."""
        if not isinstance(frame, Registers) or frame.source != self.source:
            return {}
        poll = next((poll for poll in self.polls if _answers(frame, poll)), None)
        if poll is None:
            return {}
        if len(frame.values) != poll.count:
            raise DamagedFrame(
                f"soil probe: {len(frame.values)} registers from {poll.start} on, asked for "
                f"{poll.count}"
            )
        return self._values(dict(enumerate(frame.values, frame.start)))

    def _registers(self) -> dict[Quantity, _Register]:
        """Return where this model has what it measures."""
        unwanted = {CONDUCTIVITY: not self.conductivity, PH: not self.ph}
        every = _FAMILIES[self.profile].registers
        return {quantity: at for quantity, at in every.items() if not unwanted.get(quantity)}

    def _values(self, numbers: Mapping[int, int]) -> dict[Quantity, float]:
        values = {
            quantity: at.value(numbers[at.address], signed=quantity is TEMPERATURE)
            for quantity, at in self._registers().items()
            if at.address in numbers
        }
        for quantity, value in values.items():
            low, high = PLAUSIBLE[quantity]
            if not low <= value <= high:
                raise DamagedFrame(
                    f"soil probe: {quantity} {value:g} is beyond {low} to {high}: is profile = "
                    f'"{self.profile}" right for this model, and is the probe in the soil?'
                )
        return values

    @classmethod
    def recognise(cls, frame: Frame) -> Self | None:
        """Return the first profile that asks for these registers and finds them plausible.

        dfrobot and renke differ in speed alone, which a frame does not tell: it says dfrobot.
        """
        if not isinstance(frame, Registers):
            return None
        for profile, conductivity, ph in product(_FAMILIES, (True, False), (False, True)):
            try:
                model = cls(frame.port, profile, frame.unit, conductivity=conductivity, ph=ph)
                if model.decode(frame):
                    return model
            except ValueError:
                continue  # no such model, or a DamagedFrame, which is a ValueError
        return None


def _answers(frame: Registers, poll: Poll) -> bool:
    return (frame.function, frame.start) == (poll.function, poll.start)
