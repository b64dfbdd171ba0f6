"""Every word on the page, in Japanese and English, and how times, lengths and sizes are said.

One table, the two languages side by side, so that whoever changes one sees the other. The people
who read the page are 78 or in a hurry: plain words, no abbreviations, no diagnosis, nothing that
sounds like a person in need when it is about a cable. An entry for a value of an enum is named
"<enum>.<value>"; the test holds every enum that the page draws to the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["ja", "en"]

LANGUAGES: Mapping[Language, str] = {"ja": "日本語", "en": "English"}
"""What each language calls itself; the first one is spoken to those who ask for neither."""

TABLE: Mapping[str, tuple[str, str]] = {
    # The glance at the top
    "level.danger": ("すぐに見てください", "Please look now"),
    "level.look": ("見てください", "Please look"),
    "level.equipment": ("機器を確かめてください", "Check the equipment"),
    "level.notice": ("お知らせがあります", "Something to know"),
    "level.well": ("変わりありません", "All is well"),
    "because.danger": ("知らせが{count}件出ています。", "Alerts: {count}"),
    "because.look": ("知らせが{count}件出ています。", "Alerts: {count}"),
    "because.equipment": (
        "人の異常の知らせではありません。ただ、いまは「変わりない」とは言いきれません。",
        "No alert about a person. But just now “all is well” would be saying too much.",
    ),
    "because.notice": ("急ぐことではありません。", "Nothing urgent."),
    "because.well": ("知らせはなく、機器も動いています。", "No alerts, and the equipment works."),
    "also.equipment": (
        "ほかに、確かめてほしい機器があります。",
        "Apart from that, some equipment needs a check.",
    ),
    "fact.at": ("{time} 現在", "As of {time}"),
    "fact.at_doubtful": ("{time} 現在（時計は未確認）", "As of {time}, by an unset clock"),
    "fact.heard": ("最後に届いたのは{ago}：{sensor}", "Last heard {ago}: {sensor}"),
    "fact.nothing_heard": ("まだ何も届いていません", "Nothing has been heard yet"),
    "presence.home": ("ご在宅のようです", "Somebody seems to be at home"),
    "presence.asleep": ("お休みのようです", "Somebody seems to be asleep"),
    "presence.absent": ("長くお留守のようです", "Nobody seems to have been at home for long"),
    "presence.away": (
        "お出かけのようです（戸の開け閉めから）",
        "Nobody seems to be at home (going by the door)",
    ),
    # Alerts
    "alerts.title": ("いま出ている知らせ", "Alerts now"),
    "alerts.since": ("{time}から（{length}）", "Since {time} ({length})"),
    "severity.danger": ("すぐに", "Now"),
    "severity.warning": ("早めに", "Soon"),
    "severity.notice": ("お知らせ", "Note"),
    "severity.fault": ("機器", "Equipment"),
    # Equipment that needs care, and other reasons why quiet may not mean well
    "equipment.title": ("確かめてほしい機器", "Equipment to check"),
    "equipment.note": ("人の異常の知らせではありません。", "This is not about a person."),
    "doubt.clock": (
        "時計がまだ合っていません",
        "The clock is not set yet",
    ),
    "doubt.clock.do": (
        "時刻や「3分前」などの表示が正しくないことがあります。インターネットにつながると自動で合います。",
        "Times and ages on this page may be wrong. It sets itself once there is internet.",
    ),
    "doubt.broken": ("{name}の受信が止まっています", "{name}: the receiver does not work"),
    "doubt.broken.do": (
        "この間のようすは届きません。自動で直そうとしています。続くときは担当の方へ知らせてください。",
        "Nothing arrives through it. Repair is being tried; if it lasts, tell who looks after it.",
    ),
    "doubt.silent": ("{name}から何も届いていません", "{name}: nothing is heard"),
    "doubt.silent.do": (
        "静かなのではなく、電波や線が届いていないおそれがあります。",
        "It may not be quiet there: radio or wire may be failing.",
    ),
    "doubt.starting": ("{name}の受信を準備しています", "{name}: the receiver is starting"),
    "doubt.starting.do": ("少しお待ちください。", "Please wait a moment."),
    "doubt.never_heard": (
        "まだ一度も届いていません：{sensors}",
        "Never heard so far: {sensors}",
    ),
    "doubt.never_heard.do": (
        "電池と、置いた場所を確かめてください。",
        "Check the battery and where it was put.",
    ),
    "doubt.old": ("新しい値が届いていません：{sensors}", "No new values: {sensors}"),
    "doubt.old.do": (
        "下に見えるのは古い値です。電池と、置いた場所を確かめてください。",
        "What is shown below is old. Check the battery and where it was put.",
    ),
    "doubt.no_sensors": ("見守るセンサーがまだありません", "There are no sensors yet"),
    "doubt.no_sensors.do": (
        "設定ファイル gateway.toml にセンサーを書いてください。",
        "Name them in gateway.toml.",
    ),
    "doubt.journal": ("記録を書きこめません", "Records cannot be written"),
    "doubt.journal.do": (
        "いまのようすは残らず、外へも伝わりません。担当の方へ知らせてください。",
        "What happens now is neither kept nor passed on. Tell whoever looks after the equipment.",
    ),
    "doubt.link": ("離れた方へ伝わっていません", "Those far away do not see this"),
    "doubt.link.do": (
        "インターネットへ送れていないためです。記録はここに残っていて、つながりしだい送ります。",
        "Nothing gets through to the cloud. The records are kept here and sent once it does.",
    ),
    "names.more": ("{names}、ほか{count}台", "{names} and {count} more"),
    "names.join": ("、", ", "),
    # Sensors
    "sensors.title": ("センサー", "Sensors"),
    "sensors.elsewhere": ("場所の指定なし", "No place given"),
    "card.never": ("まだ一度も届いていません", "Never heard so far"),
    "card.measured": ("{ago}に測定", "Measured {ago}"),
    "card.heard": ("{ago}に受信", "Heard {ago}"),
    "card.since": ("{time}から", "since {time}"),
    "card.old": ("古い値", "Old value"),
    "card.battery": ("電池 {charge}", "Battery {charge}"),
    "card.battery_low": ("電池が少ない {charge}", "Battery low {charge}"),
    "quantity.temperature_celsius": ("気温", "Temperature"),
    "quantity.humidity_percent": ("湿度", "Humidity"),
    "quantity.soil_temperature_celsius": ("地温", "Soil temperature"),
    "quantity.soil_moisture_percent": ("土の水分", "Soil moisture"),
    "quantity.soil_conductivity_microsiemens_per_cm": ("電気伝導度", "Soil conductivity"),
    "quantity.soil_ph": ("土のpH", "Soil pH"),
    "quantity.contact_open": ("開け閉め", "Open or closed"),
    "quantity.motion_detected": ("動き", "Movement"),
    "quantity.button_event": ("ボタン", "Button"),
    "quantity.globe_temperature_celsius": ("黒球温度", "Globe temperature"),
    "quantity.wind_speed_metre_per_s": ("風", "Wind"),
    "quantity.rain_total_millimetre": ("雨の合計", "Rain in all"),
    "quantity.irradiance_watt_per_square_metre": ("日射", "Sunshine"),
    "quantity.illuminance_lux": ("明るさ", "Brightness"),
    "quantity.leaf_wet": ("葉のぬれ", "Leaves"),
    "quantity.water_level_millimetre": ("水位", "Water level"),
    "quantity.water_temperature_celsius": ("水温", "Water temperature"),
    "quantity.water_flow_litre_per_minute": ("水の流れ", "Flow of water"),
    "quantity.water_detected": ("水もれ", "Leak"),
    "quantity.mains_power_on": ("電気", "Mains"),
    "quantity.switched_on": ("運転", "Running"),
    "quantity.trap_sprung": ("わな", "Trap"),
    "quantity.battery_percent": ("電池", "Battery"),
    "quantity.battery_volt": ("電池", "Battery"),
    "unit.temperature_celsius": ("℃", "°C"),
    "unit.humidity_percent": ("%", "%"),
    "unit.soil_temperature_celsius": ("℃", "°C"),
    "unit.soil_moisture_percent": ("%", "%"),
    "unit.soil_conductivity_microsiemens_per_cm": ("µS/cm", "µS/cm"),
    "unit.soil_ph": ("", ""),
    "unit.globe_temperature_celsius": ("℃", "°C"),
    "unit.wind_speed_metre_per_s": ("m/s", "m/s"),
    "unit.rain_total_millimetre": ("mm", "mm"),
    "unit.irradiance_watt_per_square_metre": ("W/m²", "W/m²"),
    "unit.illuminance_lux": ("lx", "lx"),
    "unit.water_level_millimetre": ("mm", "mm"),
    "unit.water_temperature_celsius": ("℃", "°C"),
    "unit.water_flow_litre_per_minute": ("L/分", "L/min"),
    "unit.battery_percent": ("%", "%"),
    "unit.battery_volt": ("V", "V"),
    "contact_open.0": ("閉まっています", "Closed"),
    "contact_open.1": ("開いています", "Open"),
    "motion_detected.0": ("動きなし", "No movement"),
    "motion_detected.1": ("動きあり", "Movement"),
    "leaf_wet.0": ("乾いています", "Dry"),
    "leaf_wet.1": ("ぬれています", "Wet"),
    "water_detected.0": ("水もれなし", "No leak"),
    "water_detected.1": ("水がもれています", "Water is leaking"),
    "mains_power_on.0": ("停電しています", "Power cut"),
    "mains_power_on.1": ("電気がきています", "Power is on"),
    "switched_on.0": ("止まっています", "Off"),
    "switched_on.1": ("動いています", "Running"),
    "trap_sprung.0": ("しかけてあります", "Set"),
    "trap_sprung.1": ("作動しました", "Sprung"),
    "button_event.1": ("1回押されました", "Pressed once"),
    "button_event.2": ("2回押されました", "Pressed twice"),
    "button_event.3": ("3回押されました", "Pressed three times"),
    "button_event.4": ("長く押されました", "Pressed long"),
    "button_event.5": ("長く2回押されました", "Pressed long, twice"),
    "button_event.6": ("長く3回押されました", "Pressed long, three times"),
    "button_event.128": ("押し続けられています", "Held down"),
    # For whoever looks after the equipment
    "panel.title": ("機器のくわしい状態", "The equipment in detail"),
    "panel.link": ("インターネットへの連絡", "Link to the cloud"),
    "panel.state": ("状態", "State"),
    "panel.unconfirmed": ("確認待ちの記録", "Records not confirmed yet"),
    "panel.confirmed": ("最後の確認", "Last confirmed"),
    "panel.today": ("今日の通信量", "Data used today"),
    "panel.journal": ("記録", "Journal"),
    "panel.journal_ok": ("書きこめています", "Being written"),
    "panel.journal_failing": ("書きこめません", "Cannot be written"),
    "panel.records": ("件数", "Records"),
    "panel.size": ("大きさ", "Size"),
    "panel.of": ("{size}（上限 {limit}）", "{size} of {limit}"),
    "panel.clock": ("時計", "Clock"),
    "panel.clock_trusted": ("合っています", "Set"),
    "panel.clock_doubtful": ("まだ合わせていません", "Not set since power came back"),
    "panel.transports": ("受信部", "Receivers"),
    "panel.sensors": ("センサーごとの受信", "Reception by sensor"),
    "panel.damaged": ("{heard}、こわれた受信{count}回", "{heard}, {count} damaged frames"),
    "panel.with": ("{text}（{detail}）", "{text} ({detail})"),
    "panel.device": ("この装置", "This gateway"),
    "panel.gateway": ("名前", "Name"),
    "panel.version": ("版", "Version"),
    "panel.started": ("起動", "Started"),
    "panel.json": ("すべての値（JSON）", "All values (JSON)"),
    "panel.never": ("まだ一度も", "Never"),
    "link.off": ("インターネットへは送らない設定です", "Set to send nothing to the cloud"),
    "link.connecting": ("インターネットへつなごうとしています", "Connecting to the cloud"),
    "link.online": ("インターネットへ送れています", "Connected to the cloud"),
    "link.waiting": (
        "インターネットへ送れません（自動でやり直します）",
        "No link to the cloud (retrying by itself)",
    ),
    "link.unproven": (
        "インターネットへ送っていますが、届いた確認がありません",
        "Connected to the cloud, but nothing confirms arrival",
    ),
    "receiver.ble": ("無線（Bluetooth）", "Bluetooth radio"),
    "receiver.gpio": ("配線（GPIO）", "Wires (GPIO)"),
    "receiver.modbus": ("配線（Modbus）", "Wires (Modbus)"),
    "receiver.serial": ("配線（シリアル）", "Wires (serial)"),
    "transport.starting": ("準備中", "Starting"),
    "transport.hearing": ("届いています", "Hearing"),
    "transport.silent": ("何も届きません", "Hears nothing"),
    "transport.broken": ("動いていません", "Broken"),
    # Around it
    "page.stale": (
        "新しいようすが届いていません。見えているのは{time}のようすです。",
        "Nothing new comes in. What you see is how it was at {time}.",
    ),
    # Times and lengths
    "time.now": ("たった今", "just now"),
    "time.ago": ("{length}前", "{length} ago"),
    "time.unclear": ("時刻不明", "at an unclear time"),
    "time.yesterday": ("きのう {time}", "yesterday {time}"),
    "time.day": ("{at.month}月{at.day}日 {time}", "{at:%Y-%m-%d} {time}"),
    "length.moment": ("1分未満", "less than a minute"),
    "length.minutes": ("{count}分", "{count} min"),
    "length.hours": ("{count}時間", "{count} h"),
    "length.days": ("{count}日", "{count} days"),
}

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Words:
    """How one reader is spoken to, at one moment."""

    language: Language
    now: datetime
    zone: tzinfo
    """Times of day are said in it."""

    def __call__(self, key: str, /, **parts: object) -> str:
        """Return the words for `key` with `parts` filled in. Raises KeyError for no such key."""
        japanese, english = TABLE[key]
        return (japanese if self.language == "ja" else english).format(**parts)

    def length(self, length: timedelta) -> str:
        """Say how long: "12分", "2 h". Rounded down, in days from two days on."""
        if length < MINUTE:
            return self("length.moment")
        if length < HOUR:
            return self("length.minutes", count=length // MINUTE)
        if length < 2 * DAY:
            return self("length.hours", count=length // HOUR)
        return self("length.days", count=length // DAY)

    def ago(self, at: datetime) -> str:
        """Say how long ago. What lies ahead of us by over a minute was stamped by a wrong clock."""
        age = self.now - at
        if age < -MINUTE:
            return self("time.unclear")
        if age < MINUTE:
            return self("time.now")
        return self("time.ago", length=self.length(age))

    def time(self, at: datetime) -> str:
        """Say when: the time of day, and the day unless it is today."""
        at, today = at.astimezone(self.zone), self.now.astimezone(self.zone).date()
        time = f"{at:%H:%M}" if self.language == "en" else f"{at.hour}:{at:%M}"
        if at.date() == today:
            return time
        if at.date() == today - DAY:
            return self("time.yesterday", time=time)
        return self("time.day", at=at, time=time)

    def number(self, value: float, decimals: int = 0) -> str:
        """Write a number: "1,234", "−3.5" with a real minus sign, and never "−0"."""
        text = f"{round(value, decimals) + 0.0:,.{decimals}f}"
        return text.replace("-", "−")

    def size(self, count: int) -> str:
        """Write a number of bytes in kB, MB or GB (powers of ten)."""
        for unit, scale in (("GB", 10**9), ("MB", 10**6)):
            if count >= scale:
                return f"{self.number(count / scale, 1)} {unit}"
        return f"{self.number(count / 1000, 1)} kB"


def preferred(asked: str | None, accepted: str) -> Language:
    """Return the language to speak: what `?lang=` asks for, else what the browser likes better.

    `accepted` is the Accept-Language header (RFC 9110 section 12.5.4).
    """
    for language in LANGUAGES:
        if asked == language:
            return language
    return max(LANGUAGES, key=lambda language: _liking(accepted, language))


def _liking(accepted: str, language: Language) -> float:
    """Return the highest weight, 0 to 1, that the header gives to `language`."""
    weights = [0.0]
    for choice in accepted.replace(" ", "").lower().split(","):
        tag, _, weight = choice.partition(";q=")
        if tag.partition("-")[0] == language:
            weights.append(_number(weight or "1"))
    return max(weights)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
