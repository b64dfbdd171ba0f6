"""`satomori journal …`: what it says of journals that are sound, damaged, empty, absent or busy."""

import gzip
import json
import os
import random
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import pytest

from agent.cli import main
from agent.demo import counts
from agent.journal import Journal
from agent.journal.block import Block, Stamp
from agent.journal.cursor import MAX_AGAIN
from agent.journal.manifest import Settlement
from agent.journal.reader import is_in_use, opened, records
from agent.journal.segment import Segment
from agent.journal_tool.verify import LOOKS, checked, is_torn
from cloud_sync.spans import Spans
from cloud_sync.wire import LineWriter, corrected, parse_line
from drivers.capture import frame_to_json
from drivers.reading import Quantity
from rules.alert import AlertEvent, Severity
from rules.lifecycle import Phase
from tests.agent.home import AT, after, door

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
BIG = 100_000_000

CONFIG = """
[gateway]
name = "g1"
timezone = "UTC"

[journal]
path = "journal"
commit_every = "0.1 s"

[clock]
source = "system"

[uplink]
host = "127.0.0.1"
port = 1
tls = false

[page]
enabled = false

[recorded]
file = "capture.jsonl"
speed = 5000.0

[[sensor]]
name = "door"
device = "gpio_contact"
pin = 17

[[sensor]]
name = "寝室"
device = "bthome"
address = "A4:C1:38:00:00:01"

[[rule]]
name = "戸が開いたまま"
condition = "opened"
sensor = "door"
hold = "0.05 s"

[[rule]]
name = "door is open"
condition = "opened"
sensor = "door"
"""

WRITER = LineWriter("g1")
UNKNOWN = Stamp("machine-1", 0, settled=False)


@pytest.fixture
def site():
    """A folder with a configuration, in which other users may look around."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "gateway.toml").write_text(CONFIG)
        yield Path(folder)


@pytest.fixture
def run(site, capsys):
    """Run `satomori journal` with these words; returns (exit code, stdout, stderr)."""

    def run(action, *words):
        config = str(site / "gateway.toml")
        code = main(["journal", action, "--config", config, *map(str, words)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def start(site):
    """Open the site's journal as a daemon would, with small files; several times if need be."""
    running = []

    def start(**options):
        defaults = {"max_bytes": BIG, "segment_bytes": 8_000, "write_loss": write_loss}
        running.append(Journal(site / "journal", **(defaults | options)))
        return running[-1]

    yield start
    for journal in running:
        journal.close()


def write_loss(loss):
    return WRITER.loss(loss.reason, loss.readings, (AT, after(60)), after(60))


def celsius(value, at, sensor="寝室"):
    return WRITER.readings(sensor, {Quantity.TEMPERATURE_CELSIUS: value}, at)


def alert(at=AT, *, time_uncertain=False):
    event = AlertEvent("rule", "door", Phase.FIRING, at, at, Severity.WARNING, 1.0)
    return WRITER.event(event, time_uncertain=time_uncertain)


def commit(journal, *lines, stamp=None, states=None):
    if stamp is not None:
        journal.set_stamp(stamp)
    journal.append(lines)
    journal.commit(journal.take(states))


def fill(journal, commits=40, lines=50, begin=0):
    """Commit readings that fill several files; returns them all."""
    chance, written = random.Random(begin), []
    for n in range(commits):
        block = [
            line
            for k in range(lines)
            for line in celsius(chance.random(), after(begin + n * lines + k))
        ]
        commit(journal, *block)
        written += block
    return written


def files_of(site):
    return sorted((site / "journal").glob("*.blocks"))


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


def everything(folder):
    """All there is to know about a folder from outside."""
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino, path.is_file() and path.read_bytes())
        for path in [folder, *sorted(folder.rglob("*"))]
    }


# ---- no journal


@pytest.mark.parametrize("action", ["status", "verify", "export", "resend"])
def test_without_a_journal_it_says_what_to_look_at(run, action):
    code, out, err = run(action, *(["--all"] if action == "resend" else []))
    assert (code, out) == (2, "")
    assert "No such file or directory" in err
    assert "has the daemon ever run with this configuration" in err


@pytest.mark.parametrize("action", ["status", "verify", "export", "resend"])
def test_a_file_is_no_journal(run, site, action):
    (site / "journal").write_text("of an earlier version")
    code, _, err = run(action, *(["--all"] if action == "resend" else []))
    assert code == 2
    assert "a journal is a folder" in err


