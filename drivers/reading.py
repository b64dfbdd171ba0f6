"""What every driver produces: one number, of one quantity, from one sensor, at one moment."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Final


class Quantity(StrEnum):
    """What is measured. A quantity has exactly one unit, and its name ends with it.

    Drivers convert to that unit; nothing downstream ever converts again. A quantity that is a
    state is named for what 1 means, and 0 is its opposite.
    """

    # That of Enum is written in Python, and every reading is looked up by its quantity.
    __hash__ = str.__hash__

    TEMPERATURE_CELSIUS = "temperature_celsius"
    """Of the air."""

    HUMIDITY_PERCENT = "humidity_percent"
    """Relative humidity of the air, 0 to 100."""

    SOIL_TEMPERATURE_CELSIUS = "soil_temperature_celsius"

    SOIL_MOISTURE_PERCENT = "soil_moisture_percent"
    """Volumetric water content, 0 to 100."""

    SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM = "soil_conductivity_microsiemens_per_cm"

    SOIL_PH = "soil_ph"
    """0 to 14."""

    CONTACT_OPEN = "contact_open"
    """1 = open, 0 = closed: a door, a window, a lid."""

    MOTION_DETECTED = "motion_detected"
    """1 = somebody moves, 0 = nobody has moved for as long as the sensor waits."""

    BUTTON_EVENT = "button_event"
    """How it was pressed: 1 once, 2 twice, 3 three times, 4 long, 5 long twice, 6 long three
    times, 128 held. (The numbers of BTHome v2.)"""

    GLOBE_TEMPERATURE_CELSIUS = "globe_temperature_celsius"
    """Inside a black globe: what sun and hot walls add to the air."""

    WIND_SPEED_METRE_PER_S = "wind_speed_metre_per_s"
    """Mean since the reading before."""

    RAIN_TOTAL_MILLIMETRE = "rain_total_millimetre"
    """A counter that only grows; it begins again at 0 when the sensor does."""

    IRRADIANCE_WATT_PER_SQUARE_METRE = "irradiance_watt_per_square_metre"
    """Of sun and sky on a level surface."""

    ILLUMINANCE_LUX = "illuminance_lux"

    LEAF_WET = "leaf_wet"
    """1 = wet with dew or rain, 0 = dry."""

    WATER_LEVEL_MILLIMETRE = "water_level_millimetre"
    """Above the ground of the paddy, or the zero of the gauge; below it is negative."""

    WATER_TEMPERATURE_CELSIUS = "water_temperature_celsius"

    WATER_FLOW_LITRE_PER_MINUTE = "water_flow_litre_per_minute"

    WATER_DETECTED = "water_detected"
    """1 = water where there should be none."""

    MAINS_POWER_ON = "mains_power_on"
    """1 = the mains supply power."""

    SWITCHED_ON = "switched_on"
    """1 = a pump, a heater or a lamp runs."""

    TRAP_SPRUNG = "trap_sprung"
    """1 = sprung, whatever is in it; 0 = set."""

    BATTERY_PERCENT = "battery_percent"
    BATTERY_VOLT = "battery_volt"

    PACKET_ID = "packet_id"
    """0 to 255: a sender's own count of its packets. The same number again is the same packet
    heard again. The pipeline uses it up; it is neither judged nor stored."""

    @cached_property
    def is_state(self) -> bool:
        """Whether it tells of something that is so until it changes: each change matters."""
        return self in STATES

    @cached_property
    def is_event(self) -> bool:
        """Whether it tells of something that happened once and will not be said again."""
        return self is Quantity.BUTTON_EVENT


STATES: Final = frozenset(
    {
        Quantity.CONTACT_OPEN,
        Quantity.MOTION_DETECTED,
        Quantity.LEAF_WET,
        Quantity.WATER_DETECTED,
        Quantity.MAINS_POWER_ON,
        Quantity.SWITCHED_ON,
        Quantity.TRAP_SPRUNG,
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value."""

    sensor: str
    """The name the site gave it in gateway.toml, such as "front door"."""

    quantity: Quantity

    value: float
    """In the quantity's unit; always finite."""

    at: datetime
    """When it was measured (UTC). Everything downstream lives on this clock."""
