"""What kinds of conditions say about themselves, and what the file may do with them then."""

import pytest

from gateway_config.load import BadConfig, load
from rules.alert import Severity

SENSORS = """
[gateway]
name = "g1"

[[sensor]]
name = "meter"
device = "switchbot_meter"
address = "A4:C1:38:00:00:01"

[[sensor]]
name = "door"
device = "switchbot_contact"
address = "A4:C1:38:00:00:02"

[[sensor]]
name = "probe"
device = "soil_probe"
port = "/dev/serial/by-id/usb-A"
profile = "renke"
ph = true
interval = "15 min"

[[sensor]]
name = "wired"
device = "gpio_contact"
pin = 4

[[rule]]
name = "r"
"""


@pytest.fixture
def read(tmp_path):
    def read(rule):
        file = tmp_path / "gateway.toml"
        file.write_text(SENSORS + rule, "utf-8")
        (rule,) = load(file).rule
        return rule

    return read


@pytest.fixture
def only(read):
    def only(rule):
        with pytest.raises(BadConfig) as bad:
            read(rule)
        (mistake,) = bad.value.mistakes
        return str(mistake)

    return only


@pytest.mark.parametrize(
    "rule",
    [
        'condition = "silent"\nsensors = "all"\nhold = "1 h"',
        'condition = "all_silent"\nsensors = "all"\nhold = "1 h"',
        'condition = "overdue"\nsensors = "all"',
        'condition = "stuck"\nsensor = "meter"\nquantity = "humidity_percent"',
    ],
)
def test_what_is_about_equipment_is_a_fault_unless_the_rule_says_otherwise(read, rule):
    assert read(rule).severity is Severity.FAULT
    assert read(rule + '\nseverity = "notice"').severity is Severity.NOTICE


def test_what_is_about_people_is_none(read):
    assert read('condition = "heat"\nsensor = "meter"').severity is Severity.WARNING


@pytest.mark.parametrize(
    "rule", ['"overdue"', '"silent"\nhold = "1 h"', '"all_silent"\nhold = "1 h"']
)
def test_a_pin_is_silent_by_nature(read, only, rule):
    assert read(f'condition = {rule}\nsensors = "all"').sensors == ("meter", "door", "probe")
    assert "is wired to a pin, which is silent" in only(f'condition = {rule}\nsensor = "wired"')


def test_of_several_sensors_together_one_that_speaks_often_is_enough(read, only):
    rule = 'condition = "all_silent"\nhold = "5 min"\nsensors = '
    assert read(rule + '["meter", "probe"]')
    assert "would always be exceeded" in only(rule + '["probe"]')


def test_heat_is_for_sensors_that_measure_all_it_takes(read, only):
    assert read('condition = "heat"\nsensors = "all"').sensors == ("meter",)
    assert 'sensor = "probe": is a soil_probe, which never measures' in only(
        'condition = "heat"\nsensor = "probe"'
    )


def test_what_is_judged_together_has_to_be_measured_by_one_of_them(read, only):
    rule = 'condition = "bath_cold"\nsensors = '
    assert read(rule + '["meter", "door"]')
    assert read(rule + '["meter", "wired"]')
    assert '"meter": none of them measures contact_open or motion_detected' in only(
        rule + '["meter"]'
    )
    assert "none of them measures temperature_celsius" in only(rule + '["door", "wired"]')


@pytest.mark.parametrize(
    ("rule", "mistake"),
    [
        (
            'condition = "state"\non = true\nsensor = "meter"\nquantity = "temperature_celsius"',
            'quantity = "temperature_celsius": is nothing that state can judge',
        ),
        (
            'condition = "stuck"\nsensor = "door"\nquantity = "contact_open"',
            "is nothing that stuck can judge",
        ),
        ('condition = "state"\non = true\nsensor = "door"', "quantity: is missing"),
        (
            'condition = "pressed"\nsensor = "wired"',
            "which never measures button_event",
        ),
        ('condition = "heat"\nsensor = "meter"\nlimit_celsius = 80', "is not from 15 to 45"),
        ('condition = "heat"\nsensor = "meter"\nmargin = -1', "margin -1.0 is below 0"),
        (
            'condition = "bath_cold"\nsensors = ["meter", "door"]\nlimit_celsius = 40',
            "is not from 0 to 30",
        ),
        (
            'condition = "bath_cold"\nsensors = ["meter", "door"]\nover_after = "8 d"',
            "is not from 1 min to 7 d",
        ),
        ('condition = "overdue"\nsensor = "meter"\nat_least = "4 d"', "the smaller one first"),
        (
            'condition = "stuck"\nsensor = "probe"\nquantity = "soil_ph"\nunchanged_for = "1 min"',
            "is not from 1 h to 90 d",
        ),
    ],
)
def test_what_could_never_judge_is_refused(only, rule, mistake):
    assert mistake in only(rule)


BUTTON = """
[[sensor]]
name = "pendant"
device = "gpio_button"
pin = 5
"""


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        ("presses = [7]", "7 is no press"),
        ("presses = [4]\ncleared_by_presses = [4]", "no press is left that would be a call"),
        ('cleared_by = ["meter"]', "names 'meter', which is not one of its sensors"),
        ('over_after = "1 s"', "is not from 1 min to 7 d"),
    ],
)
def test_what_could_never_call_is_refused(only, setting, mistake):
    assert mistake in only(f'condition = "pressed"\nsensor = "pendant"\n{setting}\n{BUTTON}')


def test_what_judges_where_the_resident_is_needs_to_be_told_how_to_know(only):
    said = only('condition = "not_returned"\nsensor = "door"')
    assert 'condition = "not_returned": needs a section [presence]' in said


def test_a_rule_is_deaf_only_to_rules_that_there_are(only):
    said = only('condition = "opened"\nsensor = "door"\nunless = ["radio"]')
    assert '.unless = "radio": is no rule that stands before it' in said