def test_an_empty_folder_is_a_journal_with_nothing_in_it(run, site):
    (site / "journal").mkdir()
    code, out, _ = run("status")
    assert code == 0
    assert "none yet" in out
    assert run("verify")[:2] == (0, "0 files, 0 sound blocks, 0 records\n")
    assert run("export")[:2] == (0, "")
    code, _, err = run("resend", "--all")
    assert (code, err) == (2, "there is no record in the journal yet\n")


@pytest.mark.parametrize("action", ["status", "verify", "export", "resend"])
def test_without_permission_it_says_who_may(run, site, start, action):
    commit(start(), *celsius(1, AT))
    words = ["--all"] if action == "resend" else []
    run(action, *words)  # modules are where the other user may not look, too
    with as_somebody_else(site):
        code, out, err = run(action, *words)
    assert (code, out) == (2, "")
    assert "Permission denied" in err
    assert "run this as root, or as the user of the daemon" in err


@contextmanager
def as_somebody_else(site):
    """Be nobody, if we are root; else let nobody be us."""
    if os.geteuid():
        (site / "journal").chmod(0)
        yield
        (site / "journal").chmod(0o700)
        return
    (site / "journal").chmod(0o700)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_journal_of_a_newer_version_is_left_alone(run, site, start, monkeypatch):
    monkeypatch.setattr("agent.journal.manifest.VERSION", 99)
    start().close()
    monkeypatch.undo()
    code, _, err = run("status")
    assert code == 2
    assert "newer Satomori (version 99)" in err


# ---- status


def status(run):
    code, out, _ = run("status", "--json")
    assert code == 0
    return json.loads(out)


def test_status_says_what_is_in_there(run, site, start):
    first = start(kernel="machine-0")
    first.set_stamp(Stamp("machine-0", 0, settled=True))
    fill(first, commits=30)
    first.close()
    journal = start(kernel="machine-1")
    journal.set_stamp(Stamp("machine-1", 0, settled=True))
    fill(journal, commits=1, begin=5000)
    body = status(run)
    assert body["folder"] == str(site / "journal")
    assert body["in_use"]
    assert body["files"] == len(files_of(site)) > 3
    assert body["bytes"] == sum(path.stat().st_size for path in files_of(site))
    assert body["max_bytes"] == 500_000_000
    assert body["numbers"] == [1, 1550]
    assert body["oldest_us"] == parse_line(celsius(1, AT)[0]).time_ns // 1000
    assert body["newest_us"] == parse_line(celsius(1, after(5049))[0]).time_ns // 1000
    assert body["boots"] == [
        {"label": first.boot, "first": 1, "machine_start": "machine-0"},
        {"label": journal.boot, "first": 1501, "machine_start": "machine-1"},
    ]
    assert body["losses"] == []
    assert body["unsettled"] == []
    assert body["asked_to_resend"] == ""


def test_status_says_when_no_daemon_is_there(run, start):
    journal = start()
    commit(journal, *celsius(1, AT))
    assert "a daemon works on it" in run("status")[1]
    journal.close()
    assert "no daemon works on it" in run("status")[1]


def test_status_says_where_a_cursor_stands(run, start):
    journal = start()
    fill(journal, commits=10)
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, Spans.parse("1-99,201-300"))
    commit(journal, alert())
    found = status(run)["cursors"]["uplink"]
    assert found["through"] == 99
    assert found["holes"] == "100-200"
    assert found["unconfirmed"] == 501 - 99 - 100
    assert found["oldest_unconfirmed_us"] == parse_line(celsius(1, after(99))[0]).time_ns // 1000
    cursor.reopen(Spans.parse("5-7"))
    commit(journal, alert())
    found = status(run)["cursors"]["uplink"]
    assert list(found["again"].values()) == ["5-7"]
    text = run("status")[1]
    assert (
        "uplink: confirmed through 4; 306 unconfirmed, the oldest from 2026-11-23 06:00:04" in text
    )
    assert "5-7,100-200" in text
    assert "wanted again" in text


