"""What is to be sent again because an engineer says so: `satomori journal resend`, to the daemon.

    resend          what is asked for, joined with what was asked for before
    resend.taken    the daemon has it; it goes when the cursor that offers it again is on the card

Two files in the journal's folder, because a running daemon and a stopped one can be asked the same
way. Each step is one rename: a crash anywhere leaves a request that is heard, or is heard twice,
and what is sent twice is stored once.
"""

import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from agent.journal.cursor import MAX_AGAIN, Cursor
from agent.journal.segment import UNFINISHED, sync_folder
from cloud_sync.spans import Spans

ASKED: Final = "resend"
TAKEN: Final = "resend.taken"
UNREADABLE: Final = "resend.unreadable"
"""A request that was none: kept for whoever wonders, until the next one of its kind."""

MAGIC: Final = "#satomori-resend 1"
MAX_BYTES: Final = 64 << 10

log = logging.getLogger(__name__)


class Requests:
    """The daemon's side."""

    def __init__(self, folder: Path, cursor: Cursor) -> None:
        self._folder, self._cursor = folder, cursor
        self._is_offered = False
        """What was asked for is offered again, which is not on the card yet."""

    def look(self) -> int:
        """Offer again what was asked for; returns how many records that is, about.

        Cheap enough for once a second. Call it between commits, never during one.
        """
        if self._is_offered or not (numbers := take_requests(self._folder)):
            return 0
        if len(self._cursor.place.again) >= MAX_AGAIN:
            return 0  # it waits until some of the earlier ones are confirmed
        self._is_offered = True
        count = self._cursor.reopen(numbers)
        log.info("%d records are sent again, as asked for: %s", count, str(numbers)[:80])
        return count

    def committed(self) -> None:
        """A commit that began after `look` is on the card: the request has been heard."""
        if self._is_offered:
            self._is_offered = False
            requests_done(self._folder)


def take_requests(folder: Path) -> Spans:
    """Return which records are to be sent again, until `requests_done`. Never fails."""
    taken = folder / TAKEN
    try:
        if not taken.exists():
            (folder / ASKED).rename(taken)
        return _read(taken)
    except FileNotFoundError:
        return Spans()
    except (OSError, ValueError) as problem:
        log.warning("what is to be sent again, in %s, cannot be read: %s", taken, problem)
        _put_away(taken)
        return Spans()


def requests_done(folder: Path) -> None:
    """Forget what was taken: it is on the card. Never fails."""
    try:
        (folder / TAKEN).unlink(missing_ok=True)
    except OSError as problem:
        log.warning("the next start will send again what was sent again now: %s", problem)


def waiting(folder: Path) -> Spans:
    """Return what was asked for and not heard yet. Raises OSError, or ValueError for nonsense."""
    numbers = Spans()
    for name in (ASKED, TAKEN):
        try:
            numbers.update(_read(folder / name))
        except FileNotFoundError:
            continue
    return numbers


def ask(folder: Path, numbers: Spans) -> Spans:
    """Ask for these, too; returns all that is asked for now.

    Raises OSError; BlockingIOError if somebody else asks at this moment; ValueError if what waits
    already is no request, or if it all has too many gaps.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The daemon never waits for this lock: it takes requests away by their name.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            all_of_it = _read(folder / ASKED)
        except FileNotFoundError:
            all_of_it = Spans()
        all_of_it.update(numbers)
        text = f"{MAGIC}\n{all_of_it}\n".encode()
        if len(text) > MAX_BYTES:
            raise ValueError("so many separate spans do not fit into one request")
        _write(folder / ASKED, text)
    finally:
        os.close(handle)
    return all_of_it


def _read(path: Path) -> Spans:
    """Raises OSError, and ValueError for what is no request."""
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    magic, numbers, end = (*text.decode("ascii").split("\n"), "", "")[:3]
    if magic != MAGIC or not numbers or end or not text.endswith(b"\n"):
        raise ValueError(f"{path} is no request: it begins {text[:40]!r}")
    return Spans.parse(numbers)


def _write(path: Path, text: bytes) -> None:
    """Put it there as a whole, for the one whom the folder belongs to. Raises OSError."""
    unfinished, owner = path.with_name(path.name + UNFINISHED), path.parent.stat()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(unfinished, flags, 0o600), "wb") as file:
        if os.geteuid() != owner.st_uid:
            # Root asks, and the daemon, which is not root, has to be able to read it.
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def _put_away(path: Path) -> None:
    try:
        path.replace(path.with_name(UNREADABLE))
    except OSError as problem:
        log.debug("%s stays: %s", path, problem)
