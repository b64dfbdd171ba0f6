"""`satomori backtest`: on recordings and journals whose answer is known, and on what is wrong."""

import csv
import gzip
import io
import json
import re
import shlex
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.backtest.command import Progress
from agent.cli import main
from agent.journal import Journal
from agent.journal.block import Stamp
from cloud_sync.wire import LineWriter
from drivers.reading import Quantity
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase
from tests.agent.home import AT, after

ROOT = Path(__file__).parents[2]
DAY_S = 86_400

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
name = "寝室"
device = "switchbot_meter"
address = "A4:C1:38:00:00:02"

[[rule]]
name = "戸が開いたまま"
condition = "opened"
sensor = "玄関"
hold = "10 min"

[[rule]]
name = "hot <&> dry"
condition = "above"
sensor = "寝室"
quantity = "temperature_celsius"
limit = 30
"""

OPENINGS = [(0, 660), (DAY_S, 1200), (2 * DAY_S, 300), (3 * DAY_S, 3600)]
"""From when on the door stands open, and for how many seconds: with 10 minutes three alarms."""

END_S = 30 * DAY_S

WRITER = LineWriter("g1")


def door_rows():
    for begin, lasted in OPENINGS:
        yield begin, "玄関", "contact_open", 1
        yield begin + lasted, "玄関", "contact_open", 0


ROWS = [
    (0, "寝室", "temperature_celsius", 20),
    *door_rows(),
    (5 * DAY_S, "寝室", "temperature_celsius", 31),
    (6 * DAY_S, "寝室", "temperature_celsius", 29),
    (END_S, "寝室", "temperature_celsius", 20),
]


def written(rows):
    lines = [f"{after(s).isoformat()},{sensor},{q},{value}" for s, sensor, q, value in rows]
    return "\n".join(["at,sensor,quantity,value", *lines, ""])


@pytest.fixture
def site(tmp_path):
    (tmp_path / "gateway.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "past.csv").write_text(written(sorted(ROWS)), encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(site, capsys):
    """Run `satomori backtest` with these words; returns (exit code, stdout, stderr)."""

    def run(*words, journal=False):
        where = [] if journal or "--recording" in words else ["--recording", site / "past.csv"]
        config = ["--config", site / "gateway.toml"]
        code = main(["backtest", *map(str, [*config, *where, *words])])
        return (code, *capsys.readouterr())

    return run


def figures(out):
    """Return {rule: {what: [a figure for each variant]}} of the table."""
    found, rule = {}, None
    for line in out.split("\n\n")[2].splitlines()[1:]:
        if not line.startswith(" "):
            rule = found.setdefault(line.split(" (")[0], {})
        else:
            what, *rest = re.split(r"  +", line.strip())
            rule[what] = rest
    return found


def alarms(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- what it says


def test_a_recording_whose_answer_is_known(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    door = figures(out)["戸が開いたまま"]
    assert door["alarms"] == ["3"]
    assert door["alarms per 30 days"] == ["3.00"]
    assert door["95 % interval"] == ["0.62 to 8.77"]
    firing_s = 60 + 600 + 3000
    assert door["time firing"] == [f"{firing_s / END_S:.2%}"]
    hot = figures(out)["hot <&> dry"]
    assert (hot["alarms"], hot["time firing"]) == (["1"], [f"{1 / 30:.2%}"])
    assert figures(out)["all rules"]["alarms"] == ["4"]
    assert "2026-11-23 15:10:00" in out
    assert "1 contact_open" in out
    assert "hold_s=600" in out
    assert "30.0 days watched" in out


def test_a_change_stands_beside_what_is(run):
    changes = ["--change", "戸が開いたまま.hold=25 min", "--change", "hot <&> dry.limit=31.5"]
    _, out, _ = run(*changes)
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3", "1", "3"]
    assert figures(out)["hot <&> dry"]["alarms"] == ["1", "1", "0"]
    assert figures(out)["hot <&> dry"]["alarms per 30 days"] == ["1.00", "1.00", "0.00"]
    assert "A    戸が開いたまま.hold=25 min" in out


def test_several_changes_may_be_one_column(run):
    _, out, _ = run("--change", "戸が開いたまま.hold=25 min", "hot <&> dry.limit=31.5")
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3", "1"]
    assert figures(out)["hot <&> dry"]["alarms"] == ["1", "0"]


def test_a_setting_may_be_taken_away(run):
    _, out, _ = run("--change", "戸が開いたまま.hold=")
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3", "4"]


def test_a_whole_other_configuration_may_be_a_column(run, site):
    other = CONFIG.replace("10 min", "30 min").replace("hot <&> dry", "too warm")
    (site / "other.toml").write_text(other, encoding="utf-8")
    _, out, _ = run("--change-config", site / "other.toml")
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3", "1"]
    assert figures(out)["hot <&> dry"]["alarms"] == ["1", "-"]
    assert figures(out)["too warm"]["alarms"] == ["-", "1"]


def test_an_alarm_that_several_variants_raise_alike_stands_there_once(run):
    _, out, _ = run("--change", "hot <&> dry.limit=30.5")
    (line,) = (line for line in out.splitlines() if "2026-11-23 15:10:00" in line)
    assert line.split()[:2] == ["now", "A"]


def test_true_events_make_alarms_right(run, site):
    first, none = (f"{after(s).isoformat()},{after(s + 700).isoformat()}" for s in (0, 4 * DAY_S))
    lines = ["from,until,rule,note", f'{first},戸が開いたまま,"fell, found"', f"{none},,nothing"]
    (site / "true.csv").write_text("\n".join(lines), encoding="utf-8")
    _, out, _ = run("--true", site / "true.csv", "--csv", site / "alarms.csv")
    door = figures(out)["戸が開いたまま"]
    assert door["false alarms"] == ["2"]
    assert door["false alarms per 30 days"] == ["2.00"]
    assert door["95 % interval"] == ["0.24 to 7.22"]
    assert door["true events noticed"] == ["1 of 2"]
    assert door["after (median)"] == ["10 min"]
    assert [row["is_false"] for row in alarms(site / "alarms.csv")] == ["0", "1", "1", "1"]


def test_without_true_events_nothing_is_called_false(run):
    _, out, _ = run()
    assert "false alarms" not in out
    assert "--true FILE" in out


def test_columns_line_up_in_a_terminal(run):
    def column(line, text):
        before = line[: line.index(text)]
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before)

    lines = run()[1].splitlines()
    heads = [line for line in lines if line.startswith("  in ")]
    for head in heads:
        row = lines[lines.index(head) + 1]
        since = row.split("  ")[-3].strip() if "limit" not in row else None
        assert since is None or column(head, "since") == column(row, since)
    assert len(heads) == 2


# ---- which time


def test_what_is_before_since_is_learned_from_and_not_counted(run):
    _, out, _ = run("--since", after(DAY_S + 700).isoformat())
    door = figures(out)["戸が開いたまま"]
    assert door["alarms"] == ["1"]
    assert door["fired already at the beginning"] == ["1"]


@pytest.mark.parametrize("since", ["2026-11-25T15:00", "28d", "28 d", "2026-11-25T06:00:00Z"])
def test_since_is_a_time_or_so_long_before_the_end(run, since):
    code, out, _ = run("--since", since)
    assert code == 0
    assert out.startswith("2026-11-25 15:00:00 to 2026-12-23 15:00:00")
    assert "28.0 days watched" in out


def test_until_ends_it(run):
    _, out, _ = run("--until", after(DAY_S).isoformat())
    assert figures(out)["戸が開いたまま"]["alarms"] == ["1"]
    assert out.startswith("2026-11-23 15:00:00 to 2026-11-24 15:00:00")


def test_an_alarm_that_fires_at_the_end_is_told_so(run, site):
    out, table = run("--until", after(DAY_S + 700).isoformat(), "--csv", site / "a.csv")[1], "a.csv"
    assert "fires still" in out
    assert [row["over_at"] for row in alarms(site / table)][-1] == ""


def test_an_end_long_after_the_last_reading_is_told(run):
    err = run("--until", "2027-03-01")[2]
    assert "nothing is recorded from 2026-12-23 15:00:00 on" in err


# ---- where from


def as_jsonl():
    keys = ("sensor", "quantity", "value")
    rows = [{"at": after(s).isoformat()} | dict(zip(keys, r, strict=True)) for s, *r in ROWS]
    rows.sort(key=lambda row: row["at"])
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def as_lines():
    lines = [
        line
        for seconds, sensor, quantity, value in sorted(ROWS)
        for line in WRITER.readings(sensor, {Quantity(quantity): value}, after(seconds))
    ]
    return b"".join([*lines, WRITER.event(told(AT))]).decode()


def as_home():
    kinds = {"contact_open": "contact", "temperature_celsius": "status"}
    rows = [f"{after(s).isoformat()},{n},room,{kinds[q]},{v}" for s, n, q, v in sorted(ROWS)]
    return "\n".join(["at,sensor,room,kind,value", *rows])


def told(at):
    return AlertEvent("戸が開いたまま", "玄関", Phase.FIRING, at, at, Severity.WARNING, 1.0)


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", as_jsonl()), ("a.lp", as_lines()), ("home.csv", as_home())]
)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_kind_of_recording_gives_the_same_alarms(run, site, name, content, packed):
    path = site / (name + packed)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    code, out, _ = run("--recording", path)
    assert code == 0
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3"]


def test_several_recordings_are_merged_in_the_order_of_time(run, site):
    rows = sorted(ROWS)
    for n, part in enumerate((rows[1::2], rows[::2])):
        (site / f"{n}.csv").write_text(written(part), encoding="utf-8")
    _, out, err = run("--recording", site / "0.csv", site / "1.csv")
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3"]
    assert err == ""


def fill(site, rows, kernel="machine-1", stamp=None, extra=()):
    journal = Journal(site / "journal", max_bytes=100_000_000, kernel=kernel)
    journal.set_stamp(stamp or Stamp(kernel, 0, settled=True))
    for seconds, sensor, quantity, value in rows:
        journal.append(WRITER.readings(sensor, {Quantity(quantity): value}, after(seconds)))
    journal.append(extra)
    journal.commit(journal.take(None))
    journal.close()


def test_the_journal_gives_the_same_as_a_recording(run, site):
    fill(site, sorted(ROWS), extra=[WRITER.event(told(after(600)))])
    code, out, err = run(journal=True)
    assert (code, err) == (0, "")
    door = figures(out)["戸が開いたまま"]
    assert (door["alarms"], door["95 % interval"]) == (["3"], ["0.62 to 8.77"])
    assert door["told by the daemon then"] == ["1"]
    assert run("--journal", site / "journal", "--since", "30d", journal=True)[1] == out


def test_records_of_which_nobody_knows_the_time_are_left_out(run, site):
    fill(site, sorted(ROWS))
    fill(site, [(0, "玄関", "contact_open", 1)] * 3, "machine-2", Stamp("machine-2", 0, False))
    code, out, err = run(journal=True)
    assert code == 0
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3"]
    assert "3 records left out: nobody knows yet when they were" in err


QUIET = """
[[rule]]
name = "still"
condition = "inactive"
sensor = "玄関"
hold = "12 h"
"""


@pytest.mark.parametrize(("kernel", "count"), [("machine-1", "1"), ("machine-2", "0")])
def test_what_nobody_listened_to_says_nothing(run, site, kernel, count):
    (site / "gateway.toml").write_text(CONFIG + QUIET, encoding="utf-8")
    ends = [(s, "玄関", "contact_open", s % 7 and 1) for s in (0, 3600)]
    fill(site, ends)
    fill(site, [(s + DAY_S, *rest) for s, *rest in ends], kernel)
    _, out, _ = run(journal=True)
    assert figures(out)["still"]["alarms"] == [count]
    assert ("less 23 h off" in out) is (count == "0")


def test_a_damaged_piece_of_the_journal_is_told_and_left_out(run, site):
    fill(site, sorted(ROWS))
    path = next((site / "journal").glob("*.blocks"))
    before = run(journal=True)[1]
    fill(site, [(END_S + 60, "寝室", "temperature_celsius", 35)])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"machine-1") if b"machine-1" in data else len(data) // 2
    data[at] ^= 0x55
    path.write_bytes(data)
    code, out, err = run(journal=True)
    assert code in (0, 1)
    assert before
    assert out or err


# ---- files that it writes


def test_each_alarm_is_a_row(run, site):
    run("--csv", site / "alarms.csv", "--change", "戸が開いたまま.hold=25 min")
    rows = alarms(site / "alarms.csv")
    assert [row["variant"] for row in rows] == ["now", "now", "now", "A", "now", "A"]
    assert rows[0] == {
        "variant": "now",
        "rule": "戸が開いたまま",
        "condition": "opened",
        "severity": "warning",
        "sensor": "玄関",
        "fired_at": "2026-11-23T06:10:00+00:00",
        "since": "2026-11-23T06:00:00+00:00",
        "over_at": "2026-11-23T06:11:00+00:00",
        "lasted_s": "60.0",
        "value": "1.0",
        "quantity": "contact_open",
        "is_false": "",
        "evidence": "hold_s=600",
    }


def test_the_picture_is_svg_with_a_bar_for_each_alarm(run, site):
    run(
        "--picture",
        site / "a.svg",
        "--change",
        "hot <&> dry.limit=31.5",
        "戸が開いたまま.hold=5 min",
    )
    root = ET.fromstring((site / "a.svg").read_bytes())
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    texts = [text.text for text in root.iter(f"{name}text")]
    assert "hot <&> dry" in texts
    assert [text for text in texts if text.endswith(" alarms")] == [
        "3 alarms",
        "4 alarms",
        "1 alarms",
        "0 alarms",
    ]
    bars = [rect for rect in root.iter(f"{name}rect") if rect.find(f"{name}title") is not None]
    assert len(bars) == 3 + 4 + 1


def test_a_label_that_xml_has_no_way_to_write_is_spelt_out(run, site):
    run("--picture", site / "a.svg", "--change", "hot <&> dry.limit=31\x1b\ud800")
    assert not (site / "a.svg").exists()
    (site / "\x1b.toml").write_text(CONFIG, encoding="utf-8")
    run("--picture", site / "a.svg", "--change-config", site / "\x1b.toml")
    assert "\\x1b.toml" in ET.tostring(ET.fromstring((site / "a.svg").read_bytes())).decode()


def test_a_file_of_before_stays_when_nothing_comes_of_it(run, site):
    (site / "alarms.csv").write_text("before")
    code, _, _ = run("--csv", site / "alarms.csv", "--since", "2027-01-01")
    assert code == 2
    assert (site / "alarms.csv").read_text() == "before"
    assert sorted(path.name for path in site.iterdir()) == [
        "alarms.csv",
        "gateway.toml",
        "past.csv",
    ]


# ---- what is wrong


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--since", "yesterday"], 'or how long before the end: "30d"'),
        (["--until", "9999-12-31"], "--until '9999-12-31' is not a time"),
        (["--since", "2026-11-25", "--until", "2026-11-24"], "is not after --since"),
        (["--since", "2027-01-01"], "its newest is of 2026-12-23 15:00:00: change --since"),
        (["--change", "戸が開いたま.hold=1 h"], 'did you mean "戸が開いたまま"?'),
        (["--change", "戸が開いたまま.hild=1 h"], 'did you mean "hold"?'),
        (["--change", "戸が開いたまま.hold"], "write it as 'RULE.key=value'"),
        (["--change", "戸が開いたまま.hold=600"], "must be a duration in quotes"),
        (["--change", "戸が開いたまま.hours="], "has no hours to be taken away"),
        (["--change", "hot <&> dry.limit=1\nmargin=2"], "must be a number"),
        (["--change-config", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--change", *["hot <&> dry.limit=1"], *["--change", "hot <&> dry.limit=2"] * 26], "26"),
        (["--true", "nowhere.csv"], "--true nowhere.csv cannot be read"),
        (["--recording", "nowhere.csv"], "the recording nowhere.csv cannot be read"),
        (["--csv", "nowhere/a.csv"], "give a file in a folder that is there"),
        (["--picture", "nowhere/a.svg"], "--picture nowhere/a.svg cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_with_advice(run, words, told):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert told in err


def test_nothing_is_written_over_what_is_read(run, site):
    code, _, err = run("--csv", site / "past.csv")
    assert code == 2
    assert "is used already here" in err
    assert (site / "past.csv").read_text(encoding="utf-8").startswith("at,")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["at,rule"], "must name the columns from,until"),
        (["from,until", "2026-11-23,"], "line 2: it has no until"),
        (["from,until", "2026-11-23,2026-11-22"], "is before from"),
        (["from,until", "soon,2026-11-22"], "line 2: Invalid isoformat string"),
        (["from,until,rule", "2026-11-22,2026-11-23,戸"], 'rule = "戸": no rule is called so'),
        (["from,until", *["2026-11-22,2026-11-23"] * 1001], "more than 1000 events"),
    ],
)
def test_a_file_of_true_events_that_makes_no_sense_is_refused(run, site, lines, told):
    (site / "true.csv").write_text("\n".join(lines), encoding="utf-8")
    code, _, err = run("--true", site / "true.csv")
    assert code == 2
    assert told in err


def test_without_a_journal_it_says_what_to_look_at(run):
    code, _, err = run(journal=True)
    assert code == 2
    assert "is [journal] path right?" in err


def test_lines_that_cannot_be_read_cost_themselves_only(run, site):
    lines = (site / "past.csv").read_text(encoding="utf-8").splitlines()
    (site / "odd.csv").write_text("\n".join([*lines[:2], "what?", *lines[2:]]), encoding="utf-8")
    code, out, err = run("--recording", site / "odd.csv")
    assert code == 0
    assert figures(out)["戸が開いたまま"]["alarms"] == ["3"]
    assert "odd.csv, line 3: left out" in err


# ---- the rest


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_told_on_a_terminal_only():
    terminal, pipe = Terminal(), io.StringIO()
    for err in (terminal, pipe):
        progress = Progress(err, AT.tzinfo)
        for n in range(20_000):
            progress.seen(after(n))
        progress.clear()
    assert "2026-11-23  20000 readings" in terminal.getvalue()
    assert pipe.getvalue() == ""


def test_the_example_of_the_readme_works(capsys, tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(satomori backtest --config docs.*?)```", readme, re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))[1:]
    words = [str(ROOT / word) if word.startswith("docs/") else word for word in words]
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    shown = re.search(r"```text\n(.*?)```", readme.split(block)[1], re.DOTALL)[1]
    out = capsys.readouterr().out
    assert shown.strip() in out
    assert ET.parse(tmp_path / "backtest.svg")
