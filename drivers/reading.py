"""What every driver produces: one number, of one quantity, from one sensor, at one moment."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property


class Quantity(StrEnum):
    """What is measured. A quantity has exactly one unit, and its name ends with it.

    Drivers convert to that unit; nothing downstream ever converts again. A quantity that is a
    state is named for what 1 means, and 0 is its opposite.
    """

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

    BATTERY_PERCENT = "battery_percent"
    BATTERY_VOLT = "battery_volt"

    PACKET_ID = "packet_id"
    """0 to 255: a sender's own count of its packets. The same number again is the same packet
    heard again. The pipeline uses it up; it is neither judged nor stored."""

    @cached_property
    def is_state(self) -> bool:
        """Whether it tells of something that is so until it changes: each change matters."""
        return self in (Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED)

    @cached_property
    def is_event(self) -> bool:
        """Whether it tells of something that happened once and will not be said again."""
        return self is Quantity.BUTTON_EVENT


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