def test_what_is_gone_counts_as_unconfirmed_no_more(run, site, start):
    journal = start()
    fill(journal, commits=40)
    journal.cursor("uplink").confirm(journal.boot, Spans.parse("1990-1999"))
    commit(journal, alert())
    journal.close()
    files_of(site)[0].unlink()
    body = status(run)
    first = body["numbers"][0]
    assert first > 1
    found = body["cursors"]["uplink"]
    assert (found["through"], found["unconfirmed"]) == (0, 2001 - (first - 1) - 10)
    assert found["holes"] == f"{first}-1989"


def test_the_oldest_unconfirmed_is_one_that_is_there(run, site, start):
    journal = start()
    fill(journal, commits=4)
    journal.cursor("uplink").confirm(journal.boot, Spans.parse("1-50,101-150"))
    commit(journal, alert())
    journal.close()
    path = files_of(site)[0]
    flip(path, next(h for h in Segment.open(path).heads if h.first == 51 and h.records).at + 60)
    found = status(run)["cursors"]["uplink"]
    assert found["holes"] == "51-100"
    assert found["oldest_unconfirmed_us"] == parse_line(celsius(1, after(150))[0]).time_ns // 1000


def test_status_says_which_times_are_not_known_and_why(run, start, monkeypatch):
    monkeypatch.setattr("agent.clock.System.boot_id", lambda _: "machine-1")
    journal = start(kernel="machine-1")
    for name, count in (("machine-0", 1), ("machine-1", 2), ("machine-2", 3)):
        lines = [line for n in range(count) for line in celsius(n, after(n))]
        commit(journal, *lines, stamp=Stamp(name, 0, settled=False))
    journal.note([("machine-2", 0, 0)])
    commit(journal, alert(), stamp=Stamp("machine-1", 0, settled=True))
    found = status(run)["unsettled"]
    assert [(s["first"], s["last"], s["records"]) for s in found] == [
        (1, 1, 1),
        (2, 3, 2),
        (4, 6, 3),
    ]
    assert "never right in that start of the machine" in found[0]["why"]
    assert "needs NTP" in found[1]["why"]
    assert "became known meanwhile" in found[2]["why"]
    assert "6 records wait for theirs" in run("status")[1]


def test_status_says_what_was_lost_and_what_is_damaged(run, site, start):
    journal = start()
    fill(journal, commits=30)
    journal.close()
    flip(files_of(site)[-1], Segment.open(files_of(site)[-1]).heads[1].at + 60)
    journal = start()
    commit(journal, alert())
    body = status(run)
    assert [(loss["reason"], loss["readings"]) for loss in body["losses"]] == [("damaged", 50)]
    assert body["damaged"]["pieces"] == 1
    text = run("status")[1]
    assert "50 readings known of, on 1 occasions: 1 × damaged" in text
    assert f"set aside in {site / 'journal' / 'damaged'}" in text


def test_status_does_not_read_all_files(run, site, start):
    fill(start(), commits=60)
    paths = files_of(site)
    for path in paths[1:-1]:
        path.write_bytes(os.urandom(100))
    assert len(paths) > 5
    assert status(run)["numbers"] == [1, 3000]


# ---- verify


def test_a_sound_journal_is_sound(run, site, start):
    fill(start(), commits=30)
    code, out, err = run("verify")
    assert (code, err) == (0, "")
    assert out.count("sound  ") == len(files_of(site)) > 3
    assert out.endswith(" 1500 records\n")


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("block", [0, 1, -1])
def test_what_is_damaged_is_found_and_named(run, site, start, which, block):
    journal = start()
    fill(journal, commits=30)
    journal.close()
    path = files_of(site)[which]
    flip(path, Segment.open(path).heads[block].at + 60)
    code, out, err = run("verify")
    assert code == 1
    assert f"{path.name}  DAMAGED" in out
    assert "are damaged" in out
    assert "1 files are damaged. Nothing has to be repaired" in err


def test_any_flipped_byte_is_found(site, start):
    journal = start()
    fill(journal, commits=20)
    journal.close()
    chance, paths = random.Random(1), files_of(site)
    for _ in range(100):
        path = chance.choice(paths)
        at = chance.randrange(Segment.open(path).end)
        flip(path, at)
        assert [file.path for file in checked(paths) if file.problems] == [path], (path, at)
        flip(path, at)
    assert not any(file.problems for file in checked(paths))


