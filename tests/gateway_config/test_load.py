"""What load() makes of a gateway.toml, and what it says about each mistake in one."""

import json
from dataclasses import MISSING, fields
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.devices
import rules.conditions
from agent import site
from drivers.devices.bthome import BTHome
from drivers.reading import Quantity
from gateway_config.duration import duration_text, parse_duration
from gateway_config.kinds import find, kinds
from gateway_config.load import MAX_BYTES, SECTIONS, BadConfig, load
from gateway_config.mistakes import shown
from rules.alert import Severity
from rules.conditions.below import Below
from rules.hours import Hours
from rules.presence import Presence

GATEWAY = '[gateway]\nname = "g1"\n'
METER = '[[sensor]]\nname = "寝室"\ndevice = "switchbot_meter"\naddress = "A4:C1:38:00:00:01"\n'
DOOR = '[[sensor]]\nname = "玄関"\ndevice = "switchbot_contact"\naddress = "A4:C1:38:00:00:02"\n'
PIR = '[[sensor]]\nname = "居間"\ndevice = "gpio_motion"\npin = 4\n'
PROBE = (
    '[[sensor]]\nname = "畑"\ndevice = "soil_probe"\n'
    'port = "/dev/serial/by-id/usb-A"\nprofile = "renke"\n'
)
BELL = '[[sensor]]\nname = "呼び鈴"\ndevice = "gpio_button"\npin = 5\n'
COLD = (
    '[[rule]]\nname = "寒い"\ncondition = "below"\nsensor = "寝室"\n'
    'quantity = "temperature_celsius"\nlimit = 10\n'
)
PRESENCE = '[presence]\ndoors = ["玄関"]\ninterior = ["居間"]\n'


@pytest.fixture
def read(tmp_path):
    """Write the text to a file and load it."""

    def read(*parts):
        file = tmp_path / "gateway.toml"
        data = parts[0] if isinstance(parts[0], bytes) else "".join(parts).encode()
        file.write_bytes(data)
        return load(file)

    return read


@pytest.fixture
def mistakes(read):
    """Return the mistakes in the text, as they are printed."""

    def mistakes(*parts):
        with pytest.raises(BadConfig) as bad:
            read(*parts)
        return [str(mistake) for mistake in bad.value.mistakes]

    return mistakes


@pytest.fixture
def only(mistakes):
    """Return the one mistake in the text, as it is printed."""

    def only(*parts):
        (mistake,) = mistakes(*parts)
        return mistake

    return only


# What is right


def test_a_name_is_enough_and_all_else_has_defaults(read):
    config = read(GATEWAY)
    assert config.gateway.timezone == ZoneInfo("Asia/Tokyo")
    assert config.journal.max_mb == 500
    assert config.page.enabled
    assert config.page.listen == "127.0.0.1"
    assert config.ble.adapter == "hci0"
    assert config.uplink is config.recorded is config.presence is None
    assert config.sensor == config.rule == ()


def test_a_sensor_holds_its_device_with_the_settings_of_its_kind(read):
    (sensor,) = read(
        GATEWAY,
        '[[sensor]]\nname = "呼び鈴"\nplace = "寝室"\ninterval = "5 min"\n',
        'device = "bthome"\naddress = "a4-c1-38-00-00-09"\nbutton = 2\n',
    ).sensor
    assert (sensor.name, sensor.place, sensor.kind) == ("呼び鈴", "寝室", "bthome")
    assert sensor.interval == timedelta(minutes=5)
    assert sensor.device == BTHome("A4:C1:38:00:00:09", 2)


def test_a_rule_becomes_a_rule_of_the_engine(read):
    when = 'margin = 1\nhold = "15 min"\nhours = "22:00-05:00"\npresence = "home"\n'
    (rule,) = read(GATEWAY, METER, DOOR, PIR, PRESENCE, COLD, when, 'severity = "danger"\n').rule
    assert rule.condition == Below(10, 1)
    assert rule.sensors == ("寝室",)
    assert rule.quantity is Quantity.TEMPERATURE_CELSIUS
    assert rule.hold_for == timedelta(minutes=15)
    assert rule.hours == Hours(time(22), time(5), ZoneInfo("Asia/Tokyo"))
    assert rule.presence is Presence.HOME
    assert rule.severity is Severity.DANGER


