"""Where the ingester puts what no store will take, so that one bad line stops nobody.

JSON Lines in a folder, a file a day: when it happened, whose it was, why, and the line itself. Who
looks after the server looks at them (`satomori set-aside list`), repairs the cause, and has them
written again (`satomori set-aside retry`: retry.py), or removes the file.

The folder never grows above its limit. When it is full, nothing more is set aside or acknowledged
until somebody has made room: the gateways keep their records, and nothing is lost.
"""

import base64
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cloud_sync.store import Refused

MAX_BYTES = 100_000_000

REMEMBERED = 1_000
"""How many are recognised when they come again, so that one that is sent for ever fills nothing."""

LOCK = ".lock"
"""Held while a file gets lines or another name: by the ingester, and by who tries them again."""

log = logging.getLogger(__name__)


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
        text = "".join(to_json(at, oddity) for oddity in new.values())
        try:
            self._append(self._folder / f"{at:%Y-%m-%d}.jsonl", text.encode())
        except OSError as problem:
            raise Refused(
                f"nothing can be set aside in {self._folder} ({problem}): check who owns the "
                "folder, and that the disk has room. Until then nothing is acknowledged"
            ) from problem
        gateway, _, reason, _ = next(iter(new.values()))
        log.error("%d lines set aside, of gateway %r: %s", len(new), gateway, reason)
        self._lately.update(dict.fromkeys(new))
        while len(self._lately) > REMEMBERED:
            del self._lately[next(iter(self._lately))]

    def _append(self, path: Path, text: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            used = sum(file.stat().st_size for file in self._folder.glob("*.jsonl"))
            if used + len(text) > self._max_bytes:
                raise Refused(
                    f"{self._folder} is full ({used} bytes of lines that no store would take): "
                    "find out why with `satomori set-aside list`, and try them again or remove "
                    "its files. Until then nothing is acknowledged"
                )
            with path.open("ab+") as file:
                # A disk that was full, or a power cut, may have left a piece of a line.
                file.write(b"" if _ends_well(path) else b"\n")
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nobody else add to the folder's files, or name them anew. Raises OSError."""
    with (folder / LOCK).open("ab") as lock:
        flock(lock, LOCK_EX)
        yield


def to_json(at: datetime, oddity: Oddity) -> str:
    """Return the line for the file, with its end."""
    document = {
        "at": at.isoformat(),
        "gateway": oddity.gateway,
        "boot": oddity.boot,
        "reason": oddity.reason,
        "line": oddity.line.decode(errors="backslashreplace").rstrip("\n"),
    }
    if document["line"].encode() != oddity.line.rstrip(b"\n"):
        document["base64"] = base64.b64encode(oddity.line).decode()
    return json.dumps(document, ensure_ascii=False) + "\n"


def from_json(text: bytes) -> tuple[datetime, Oddity]:
    """Return what `to_json` was given. Raises ValueError, also for a line that is cut off."""
    try:
        document = json.loads(text)
        packed = document.get("base64")
        line = base64.b64decode(packed) if packed else document["line"].encode()
        gateway, boot, reason = (str(document[key]) for key in ("gateway", "boot", "reason"))
        return datetime.fromisoformat(document["at"]), Oddity(gateway, boot, reason, line)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not a line of a set-aside folder ({problem}): {text[:80]!r}") from None


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def sync_folder(folder: Path) -> None:
    """Make sure that the name of a new file survives a power cut too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
