"""The page, as a reader gets it: over real HTTP, in both languages, on good days and bad ones."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from string import Formatter

import pytest

from agent.sampling import LastValue
from agent.status import Status
from agent.web.cards import OLD_AFTER
from agent.web.glance import UNDELIVERED_AFTER, Level
from agent.web.listener import CannotListen, listener, somebody_knocks
from agent.web.page import HERE, draw
from agent.web.server import (
    HEADERS,
    MAX_CONNECTIONS,
    create_app,
    serve,
    status_to_json,
)
from agent.web.words import LANGUAGES, TABLE, Words, preferred
from cloud_sync.uplink import LinkState
from drivers.reading import Quantity
from drivers.transport import TransportState
from rules.alert import Severity
from rules.lifecycle import Phase
from rules.presence import Presence
from tests.agent.browser import CHROMIUM, NO_CHROMIUM, Tab, chromium
from tests.agent.sample_status import (
    BAD_DAY,
    BLE,
    BROKEN_BLE,
    CALL_BUTTON,
    FRONT_DOOR,
    GOOD_DAY,
    JAPAN,
    JOURNAL,
    METER,
    NEVER_HEARD,
    NO_LINK,
    NOW,
    ONLINE,
    ago,
    firing,
)

TOLD = [severity for severity in Severity if severity is not Severity.PART]
"""Those that anybody gets to see."""

MAX_WEIGHT_BYTES = 60_000


def text_of(html: str) -> str:
    """Return what is read, with runs of white space as one space."""
    body = re.sub(r"<(style|script|svg|head).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def part(html: str, which: str) -> str:
    """Return the text of the section that is labelled by the element with the id `which`."""
    found = re.search(rf'<section[^>]*aria-labelledby="{which}">.*?</section>', html, re.DOTALL)
    return text_of(found[0]) if found else ""


def read(status: Status) -> str:
    return draw(status, "ja", JAPAN)


def headline(status: Status) -> str:
    found = re.search(r'<h2 id="headline">(.*?)</h2>', read(status))
    assert found
    return found[1]


# --- What the top says -------------------------------------------------------------------------


def test_a_good_day_is_said_to_be_well_and_has_no_lists_of_alerts():
    html = read(GOOD_DAY)
    assert headline(GOOD_DAY) == "変わりありません"
    assert part(html, "alerts") == part(html, "equipment") == ""
    assert "12:34 現在" in part(html, "headline")
    assert "最後に届いたのは2分前：玄関の戸" in part(html, "headline")
    assert "ご在宅のようです" in part(html, "headline")


DOUBTFUL = {
    "clock not trusted": ({"clock_trusted": False}, "時計がまだ合っていません"),
    "transport broken": ({"transports": (BROKEN_BLE,)}, "無線（Bluetooth）の受信が止まっています"),
    "transport silent": (
        {"transports": (replace(BLE, state=TransportState.SILENT),)},
        "無線（Bluetooth）から何も届いていません",
    ),
    "transport starting": (
        {"transports": (replace(BLE, state=TransportState.STARTING),)},
        "受信を準備しています",
    ),
    "sensor never heard": (
        {"sensors": (METER, NEVER_HEARD)},
        "まだ一度も届いていません：台所の人感",
    ),
    "sensor stopped measuring": (
        {"at": METER.values[Quantity.HUMIDITY_PERCENT].at + OLD_AFTER + timedelta(seconds=1)},
        "新しい値が届いていません：温湿度計",
    ),
    "no sensors at all": ({"sensors": ()}, "見守るセンサーがまだありません"),
    "sensor fault": (
        {"alerts": (firing("戸のセンサーが届いていません", Severity.FAULT),)},
        "戸のセンサーが届いていません",
    ),
    "disk full": ({"journal": replace(JOURNAL, message="disk full")}, "記録を書きこめません"),
    "link down for hours": ({"link": NO_LINK}, "離れた方へ伝わっていません"),
    "link without proof": (
        {"link": replace(NO_LINK, state=LinkState.ONLINE)},
        "離れた方へ伝わっていません",
    ),
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_the_top_never_simply_says_all_is_well_while_there_is_doubt(what: str):
    change, reason = DOUBTFUL[what]
    status = replace(GOOD_DAY, **change)
    assert headline(status) == "機器を確かめてください"
    assert "いまは「変わりない」とは言いきれません" in part(read(status), "headline")
    equipment = part(read(status), "equipment")
    assert reason in equipment
    assert "人の異常の知らせではありません" in equipment


def test_equipment_never_reads_like_a_person_in_need():
    html = read(replace(GOOD_DAY, alerts=(firing("電池が切れそうです", Severity.FAULT),)))
    assert part(html, "alerts") == ""
    assert "電池が切れそうです" in part(html, "equipment")


def test_a_person_comes_first_and_the_equipment_is_not_forgotten():
    html = read(BAD_DAY)
    assert headline(BAD_DAY) == "すぐに見てください"
    assert "ほかに、確かめてほしい機器があります" in part(html, "headline")
    alerts = part(html, "alerts")
    assert alerts.index("すぐに") < alerts.index("早めに") < alerts.index("お知らせ")
    assert "朝から動きがありません 8:04から（4時間）" in alerts
    assert "玄関 ・ 玄関の戸 12:22から（12分）" in alerts
    assert "玄関のセンサーが届いていません" not in alerts
    assert html.index('id="alerts"') < html.index('id="equipment"') < html.index('id="sensors"')


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.DANGER, "すぐに見てください"),
        (Severity.WARNING, "見てください"),
        (Severity.NOTICE, "お知らせがあります"),
        (Severity.FAULT, "機器を確かめてください"),
    ],
)
def test_the_headline_follows_the_severity(severity: Severity, expected: str):
    status = replace(GOOD_DAY, alerts=(firing("川の水位", severity),))
    assert headline(status) == expected
    pending = replace(status, alerts=(firing("川の水位", severity, phase=Phase.PENDING),))
    assert headline(pending) == "変わりありません"
    assert "川の水位" not in text_of(read(pending))


def test_a_notice_does_not_hide_a_doubt():
    status = replace(
        GOOD_DAY, alerts=(firing("水やりの時間", Severity.NOTICE),), clock_trusted=False
    )
    assert headline(status) == "機器を確かめてください"
    assert "12:34 現在（時計は未確認）" in part(read(status), "headline")


def test_a_link_that_waits_is_told_at_once_and_doubted_after_an_hour():
    def with_proof(age: timedelta, **change: object) -> Status:
        return replace(GOOD_DAY, link=replace(NO_LINK, confirmed_at=NOW - age, **change))

    young = with_proof(UNDELIVERED_AFTER)
    assert headline(young) == "変わりありません"
    assert "インターネットへ送れません" in part(read(young), "headline")
    late = UNDELIVERED_AFTER + timedelta(seconds=1)
    assert headline(with_proof(late)) == "機器を確かめてください"
    assert headline(with_proof(late, unconfirmed=0)) == "変わりありません"
    off = with_proof(late, state=LinkState.OFF)
    assert headline(off) == "変わりありません"
    assert "インターネットへは送らない設定です" in text_of(read(off))


def test_a_link_that_has_just_started_is_given_its_hour():
    never = replace(NO_LINK, confirmed_at=None)
    assert headline(replace(GOOD_DAY, link=never, started_at=NOW)) == "変わりありません"
    assert headline(replace(GOOD_DAY, link=never)) == "機器を確かめてください"


def test_connected_without_proof_is_not_simply_connected():
    status = replace(GOOD_DAY, link=replace(ONLINE, message="no confirmation for 300 s"))
    assert "届いた確認がありません" in part(read(status), "headline")


def test_presence_is_not_guessed_while_a_receiver_hears_nothing():
    assert "お出かけのようです" in text_of(read(replace(GOOD_DAY, presence=Presence.AWAY)))
    deaf = replace(GOOD_DAY, presence=Presence.AWAY, transports=(BROKEN_BLE,))
    assert "お出かけのようです" not in text_of(read(deaf))


def test_many_silent_sensors_are_named_briefly():
    silent = tuple(replace(NEVER_HEARD, name=f"n{i}") for i in range(9))
    status = replace(GOOD_DAY, sensors=silent)
    assert "まだ一度も届いていません：n0、n1、n2、ほか6台" in text_of(read(status))
    assert "まだ何も届いていません" in part(read(status), "headline")


# --- Sensors -----------------------------------------------------------------------------------


def card(sensor: object) -> str:
    html = read(replace(GOOD_DAY, sensors=(sensor,)))
    found = re.search(r'<li class="card.*?</li>', html, re.DOTALL)
    assert found
    return found[0]


def test_a_number_is_large_with_its_unit_and_its_age_in_words():
    assert text_of(card(METER)) == "温湿度計 気温 21.5 ℃ 湿度 58 % 3分前に測定 電池 74%"


def test_of_two_numbers_the_older_one_dates_the_card():
    younger = {Quantity.HUMIDITY_PERCENT: LastValue(58, NOW, NOW)}
    mixed = card(replace(METER, values={**METER.values, **younger}))
    assert "3分前に測定" in text_of(mixed)


def test_a_state_is_said_in_words_with_since_when_and_when_it_was_heard():
    closed = text_of(card(FRONT_DOOR))
    assert closed == "玄関の戸 開け閉め 閉まっています 9:13から 2分前に受信 電池 85%"
    opened = LastValue(1, ago(hours=20), ago(hours=20))
    said = text_of(card(replace(FRONT_DOOR, values={Quantity.CONTACT_OPEN: opened})))
    assert "開いています きのう 16:34から" in said


def test_a_sensor_that_was_never_heard_says_so():
    assert text_of(card(NEVER_HEARD)) == "台所の人感センサー まだ一度も届いていません"


def test_an_old_number_is_visibly_old():
    values = {Quantity.TEMPERATURE_CELSIUS: LastValue(-0.04, ago(hours=7), ago(hours=7))}
    old = card(replace(METER, values=values, heard_at=NOW))
    assert 'class="card old"' in old
    assert 'class="value old"' in old
    assert text_of(old) == "温湿度計 気温 0.0 ℃ 古い値 7時間前に測定"
    assert "old" not in card(METER)


def test_a_door_is_old_only_when_nothing_was_heard_of_it():
    assert "古い値" not in card(FRONT_DOOR)
    assert "古い値" in card(replace(FRONT_DOOR, heard_at=ago(hours=4)))


def test_a_pressed_button_never_grows_old():
    assert text_of(card(CALL_BUTTON)) == "呼び出しボタン ボタン 1回押されました 3日前"


def test_a_button_that_was_heard_since_says_when():
    assert "1回押されました 3日前 2分前に受信" in text_of(
        card(replace(CALL_BUTTON, heard_at=ago(minutes=2)))
    )


def test_an_unknown_code_of_a_button_is_shown_as_it_is():
    values = {Quantity.BUTTON_EVENT: LastValue(77, ago(minutes=1), ago(minutes=1))}
    assert "ボタン 77" in text_of(card(replace(CALL_BUTTON, values=values)))


def test_a_low_battery_is_said_in_words():
    values = {**METER.values, Quantity.BATTERY_PERCENT: LastValue(9, NOW, NOW)}
    assert "電池が少ない 9%" in text_of(card(replace(METER, values=values)))
    volt = {Quantity.BATTERY_VOLT: LastValue(2.917, NOW, NOW)}
    assert "電池 2.92 V" in text_of(card(replace(METER, values=volt)))


def test_sensors_stand_by_place_in_the_order_of_the_configuration():
    sensors = (
        replace(METER, place="畑", name="甲"),
        replace(METER, place="", name="乙"),
        replace(METER, place="畑", name="丙"),
    )
    names = re.sub("気温.*?74%", "", part(read(replace(GOOD_DAY, sensors=sensors)), "sensors"))
    assert names.split() == ["センサー", "畑", "甲", "丙", "場所の指定なし", "乙"]
    alone = part(read(replace(GOOD_DAY, sensors=sensors[1:2])), "sensors")
    assert alone.startswith("センサー 乙")


# --- Details -----------------------------------------------------------------------------------


def test_the_details_are_folded_and_carry_what_an_engineer_needs():
    html = draw(BAD_DAY, "en", JAPAN)
    panel = html[html.index('<details class="panel" id="panel">') :]
    told = text_of(panel)
    assert "Broken (since 11:52) hci0 is down" in told
    assert "Records not confirmed yet 1,832" in told
    assert "Last confirmed 5 h ago" in told
    assert "Data used today 1.2 MB" in told
    assert "Data used today 1.2 MB of 5.0 MB" in text_of(draw(GOOD_DAY, "en", JAPAN))
    assert "Size 41.3 MB of 500.0 MB" in told
    assert "database or disk is full" in told
    assert "26 h ago, 3 damaged frames (switchbot_contact)" in told
    assert "Clock Not set since power came back" in told


# --- Words -------------------------------------------------------------------------------------


def test_both_languages_are_complete_and_take_the_same_parts():
    for key, (japanese, english) in TABLE.items():
        if key != "unit.soil_ph":
            assert japanese, key
            assert english, key
        assert parts_of(japanese) == parts_of(english), key


def parts_of(text: str) -> set[str]:
    return {name.partition(".")[0] for _, name, _, _ in Formatter().parse(text) if name}


def test_there_are_words_for_everything_the_page_may_have_to_say():
    shown = set(Quantity) - {Quantity.PACKET_ID}
    wanted = {f"quantity.{quantity}" for quantity in shown}
    wanted |= {f"unit.{q}" for q in shown if not (q.is_state or q.is_event)}
    wanted |= {f"{q}.{value}" for q in shown if q.is_state for value in (0, 1)}
    wanted |= {f"level.{level}" for level in Level} | {f"because.{level}" for level in Level}
    wanted |= {f"severity.{severity}" for severity in TOLD}
    wanted |= {f"link.{state}" for state in LinkState}
    wanted |= {f"transport.{state}" for state in TransportState}
    wanted |= {f"presence.{presence}" for presence in set(Presence) - {Presence.UNKNOWN}}
    assert wanted <= TABLE.keys()


def test_the_icons_that_are_used_are_drawn():
    html = draw(BAD_DAY, "ja", JAPAN) + "".join(
        read(replace(GOOD_DAY, alerts=(firing("名前", severity),))) for severity in TOLD
    )
    assert set(re.findall(r'href="#(i-[^"]+)"', html)) <= set(
        re.findall(r'symbol id="([^"]+)"', html)
    )


@pytest.mark.parametrize(
    ("length", "japanese", "english"),
    [
        (timedelta(seconds=59), "たった今", "just now"),
        (timedelta(minutes=1), "1分前", "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59分前", "59 min ago"),
        (timedelta(minutes=119), "1時間前", "1 h ago"),
        (timedelta(hours=47), "47時間前", "47 h ago"),
        (timedelta(hours=48), "2日前", "2 days ago"),
        (timedelta(seconds=-60), "たった今", "just now"),
        (timedelta(seconds=-61), "時刻不明", "at an unclear time"),
    ],
)
def test_ages_are_said_in_words(length: timedelta, japanese: str, english: str):
    assert Words("ja", NOW, JAPAN).ago(NOW - length) == japanese
    assert Words("en", NOW, JAPAN).ago(NOW - length) == english


def test_times_are_said_in_the_time_zone_of_the_site():
    say = Words("ja", datetime(2026, 11, 2, 15, 5, tzinfo=UTC), JAPAN)  # 0:05 on the 3rd in Japan
    assert say.time(datetime(2026, 11, 2, 15, 1, tzinfo=UTC)) == "0:01"
    assert say.time(datetime(2026, 11, 2, 14, 59, tzinfo=UTC)) == "きのう 23:59"
    assert say.time(datetime(2026, 11, 1, 0, 0, tzinfo=UTC)) == "11月1日 9:00"


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, "", "ja"),
        (None, "*", "ja"),
        (None, "fr-FR,fr;q=0.9", "ja"),
        (None, "en-GB,en;q=0.9", "en"),
        (None, "en-GB, en; q=0.9, ja; q=0.8", "en"),
        (None, "vi,en;q=0.3,ja-JP;q=0.2", "en"),
        (None, "ja,en;q=0.9", "ja"),
        (None, "en;q=lots,ja;q=0.1", "ja"),
        ("en", "ja", "en"),
        ("ja", "en", "ja"),
        ("<script>", "en", "en"),
    ],
)
def test_the_reader_is_answered_in_the_language_asked_for(asked, accepted, language):
    assert preferred(asked, accepted) == language


# --- Hostile names -----------------------------------------------------------------------------


class Elements(HTMLParser):
    """Collects every element with its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "{{ 7 * 7 }}{name}{0.__class__}%s",
        "' onmouseover=alert(1) x='",
        "</title><style>*{display:none}</style>",
    ],
)
def test_a_hostile_name_is_only_text(name: str):
    status = replace(
        GOOD_DAY,
        site=name,
        gateway=name,
        sensors=(
            replace(METER, name=name, place=name, kind=name, damaged=1),
            replace(NEVER_HEARD, name=name),
        ),
        alerts=tuple(firing(name, severity, sensor=name, place=name) for severity in TOLD),
        transports=(replace(BROKEN_BLE, name=name, message=name),),
        link=replace(NO_LINK, message=name),
        journal=replace(JOURNAL, message=name),
    )
    html = read(status)
    elements = Elements(html).found
    assert [attrs for tag, attrs in elements if tag == "script"] == [
        {"src": "page.js", "defer": None}
    ]
    assert not [tag for tag, _ in elements if tag in ("img", "style", "iframe")]
    assert not [key for _, attrs in elements for key in attrs if key.startswith(("on", "style"))]
    assert unescape(html).count(name) > 12