def test_all_sensors_are_those_that_can_measure_what_the_condition_watches(read):
    rule = '[[rule]]\nname = "静か"\ncondition = "inactive"\nsensors = "all"\nhold = "12 h"\n'
    (inactive,) = read(GATEWAY, METER, DOOR, PIR, rule).rule
    assert inactive.sensors == ("玄関", "居間")


def test_all_sensors_whose_silence_tells_something_leave_out_those_wired_to_pins(read):
    rule = '[[rule]]\nname = "故障"\ncondition = "silent"\nsensors = "all"\nhold = "6 h"\n'
    (silent,) = read(GATEWAY, METER, DOOR, PIR, rule).rule
    assert silent.sensors == ("寝室", "玄関")


def test_silence_is_a_fault_and_everything_else_a_warning_unless_said_otherwise(read):
    silent = '[[rule]]\nname = "故障"\ncondition = "silent"\nsensor = "寝室"\nhold = "6 h"\n'
    assert [rule.severity for rule in read(GATEWAY, METER, COLD, silent).rule] == [
        Severity.WARNING,
        Severity.FAULT,
    ]
    assert read(GATEWAY, METER, silent, 'severity = "danger"\n').rule[0].severity == "danger"


@pytest.mark.parametrize(("tls", "port"), [("true", 8883), ("false", 1883)])
def test_the_port_of_the_broker_follows_from_encryption(read, tls, port):
    assert read(GATEWAY, f'[uplink]\nhost = "mqtt.example.jp"\ntls = {tls}\n').uplink.port == port


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("", 7.5),
        ('send_every = "10 s"', 4),
        ('send_every = "1 h"', 90),
        ('send_every = "1 d"', 18 * 60),
        ('send_every = "1 h"\nkeepalive = "10 min"', 10),
    ],
)
def test_what_is_sent_anyway_keeps_the_connection_alive(read, written, minutes):
    config = read(GATEWAY, f'[uplink]\nhost = "mqtt.example.jp"\n{written}\n')
    assert config.uplink.tested_after == timedelta(minutes=minutes)
    assert site.broker(config.uplink).keepalive_s == minutes * 60 <= 65_535


def test_the_bytes_of_a_day_are_written_as_megabytes(read):
    uplink = read(GATEWAY, '[uplink]\nhost = "h"\nmax_mb_per_day = 0.5\n').uplink
    assert site.uplink_settings("g1", uplink).max_bytes_per_day == 500_000
    assert site.uplink_settings("g1", uplink).encoding == "columns"


def test_a_relative_path_counts_from_the_folder_of_the_file(read, tmp_path):
    config = read(GATEWAY, '[recorded]\nfile = "home.jsonl.gz"\n[journal]\npath = "/j.sqlite"\n')
    assert config.recorded.file == tmp_path / "home.jsonl.gz"
    assert config.journal.path == Path("/j.sqlite")


def test_two_buttons_of_one_device_are_two_sensors(read):
    button = (
        '[[sensor]]\nname = "{0}"\ndevice = "bthome"\naddress = "A4:C1:38:00:00:09"\nbutton = {0}\n'
    )
    assert len(read(GATEWAY, button.format(1), button.format(2)).sensor) == 2


def test_a_file_saved_by_the_editor_of_windows_is_read(read):
    text = GATEWAY + METER
    assert read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()).sensor[0].name == "寝室"


@pytest.mark.parametrize("name", ["玄関　外", "Grandma's door, 1=open", "🚪", "a" * 80])
def test_a_name_is_of_any_characters_that_can_be_seen(read, name):
    text = DOOR.replace('"玄関"', json.dumps(name, ensure_ascii=False))
    assert read(GATEWAY, text).sensor[0].name == name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90 s", 90),
        ("0.5 s", 0.5),
        ("15 min", 900),
        ("8 h", 28_800),
        ("2 d", 172_800),
        ("1h", 3600),
    ],
)
def test_a_duration_has_its_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@given(st.integers(0, 10**7))
def test_a_duration_is_shown_as_it_may_be_written(seconds):
    duration = timedelta(seconds=seconds)
    assert parse_duration(duration_text(duration)) == duration


