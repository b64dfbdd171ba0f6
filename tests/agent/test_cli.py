"""The commands as they are typed: what they print, and what they return."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from time import monotonic

import pytest

from agent.cli import main
from agent.journal import Journal
from drivers.capture import frame_to_json, read_frames
from tests.agent.home import after, door, meter, points, press
from tests.fakes.journal import kept
from tests.fakes.servers import free_port

ROOT = Path(__file__).parents[2]
COMMANDS = ("run", "check", "demo", "listen", "decode", "replay", "status", "ingest")
STOP_WITHIN_S = 5.0
PATIENCE_S = 8.0

CONFIG = """
[gateway]
name = "g1"

[journal]
path = "journal"
commit_every = "0.1 s"

[page]
port = {port}

[recorded]
file = "capture.jsonl"
speed = 1000.0
repeat = {repeat}

[[sensor]]
name = "door"
device = "gpio_contact"
pin = 17

[[sensor]]
name = "meter"
device = "bthome"
address = "A4:C1:38:00:00:01"

[[rule]]
name = "door is open"
condition = "opened"
sensor = "door"
"""


@pytest.fixture
def site(tmp_path):
    """A folder with a configuration and the recording that it plays."""
    frames = [door(1), meter(21.5, after(1)), press(after(2)), meter(22, after(3))]
    (tmp_path / "capture.jsonl").write_text("".join(frame_to_json(f) + "\n" for f in frames))
    configure(tmp_path)
    return tmp_path


def configure(folder, repeat="false", **replaced):
    text = CONFIG.format(port=free_port(), repeat=repeat)
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "gateway.toml").write_text(text)
    return folder / "gateway.toml"


class Ran:
    """What a command in this process printed and returned."""

    def __init__(self, capsys, *words):
        try:
            self.code = main([str(word) for word in words])
        except SystemExit as exit_:
            self.code = exit_.code
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def run(capsys):
    return lambda *words: Ran(capsys, *words)


def started(*words, **options):
    """Start a command in a process of its own."""
    command = [sys.executable, "-m", "agent", *map(str, words)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, **(streams | options))


# The command line itself


def test_without_a_command_it_tells_which_there_are(run):
    ran = run()
    assert ran.code == 2
    assert "the following arguments are required: COMMAND" in ran.err


def test_help_names_every_command_and_each_has_its_own(run):
    ran = run("--help")
    assert ran.code == 0
    for command in COMMANDS:
        assert f"    {command} " in ran.out
        one = run(command, "--help")
        assert (one.code, one.err) == (0, "")
        assert one.out.startswith(f"usage: satomori {command} ")


def test_it_knows_its_version(run):
    assert run("--version").out == f"satomori {version('satomori')}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run", "now"], "unrecognized arguments: now"),
        (["run", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["check"], "required: FILE"),
        (["listen", "--seconds", "soon"], "'soon' is not a number of seconds above 0"),
        (["listen", "--seconds", "-1"], "'-1' is not a number of seconds above 0"),
        (["listen", "--seconds", "nan"], "'nan' is not a number of seconds above 0"),
        (["listen", "--seconds", "inf"], "'inf' is not a number of seconds above 0"),
        (["decode", "--set", "button"], "'button' is not KEY=VALUE"),
        (["replay"], "required: recording"),
        (["status", "--yaml"], "unrecognized arguments: --yaml"),
        (["demo", "--seconds", "1"], "--seconds"),
        (["ingest"], "required: --mqtt"),
    ],
)
def test_wrong_arguments_are_told_with_the_usage(run, words, told):
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("usage: satomori ")
    assert told in ran.err


# Configurations that cannot be used


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--config"],
        ["check"],
        ["listen", "--config"],
        ["replay", "capture.jsonl", "--config"],
        ["status", "--config"],
    ],
    ids=lambda words: words[0],
)
def test_a_configuration_that_is_not_there_is_named(run, tmp_path, words):
    ran = run(*words, tmp_path / "nowhere.toml")
    assert (ran.code, ran.out) == (2, "")
    assert f"{tmp_path}/nowhere.toml" in ran.err
    assert "No such file" in ran.err


def test_the_daemon_does_not_start_with_mistakes_and_tells_all_of_them(run, site):
    path = configure(site, **{"pin = 17": "pin = 99", 'name = "g1"': 'name = "G 1"'})
    ran = run("run", "--config", path)
    assert (ran.code, ran.out) == (2, "")
    assert ": 2 mistakes" in ran.err
    assert "99" in ran.err
    assert "G 1" in ran.err
    assert not (site / "journal").exists()


def test_check_says_that_a_configuration_can_be_used(run, site):
    ran = run("check", site / "gateway.toml")
    assert (ran.code, ran.err) == (0, "")
    assert "no mistakes" in ran.out


# run


def test_the_journal_of_another_program_is_left_alone(run, site):
    (site / "journal").write_bytes(b"theirs")
    ran = run("run", "--config", site / "gateway.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "is a file: the journal is a folder of its own" in ran.err
    assert (site / "journal").read_bytes() == b"theirs"


def test_a_journal_that_cannot_be_opened_is_told_with_what_to_check(run, site):
    path = configure(site, **{'path = "journal"': 'path = "capture.jsonl/journal"'})
    ran = run("run", "--config", path)
    assert ran.code == 2
    assert "check that the folder exists, who owns it, and that the disk has room" in ran.err


class Daemon:
    """`satomori run` in a process of its own, with a real socket in systemd's place."""

    def __init__(self, site):
        self.site, self.told = site, []
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(site / "notify"))
        self._systemd.settimeout(PATIENCE_S)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(site / "notify"),
            "RUNTIME_DIRECTORY": str(site),
        }
        config = site / "gateway.toml"
        self._process = started("run", "--config", config, env=environment, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._systemd.close()
        (self.site / "notify").unlink()

    def until(self, message):
        """Read what systemd is told up to this message."""
        while message not in self.told:
            self.told.append(self._systemd.recv(100).decode())

    def until_kept(self, lines):
        """Wait, at the pace of the watchdog, until so many lines are in the journal."""
        self.until("READY=1")
        while len(kept(self.site / "journal")) < lines:
            self.told.clear()
            self.until("WATCHDOG=1")

    def stop(self):
        """Return the exit code, how long it took, and the log."""
        since = monotonic()
        self._process.send_signal(signal.SIGTERM)
        _, log = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, monotonic() - since, log


def test_the_daemon_hears_keeps_answers_and_stops(site, run):
    with Daemon(site) as daemon:
        daemon.until_kept(3)
        ran = run("status", "--json", "--config", site / "gateway.toml")
        assert ran.code == 1  # an alert fires
        body = json.loads(ran.out)
        assert [alert["rule"] for alert in body["alerts"]] == ["door is open"]
        assert [sensor["damaged"] for sensor in body["sensors"]] == [0, 0]
        assert body["journal"]["message"] == ""
        code, stop_s, log = daemon.stop()
        daemon.until("STOPPING=1")
    assert (code, log.splitlines()[-1]) == (
        0,
        "INFO agent.app: stopped",
    )
    assert stop_s < STOP_WITHIN_S
    assert {line.split(b",")[0] for line in kept(site / "journal")} == {
        b"contact",
        b"air",
        b"alert",
    }


def run_until_kept(site, lines):
    """Run the daemon until so many lines are in the journal; returns its log."""
    with Daemon(site) as daemon:
        daemon.until_kept(lines)
        code, _, log = daemon.stop()
    assert code == 0
    return log


def test_an_alert_that_fired_before_a_restart_is_over_after_it(site):
    run_until_kept(site, 3)
    (site / "capture.jsonl").write_text(frame_to_json(door(0)) + "\n")
    run_until_kept(site, 5)
    alerts = points(line for line in kept(site / "journal") if line.startswith(b"alert"))
    assert [alert.tags["phase"] for alert in alerts] == ["firing", "quiet"]


def test_the_daemon_begins_afresh_when_its_state_cannot_be_read(site):
    run_until_kept(site, 3)
    journal = Journal(site / "journal", max_bytes=10_000_000)
    journal.commit(journal.take({"engine": b"[1, 2, 3]", "sampler": b"[1, 2, 3]"}))
    journal.close()
    log = run_until_kept(site, 6)
    assert log.count("cannot be read from the journal") == 2


# listen, decode and replay


def test_listen_writes_into_a_file_that_is_packed_if_its_name_says_so(run, site):
    for name in ("heard.jsonl", "heard.jsonl.gz"):
        ran = run("listen", "--config", site / "gateway.toml", "--out", site / name)
        assert (ran.code, ran.out) == (0, "")
        assert ran.err.endswith("\n4 frames\n")
        assert len(list(read_frames(site / name))) == 4


def test_listen_says_when_it_cannot_write(run, site):
    path = site / "nowhere" / "heard.jsonl"
    ran = run("listen", "--config", site / "gateway.toml", "--out", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"{path} cannot be written: ")


def test_listen_says_when_the_disk_is_full(run, site):
    ran = run("listen", "--config", site / "gateway.toml", "--out", "/dev/full")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("/dev/full cannot be written: ")


def test_listen_ends_when_its_reader_has_enough(site):
    config = configure(site, repeat="true")
    with started("listen", "--config", config) as listening:
        assert json.loads(listening.stdout.readline())["transport"] == "gpio"
        listening.stdout.close()
        assert listening.wait(PATIENCE_S) == 0
        assert b"Traceback" not in listening.stderr.read()


def test_listen_can_be_interrupted(site):
    config = configure(site, repeat="true")
    with started("listen", "--config", config) as listening:
        listening.stdout.readline()
        listening.send_signal(signal.SIGINT)
        frames = 1 + len(listening.stdout.read().splitlines())
        assert listening.stderr.read().decode().splitlines()[-1] == f"{frames} frames"
        assert listening.wait(PATIENCE_S) == 0


def test_what_listen_writes_decode_reads(site):
    with (
        started("listen", "--config", site / "gateway.toml") as listening,
        started("decode", stdin=listening.stdout, text=True) as decoding,
    ):
        listening.stdout.close()
        out, err = decoding.communicate(timeout=PATIENCE_S)
        listening.stderr.read()
    readings = [json.loads(line) for line in out.splitlines()]
    assert [reading["value"] for reading in readings] == [21.5, 22.0]
    assert (decoding.returncode, err.startswith("frames: 4, readings: 2")) == (0, True)


def test_decode_reads_on_after_bytes_that_are_no_text(run, monkeypatch):
    lines = b"\xff\xfe\n" + frame_to_json(meter(21.5)).encode() + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), "utf-8"))
    ran = run("decode", "--device", "bthome")
    assert (ran.code, json.loads(ran.out)["value"]) == (0, 21.5)
    assert "line 1: unreadable" in ran.err