def test_a_file_of_nonsense_and_an_empty_one_are_damaged(run, site, start):
    start().close()
    (site / "journal" / f"{500:020d}.blocks").write_bytes(b"nonsense")
    (site / "journal" / f"{501:020d}.blocks").write_bytes(b"")
    code, out, _ = run("verify")
    assert code == 1
    assert "bytes 0 to 8 are damaged" in out
    assert "there is no block in it" in out


def test_strangers_in_the_folder_are_nobodys_business(run, site, start):
    commit(start(), *celsius(1, AT))
    (site / "journal" / "1-copy.blocks").write_bytes(b"nonsense")
    (site / "journal" / "notes.txt").write_text("mine")
    assert run("verify")[0] == 0
    assert status(run)["files"] == 1


def test_a_commit_that_was_under_way_when_the_power_went_is_no_damage(run, site, start):
    journal = start()
    fill(journal, commits=2, lines=200)
    journal.close()
    path = files_of(site)[-1]
    found = Segment.open(path)
    last = found.heads[-2]
    data = bytearray(path.read_bytes())
    assert last.size > 2000
    data[last.at + last.size // 2 : found.end] = bytes(found.end - last.at - last.size // 2)
    path.write_bytes(data)
    code, out, _ = run("verify")
    assert code == 0
    assert f"at byte {last.at} lies the beginning of a commit" in out


def test_what_never_arrived_is_told_from_what_was_damaged_later(site, start):
    journal = start()
    fill(journal, commits=1, lines=200)
    journal.close()
    segment = Segment.open(files_of(site)[-1])
    head = segment.heads[-2]
    data, at = segment.read(head), head.at
    cut = -at % 512
    sectors = [(0, cut), *((a, min(a + 512, len(data))) for a in range(cut, len(data), 512))]
    for a, b in sectors:
        if b - a > 8:
            torn = data[:a] + bytes(b - a) + data[b:]
            assert is_torn(torn.rstrip(b"\0"), at), (a, b)
    for spot in range(0, len(data), 37):
        damaged = data[:spot] + bytes([data[spot] ^ 0x55]) + data[spot + 1 :]
        if spot not in range(8, 12):  # its length, of which anything can be believed
            assert not is_torn(damaged.rstrip(b"\0"), at), spot


# ---- export


def exported(run, *words):
    code, out, err = run("export", *words)
    assert code == 0, err
    return out


def test_everything_is_exported_in_order(run, start):
    journal = start()
    written = fill(journal, commits=30)
    commit(journal, alert())
    lines = exported(run, "--format", "line-protocol").encode().splitlines(keepends=True)
    assert lines == [*written, alert()]


def test_readings_are_exported_with_their_names_and_values(run, start):
    values = {Quantity.TEMPERATURE_CELSIUS: 21.5, Quantity.HUMIDITY_PERCENT: 48}
    commit(start(), *WRITER.readings("戸, “表”", values, AT), alert())
    expected = {"at": "2026-11-23T06:00:00+00:00", "sensor": "戸, “表”"}
    code, out, err = run("export", "--format", "jsonl")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        expected | {"quantity": "temperature_celsius", "value": 21.5},
        expected | {"quantity": "humidity_percent", "value": 48.0},
    ]
    assert err.splitlines()[1].startswith("1 left out: alerts")
    assert exported(run, "--format", "csv").splitlines()[1:] == [
        '2026-11-23T06:00:00+00:00,"戸, “表”",temperature_celsius,21.5,,',
        '2026-11-23T06:00:00+00:00,"戸, “表”",humidity_percent,48.0,,',
    ]


def test_only_that_time_is_exported(run, start):
    fill(start(), commits=1, lines=60)
    words = ["--from", "2026-11-23T06:00:10", "--to", "2026-11-23T06:00:20+00:00"]
    times = [json.loads(line)["at"][17:19] for line in exported(run, *words).splitlines()]
    assert times == [str(second) for second in range(10, 21)]
    assert len(exported(run, "--from", "2026-11-23T06:00:50").splitlines()) == 10
    assert len(exported(run, "--to", "2026-11-23T06:00:00").splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--from", "soon"], "--from 'soon' is not a time"),
        (["--to", "9999-01-01"], "--to '9999-01-01' is not a time: the year 9999"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "is before --from"),
        (["--out", "/nowhere/x"], "/nowhere/x cannot be written"),
    ],
)
def test_what_cannot_be_exported(run, start, words, told):
    commit(start(), *celsius(1, AT))
    code, out, err = run("export", *words)
    assert (code, out) == (2, "")
    assert told in err