# What is wrong


def test_ten_mistakes_are_ten_messages(mistakes):
    found = mistakes(
        '[gateway]\nname = "Tanaka"\n',
        '[uplink]\nhost = "mqtts://x"\nport = 0\n',
        "[pgae]\nport = 8080\n",
        "[journal]\ncommit_every = 5\n",
        '[[sensor]]\nname = "寝室"\ndevice = "switchbot_metre"\n',
        '[[sensor]]\nname = "玄関"\ndevice = "switchbot_contact"\naddres = "A4:C1:38:00:00:02"\n',
        '[[sensor]]\nname = "居間"\ndevice = "gpio_motion"\npin = 40\n',
        '[[rule]]\nname = "寒い"\ncondition = "below"\nsensor = "寝室"\n',
        'quantity = "temperature_celsius"\nlimit = nan\n',
        '[[rule]]\nname = "静か"\ncondition = "inactive"\nsensor = "玄閑"\nhold = "12 h"\n',
    )
    keys = [mistake.partition(" = ")[0].partition(": ")[0] for mistake in found]
    assert keys == [
        "pgae",
        "gateway.name",
        "journal.commit_every",
        "uplink.host",
        "uplink.port",
        'sensor "寝室" (sensor[1]).device',
        'sensor "玄関" (sensor[2]).addres',
        'sensor "居間" (sensor[3])',
        'rule "寒い" (rule[1]).limit',
        'rule "静か" (rule[2]).sensor',
    ]


def test_the_whole_message_names_the_file_and_counts(read, tmp_path):
    with pytest.raises(BadConfig) as bad:
        read(GATEWAY, "[page]\nport = 0\n[ble]\nscan = 1\n")
    first, *paragraphs = str(bad.value).split("\n\n")
    assert first == f"{tmp_path / 'gateway.toml'}: 2 mistakes"
    assert paragraphs == [
        "page.port = 0: must be at least 1",
        'ble.scan = 1: must be "active" or "passive"',
    ]