# --- Over HTTP ---------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Site:
    """A page that is really served, and the status it shows."""

    port: int
    status: Status = GOOD_DAY

    def now(self) -> Status:
        return self.status

    async def get(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        return await asyncio.to_thread(self._get, path, method, headers)

    def _get(self, path: str, method: str, headers: dict[str, str]) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read().decode())
        finally:
            connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@asynccontextmanager
async def served() -> AsyncIterator[Site]:
    site = Site(free_port())
    serving = asyncio.create_task(
        serve(create_app(site.now, JAPAN), listener("127.0.0.1", site.port))
    )
    await asyncio.sleep(0)  # it listens from its first step on
    try:
        yield site
    finally:
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 5)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with served() as site:
        yield site


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/?lang=en", 200),
        ("/status.json", 200),
        ("/healthz", 200),
        ("/page.css", 200),
        ("/page.js", 200),
        ("/nothing", 404),
        ("/page.html", 404),
        ("/../words.py", 404),
    ],
)
async def test_every_answer_carries_the_security_headers(site: Site, path: str, status: int):
    answer = await site.get(path)
    assert answer.status == status
    for name, value in HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_the_page_can_only_be_looked_at(site: Site, method: str):
    answer = await site.get("/", method)
    assert answer.status == 405
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_head_request_has_no_body(site: Site):
    answer = await site.get("/", "HEAD")
    assert (answer.status, answer.body) == (200, "")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("evil.example@localhost.evil.example", 421),
        ("192.168.1.20", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_only_a_request_that_names_this_host_is_answered(site: Site, host: str, status: int):
    for path in ("/", "/status.json"):
        answer = await site.get(path, Host=host)
        assert answer.status == status
        assert ("花子" in answer.body) == (status == 200)


async def test_the_address_the_request_came_in_at_is_a_name_of_this_host():
    port, listen = free_port(), "127.0.0.2"
    serving = asyncio.create_task(
        serve(create_app(lambda: GOOD_DAY, JAPAN), listener(listen, port))
    )
    await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection(listen, port)
    writer.write(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 5)


async def test_the_language_follows_the_link_and_then_the_browser(site: Site):
    assert '<html lang="ja">' in (await site.get()).body
    english = await site.get(Accept_Language="en-US,en;q=0.9")
    assert '<html lang="en">' in english.body
    assert english.headers["content-language"] == "en"
    japanese = await site.get("/?lang=ja", Accept_Language="en")
    assert '<html lang="ja">' in japanese.body
    assert '<a href="?lang=en" lang="en" hreflang="en">English</a>' in japanese.body


async def test_the_whole_status_is_there_as_json(site: Site):
    site.status = BAD_DAY
    answer = await site.get("/status.json")
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.body)
    assert told["at"] == "2026-11-03T03:34:20+00:00"
    assert told["clock_trusted"] is False
    assert told["link"]["state"] == "waiting"
    assert told["alerts"][0] == {
        "rule": "朝から動きがありません",
        "sensor": "",
        "place": "",
        "severity": "danger",
        "phase": "firing",
        "since": "2026-11-02T23:04:20+00:00",
        "value": None,
    }
    meter = told["sensors"][2]
    assert meter["values"]["temperature_celsius"]["value"] == -3.5
    assert told["sensors"][3]["heard_at"] is None
    assert json.loads(status_to_json(BAD_DAY)) == told