def test_times_that_became_known_are_exported_right(run, start):
    journal = start(kernel="machine-1")
    event = alert(time_uncertain=True)
    commit(journal, *celsius(1, AT), *celsius(2, after(1)), event, stamp=UNKNOWN)
    assert exported(run, "--format", "line-protocol").encode() == b"".join(
        [*celsius(1, AT), *celsius(2, after(1)), event]
    )
    _, out, err = run("export")
    assert json.loads(out.splitlines()[0])["time_uncertain_seconds"] == "unknown"
    assert "2 with a time that may be wrong" in err
    from_us = parse_line(celsius(1, AT)[0]).time_ns // 1000
    settlement = Settlement(1, 3, from_us, 3_600_000_000, 0, 7)
    journal.note([], [settlement])
    commit(journal, corrected(event, settlement.settled(event)))
    rows = [json.loads(line) for line in exported(run).splitlines()]
    assert [(row["at"][11:19], row["time_uncertain_seconds"]) for row in rows] == [
        ("07:00:00", 7),
        ("07:00:01", 7),
    ]
    assert exported(run, "--format", "csv").splitlines()[1].endswith(",1.0,,7")
    lines = exported(run, "--format", "line-protocol").encode().splitlines(keepends=True)
    # What was sent at once keeps its time: the correction is one more record of the same point.
    assert lines[2:] == [event, corrected(event, settlement.settled(event))]
    assert lines[0] == settlement.settled(celsius(1, AT)[0])
    assert exported(run, "--from", "2026-11-23T07:00:01").count("\n") == 1


def test_means_say_of_how_many_readings_they_are(run, start):
    commit(start(), b"air,gateway=g1,sensor=x temperature_celsius=2.5,mean_of=5 1000000000\n")
    assert json.loads(exported(run)) == {
        "at": "1970-01-01T00:00:01+00:00",
        "sensor": "x",
        "quantity": "temperature_celsius",
        "value": 2.5,
        "mean_of": 5,
    }


def test_lines_that_are_no_readings_are_left_out_and_counted(run, start):
    odd = [b"air x=1 5\n", b"nonsense\n", b"air,gateway=g1,sensor=x temperature_celsius=b 7\n"]
    journal = start()
    commit(journal, *odd[:1], *celsius(1, AT))
    journal.append(odd[2:])
    journal.commit(journal.take())
    code, out, err = run("export")
    assert (code, out.count("\n")) == (0, 1)
    assert "2 left out" in err


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_an_export_can_go_into_a_file(run, site, start, name):
    commit(start(), *celsius(21.5, AT))
    code, out, err = run("export", "--out", site / name)
    assert (code, out, err) == (0, "", "1 records\n")
    read = gzip.open if name.endswith(".gz") else open
    with read(site / name, "rt", encoding="utf-8") as file:
        assert json.loads(file.read())["value"] == 21.5


def test_damaged_records_are_named_and_the_others_exported(run, site, start):
    journal = start()
    fill(journal, commits=30)
    journal.close()
    path = files_of(site)[1]
    segment = Segment.open(path)
    head = next(h for h in segment.heads[1:] if h.records)
    flip(path, head.at + 60)
    code, out, _ = run("export", "--format", "line-protocol")
    # The block is no block any more, so its number is missing, which verify tells.
    assert (code, out.count("\n")) == (0, 1500 - head.records)
    assert run("verify")[0] == 1


def test_a_block_that_breaks_while_it_is_read_is_told(site, start, run, monkeypatch):
    journal = start()
    fill(journal, commits=3)
    real = Segment.read

    def read(segment, head):
        return b"" if head.first == 51 else real(segment, head)

    monkeypatch.setattr(Segment, "read", read)
    code, out, err = run("export", "--format", "line-protocol")
    assert (code, out.count("\n")) == (1, 100)
    assert "51 to 100 are damaged and left out" in err