def test_a_misspelt_setting_of_a_device_is_answered_with_those_there_are(only):
    text = DOOR.replace("switchbot_contact", "bthome").replace("address", "addres")
    assert only(GATEWAY, text) == (
        'sensor "玄関" (sensor[1]).addres = "A4:C1:38:00:00:02": no such setting of bthome; '
        'did you mean "address"? (there are: address, button)'
    )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[sensors]\n", 'sensors = {…}: no such section; did you mean "sensor"?'),
        (
            "[gateway]\nnmae = 1\n",
            'gateway.nmae = 1: no such setting of [gateway]; did you mean "n',
        ),
        (GATEWAY + 'site = "a\\nb"\n', r'gateway.site = "a\nb": contains '),
        (
            GATEWAY + 'timezone = "Tokyo"\n',
            'gateway.timezone = "Tokyo": is not a time zone such as',
        ),
        (GATEWAY + 'timezone = "Asia"\n', 'gateway.timezone = "Asia": is not a time zone such as'),
        (GATEWAY + "[journal]\nmax_mb = true\n", "journal.max_mb = true: must be a whole number"),
        (GATEWAY + "[journal]\nmax_mb = 1.5\n", "journal.max_mb = 1.5: must be a whole number"),
        (GATEWAY + "[journal]\nmax_mb = 1\n", "journal.max_mb = 1: must be at least 10"),
        (
            GATEWAY + "[journal]\npath = 1\n",
            "journal.path = 1: must be the name of a file in quotes",
        ),
        (GATEWAY + '[page]\nenabled = "yes"\n', 'page.enabled = "yes": must be true or false'),
        (GATEWAY + "[page]\nport = 70000\n", "page.port = 70000: must be at most 65535"),
        (GATEWAY + "[page]\nlisten = 1\n", "page.listen = 1: must be text in quotes"),
        (
            GATEWAY + '[ble]\nscan = "activ"\n',
            'ble.scan = "activ": must be "active" or "passive"; did',
        ),
        (GATEWAY + '[ble]\nadapter = "0"\n', 'ble.adapter = "0": must be an adapter such as hci0'),
        (GATEWAY + '[ble]\nquiet = "1 s"\n', 'ble.quiet = "1 s": must be from "30 s" to "1 h"'),
        (
            GATEWAY + '[ble]\nquiet = "１ min"\n',
            'ble.quiet = "１ min": is not a duration with its unit',
        ),
        (GATEWAY + "[uplink]\n", "uplink.host: is missing"),
        (GATEWAY + "[recorded]\n", "recorded.file: is missing"),
        (
            GATEWAY + '[recorded]\nfile = "x"\nspeed = 0\n',
            "recorded.speed = 0: must be more than 0",
        ),
        (
            GATEWAY + '[recorded]\nfile = "x"\nspeed = inf\n',
            "recorded.speed = inf: must be a finite",
        ),
        (GATEWAY + "[signals]\nlamp_pin = 28\n", "signals.lamp_pin = 28: must be at most 27"),
        (
            GATEWAY + METER + PRESENCE.replace('"玄関"', ""),
            "presence.doors = []: must have 1 or more",
        ),
        ("", "gateway: is missing; begin with [gateway]"),
        ("[[gateway]]\n", "gateway = [{…}]: must be a section; write [gateway] on a line"),
        (
            GATEWAY + "[sensor]\n",
            "sensor = {…}: must be a list of tables; write [[sensor]] on a line",
        ),
        ("rule = [1]\n" + GATEWAY, "rule[1] = 1: must be a table; write [[rule]] on a line"),
        (GATEWAY + "[[sensor]]\n", "sensor[1].device: is missing (there are: bthome, "),
        (
            GATEWAY + "[[sensor]]\ndevice = 1\n",
            "sensor[1].device = 1: must be text in quotes (there",
        ),
    ],
)
def test_a_mistake_in_a_section_says_what_is_right(mistakes, text, mistake):
    assert mistakes(text)[0].startswith(mistake)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("name = 1", "name = 1: must be text in quotes"),
        ('name = ""', 'name = "": has 0 characters: 1 to 80 are allowed'),
        (f'name = "{"a" * 81}"', f'name = "{"a" * 60}…": has 81 characters'),
        ('name = " a"', 'name = " a": begins or ends with a space'),
        (r'name = "a\u0007"', r'name = "a\u0007": contains'),
        (r'name = "a\\b"', r'name = "a\\b": contains'),
        ('name = "a\u202eb"', r'name = "a\u202eb": contains'),
        ("", "name: is missing"),
    ],
)
def test_a_sensor_that_has_no_good_name_is_shown_by_its_number(mistakes, text, mistake):
    (found,) = mistakes(GATEWAY, DOOR.replace('name = "玄関"', text))
    assert found.removeprefix("sensor[1].").partition("(sensor[1]).")[-1].startswith(mistake) or (
        found.startswith(f"sensor[1].{mistake}")
    )


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("limit = 10", 'limit = "10"', '.limit = "10": must be a number, without quotes'),
        ("limit = 10", "limit = true", ".limit = true: must be a number, without quotes"),
        ("limit = 10", "limit = nan", ".limit = nan: must be a finite number"),
        ("limit = 10", "limit = 1e999", ".limit = inf: must be a finite number"),
        ("limit = 10", "", ".limit: is missing: below needs it"),
        ("limit = 10", "limt = 10", '.limt = 10: no such setting of below; did you mean "lim'),
        ("limit = 10", "limit = 10\nmargin = -1", ": margin -1.0 is below 0"),
        ('"below"', '"belov"', '.condition = "belov": no such condition; did you mean "bel'),
        (
            '"寝室"',
            '"寝床"',
            '.sensor = "寝床": no such sensor; did you mean "寝室"? (there are: "寝室")',
        ),
        ('sensor = "寝室"', "", '.sensor: is missing; or write sensors = "all"'),
        ('sensor = "寝室"', "sensors = []", '.sensors = []: must be "all" or a list'),
        ('sensor = "寝室"', 'sensors = "寝室"', '.sensors = "寝室": must be "all" or'),
        ('sensor = "寝室"', "sensors = [1]", '.sensors = [1]: must be "all" or a list'),
        ('sensor = "寝室"', 'sensors = ["寝室", "寝室"]', '.sensors = "寝室": is named twice'),
        ('sensor = "寝室"', 'sensor = "寝室"\nsensors = "all"', 'stands beside "sensors"'),
        ('"temperature_celsius"', '"temperature"', 'ture": no such quantity; did you mean "te'),
        ('"temperature_celsius"', '"packet_id"', '"packet_id": no such quantity'),
        (
            '"temperature_celsius"',
            '"soil_ph"',
            "is a switchbot_meter, which never measures soil_ph (",
        ),
        (
            'quantity = "temperature_celsius"',
            "",
            "quantity: is missing (there are: battery_percent, ",
        ),
        ("limit = 10", 'limit = 10\nhold = "9"', '.hold = "9": is not a duration with its unit'),
        ("limit = 10", "limit = 10\nhold = 900", ".hold = 900: must be a duration in quotes"),
        ("limit = 10", 'limit = 10\nhold = "91 d"', '.hold = "91 d": must be from "0 s" to "90'),
        ("limit = 10", 'limit = 10\nhours = "22-5"', '.hours = "22-5": must be hours such as'),
        ("limit = 10", 'limit = 10\nhours = "25:00-01:00"', '.hours = "25:00-01:00": '),
        ("limit = 10", 'limit = 10\nhours = "01:00-01:00"', ": hours begin and end at the same"),
        (
            "limit = 10",
            'limit = 10\nhours = "09:00-17:00"\nhold = "9 h"',
            '.hold = "9 h": is longer than its hours, "8 h": it would never fire',
        ),
        ("limit = 10", 'limit = 10\npresence = "home"', "needs a section [presence]"),
        ("limit = 10", 'limit = 10\npresence = "hom"', 'or "absent"; did you mean "home"?'),
        ("limit = 10", 'limit = 10\nseverity = "dangr"', 'or "part"; did you mean "danger"?'),
        ('name = "寒い"', "", "rule[1].name: is missing"),
    ],
)
def test_a_mistake_in_a_rule_says_what_is_right(only, old, new, mistake):
    assert mistake in only(GATEWAY, METER, COLD.replace(old, new))


