"""Serves the gateway's page and its status on the local network; it can be looked at, nothing else.

What it shows is private, and whoever is in the same Wi-Fi can reach it, so: GET and HEAD only, no
cookies, no input beyond `?lang=`, nothing loaded from elsewhere, and no answer to a request that
names another host than this one (otherwise any web site that the reader has open could read the
page by pointing its own name at this address: DNS rebinding).

    /             the page                      /status.json  everything, for `satomori status`
    /healthz      the daemon answers            /page.css, /page.js

At most MAX_CONNECTIONS at once; more are answered 503. A phone that walked out of the Wi-Fi is
noticed by TCP keep-alive within about a minute. Nothing here can hold up the recording.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.status import Status
from agent.web.page import HERE, draw
from agent.web.words import preferred

MAX_CONNECTIONS = 32
FINISH_WITHIN_S = 2
"""How long answers under way may take when the daemon stops."""

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer."""

_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(status: Callable[[], Status], zone: ZoneInfo) -> Starlette:
    """Return the application. `status` is asked once for each look, from the event loop's thread.

    Times of day are shown in `zone`.
    """

    async def page(request: Request) -> Response:
        accepted = request.headers.get("accept-language", "")
        language = preferred(request.query_params.get("lang"), accepted)
        headers = {"Content-Language": language, "Vary": "Accept-Language"}
        return HTMLResponse(draw(status(), language, zone), headers=headers)

    async def status_json(_request: Request) -> Response:
        return Response(status_to_json(status()), media_type="application/json")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/status.json", status_json),
            Route("/healthz", _healthz),
            Route("/page.css", _file("page.css", "text/css")),
            Route("/page.js", _file("page.js", "text/javascript")),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={Exception: _failed},
    )


def status_to_json(status: Status) -> str:
    """Return the whole status as JSON, in the words of agent/status.py.

    Names are the fields' names, values of enums their text, times ISO 8601 with their offset, and
    unknown is null; `values` of a sensor is an object with one member for each quantity. Fields may
    be added, none change their meaning.
    """
    return json.dumps(status, default=_plain, ensure_ascii=False)


def _plain(thing: object) -> object:
    if is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in fields(thing)}
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, datetime):
        return thing.isoformat()
    raise TypeError(f"no JSON for {type(thing).__name__} {thing!r}")


async def _healthz(_request: Request) -> Response:
    """Say that the daemon answers. How the gateway is doing stands in /status.json."""
    return PlainTextResponse("ok\n")


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (HERE / name).read_bytes()

    async def send(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return send


async def _failed(_request: Request, _problem: Exception) -> Response:
    text = (
        "この画面を表示できません。担当の方へ知らせてください。\n"
        "This page cannot be drawn. The reason is in the log: journalctl -u satomori\n"
    )
    return PlainTextResponse(text, status_code=500, headers=HEADERS)


class Guard:
    """Refuses requests that were not meant for this host, and puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        app = self._app if scope["type"] != "http" or _is_meant_for_us(scope) else _misdirected
        await app(scope, receive, send_guarded)


def _is_meant_for_us(scope: Scope) -> bool:
    """Whether the Host header names this machine, or the very address the request came in at.

    An address cannot be rebound, so this holds for whatever address the page listens on.
    """
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and (name in LOOPBACK or name == scope["server"][0])


async def _misdirected(scope: Scope, receive: Receive, send: Send) -> None:
    text = (
        "この画面は、アドレスに数字（IPアドレス）を入れて開いてください。\n"
        f"Open this page by its number: http://{scope['server'][0]}:{scope['server'][1]}/\n"
    )
    await PlainTextResponse(text, status_code=421)(scope, receive, send)


class _Server(uvicorn.Server):
    """uvicorn, for a daemon that has its own signals and sleeps while nobody looks."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        # uvicorn's own wakes ten times a second, to see whether it should end.
        await self.stop.wait()


async def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Serve `app` on this socket until cancelled, and close it."""
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the clock may be wrong (RFC 9110 section 6.6.1)
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=FINISH_WITHIN_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.stop.set()
        await serving
        raise