@pytest.mark.timeout(60)
def test_replay_of_an_export_gives_the_alerts_that_there_were(run, site):
    frames = [door(1 - n % 2, after(n * 700)) for n in range(8)]
    (site / "capture.jsonl").write_text("".join(frame_to_json(f) + "\n" for f in frames))
    config = site / "gateway.toml"
    daemon = subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--config", config],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = monotonic() + PATIENCE_S
        while len(files_of(site)) == 0 or counts.entered(site / "journal") < 8 + 16:
            assert monotonic() < deadline, "the daemon did not hear it all in time"
            assert daemon.poll() is None, daemon.stderr.read()
            sleep(0.05)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE_S)
    alerts = [(e.rule, e.phase.value, e.at.isoformat()) for e in counts.alerts(site / "journal")]
    assert len(alerts) == 16
    for name in ("x.jsonl", "x.csv.gz"):
        words = ["--format", name.split(".")[1], "--out", site / name]
        assert run("export", *words)[0] == 0
    for name in ("x.jsonl", "x.csv.gz"):
        ran = subprocess.run(
            [sys.executable, "-m", "agent", "replay", "--config", config, site / name],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        events = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [(e["rule"], e["phase"], e["at"]) for e in events] == alerts
        assert "8 readings judged, 0 of them too late; 0 lines left out" in ran.stderr


# ---- beside a daemon, and without changing anything

WRITING = """
import sys
from pathlib import Path
from agent.journal import Journal
journal = Journal(Path(sys.argv[1]), max_bytes=400_000, segment_bytes=20_000)
cursor, n = journal.cursor("uplink"), 0
print("ready", flush=True)
for allowed in sys.stdin:
  while n < int(allowed):
      journal.append([b"air,gateway=g1,sensor=x temperature_celsius=%d %d\\n" % (m % 7919, m)
                      for m in range(n + 1, n + 101)])
      n += 100
      journal.commit(journal.take())
      if n % 1000 == 0:
          from cloud_sync.spans import Spans
          cursor.confirm(journal.boot, Spans([(1, n)]))
"""


@pytest.mark.timeout(60)
def test_all_of_it_works_while_a_daemon_writes_and_removes_files(run, site):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITING, site / "journal"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        newest = 0
        while newest < 90_000:
            # However slow this machine reads, the files of the newer half stay while it does.
            writer.stdin.write(f"{newest + 15_000}\n")
            writer.stdin.flush()
            body = status(run)
            code, out, _ = run("verify")
            assert code == 0, out
            lines = exported(run, "--format", "line-protocol").encode().splitlines(keepends=True)
            times = [int(line.rsplit(b" ", 1)[1]) for line in lines]
            # Files at the beginning may go while they are read; otherwise nothing is missing.
            assert times == sorted(set(times))
            assert writer.poll() is None
            if times:
                newest = times[-1]
                last = times[len(times) // 2 :]
                assert last == list(range(last[0], last[-1] + 1))
            if body["numbers"]:
                assert body["numbers"][1] <= newest
    finally:
        writer.kill()
        writer.communicate()
    assert run("verify")[0] == 0


def test_a_commit_that_is_just_being_written_is_no_damage_however_often_it_is_met(
    site, start, monkeypatch
):
    journal = start()
    fill(journal, commits=12)
    journal.close()
    path = files_of(site)[-1]
    whole, blocks = path.read_bytes(), iter(Segment.open(path).heads[-LOOKS:])

    def write_on(_s=0):
        """All before the next block, and of that one all but its last byte."""
        head = next(blocks)
        path.write_bytes(whole[: head.at + head.size - 1].ljust(len(whole) + 4096, b"\0"))

    write_on()
    monkeypatch.setattr("agent.journal_tool.verify.time.sleep", write_on)
    (found,) = checked([path])
    assert (found.problems, found.note) == ([], "")


def test_what_does_not_move_between_two_looks_is_damage(site, start, monkeypatch):
    journal = start()
    fill(journal, commits=12)
    journal.close()
    path = files_of(site)[-1]
    segment, looks = Segment.open(path), []
    flip(path, segment.heads[-1].at + 60)
    monkeypatch.setattr("agent.journal_tool.verify.time.sleep", looks.append)
    (found,) = checked([path])
    assert found.problems == [f"bytes {segment.heads[-1].at} to {segment.end} are damaged"]
    assert 0 < len(looks) < LOOKS


def test_reading_changes_nothing_whatever_is_wrong(run, site, start):
    journal = start()
    fill(journal, commits=40)
    journal.close()
    folder, paths = site / "journal", files_of(site)
    flip(paths[0], Segment.open(paths[0]).heads[1].at + 60)
    flip(paths[-2], Segment.open(paths[-2]).heads[1].at + 60)
    segment = Segment.open(paths[-1])
    with paths[-1].open("r+b") as file:
        file.seek(segment.heads[1].at + 50)
        file.write(b"damaged")
        file.seek(segment.end)
        file.write(b"\x93SJ1torn")
    (folder / f"{10**6:020d}.blocks").write_bytes(b"nonsense")
    (folder / f"{10**6:020d}.blocks.new").write_bytes(b"unfinished")
    before = everything(folder)
    for action in ("status", "verify", "export"):
        run(action)
    assert run("resend", "--numbers", "0")[0] == 2
    assert everything(folder) == before


def test_a_newest_file_that_is_nonsense_doubles_nothing(run, site, start):
    journal = start()
    written = fill(journal, commits=30)
    journal.close()
    (site / "journal" / f"{10**6:020d}.blocks").write_bytes(b"nonsense")
    lines = exported(run, "--format", "line-protocol").encode().splitlines(keepends=True)
    assert lines == written


def test_a_daemon_starts_beside_strange_files(site, start):
    start().close()
    (site / "journal" / "1-copy.blocks").write_bytes(b"nonsense")
    commit(start(), *celsius(1, AT))


def test_a_file_that_goes_between_two_looks_is_no_reason_to_fail(run, start, monkeypatch):
    fill(start(), commits=3)
    real, gone = Segment.open, [1, 2]

    def open_(path, **options):
        if gone:
            gone.pop()
            raise FileNotFoundError(2, "No such file or directory")
        return real(path, **options)

    monkeypatch.setattr(Segment, "open", open_)
    assert exported(run).count("\n") == 150
    assert not gone


@pytest.mark.parametrize("action", ["verify", "export"])
def test_a_commit_seen_half_written_is_looked_at_again(run, site, start, monkeypatch, action):
    """A reader can see the second of two commits before all of the first."""
    fill(start(), commits=3)
    path = files_of(site)[-1]
    whole, real, seen = path.read_bytes(), Segment.open, []
    flip(path, real(path).heads[1].at + 60)
    half = path.read_bytes()
    path.write_bytes(whole)

    def open_(opened_path, **options):
        path.write_bytes(whole if seen else half)
        segment = real(opened_path, **options)
        path.write_bytes(whole)
        seen.append(bool(segment.damaged))
        return segment

    monkeypatch.setattr(Segment, "open", open_)
    code, out, _ = run(action)
    assert (code, seen[:2]) == (0, [True, False])
    assert action == "verify" or out.count("\n") == 150


def test_what_this_version_does_not_understand_is_said(run, site):
    (site / "journal").mkdir()
    strange = Block("00c0ffee", 1, notes={"settlements": [["of", "another", "kind"]]})
    (site / "journal" / f"{1:020d}.blocks").write_bytes(strange.encode())
    code, _, err = run("status")
    assert code == 2
    assert "holds what this version cannot understand" in err


def test_whether_a_daemon_works_on_it_is_seen_without_its_lock(site, start):
    folder = site / "journal"
    assert not is_in_use(folder)
    journal = start()
    assert is_in_use(folder)
    journal.close()
    assert not is_in_use(folder)


# ---- resend


def test_a_request_waits_for_the_daemon_and_is_joined(run, site, start):
    journal = start()
    fill(journal, commits=30)
    code, out, err = run("resend", "--numbers", "118-500,600")
    assert (code, err) == (0, "")
    assert out.startswith("about 384 records, ")
    assert "are sent again now, within the 5 MB a day" in out
    assert (site / "journal" / "resend").read_text() == "#satomori-resend 1\n118-500,600\n"
    journal.close()
    code, out, _ = run("resend", "--from", "2026-11-23T06:10:00", "--to", "2026-11-23T06:10:09")
    assert code == 0
    assert out.splitlines()[0].startswith("about 10 records, ")
    assert "when the daemon runs again" in out
    assert out.splitlines()[1] == "with what was asked for before: 118-500,600-610"
    assert status(run)["asked_to_resend"] == "118-500,600-610"
    assert "118-500,600-610 are to be sent again" in run("status")[1]


def test_all_is_all_that_is_there(run, site, start):
    fill(start(), commits=30)
    _, out, _ = run("resend", "--all")
    assert out.startswith("about 1500 records, ")
    assert (site / "journal" / "resend").read_text() == "#satomori-resend 1\n1-1500\n"
    kilobytes = float(out.split(", ")[1].split()[0])
    ends = [Segment.open(path).end for path in files_of(site)]
    assert 0.8 < kilobytes * 1000 / sum(ends) <= 1.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--numbers", ""], "there are 1 to 1500"),
        (["--numbers", "0-5"], "not a span: 0-5"),
        (["--numbers", "9-5"], "not a span: 9-5"),
        (["--numbers", "all"], "not a list of spans such as 1-5,9: 'all'"),
        (["--numbers", "1-1501"], "--numbers 1-1501: there are 1 to 1500"),
        (["--numbers", "5", "--to", "2026-01-01"], "--to goes with --from only"),
        (["--all", "--to", "2026-01-01"], "--to goes with --from only"),
        (["--from", "soon"], "--from 'soon' is not a time"),
        (["--from", "2027-01-01"], "no record is from that time"),
    ],
)
def test_nonsense_is_refused(run, site, start, words, told):
    fill(start(), commits=30)
    code, out, err = run("resend", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert not (site / "journal" / "resend").exists()


@pytest.mark.parametrize("words", [[], ["--all", "--numbers", "5"], ["--from", "x", "--all"]])
def test_one_way_to_say_which_has_to_be_chosen(run, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("resend", *words)
    assert stopped.value.code == 2
    assert "--numbers" in capsys.readouterr().err


def test_one_request_too_many_waits(run, start):
    journal = start()
    fill(journal, commits=3)
    for number in range(1, MAX_AGAIN + 1):
        journal.cursor("uplink").reopen(Spans([(number, number)]))
    commit(journal, alert())
    assert (
        "are sent again when the first of 16 earlier requests is through"
        in (run("resend", "--all")[1])
    )


def test_what_is_gone_is_told(run, site, start):
    journal = start()
    fill(journal, commits=60)
    cursor = journal.cursor("uplink")
    cursor.confirm(journal.boot, Spans([(1, 3000)]))
    journal.max_bytes = 40_000
    commit(journal, alert())
    first = status(run)["numbers"][0]
    assert first > 100
    code, out, _ = run("resend", "--numbers", f"1-{first + 9}")
    assert code == 0
    assert out.startswith("about 10 records")
    assert f"gone, and not sent: 1-{first - 1}\n" in out
    assert run("resend", "--numbers", "1-5")[0] == 2


def test_without_a_way_to_the_cloud_nothing_can_be_sent(run, site, start):
    commit(start(), *celsius(1, AT))
    config = (site / "gateway.toml").read_text()
    begin, end = config.index("[uplink]"), config.index("[page]")
    (site / "gateway.toml").write_text(config[:begin] + config[end:])
    code, _, err = run("resend", "--all")
    assert (code, err) == (2, "the configuration has no [uplink]: nothing is sent from here\n")


def test_a_strange_request_is_not_overwritten(run, site, start):
    commit(start(), *celsius(1, AT))
    (site / "journal" / "resend").write_text("what?")
    code, _, err = run("resend", "--all")
    assert code == 2
    assert f"{site / 'journal' / 'resend'} is no request" in err
    assert "remove that file" in err
    assert (site / "journal" / "resend").read_text() == "what?"
    assert "unreadable" in status(run)["asked_to_resend"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_request_to_the_owner_of_the_journal(run, site, start):
    start().close()
    commit(start(), *celsius(1, AT))
    os.chown(site / "journal", 65534, 65534)
    assert run("resend", "--all")[0] == 0
    found = (site / "journal" / "resend").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o600)


# ---- the demonstration counts


def test_the_demonstration_counts_records_and_alerts_not_corrections(site, start):
    journal = start()
    written = fill(journal, commits=3)
    event = alert(time_uncertain=True)
    commit(journal, alert(), event, corrected(event, event))
    assert counts.entered(site / "journal") == len(written) + 3
    found = counts.alerts(site / "journal")
    assert [(e.rule, e.phase, e.at) for e in found] == [("rule", Phase.FIRING, AT)] * 2
    numbers = [record.number for record in records(opened(site / "journal"), after=100)]
    assert numbers == list(range(101, 154))