def test_decode_refuses_a_kind_that_there_is_not(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    ran = run("decode", "--device", "bhtome")
    assert (ran.code, ran.out) == (2, "")
    assert "bthome" in ran.err


def test_replay_prints_what_would_have_been_alerted(run, site):
    words = ("replay", "--config", site / "gateway.toml", site / "capture.jsonl")
    ran = run(*words)
    assert ran.code == 0
    assert [json.loads(line)["rule"] for line in ran.out.splitlines()] == ["door is open"]
    assert run(*words).out == ran.out
    assert run(*words, "--until", "2026-11-23T14:59").out == ""
    assert run(*words, "--until", "2026-11-23T15:00").out == ran.out


@pytest.mark.parametrize("until", ["tomorrow", "9999-12-31", "0001-01-01"])
def test_replay_refuses_an_end_that_is_no_time(run, site, until):
    words = ("--config", site / "gateway.toml", "--until", until, site / "capture.jsonl")
    ran = run("replay", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"--until '{until}' is not a time: ")


def test_replay_refuses_a_file_that_is_not_there(run, site):
    ran = run("replay", "--config", site / "gateway.toml", site / "nowhere.csv")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"{site}/nowhere.csv cannot be replayed: ")


@pytest.mark.parametrize("lines", [1, 2000])
def test_replay_does_not_complain_when_nobody_reads(site, lines):
    frames = [door(n % 2, after(n)) for n in range(lines, 0, -1)][::-1]
    (site / "long.jsonl").write_text("".join(frame_to_json(f) + "\n" for f in frames))
    reading, writing = os.pipe()
    os.close(reading)
    with started(
        "replay", "--config", site / "gateway.toml", site / "long.jsonl", stdout=writing
    ) as replaying:
        os.close(writing)
        _, err = replaying.communicate(timeout=PATIENCE_S)
    assert replaying.returncode == 0
    assert b"Traceback" not in err
    assert b"Broken" not in err


def test_a_command_that_is_interrupted_says_so_with_its_exit_code():
    with started("decode", stdin=subprocess.PIPE) as decoding:
        decoding.stdin.write(b"{\n")
        decoding.stdin.flush()
        assert decoding.stderr.readline().startswith(b"line 1: unreadable")
        decoding.send_signal(signal.SIGINT)
        assert decoding.stderr.read() == b""
        assert decoding.wait(PATIENCE_S) == 130


# status and ingest


def test_status_without_a_daemon_is_exit_code_2(run, site):
    ran = run("status", "--config", site / "gateway.toml")
    assert (ran.code, ran.out) == (2, "")
    assert "does it run? `systemctl status satomori`" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mqtt", "http://x"], "mqtts://HOST:8883"),
        (["--mqtt", "mqtt://x", "--partitions", "9-3"], "'9-3' is not like 0-63"),
        (["--mqtt", "mqtt://x", "--set-aside", "."], "--influx --sqlite is required"),
        (["--mqtt", "mqtt://x", "--set-aside", ".", "--influx", "http://y"], "needs --bucket"),
    ],
)
def test_ingest_refuses_what_cannot_be(run, words, told):
    ran = run("ingest", *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "agent", "--version"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == f"satomori {version('satomori')}\n"
