"""Where the ingester puts what no store will take, so that one bad line stops nobody.

JSON Lines in a folder, a file a day: when it happened, whose it was, why, and the line itself. Who
looks after the server reads them, repairs the cause, saves what can be saved, and removes the file.

The folder never grows above its limit. When it is full, nothing more is set aside or acknowledged
until somebody has made room: the gateways keep their records, and nothing is lost.
"""

import json
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cloud_sync.store import Refused

MAX_BYTES = 100_000_000

REMEMBERED = 1_000
"""How many are recognised when they come again, so that one that is sent for ever fills nothing."""


class Oddity(NamedTuple):
    """Something that will not be stored."""

    gateway: str
    """As its topic says."""
    boot: str
    """ "" when that cannot be read."""
    reason: str
    line: bytes
    """A line, or the beginning of a payload in which no lines can be read."""

    @property
    def fingerprint(self) -> bytes:
        return sha256(repr((self.gateway, self.boot, self.line)).encode()).digest()


class SetAside:
    """One folder."""

    def __init__(
        self, folder: Path, now: Callable[[], datetime], *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._folder, self._now, self._max_bytes = folder, now, max_bytes
        self._lately: dict[bytes, None] = {}

    def add(self, oddities: Iterable[Oddity]) -> None:
        """Return when they are on the disk. Raises Refused when the folder is full or unusable."""
        new = {oddity.fingerprint: oddity for oddity in oddities}
        new = {key: oddity for key, oddity in new.items() if key not in self._lately}
        if not new:
            return
        at = self._now()
        text = "".join(_json_line(at, oddity) for oddity in new.values())
        try:
            self._append(self._folder / f"{at:%Y-%m-%d}.jsonl", text.encode())
        except OSError as problem:
            raise Refused(
                f"nothing can be set aside in {self._folder} ({problem}): check who owns the "
                "folder, and that the disk has room. Until then nothing is acknowledged"
            ) from problem
        self._lately.update(dict.fromkeys(new))
        while len(self._lately) > REMEMBERED:
            del self._lately[next(iter(self._lately))]

    def _append(self, path: Path, text: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        used = sum(file.stat().st_size for file in self._folder.glob("*.jsonl"))
        if used + len(text) > self._max_bytes:
            raise Refused(
                f"{self._folder} is full ({used} bytes of lines that no store would take): find "
                "out why in its files, and remove them. Until then nothing is acknowledged"
            )
        with path.open("ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(self._folder)


def _json_line(at: datetime, oddity: Oddity) -> str:
    document = {
        "at": at.isoformat(),
        "gateway": oddity.gateway,
        "boot": oddity.boot,
        "reason": oddity.reason,
        "line": oddity.line.decode(errors="backslashreplace").rstrip("\n"),
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _sync_folder(folder: Path) -> None:
    """Make sure that the name of a new file survives a power cut too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