async def test_the_daemon_says_that_it_answers(site: Site):
    assert (await site.get("/healthz")).body == "ok\n"


async def test_a_status_that_cannot_be_had_is_said_plainly(caplog: pytest.LogCaptureFixture):
    port = free_port()

    def fails() -> Status:
        raise RuntimeError("the journal is gone")

    serving = asyncio.create_task(serve(create_app(fails, JAPAN), listener("127.0.0.1", port)))
    await asyncio.sleep(0)
    answer = await Site(port).get()
    assert answer.status == 500
    assert "この画面を表示できません" in answer.body
    assert "journal is gone" not in answer.body
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert "the journal is gone" in caplog.text
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 5)


def test_a_port_in_use_names_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"127.0.0.1 port {port}: .*ss -ltnp"):
            listener("127.0.0.1", port)


def test_an_address_of_another_machine_names_what_to_do():
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1 port 8080: .*ip address"):
        listener("192.0.2.1", 8080)


async def test_nothing_is_loaded_before_somebody_knocks():
    with listener("127.0.0.1", 0) as listening:
        knocked = asyncio.create_task(somebody_knocks(listening))
        await asyncio.sleep(0)
        assert not knocked.done()
        with socket.create_connection(listening.getsockname()):
            await asyncio.wait_for(knocked, 5)


