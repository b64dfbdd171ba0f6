"""`satomori check FILE`: says whether a configuration can be used, before a gateway uses it."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gateway_config.load import BadConfig, load
from gateway_config.model import GatewayConfig

USABLE, WRONG = 0, 2


def check(path: Path, out: TextIO, err: TextIO) -> int:
    """Print a summary to `out` and return 0, or all mistakes to `err` and return 2."""
    try:
        config = load(path)
    except BadConfig as problem:
        print(problem, file=err)
        return WRONG
    print(f"{path}: no mistakes", *_summary(config), sep="\n  ", file=out)
    for note in _notes(config):
        print(f"note: {note}", file=out)
    return USABLE


def _summary(config: GatewayConfig) -> Iterator[str]:
    gateway, uplink, page = config.gateway, config.uplink, config.page
    yield f"gateway: {gateway.name}; sensors: {len(config.sensor)}; rules: {len(config.rule)}"
    if uplink is None:
        yield "sends nothing: there is no section [uplink]"
    else:
        scheme = "mqtts" if uplink.tls else "mqtt"
        yield f"sends to {scheme}://{uplink.host}:{uplink.port}"
    yield f"page at http://{page.listen}:{page.port}/" if page.enabled else "no page"


def _notes(config: GatewayConfig) -> Iterator[str]:
    """Yield what is no mistake, but may not be what was meant."""
    if config.recorded is not None:
        yield f"only the recording {config.recorded.file} is heard, and no sensor: see [recorded]"
    if config.uplink is not None:
        yield from _readable_by_all("uplink.password_file", config.uplink.password_file)
        yield from _readable_by_all("uplink.key_file", config.uplink.key_file)


def _readable_by_all(key: str, file: Path | None) -> Iterator[str]:
    if file is None:
        return
    try:
        mode = file.stat().st_mode
    except OSError as error:
        yield f"{key}: {file} cannot be looked at from here: {error.strerror}"
        return
    if mode & stat.S_IROTH:
        yield f"{key}: {file} can be read by everybody on this machine; chmod o-rwx {file}"
