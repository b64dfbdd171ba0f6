"""The command behind `satomori status`: asks the running daemon how it is doing, and prints it."""

import json
from http.client import HTTPException
from typing import Any, TextIO
from urllib.request import ProxyHandler, build_opener

from gateway_config.model import GatewayConfig, PageSettings

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16 << 20
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # looked up, not bound to
"""Where a page is asked that listens on all addresses of its family."""


def status(config: GatewayConfig, out: TextIO, err: TextIO, *, as_json: bool = False) -> int:
    """Print the status: 0 if all is well, 1 if something needs a look, 2 if nobody answers."""
    if not config.page.enabled:
        print("the page is off in the configuration, so the daemon cannot be asked", file=err)
        return 2
    url = _url(config.page)
    try:
        body = _asked(url)
    except (OSError, HTTPException, ValueError) as problem:
        print(
            f"no daemon answers at {url} ({problem}): does it run? "
            "`systemctl status satomori` and `journalctl -u satomori` tell",
            file=err,
        )
        return 2
    print(json.dumps(body, ensure_ascii=False) if as_json else text(body), file=out)
    return 1 if needs_a_look(body) else 0


def _data(link: dict[str, Any]) -> str:
    used, limit = link["bytes_today"], link["max_bytes_today"]
    return f"{used / 1e6:.2f} MB" + ("" if limit is None else f" of {limit / 1e6:g} MB")


def _url(page: PageSettings) -> str:
    host = LOOPBACK.get(page.listen, page.listen)
    return f"http://{f'[{host}]' if ':' in host else host}:{page.port}/status.json"


def _asked(url: str) -> dict[str, Any]:
    # No proxy: it could not reach this machine by its loopback address.
    with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as answer:
        body = json.loads(answer.read(MAX_ANSWER_BYTES))
    if not isinstance(body, dict) or "gateway" not in body:
        raise ValueError("what answers there is no Satomori")
    return body


def needs_a_look(body: dict[str, Any]) -> bool:
    """Whether anything is not as it should be."""
    return (
        any(alert["phase"] == "firing" for alert in body["alerts"])
        or any(transport["state"] == "broken" for transport in body["transports"])
        or bool(body["journal"]["message"] or body["link"]["message"])
        or not body["clock_trusted"]
    )


def text(body: dict[str, Any]) -> str:
    """Return the status for people."""
    link, journal = body["link"], body["journal"]
    lines = [
        f"{body['gateway']} ({body['site']}), version {body['version']}, at {body['at']}",
        f"clock    {'set' if body['clock_trusted'] else 'NOT SET since power came back'}",
        (
            f"link     {link['state']}, {link['unconfirmed']} records unconfirmed, "
            f"last confirmed {link['confirmed_at'] or 'never'} {link['message']}"
        ),
        f"data     {_data(link)} today",
        (
            f"journal  {journal['records']} records, {journal['bytes'] / 1e6:.1f} of "
            f"{journal['max_bytes'] / 1e6:.0f} MB {journal['message']}"
        ),
    ]
    lines += [f"{t['name']}  {t['state']} {t['message']}" for t in body["transports"]]
    lines += ["", "alerts"] if body["alerts"] else ["", "no alert is open"]
    lines += [
        f"  {a['phase']}  {a['rule']}  {a['sensor']}  since {a['since']}" for a in body["alerts"]
    ]
    lines += ["", "sensors"]
    for sensor in body["sensors"]:
        values = ", ".join(f"{q} {last['value']:g}" for q, last in sensor["values"].items())
        heard = sensor["heard_at"] or "never"
        lines.append(f"  {sensor['name']}  {values or 'nothing yet'}  heard {heard}")
    return "\n".join(line.rstrip() for line in lines)