@pytest.mark.parametrize(
    ("rule", "mistake"),
    [
        ('condition = "silent"\nsensor = "玄関"', ".hold: is missing; how long is too long?"),
        ('condition = "inactive"\nsensor = "玄関"', ".hold: is missing; how long is too long?"),
        (
            'condition = "silent"\nsensor = "玄関"\nhold = "1 min"',
            'would always be exceeded: a number of "玄関" is kept only every "1 min"',
        ),
        (
            'condition = "silent"\nsensor = "居間"\nhold = "1 h"',
            '.sensor = "居間": is wired to a pin, which is silent as long as nothing changes',
        ),
        (
            'condition = "opened"\nsensor = "玄関"\nquantity = "contact_open"',
            '.quantity = "contact_open": opened knows by itself what it judges; leave it out',
        ),
        (
            'condition = "above"\nlimit = 0\nsensor = "呼び鈴"\nquantity = "button_event"',
            '.quantity = "button_event": is over at once, so that the alert would never end',
        ),
        (
            'condition = "opened"\nsensor = "居間"',
            "is a gpio_motion, which never measures contact_open (it measures: motion_detected)",
        ),
        (
            'condition = "above"\nlimit = 1\nsensors = "all"\nquantity = "soil_ph"',
            '.sensors = "all": no sensor measures soil_ph',
        ),
        (
            'condition = "outside"\nlow = 2\nhigh = 1\nquantity = "contact_open"\nsensor = "玄関"',
            ": from low 2.0 to high 1.0 with margin 0.0 nothing is left in the middle",
        ),
    ],
)
def test_a_rule_that_could_never_judge_rightly_is_refused(only, rule, mistake):
    assert mistake in only(GATEWAY, DOOR, PIR, BELL, f'[[rule]]\nname = "r"\n{rule}\n')


