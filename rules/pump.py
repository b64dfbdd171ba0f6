"""A pump or a valve, and the water that it moves: what is judged of the one by the other."""

from typing import Final

from drivers.reading import Quantity, Reading

SWITCHES: Final = frozenset({Quantity.SWITCHED_ON, Quantity.CONTACT_OPEN})
"""Says that water may come: the pump is on, the valve is open."""

FLOW: Final = Quantity.WATER_FLOW_LITRE_PER_MINUTE
LEVEL: Final = Quantity.WATER_LEVEL_MILLIMETRE
EFFECTS: Final = frozenset({FLOW, LEVEL})


def is_switch(reading: Reading, pump: str) -> bool:
    """Whether the reading says if water may come."""
    return reading.sensor == pump and reading.quantity in SWITCHES