async def test_too_many_at_once_are_sent_away_and_the_next_one_is_served(site: Site):
    streams = [
        await asyncio.open_connection("127.0.0.1", site.port) for _ in range(MAX_CONNECTIONS)
    ]
    assert (await site.get()).status == 503
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    assert (await site.get()).status == 200


async def test_a_phone_that_stays_connected_does_not_hold_up_the_end():
    async with served() as site:
        _, idle = await asyncio.open_connection("127.0.0.1", site.port)
        await site.get()
    idle.close()


async def test_a_normal_day_weighs_little_and_a_hundred_alerts_can_still_be_read(site: Site):
    parts = [(await site.get(path)).body for path in ("/", "/page.css", "/page.js")]
    assert sum(len(part.encode()) for part in parts) < MAX_WEIGHT_BYTES
    alerts = tuple(firing(f"知らせ{i}", Severity.WARNING, sensor=f"s{i}") for i in range(100))
    site.status = replace(GOOD_DAY, alerts=alerts)
    html = (await site.get()).body
    assert "知らせが100件出ています" in part(html, "headline")
    assert "知らせ99" in part(html, "alerts")
    assert len("".join([html, *parts[1:]]).encode()) < MAX_WEIGHT_BYTES


# --- How it looks ------------------------------------------------------------------------------