def test_all_mistakes_in_one_rule_are_reported(mistakes):
    found = mistakes(
        GATEWAY,
        METER,
        '[[rule]]\nname = ""\ncondition = "below"\nsensor = "寝床"\nquantity = "cold"\n'
        'limit = nan\nhold = "9"\nhours = "1-2"\npresence = "home"\nseverity = "bad"\nlevel = 1\n',
    )
    keys = [mistake.partition("(rule[1]).")[2].partition(" = ")[0] for mistake in found]
    assert sorted(keys) == [
        "hold", "hours", "level", "limit", "name", "presence", "quantity", "sensor", "severity",
    ]  # fmt: skip


def test_names_are_unique(mistakes):
    assert mistakes(GATEWAY, METER, METER.replace(":01", ":09"), COLD, COLD) == [
        'sensor "寝室" (sensor[2]).name = "寝室": is the name of sensor[1] as well',
        'rule "寒い" (rule[2]).name = "寒い": is the name of rule[1] as well',
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            METER + METER.replace("寝室", "台所"),
            'sensor "台所" (sensor[2]): is the same device as sensor "寝室" (sensor[1])',
        ),
        (
            METER + DOOR.replace(":02", ":01"),
            (
                'sensor "玄関" (sensor[2]): is a switchbot_contact, but sensor "寝室" (sensor[1]) '
                "is a switchbot_meter at the same address"
            ),
        ),
        (
            PIR + PIR.replace("居間", "廊下").replace("gpio_motion", "gpio_button"),
            'sensor "廊下" (sensor[2]): uses the GPIO pin 4, as sensor "居間" (sensor[1]) does',
        ),
        (
            "[signals]\nlamp_pin = 4\n" + PIR,
            'signals.lamp_pin: uses the GPIO pin 4, as sensor "居間" (sensor[1]) does',
        ),
        (
            "[signals]\nlamp_pin = 4\nbuzzer_pin = 4\n",
            "signals.buzzer_pin: uses the GPIO pin 4, as signals.lamp_pin does",
        ),
        (
            PROBE + PROBE.replace("畑", "田").replace("renke", "jxct") + "unit = 2\n",
            (
                'sensor "田" (sensor[2]): sets /dev/serial/by-id/usb-A to 9600 8N1, but '
                'sensor "畑" (sensor[1]) sets it to 4800 8N1; all devices on one line speak alike'
            ),
        ),
        (
            DOOR + PIR + PRESENCE.replace("玄関", "玄閑"),
            (
                'presence.doors = "玄閑": no such sensor; did you mean "玄関"? '
                '(there are: "玄関", "居間")'
            ),
        ),
        (
            DOOR + METER + PRESENCE.replace("居間", "寝室"),
            (
                'presence.interior = "寝室": never measures '
                "button_event or contact_open or motion_detected"
            ),
        ),
        (
            DOOR + PIR + PRESENCE.replace('["居間"]', '["居間", "玄関"]'),
            'presence.interior = "玄関": is among the "doors" as well',
        ),
        (
            '[uplink]\nhost = "h"\nkey_file = "k"\n',
            "uplink.key_file: is of no use without cert_file",
        ),
        (
            '[uplink]\nhost = "h"\npassword_file = "p"\n',
            (
                "uplink.username: is missing, but there is a password_file; add the name that the "
                "password belongs to"
            ),
        ),
        (
            '[uplink]\nhost = "h"\ntls = false\nca_file = "c"\n',
            "uplink.ca_file: is of no use with tls = false",
        ),
    ],
)
def test_tables_that_contradict_each_other_are_refused(only, text, mistake):
    assert only(GATEWAY, text) == mistake


