"""What Home Assistant gets: messages that it accepts, for sensors of any name."""

import json
import re

import jinja2
import pytest

from cloud_sync.home_assistant import ENTITIES, HomeAssistant
from cloud_sync.topics import parse_topic, topic
from cloud_sync.wire import FAMILY
from drivers.reading import Quantity

TEMPERATURE, DOOR = Quantity.TEMPERATURE_CELSIUS, Quantity.CONTACT_OPEN
ODD_NAMES = [
    "玄関",
    "front door",
    "a/b",
    "a%2Fb",
    "a+b",
    "+",
    "#",
    "$SYS",
    "..",
    'the "old" one',
    "{{ 1 / 0 }}",
    "　",
    "🚪",
    "字" * 80,
]
DISCOVERY = re.compile(
    r"homeassistant/(?P<component>\w+)/(?P<node>[a-zA-Z0-9_-]+)/(?P<object>[a-zA-Z0-9_-]+)/config"
)
"""What Home Assistant listens to (homeassistant/components/mqtt/discovery.py)."""


class Home:
    """A site whose sensors have measured something."""

    def __init__(self, values, gateway="g-1"):
        self.values = values
        self.announcer = HomeAssistant(gateway, "大内", lambda: self.values)

    def announced(self):
        return decoded(self.announcer.announcements())

    def changed(self):
        return decoded(self.announcer.changes())


def decoded(messages):
    return {name: json.loads(body) for name, body in messages.items()}


def configs(messages):
    return {name: body for name, body in messages.items() if name.startswith("homeassistant/")}


def states(messages):
    return {name: body for name, body in messages.items() if name not in configs(messages)}


def test_a_sensor_is_announced_with_all_that_it_has_measured():
    messages = Home({"meter": {TEMPERATURE: 21.5, Quantity.HUMIDITY_PERCENT: 50.0}}).announced()
    assert states(messages) == {
        topic("g-1", "latest/meter"): {"temperature_celsius": 21.5, "humidity_percent": 50.0}
    }
    first, second = configs(messages).values()
    assert first["device"] == second["device"]
    assert first["device"]["name"] == "meter"
    assert (first["device_class"], first["unit_of_measurement"]) == ("temperature", "°C")
    assert first["state_topic"] == topic("g-1", "latest/meter")


@pytest.mark.parametrize("quantity", [q for q in Quantity if q is not Quantity.PACKET_ID])
def test_every_quantity_that_is_stored_can_be_announced(quantity):
    (config,) = configs(Home({"s": {quantity: 1.0}}).announced()).values()
    assert quantity in FAMILY
    assert quantity in ENTITIES
    assert config["name"] == quantity


@pytest.mark.parametrize("quantity", [q for q in Quantity if q is not Quantity.PACKET_ID])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_its_value_is_read_from_the_state_as_home_assistant_reads_it(quantity, value):
    messages = Home({"s": {quantity: value}}).announced()
    (config,), (state,) = configs(messages).values(), states(messages).values()
    read = jinja2.Template(config["value_template"]).render(value_json=state)
    is_binary = ENTITIES[quantity].component == "binary_sensor"
    assert read == (("ON" if value else "OFF") if is_binary else str(value))


def test_it_is_available_as_long_as_the_gateway_is_online():
    (config,) = configs(Home({"s": {TEMPERATURE: 1.0}}).announced()).values()
    assert config["availability_topic"] == topic("g-1", "state")
    for state in ("online", "offline"):
        template = jinja2.Template(config["availability_template"])
        assert template.render(value_json={"v": 1, "state": state}) == state


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_of_any_characters_breaks_no_topic(name):
    messages = Home({name: {TEMPERATURE: 1.0, DOOR: 0.0}}).announced()
    for discovery, config in configs(messages).items():
        assert DISCOVERY.fullmatch(discovery)
        assert config["device"]["name"] == name
        assert name not in config["value_template"]
    (state_topic,) = states(messages)
    assert re.fullmatch(r"latest/[A-Za-z0-9._~%-]+", parse_topic(state_topic).leaf)
    assert len(state_topic) < 65_536


def test_no_two_things_share_a_topic_or_an_identity():
    site = {name: {TEMPERATURE: 1.0, DOOR: 0.0} for name in ODD_NAMES}
    homes = [Home(site, gateway) for gateway in ("g-1", "g-2")]
    messages = [home.announced() for home in homes]
    together = messages[0] | messages[1]
    assert len(together) == len(messages[0]) + len(messages[1]) == 2 * 3 * len(ODD_NAMES)
    identities = [config["unique_id"] for config in configs(together).values()]
    assert len(set(identities)) == len(identities) == 2 * 2 * len(ODD_NAMES)
    devices = {config["device"]["identifiers"][0] for config in configs(together).values()}
    assert len(devices) == 2 * len(ODD_NAMES)


def test_only_what_is_new_is_sent_again():
    home = Home({"meter": {TEMPERATURE: 21.5}, "door": {DOOR: 0.0}})
    home.announced()
    assert home.changed() == {}
    home.values["door"][DOOR] = 1.0
    assert home.changed() == {topic("g-1", "latest/door"): {"contact_open": 1.0}}
    assert home.changed() == {}


def test_a_quantity_is_announced_when_it_is_heard_first():
    home = Home({"meter": {}})
    assert configs(home.announced()) == {}
    home.values["meter"][TEMPERATURE] = 21.5
    changed = home.changed()
    assert len(configs(changed)) == 1
    assert states(changed) == {topic("g-1", "latest/meter"): {"temperature_celsius": 21.5}}


def test_after_each_connect_everything_is_sent_again():
    home = Home({"meter": {TEMPERATURE: 21.5}, "door": {DOOR: 0.0}})
    first = home.announced()
    home.values["door"][DOOR] = 1.0
    home.changed()
    again = home.announced()
    assert configs(again) == configs(first)
    assert states(again)[topic("g-1", "latest/door")] == {"contact_open": 1.0}
    assert home.changed() == {}
