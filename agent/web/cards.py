"""The sensors, by place, as cards: what each said last, in large type, and how old that is.

When is a value old? Nothing here knows how often a sensor means to speak, so there is one rule,
simple enough to explain to whoever reads the page:

- a number (temperature, soil moisture …) is measured again and again, so it is old when it was
  measured over OLD_AFTER ago;
- a state (open, closed, movement) is so until it changes, so the time it carries is when it began.
  It is old when its sensor has not been heard for OLD_AFTER; whether that is a fault only a rule
  about silence can tell, because a door that nobody opens may rightly say nothing for days;
- an event (a button) happened when it happened, and never grows old.

The battery is no reason to call a card old.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.sampling import LastValue
from agent.status import SensorStatus, Status
from agent.web.words import TABLE, Words
from drivers.reading import Quantity

OLD_AFTER = timedelta(hours=3)

LOW_BATTERY_PERCENT = 20

DECIMALS: Mapping[Quantity, int] = {
    Quantity.CONTACT_OPEN: 0,
    Quantity.MOTION_DETECTED: 0,
    Quantity.BUTTON_EVENT: 0,
    Quantity.SOIL_MOISTURE_PERCENT: 0,
    Quantity.TEMPERATURE_CELSIUS: 1,
    Quantity.HUMIDITY_PERCENT: 0,
    Quantity.SOIL_TEMPERATURE_CELSIUS: 1,
    Quantity.SOIL_PH: 1,
    Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM: 0,
    Quantity.LEAF_WET: 0,
    Quantity.WATER_DETECTED: 0,
    Quantity.MAINS_POWER_ON: 0,
    Quantity.SWITCHED_ON: 0,
    Quantity.TRAP_SPRUNG: 0,
    Quantity.GLOBE_TEMPERATURE_CELSIUS: 1,
    Quantity.WIND_SPEED_METRE_PER_S: 1,
    Quantity.RAIN_TOTAL_MILLIMETRE: 1,
    Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE: 0,
    Quantity.ILLUMINANCE_LUX: 0,
    Quantity.WATER_LEVEL_MILLIMETRE: 0,
    Quantity.WATER_TEMPERATURE_CELSIUS: 1,
    Quantity.WATER_FLOW_LITRE_PER_MINUTE: 1,
}
"""What a card shows, in this order, and with how many decimals."""

BATTERY: Mapping[Quantity, int] = {Quantity.BATTERY_PERCENT: 0, Quantity.BATTERY_VOLT: 2}
"""What stands in a card's last line; the first one known is enough."""


@dataclass(frozen=True, slots=True)
class Value:
    """One quantity on a card."""

    label: str
    text: str
    """A number, or words, which are read without the label."""
    unit: str
    """"" for words, and for what has no unit."""
    in_words: bool
    note: str
    """Since when a state is so, or how long ago an event was; "" for a number."""
    old: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One sensor."""

    name: str
    icon: str
    never: bool
    """Nothing was ever heard."""
    values: tuple[Value, ...]
    age: str
    """Of the oldest number shown, or of the last sign of a sensor that tells no numbers; "" when
    that was an event, which carries its own."""
    battery: str
    battery_low: bool
    old: bool


@dataclass(frozen=True, slots=True)
class Place:
    """The sensors of one place."""

    name: str
    cards: tuple[Card, ...]


def places(status: Status, say: Words) -> tuple[Place, ...]:
    """Return the cards, places and sensors in the order of gateway.toml."""
    cards: dict[str, list[Card]] = {}
    for sensor in status.sensors:
        cards.setdefault(sensor.place, []).append(_card(sensor, say))
    only_unnamed = cards.keys() == {""}
    return tuple(
        Place(name or ("" if only_unnamed else say("sensors.elsewhere")), tuple(group))
        for name, group in cards.items()
    )


def stopped(sensor: SensorStatus, now: datetime) -> bool:
    """Whether it should have measured some number again, and has not."""
    return any(now - at > OLD_AFTER for at in _measured_at(sensor))


def _measured_at(sensor: SensorStatus) -> list[datetime]:
    return [
        last.at
        for quantity, last in sensor.values.items()
        if quantity in DECIMALS and _is_number(quantity)
    ]


def _is_number(quantity: Quantity) -> bool:
    return not (quantity.is_state or quantity.is_event)


def _card(sensor: SensorStatus, say: Words) -> Card:
    known = [quantity for quantity in DECIMALS if quantity in sensor.values]
    values = tuple(_value(quantity, sensor, say) for quantity in known)
    charge = sensor.values.get(Quantity.BATTERY_PERCENT)
    low = charge is not None and charge.value < LOW_BATTERY_PERCENT
    return Card(
        name=sensor.name,
        icon=known[0].partition("_")[0] if known else "sensor",
        never=not sensor.values and sensor.heard_at is None,
        values=values,
        age=_age(sensor, say),
        battery=_battery(sensor, say, low=low),
        battery_low=low,
        old=any(value.old for value in values),
    )


def _value(quantity: Quantity, sensor: SensorStatus, say: Words) -> Value:
    last = sensor.values[quantity]
    words = f"{quantity}.{last.value:g}"
    in_words = words in TABLE
    return Value(
        label=say(f"quantity.{quantity}"),
        text=say(words) if in_words else say.number(last.value, DECIMALS[quantity]),
        unit=say(f"unit.{quantity}") if _is_number(quantity) else "",
        in_words=in_words,
        note=_note(quantity, last, say),
        old=_is_old(quantity, last, sensor, say.now),
    )


def _note(quantity: Quantity, last: LastValue, say: Words) -> str:
    if quantity.is_state:
        return say("card.since", time=say.time(last.since))
    return say.ago(last.at) if quantity.is_event else ""


def _is_old(quantity: Quantity, last: LastValue, sensor: SensorStatus, now: datetime) -> bool:
    if quantity.is_event:
        return False
    spoken_at = max(last.at, sensor.heard_at or last.at) if quantity.is_state else last.at
    return now - spoken_at > OLD_AFTER


def _age(sensor: SensorStatus, say: Words) -> str:
    measured = _measured_at(sensor)
    if measured:
        return say("card.measured", ago=say.ago(min(measured)))
    said = [last.at for quantity, last in sensor.values.items() if quantity.is_event]
    if sensor.heard_at is None or sensor.heard_at in said:
        return ""
    return say("card.heard", ago=say.ago(sensor.heard_at))


def _battery(sensor: SensorStatus, say: Words, *, low: bool) -> str:
    for quantity, decimals in BATTERY.items():
        if last := sensor.values.get(quantity):
            unit = say(f"unit.{quantity}")
            separator = "" if unit == "%" else " "
            charge = f"{say.number(last.value, decimals)}{separator}{unit}"
            return say("card.battery_low" if low else "card.battery", charge=charge)
    return ""