def test_what_only_follows_from_another_mistake_is_not_reported(only):
    broken = METER.replace("switchbot_meter", "switchbot_metre")
    assert only(GATEWAY, broken, COLD).startswith('sensor "寝室" (sensor[1]).device')
    nowhere = PRESENCE.replace('["居間"]', "3")
    home = COLD + 'presence = "home"\n'
    assert only(GATEWAY, METER, DOOR, nowhere, home).startswith("presence.interior = 3")
    hold = '[[rule]]\nname = "r"\ncondition = "inactive"\nsensor = "玄関"\nhold = "x"\n'
    assert only(GATEWAY, DOOR, hold).endswith('such as "90 s", "15 min", "8 h" or "2 d"')


def test_a_password_in_the_file_is_refused_and_not_repeated(only):
    mistake = only(GATEWAY, '[uplink]\nhost = "h"\npassword = "hunter2"\n')
    assert mistake.startswith("uplink.password: no such setting of [uplink]; passwords are kept in")
    assert '"password_file"' in mistake
    assert "hunter2" not in mistake


# Files that are no configuration at all


def test_a_syntax_error_is_shown_with_its_line_and_column(only):
    assert only(GATEWAY, "site = oouchi\n") == (
        'line 3, column 8 = "site = oouchi": is no TOML: Invalid value'
    )
    assert only(GATEWAY, 'site = """').startswith('the end of the file = "site = \\"\\"\\""')
    assert only(GATEWAY, GATEWAY).startswith("line 3, column 9 = ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml")
    with pytest.raises(BadConfig, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_text_in_another_encoding_is_shown_by_its_line(only):
    assert only(GATEWAY.encode() + 'site = "大内"\n'.encode("shift_jis")) == (
        "line 3: is not UTF-8; save the file as UTF-8 in the editor"
    )


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5_000,
        "x = " + "{a=" * 5_000,
        "x = " + "9" * 5_000,
        "x = 2026-13-45T99:99:99",
        "a." * 5_000 + "b = 1",
        "x = 0x" + "f" * 5_000,
        f"{GATEWAY}[page]\nport = 0x{'f' * 5_000}",
        f'{GATEWAY}[recorded]\nfile = "x"\nspeed = 0x{"f" * 5_000}',
        f"{GATEWAY}{METER}interval = 0x{'f' * 5_000}",
        GATEWAY + METER + COLD.replace("10", "0x" + "f" * 5_000),
        GATEWAY + METER.replace('"寝室"', "0x" + "f" * 5_000),
        GATEWAY + METER.replace('"寝室"', "{" + "a." * 2_000 + "b = 1}"),
        GATEWAY + "[journal]\npath = 'a\\u0000b'\nmax_mb = 1e400",
        GATEWAY + 'timezone = "../../etc/passwd"',
        f'{GATEWAY}timezone = "{"x" * 5_000}"',
        GATEWAY + r'timezone = "a\u0000b"',
        GATEWAY + METER + COLD.replace('"below"', '"../alert"'),
        GATEWAY + METER + COLD.replace('"below"', '"__init__"'),
        GATEWAY + DOOR.replace("switchbot_contact", ""),
        GATEWAY + PROBE.replace("/dev/serial", "x" * 5_000),
        "#" + "x" * MAX_BYTES,
        "\0",
    ],
)
def test_hostile_text_is_refused_like_any_other(read, text):
    with pytest.raises(BadConfig) as bad:
        read(text)
    assert all(len(line) < 1_000 for line in str(bad.value).splitlines())


@pytest.mark.parametrize("value", ["\x1b[31m", "\x9b31m", "\u202e", "\u2028", "\x00", "\n", "\x7f"])
def test_nothing_in_a_value_reaches_the_terminal_as_a_command(value):
    assert shown(value).isprintable()
    assert shown(value) == shown(json.loads(shown(value).replace("\\x", "\\u00")))


def test_nothing_that_a_device_says_about_a_setting_does_so_either(only):
    assert r"\x1b[31m" in only(GATEWAY, PROBE.replace("/dev/serial", r"\u001b[31m"))


# Any tree at all

