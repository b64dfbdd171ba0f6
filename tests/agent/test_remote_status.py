"""`satomori status` asks a real page, and says what to do if nobody answers."""

import asyncio
import io
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from agent.remote_status import status
from agent.web.listener import listener
from agent.web.server import create_app, serve, status_to_json
from gateway_config.load import load
from rules.alert import Severity
from tests.agent.sample_status import BAD_DAY, BROKEN_BLE, GOOD_DAY, JOURNAL, NO_LINK, firing
from tests.fakes.servers import free_port

PATIENCE_S = 5.0


class Command:
    """The command on a gateway whose page listens at this address."""

    def __init__(self, folder, listen="127.0.0.1", *, enabled=True):
        self.port = free_port()
        page = f'listen = "{listen}"\nport = {self.port}\nenabled = {str(enabled).lower()}'
        (folder / "gateway.toml").write_text(f'[gateway]\nname = "g1"\n[page]\n{page}\n')
        self.listen, self.config = listen, load(folder / "gateway.toml")

    def run(self, **options):
        out, err = io.StringIO(), io.StringIO()
        self.code = status(self.config, out, err, **options)
        self.out, self.err = out.getvalue(), err.getvalue()
        return self

    @asynccontextmanager
    async def page(self, shown):
        """Serve the real page."""
        app = create_app(lambda: shown, ZoneInfo("Asia/Tokyo"))
        serving = asyncio.create_task(serve(app, listener(self.listen, self.port)))
        await asyncio.sleep(0)  # it listens from its first step on
        try:
            yield
        finally:
            serving.cancel()
            await asyncio.wait([serving], timeout=PATIENCE_S)

    async def told(self, shown, **options):
        async with self.page(shown):
            return await asyncio.to_thread(self.run, **options)

    async def told_by_another(self, answer):
        """Run the command while another program answers every request like this."""

        async def another(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(another, "127.0.0.1", self.port):
            return await asyncio.to_thread(self.run)


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


def http(body):
    return b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body


async def test_a_good_day_is_told_in_a_few_lines(command):
    told = await command.told(GOOD_DAY)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0].startswith("oouchi-07 (大内・山田花子さん宅), version 0.1.0, at 2026-11-03")
    assert "clock    set" in lines
    assert "ble  hearing" in lines
    assert "no alert is open" in lines
    assert "data     1.23 MB of 5 MB today" in lines
    assert any("温湿度計  temperature_celsius 21.46, humidity_percent 58" in text for text in lines)
    assert all(text == text.rstrip() for text in lines)


async def test_a_bad_day_tells_everything_that_is_wrong(command):
    told = await command.told(BAD_DAY)
    assert (told.code, told.err) == (1, "")
    for words in (
        "NOT SET since power came back",
        "mqtt.example.jp:8883 cannot be reached",
        "data     1.23 MB today\n",
        "database or disk is full",
        "ble  broken hci0 is down",
        "firing  朝から動きがありません",
        "台所の人感センサー  nothing yet  heard never",
    ):
        assert words in told.out


@pytest.mark.parametrize(
    "wrong",
    [
        {"alerts": (firing("too hot", Severity.DANGER),)},
        {"transports": (BROKEN_BLE,)},
        {"journal": replace(JOURNAL, message="the disk is full")},
        {"link": NO_LINK},
        {"clock_trusted": False},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_anything_that_needs_a_look_is_exit_code_1(command, wrong):
    assert (await command.told(replace(GOOD_DAY, **wrong))).code == 1


async def test_for_programs_it_is_the_whole_status_as_one_line_of_json(command):
    told = await command.told(GOOD_DAY, as_json=True)
    assert told.out.count("\n") == 1
    assert json.loads(told.out) == json.loads(status_to_json(GOOD_DAY))


@pytest.mark.parametrize("listen", ["0.0.0.0", "::", "::1", "localhost"])
async def test_a_page_is_found_wherever_it_listens(tmp_path, listen):
    if ":" in listen and not _has_ipv6():
        pytest.skip("no IPv6 here")
    assert (await Command(tmp_path, listen).told(GOOD_DAY)).code == 0


async def test_a_proxy_in_the_environment_is_not_asked(command, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (await command.told(GOOD_DAY)).code == 0


def test_nobody_answers(command):
    told = command.run()
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"no daemon answers at http://127.0.0.1:{command.port}/status.json")
    assert "journalctl -u satomori" in told.err


def test_a_page_that_is_off_cannot_be_asked(tmp_path):
    told = Command(tmp_path, enabled=False).run()
    assert (told.code, told.out) == (2, "")
    assert "the page is off" in told.err


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 503 busy\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        http(b"<html>"),
        http(b"[]"),
        http(b'{"hello": "world"}'),
        http(b"\xff\xfe"),
    ],
)
async def test_what_answers_there_is_another_program(command, answer):
    told = await command.told_by_another(answer)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("no daemon answers at")


def _has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