CSS = (HERE / "page.css").read_text()
SCHEMES = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))


def pairs() -> Iterator[tuple[str, str, str]]:
    for name, scheme in zip(("light", "dark"), SCHEMES, strict=True):
        for text in filter(lambda colour: colour.startswith("on-"), colours(scheme)):
            yield name, text, text.split("-")[1]


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2, 0 to 1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("scheme", "text", "surface"), list(pairs()))
def test_every_colour_can_be_read_on_its_surface(scheme: str, text: str, surface: str):
    named = colours(SCHEMES[("light", "dark").index(scheme)])
    dark, light = sorted((luminance(named[text]), luminance(named[surface])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_both_schemes_name_the_same_colours_and_there_are_no_others():
    light, dark = map(colours, SCHEMES)
    assert light.keys() == dark.keys()
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{3,8}\b(?!\s*\{)|rgb|hsl|opacity", re.sub(r"#stale", "", rules))
    assert set(re.findall(r"var\(--([a-z-]+)\)", rules)) == light.keys()


WIDE_DAY = replace(
    BAD_DAY,
    site="とても長い名前の集落・" * 4 + "x" * 60,
    sensors=(
        *BAD_DAY.sensors,
        replace(METER, name="W" * 80, place="W" * 80),
    ),
    alerts=(firing("長" * 90, Severity.DANGER, sensor="W" * 80), *BAD_DAY.alerts),
)


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    async with chromium(tmp_path) as tab:
        yield tab


async def title_becomes(tab: Tab, start: str) -> None:
    """Wake the page as a phone does when it is looked at again, and wait for the new title."""
    await tab.ask(
        f"""new Promise(done => {{
            const look = () => document.title.startsWith({json.dumps(start)}) && done();
            new MutationObserver(look).observe(document, {{childList: true, subtree: true}});
            document.dispatchEvent(new Event("visibilitychange"));
        }})"""
    )


CUT_OFF = """[...document.querySelectorAll("body *")].filter(
    (e) => !e.closest(".unseen, svg") && e.getBoundingClientRect().right > %d
).map((e) => e.outerHTML)"""

SMALLEST_TYPE = """Math.min(...[...document.querySelectorAll("body *")].map(
    (e) => parseFloat(getComputedStyle(e).fontSize)
))"""


@pytest.mark.servers
@pytest.mark.timeout(60)
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_nothing_is_cut_off_in_either_language(site: Site, tab: Tab, width: int):
    await tab.look_like(width=width, height=844)
    for site.status in (GOOD_DAY, BAD_DAY, WIDE_DAY):
        for language in LANGUAGES:
            await tab.open(f"http://127.0.0.1:{site.port}/?lang={language}")
            await tab.ask("document.querySelector('details').open = true")
            assert await tab.ask("document.documentElement.lang") == language
            assert await tab.ask("document.documentElement.scrollWidth") == width
            assert await tab.ask(CUT_OFF % width) == []
            assert await tab.ask(SMALLEST_TYPE) >= 16


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_it_is_dark_where_the_phone_is_dark(site: Site, tab: Tab):
    for scheme, colour in zip(("light", "dark"), SCHEMES, strict=True):
        await tab.look_like(width=390, height=844, scheme=scheme)
        await tab.open(f"http://127.0.0.1:{site.port}/")
        painted = await tab.ask("getComputedStyle(document.body).backgroundColor")
        paper = colours(colour)["paper"]
        wanted = [int(paper[i : i + 2], 16) for i in (1, 3, 5)]
        assert [int(channel) for channel in re.findall(r"\d+", painted)] == wanted
        assert (await tab.screenshot()).startswith(b"\x89PNG")


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_it_follows_what_happens_and_never_stays_falsely_green(tab: Tab):
    async with served() as site:
        await tab.look_like(width=390, height=844)
        await tab.open(f"http://127.0.0.1:{site.port}/?lang=ja")
        await tab.ask("document.querySelector('details').open = true")
        await tab.ask("document.querySelector('summary').focus()")
        site.status = BAD_DAY
        await title_becomes(tab, "すぐに見てください")
        assert await tab.ask("document.querySelector('details').open")
        assert await tab.ask("document.activeElement.tagName") == "SUMMARY"
        assert (
            await tab.ask("document.getElementById('spoken').textContent") == "すぐに見てください"
        )
        assert await tab.ask("document.getElementById('stale').hidden")
        site.status = GOOD_DAY
        await title_becomes(tab, "変わりありません")
        green = await tab.ask("getComputedStyle(document.querySelector('.glance')).backgroundColor")
    await tab.ask(
        """new Promise(done => {
            const note = document.getElementById("stale");
            new MutationObserver(() => note.hidden || done()).observe(note, {attributes: true});
            document.dispatchEvent(new Event("visibilitychange"));
        })"""
    )
    assert "12:34のようすです" in await tab.ask("document.getElementById('stale').innerText")
    grey = await tab.ask("getComputedStyle(document.querySelector('.glance')).backgroundColor")
    assert grey != green
