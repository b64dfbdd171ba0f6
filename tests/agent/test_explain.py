"""`satomori explain`: what is said of alerts that a real engine raised and a real journal kept."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest

import rules.conditions
from agent import site
from agent.cli import _parser, main
from agent.explain import run
from agent.explain.alerts import Alert
from agent.explain.text import UNITS, Speaker, heading, length_text, number_text, texts
from agent.journal import Journal
from agent.journal.block import Stamp
from agent.rule_tests.life import lived
from agent.rule_tests.read import read
from agent.web.words import LANGUAGES, Words
from drivers.reading import Quantity, Reading
from gateway_config.kinds import kinds
from gateway_config.load import load
from rules.alert import AlertEvent, Severity
from rules.condition import FROM_SITE
from rules.lifecycle import Phase

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=TOKYO)

CONFIG = """
[gateway]
name = "g1"
timezone = "Asia/Tokyo"

[journal]
path = "journal"

[[sensor]]
name = "玄関"
device = "switchbot_contact"
address = "A4:C1:38:00:00:01"

[[sensor]]
name = "台所"
device = "switchbot_motion"
address = "A4:C1:38:00:00:02"

[[sensor]]
name = "寝室"
device = "switchbot_meter"
address = "A4:C1:38:00:00:03"

[[sensor]]
name = "ボタン"
device = "gpio_button"
pin = 24

[[rule]]
name = "玄関が開いたまま"
condition = "opened"
sensor = "玄関"
hold = "15 min"

[[rule]]
name = "動きがない"
condition = "inactive"
sensors = ["台所", "玄関"]
hold = "4 h"

[[rule]]
name = "寝室が暑い"
condition = "above"
sensor = "寝室"
quantity = "temperature_celsius"
limit = 30
severity = "notice"

[[rule]]
name = "熱中症"
condition = "heat"
sensor = "寝室"

[[rule]]
name = "寝室の急な高温"
condition = "rising"
sensor = "寝室"
quantity = "temperature_celsius"
by = 8
within = "30 min"

[[rule]]
name = "呼び出し"
condition = "pressed"
sensor = "ボタン"

[[rule]]
name = "センサーの故障"
condition = "silent"
sensor = "寝室"
hold = "6 h"

[[rule]]
name = "寝室の電池"
condition = "below"
sensor = "寝室"
quantity = "battery_percent"
limit = 20
severity = "fault"