RIGHT = {
    "name": ["g1", "寝室", "玄関"],
    "host": ["mqtt.example.jp"],
    "file": ["home.jsonl"],
    "doors": [["玄関"]],
    "interior": [["寝室"]],
    "device": kinds(drivers.devices),
    "address": ["A4:C1:38:00:00:01", "A4:C1:38:00:00:02"],
    "pin": [4, 17],
    "port": ["/dev/ttyUSB0", 8080],
    "profile": ["renke", "jxct"],
    "condition": kinds(rules.conditions),
    "sensor": ["寝室", "玄関"],
    "sensors": ["all", ["寝室", "玄関"]],
    "quantity": [*Quantity],
    "hold": ["0 s", "6 h"],
    "limit": [10, 0.5],
    "low": [1],
    "high": [2],
    "margin": [0],
    "hours": ["22:00-05:00"],
    "presence": ["home", "away"],
    "severity": [*Severity],
}
ANYTHING = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.datetimes().map(lambda at: at.replace(microsecond=0)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RIGHT]), inner, max_size=3)
    ),
    max_leaves=4,
)


def table(needed, known, **fixed):
    """Tables that have what is needed and some of what is known, mostly right."""

    def value(key):
        right = st.sampled_from(RIGHT.get(key, ["90 s", True, 1]))
        return st.integers(0, 30).flatmap(lambda n: right if n else ANYTHING)

    optional = {key: value(key) for key in known if key not in needed}
    always = {key: value(key) for key in needed} | {k: st.just(v) for k, v in fixed.items()}
    return st.fixed_dictionaries(always, optional=optional)


def section(model):
    known = model.model_fields
    return table([key for key, field in known.items() if field.is_required()], known)


def of_some_kind(package, key, needed, known):
    """Tables of all kinds in the folder, each with the settings of its kind."""

    def of_kind(kind):
        settings = {field.name: field.default is MISSING for field in fields(find(package, kind))}
        needs = [*needed, *(name for name, is_needed in settings.items() if is_needed)]
        return table(needs, [*known, *settings], **{key: kind})

    return st.sampled_from(kinds(package)).flatmap(of_kind)


SENSORS = of_some_kind(drivers.devices, "device", ["name"], ["place"])
RULES = of_some_kind(
    rules.conditions, "condition", ["name", "sensors", "hold"], ["quantity", "hours", "severity"]
)
FEW = {"max_size": 3, "unique_by": lambda table: str(table["name"])}
SITES = st.fixed_dictionaries(
    {
        "gateway": st.just({"name": "g1"}),
        "sensor": st.lists(SENSORS, **FEW),
        "rule": st.lists(RULES, **FEW),
    }
)
OTHERS = st.fixed_dictionaries(
    {}, optional={name: section(model) | ANYTHING for name, model in SECTIONS.items()}
)
TREES = SITES | st.tuples(SITES, OTHERS).map(lambda trees: trees[0] | trees[1])


def toml(value):
    """Write a value as TOML, tables inline."""
    match value:
        case dict():
            return f"{{{', '.join(f'{json.dumps(k)} = {toml(v)}' for k, v in value.items())}}}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return str(value).lower()
        case float() | int():
            return repr(value)
    return value.isoformat()


def outcome(file):
    try:
        return load(file)
    except BadConfig as bad:
        return bad


@given(TREES)
@settings(max_examples=50, deadline=None)
def test_any_tree_is_a_configuration_or_a_list_of_mistakes(tmp_path_factory, tree):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in tree.items()), "utf-8")
    match outcome(file):
        case BadConfig(mistakes=mistakes):
            assert mistakes
            assert not any("is no TOML" in mistake.problem for mistake in mistakes)
        case config:
            assert len(config.sensor) == len(tree["sensor"])


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
def test_bytes_that_are_no_configuration_are_refused(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(data)
    with pytest.raises(BadConfig):
        load(file)


def test_where_there_is_nothing_to_choose_from_it_says_so(only):
    assert (
        only(GATEWAY, COLD)
        == 'rule "寒い" (rule[1]).sensor = "寝室": no such sensor (there are none)'
    )
