"""Lets Home Assistant find the sensors by itself, over the broker they share (MQTT discovery).

A quantity is announced when it was first heard, and its last value is kept, retained, on a topic of
its sensor. https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import quote
from zlib import crc32

from cloud_sync.topics import topic
from drivers.reading import Quantity

LastValues: TypeAlias = Mapping[str, Mapping[Quantity, float]]
"""Sensor to what it measured last."""


class Entity(NamedTuple):
    """How Home Assistant shows a quantity."""

    component: str
    device_class: str | None
    unit: str | None


ENTITIES: Mapping[Quantity, Entity] = {
    Quantity.TEMPERATURE_CELSIUS: Entity("sensor", "temperature", "°C"),
    Quantity.HUMIDITY_PERCENT: Entity("sensor", "humidity", "%"),
    Quantity.SOIL_TEMPERATURE_CELSIUS: Entity("sensor", "temperature", "°C"),
    Quantity.SOIL_MOISTURE_PERCENT: Entity("sensor", "moisture", "%"),
    Quantity.SOIL_CONDUCTIVITY_MICROSIEMENS_PER_CM: Entity("sensor", "conductivity", "µS/cm"),
    Quantity.SOIL_PH: Entity("sensor", "ph", None),
    Quantity.CONTACT_OPEN: Entity("binary_sensor", "opening", None),
    Quantity.MOTION_DETECTED: Entity("binary_sensor", "motion", None),
    Quantity.BUTTON_EVENT: Entity("sensor", None, None),
    Quantity.GLOBE_TEMPERATURE_CELSIUS: Entity("sensor", "temperature", "°C"),
    Quantity.WIND_SPEED_METRE_PER_S: Entity("sensor", "wind_speed", "m/s"),
    Quantity.RAIN_TOTAL_MILLIMETRE: Entity("sensor", "precipitation", "mm"),
    Quantity.IRRADIANCE_WATT_PER_SQUARE_METRE: Entity("sensor", "irradiance", "W/m²"),
    Quantity.ILLUMINANCE_LUX: Entity("sensor", "illuminance", "lx"),
    Quantity.LEAF_WET: Entity("binary_sensor", "moisture", None),
    Quantity.WATER_LEVEL_MILLIMETRE: Entity("sensor", "distance", "mm"),
    Quantity.WATER_TEMPERATURE_CELSIUS: Entity("sensor", "temperature", "°C"),
    Quantity.WATER_FLOW_LITRE_PER_MINUTE: Entity("sensor", "volume_flow_rate", "L/min"),
    Quantity.WATER_DETECTED: Entity("binary_sensor", "moisture", None),
    Quantity.MAINS_POWER_ON: Entity("binary_sensor", "power", None),
    Quantity.SWITCHED_ON: Entity("binary_sensor", "running", None),
    Quantity.TRAP_SPRUNG: Entity("binary_sensor", None, None),
    Quantity.BATTERY_PERCENT: Entity("sensor", "battery", "%"),
    Quantity.BATTERY_VOLT: Entity("sensor", "voltage", "V"),
}


class HomeAssistant:
    """The retained messages that the uplink sends besides."""

    def __init__(self, gateway: str, site: str, last_values: Callable[[], LastValues]) -> None:
        self._gateway, self._site, self._last_values = gateway, site, last_values
        self._sent: dict[str, bytes] = {}

    def announcements(self) -> Mapping[str, bytes]:
        """Return everything anew: the broker may have forgotten it."""
        self._sent.clear()
        return self.changes()

    def changes(self) -> Mapping[str, bytes]:
        """Return what is new or different since the last call."""
        messages: dict[str, bytes] = {}
        for sensor, values in self._last_values().items():
            messages |= {self._config_topic(sensor, q): self._config(sensor, q) for q in values}
            body = {quantity.value: value for quantity, value in values.items()}
            messages[self._state_topic(sensor)] = json.dumps(body).encode()
        changed = {name: body for name, body in messages.items() if self._sent.get(name) != body}
        self._sent |= changed
        return changed

    def _state_topic(self, sensor: str) -> str:
        # Percent-encoding leaves nothing that has a meaning in a topic.
        return topic(self._gateway, f"latest/{quote(sensor, safe='')}")

    def _object_id(self, sensor: str) -> str:
        # Home Assistant allows only letters, digits, _ and - here, and names are Japanese.
        return f"satomori_{self._gateway}_{crc32(sensor.encode()):08x}"

    def _config_topic(self, sensor: str, quantity: Quantity) -> str:
        component = ENTITIES[quantity].component
        return f"homeassistant/{component}/{self._object_id(sensor)}/{quantity}/config"

    def _config(self, sensor: str, quantity: Quantity) -> bytes:
        entity = ENTITIES[quantity]
        value = f"value_json.{quantity}"
        config: dict[str, object] = {
            "name": quantity.value,
            "unique_id": f"{self._object_id(sensor)}_{quantity}",
            "state_topic": self._state_topic(sensor),
            "value_template": f"{{{{ {value} }}}}",
            "device": {
                "identifiers": [self._object_id(sensor)],
                "name": sensor,
                "suggested_area": self._site,
                "manufacturer": "Satomori",
            },
            "availability_topic": topic(self._gateway, "state"),
            "availability_template": "{{ value_json.state }}",
        }
        if entity.component == "binary_sensor":
            config["value_template"] = f"{{{{ 'ON' if {value} else 'OFF' }}}}"
        optional = {"device_class": entity.device_class, "unit_of_measurement": entity.unit}
        config |= {key: text for key, text in optional.items() if text}
        return json.dumps(config, ensure_ascii=False).encode()