[[rule]]
name = "両方"
condition = "all_of"
rules = ["玄関が開いたまま", "寝室が暑い"]
"""

CONTACT, MOTION = Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED
CELSIUS, HUMIDITY = Quantity.TEMPERATURE_CELSIUS, Quantity.HUMIDITY_PERCENT
BUTTON, BATTERY = Quantity.BUTTON_EVENT, Quantity.BATTERY_PERCENT


def at(clock, day=23):
    return datetime.fromisoformat(f"2026-11-{day} {clock}").replace(tzinfo=TOKYO).astimezone(UTC)


class Gateway:
    """Lives with the engine and the writer of the configuration, and keeps all in a journal."""

    def __init__(self, folder, *, settled=True):
        self.file = folder / "gateway.toml"
        self.file.write_text(CONFIG, "utf-8")
        self.config = load(self.file)
        self.engine = site.engine(self.config)
        self.writer = site.line_writer(self.config)
        self.journal = Journal(folder / "journal", max_bytes=100_000_000)
        self.journal.set_stamp(Stamp("machine-1", 0, settled=settled))

    def hear(self, sensor, quantity, value, clock, day=23):
        reading = Reading(sensor, quantity, float(value), at(clock, day))
        self._keep(self.engine.observe(reading))
        self.journal.append(self.writer.readings(sensor, {quantity: float(value)}, reading.at))

    def until(self, clock, day=23):
        self._keep(self.engine.advance(at(clock, day)))
        if (block := self.journal.take()) is not None:
            self.journal.commit(block)

    def _keep(self, events):
        self.journal.append([self.writer.event(event) for event in events])


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.journal.close()


@pytest.fixture
def explain(gateway, capsys):
    """Run it with these words; returns (exit code, stdout, stderr)."""

    def explain(*words):
        args = _parser().parse_args(["explain", *words])
        code = run(gateway.config, args, *_streams(), now=NOW)
        return (code, *capsys.readouterr())

    return explain


def _streams():
    return sys.stdout, sys.stderr


def halves(out):
    """Return the lines in Japanese and in English, without their heading."""
    ja, en = out.strip().split("\n\n")
    return ja.splitlines()[1:], en.splitlines()[1:]


def test_a_door_that_stood_open(gateway, explain):
    gateway.hear("玄関", CONTACT, 0, "07:00")
    gateway.hear("玄関", CONTACT, 1, "07:10")
    gateway.hear("玄関", CONTACT, 0, "08:40")
    gateway.until("09:00")
    code, out, err = explain("開いた")
    assert (code, err) == (0, "")
    assert out == (
        "3  きょう7:25  早めに  玄関が開いたまま（玄関）\n"
        "玄関がきょう7:10から開いていました。\n"
        "15分続いたら知らせる設定です。\n"
        "きょう8:40に終わりました（1時間15分続きました）。\n"
        "\n"
        "3  07:25  Soon  玄関が開いたまま (玄関)\n"
        "玄関 stood open since 07:10.\n"
        "It is told when it lasts for 15 min.\n"
        "It was over at 08:40, after 1 h 15 min.\n"
    )


def test_a_home_that_is_still_names_all_its_sensors(gateway, explain):
    gateway.hear("台所", MOTION, 1, "07:10")
    gateway.until("12:00")
    _, out, _ = explain("動きがない")
    assert halves(out) == (
        [
            "台所・玄関のセンサーに、きょう7:10から4時間、動きがありません。",
            "限度: 4時間（設定した長さ）。",
            "まだ終わっていません。",
        ],
        [
            "No movement since 07:10 (4 h) at 台所, 玄関.",
            "Limit: 4 h, as it was set.",
            "It is not over yet.",
        ],
    )


def test_a_number_is_said_with_its_unit_and_its_limit(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35.25, "14:00", 22)
    gateway.until("15:00", 22)
    _, out, _ = explain("寝室が暑い")
    ja, en = halves(out)
    assert ja[0] == "寝室の気温は35.25℃で、きのう 14:00から限度の30℃を超えていました。"
    assert en[0] == "寝室: Temperature 35.25 °C, above the limit of 30 °C since yesterday 14:00."


def test_heat_says_from_what_it_was_reckoned(gateway, explain):
    gateway.hear("寝室", CELSIUS, 36, "14:00")
    gateway.hear("寝室", HUMIDITY, 60, "14:00")
    gateway.until("15:00")
    _, out, _ = explain("熱中症")
    ja, en = halves(out)
    assert ja[:2] == [
        "寝室の暑さ指数（WBGT）は31.6℃でした。限度: 31℃。",
        "気温36℃、湿度60%から計算しました。",
    ]
    assert en[1] == "From 36 °C and 60 % humidity."
    assert not any("globe" in line or "sun" in line for line in en)


def test_a_call_that_is_repeated_is_told_with_its_number_of_presses(gateway, explain):
    gateway.hear("ボタン", BUTTON, 1, "14:00")
    gateway.hear("ボタン", BUTTON, 4, "14:05")
    gateway.until("23:00")
    _, out, _ = explain("呼び出し")
    ja, en = halves(out)
    assert ja[:3] == [
        "ボタンが押されました（きょう14:05）。",
        "押し方: 長く押されました。",
        "続けて押された回数: 2回。",
    ]
    assert en[2] == "Presses since the first call: 2."


@pytest.mark.parametrize("part", ["センサーの故障", "寝室の電池"])
def test_a_fault_says_that_nobody_is_ill(gateway, explain, part):
    gateway.hear("寝室", BATTERY, 15, "03:00")
    gateway.until("10:00")
    _, out, _ = explain(part)
    ja, en = halves(out)
    assert "機器の知らせです。体の異常ではありません。" in ja
    assert "This is about equipment, not about a person's health." in en


def test_an_alert_about_a_person_never_says_so(gateway, explain):
    gateway.hear("台所", MOTION, 1, "07:10")
    gateway.until("12:00")
    assert "体の異常" not in explain("動きがない")[1]


def test_rules_over_rules_name_them(gateway, explain):
    gateway.hear("玄関", CONTACT, 1, "07:10")
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.until("09:00")
    _, out, _ = explain("両方")
    assert halves(out)[0][0] == (
        "次の知らせがそろいました（きょう8:00）: 玄関が開いたまま・寝室が暑い。"
    )


def test_without_a_word_it_is_the_newest(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.hear("ボタン", BUTTON, 1, "14:00")
    gateway.until("14:30")
    assert "呼び出し" in explain()[1].splitlines()[0]


def test_a_number_is_that_of_the_beginning_or_of_the_end(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.hear("寝室", CELSIUS, 25, "09:00")
    gateway.until("14:30")
    by_name = explain("寝室が暑い")
    assert by_name[1].startswith("1  ")
    assert explain("1") == explain("3") == by_name


def test_a_number_of_something_else_says_which_alerts_are_near(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.until("09:00")
    code, out, err = explain("2")
    assert (code, out) == (2, "")
    assert err == "record 2 is no alert; these are near:\n  1  2026-11-23 08:00  寝室が暑い\n"


def test_a_part_of_several_names_lists_them(gateway, explain):
    gateway.hear("寝室", CELSIUS, 20, "08:00")
    gateway.hear("寝室", CELSIUS, 35, "08:20")
    gateway.until("09:00")
    code, _, err = explain("寝室")
    assert code == 2
    assert "'寝室' may be one of these; say which:" in err
    assert "寝室が暑い" in err
    assert "寝室の急な高温" in err


def test_an_unknown_name_says_which_there_are(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.until("09:00")
    code, _, err = explain("ふろ")
    assert code == 2
    assert "no alert of a rule 'ふろ' is in the journal; there are alerts of\n  寝室が暑い" in err


def test_no_alert_at_all(gateway, explain):
    gateway.hear("寝室", CELSIUS, 20, "00:00", 22)
    gateway.until("01:00", 22)
    assert explain() == (
        2,
        "",
        "there is no alert in the journal: none has fired, or it is not written yet\n",
    )


def test_list_shows_the_newest_with_their_numbers(gateway, explain):
    gateway.hear("寝室", CELSIUS, 35, "08:00")
    gateway.hear("ボタン", BUTTON, 1, "14:00")
    gateway.until("14:30")
    code, out, _ = explain("--list")
    assert code == 0
    listed = [line.split("  ") for line in out.splitlines()]
    assert [line[-1] for line in listed][-1] == "呼び出し（ボタン）"
    assert all(line[0].isdecimal() for line in listed)


def test_an_alert_whose_beginning_is_gone_says_that_nobody_knows_why(gateway, explain):
    event = AlertEvent(
        "古い決まり", "玄関", Phase.QUIET, at("08:00"), at("07:00"), Severity.WARNING
    )
    gateway.journal.append([gateway.writer.event(event)])
    gateway.until("09:00")
    ja, en = halves(explain("古い決まり")[1])
    assert ja == [
        "始まりの記録が残っていないため、理由は分かりません。",
        "きょう8:00に終わりました。",
        "この決まりは、いまの設定にはありません。",
    ]
    assert "so it is not known why it fired" in en[0]


def test_a_kind_that_nobody_wrote_about_is_said_in_general(gateway, explain):
    event = AlertEvent(
        "新しい決まり",
        "寝室",
        Phase.FIRING,
        at("08:00"),
        at("07:30"),
        Severity.WARNING,
        31.0,
        "of_the_future",
        CELSIUS,
        (("hold_s", 1800.0), ("unheard_of", 3.0)),
    )
    gateway.journal.append([gateway.writer.event(event)])
    gateway.until("09:00")
    ja, _ = halves(explain("新しい決まり")[1])
    assert ja[:3] == [
        "「新しい決まり」の条件に、きょう7:30からあてはまっていました。",
        "寝室の気温は31℃でした。",
        "30分続いたら知らせる設定です。",
    ]


def test_a_time_that_nobody_knows_is_doubted(tmp_path, capsys):
    gateway = Gateway(tmp_path, settled=False)
    gateway.hear("ボタン", BUTTON, 1, "14:00")
    gateway.until("14:30")
    gateway.journal.close()
    assert main(["explain", "--config", str(gateway.file), "呼び出し"]) == 0
    assert "時計が合う前の記録なので" in capsys.readouterr().out


def test_without_a_journal_it_says_what_to_look_at(tmp_path, capsys):
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG, "utf-8")
    assert main(["explain", "--config", str(file)]) == 2
    assert "has the daemon ever run with this configuration" in capsys.readouterr().err


# ---- texts


ROUTINE = AlertEvent(
    "いつもより動きがない",
    "台所",
    Phase.FIRING,
    at("11:40"),
    at("11:40"),
    Severity.DANGER,
    1.0,
    "routine",
    MOTION,
    (("learned_days", 28.0), ("limit_s", 12_000.0), ("still_s", 16_200.0), ("usual_s", 7200.0)),
)


def test_a_learned_routine_says_what_was_learned_and_from_how_many_days(gateway, explain):
    gateway.journal.append([gateway.writer.event(ROUTINE)])
    gateway.until("12:00")
    ja, en = halves(explain("いつもより")[1])
    assert ja[:3] == [
        "台所のセンサーに、きょう7:10から4時間30分、動きがありません。",
        "この時間帯はふだん長くても2時間以内です（28日分の記録から）。",
        "限度: 3時間20分。",
    ]
    assert en[:3] == [
        "No movement since 07:10 (4 h 30 min) at 台所.",
        "Usually at most 2 h at this time of day (learned from 28 days).",
        "Limit: 3 h 20 min.",
    ]


STORIES = Path(__file__).parents[1] / "vectors" / "rules"


@pytest.mark.parametrize("kind", kinds(rules.conditions))
def test_every_kind_has_a_text(kind):
    assert kind in texts()


@pytest.mark.parametrize("kind", kinds(rules.conditions))
def test_whatever_fires_in_the_stories_of_a_kind_can_be_explained(kind):
    said = 0
    for story in read(STORIES / f"{kind}.toml"):
        for event in lived(story).told:
            rule = next(rule for rule in story.rules if rule.name == event.rule)
            for language in LANGUAGES:
                speaker = Speaker(Words(language, event.at, TOKYO))
                for known in (rule, None):
                    lines = list(speaker.lines(Alert(1, event, is_settled=True), known))
                    assert len(lines) > 1
                    assert not any("{" in line or "None" in line for line in lines)
                    said += 1
    assert said


def sentences():
    return [(kind, sentence) for kind, found in texts().items() for sentence in found]


@pytest.mark.parametrize(("kind", "sentence"), sentences())
def test_both_languages_say_the_same_figures(kind, sentence):
    def named(text):
        return {name.partition(".")[0] for _, name, _, _ in Formatter().parse(text) if name}

    # Where a name would be at the wrong place in one language, it may be left out of it.
    assert named(sentence.ja) ^ named(sentence.en) <= {"sensor", "sensors", "learned_days"}
    assert re.search(r"[。、：:]", sentence.ja)
    assert not re.search(r"[ぁ-んァ-ヶ一-龠]", sentence.en)


@pytest.mark.parametrize(("kind", "sentence"), sentences())
def test_no_sentence_is_a_diagnosis(kind, sentence):
    if kind != "_fault":
        assert not re.search(r"倒れ|死|病気|転|意識|徘徊|認知", sentence.ja)
        assert not re.search(r"\b(fell (down|over)|dead|ill|faint|dementia)\b", sentence.en)


def test_every_sentence_can_be_said(gateway):
    """Every name is one that is known, or a figure with a unit that can be told."""
    general = {
        *("rule", "sensor", "sensors", "rules", "quantity", "value", "state", "at", "since"),
        *(
            "end",
            "ended_at",
            "going_on",
            "room",
            "doors",
            "limit",
            "low",
            "high",
            "by",
            "probability",
            "code",
        ),
    }
    for _, sentence in sentences():
        for name in sentence.fields() - general:
            assert name.endswith(("_s", *UNITS)), name
            assert name not in FROM_SITE


@pytest.mark.parametrize(
    ("seconds", "ja", "en"),
    [
        (0, "0秒", "0 s"),
        (59, "59秒", "59 s"),
        (60, "1分", "1 min"),
        (16_200, "4時間30分", "4 h 30 min"),
        (86_400, "1日", "1 d"),
        (266_400, "3日2時間", "3 d 2 h"),
        (86_430, "1日", "1 d"),
        (-5, "0秒", "0 s"),
    ],
)
def test_lengths(seconds, ja, en):
    length = timedelta(seconds=seconds)
    assert length_text(length, Words("ja", NOW, TOKYO)) == ja
    assert length_text(length, Words("en", NOW, TOKYO)) == en


@pytest.mark.parametrize(
    ("value", "text"), [(20.0, "20"), (1050.126, "1050.13"), (-0.001, "0"), (-3.5, "−3.5")]
)
def test_numbers(value, text):
    assert number_text(value) == text


def test_the_heading_is_one_line(gateway):
    alert = Alert(7, ROUTINE, is_settled=True)
    assert (
        heading(alert, Words("ja", NOW, TOKYO))
        == "7  きょう11:40  すぐに  いつもより動きがない（台所）"
    )
    assert next(Speaker(Words("en", NOW, TOKYO)).lines(alert, None)).startswith("7  11:40  Now")
