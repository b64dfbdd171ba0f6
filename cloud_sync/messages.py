"""What gateways and ingesters say to each other beside batches and confirmations. JSON, version 1.

    hello   gateway → ingester    what time is it? (asked when nothing has set the clock)
    time    ingester → gateway    the answer, with the same nonce
    ask     cloud → gateway       "series": send your series table again; "look": somebody looks,
                                  send more often for a while; "resend": send these records again
    sign    ingester → everybody  which partitions it serves, and whether it is there; retained,
                                  and its will says "offline"

docs/wire.md describes them for others.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from cloud_sync.spans import Spans
from cloud_sync.topics import PARTITIONS
from cloud_sync.wire import EPOCH, MICROSECOND, BadPayload

MAX_BYTES = 4_096
"""No such message is ever longer."""

MAX_NONCE = 32

MAX_LOOK = timedelta(hours=1)
"""Somebody who looks for longer than this is asked for again."""

T = TypeVar("T")
Question: TypeAlias = Literal["series", "look", "resend"]


@dataclass(frozen=True, slots=True)
class Time:
    """An ingester's answer to a hello."""

    nonce: str
    """What the hello said: who asks twice knows which question was answered."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """Something the cloud wants of a gateway."""

    question: Question
    look_for: timedelta = timedelta(0)
    """For "look": how long somebody will be looking. At most MAX_LOOK."""
    numbers: Spans = field(default_factory=Spans)
    """For "resend": which records, of all boots; numbers go on counting from boot to boot."""


@dataclass(frozen=True, slots=True)
class Sign:
    """An ingester says that it is there, or that it is not."""

    online: bool
    start: str
    """Different for each start of the ingester: what came to the one before may be lost."""
    first_partition: int
    last_partition: int

    def serves(self, partition: int) -> bool:
        """Whether this ingester takes what gateways of this partition send."""
        return self.first_partition <= partition <= self.last_partition


def encode_hello(nonce: str) -> bytes:
    """Return the payload that asks for the time."""
    return _encoded({"nonce": nonce})


def decode_hello(payload: bytes) -> str:
    """Return the nonce. Raises BadPayload."""
    return _decoded(payload, lambda document: _nonce(document["nonce"]))


def encode_time(time: Time) -> bytes:
    """Return the answer to a hello."""
    return _encoded({"nonce": time.nonce, "time_us": (time.at - EPOCH) // MICROSECOND})


def decode_time(payload: bytes) -> Time:
    """Return what `encode_time` was given. Raises BadPayload."""
    return _decoded(
        payload,
        lambda document: Time(
            _nonce(document["nonce"]), EPOCH + _whole(document["time_us"]) * MICROSECOND
        ),
    )


def encode_ask(ask: Ask) -> bytes:
    """Return the payload that asks a gateway for something."""
    document: dict[str, Any] = {"ask": ask.question}
    if ask.question == "look":
        document["for_s"] = int(ask.look_for.total_seconds())
    if ask.question == "resend":
        document["numbers"] = str(ask.numbers)
    return _encoded(document)


def decode_ask(payload: bytes) -> Ask:
    """Return what `encode_ask` was given. Raises BadPayload."""
    return _decoded(payload, _ask)


def encode_sign(sign: Sign) -> bytes:
    """Return the retained payload of an ingester."""
    return _encoded(
        {
            "state": "online" if sign.online else "offline",
            "start": sign.start,
            "partitions": [sign.first_partition, sign.last_partition],
        }
    )


def decode_sign(payload: bytes) -> Sign:
    """Return what `encode_sign` was given. Raises BadPayload."""
    return _decoded(payload, _sign)


def _ask(document: dict[str, Any]) -> Ask:
    question = document["ask"]
    if question not in get_args(Question):
        raise ValueError(f"nobody knows how to {question!r}"[:80])
    look_for = timedelta(seconds=_whole(document["for_s"]) if question == "look" else 0)
    numbers = Spans.parse(document["numbers"]) if question == "resend" else Spans()
    return Ask(question, min(look_for, MAX_LOOK), numbers)


def _sign(document: dict[str, Any]) -> Sign:
    first, last = (_whole(number) for number in document["partitions"])
    if not first <= last < PARTITIONS:
        raise ValueError(f"no partitions: {first}-{last}")
    return Sign(document["state"] == "online", str(document["start"])[:MAX_NONCE], first, last)


def _nonce(text: object) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_NONCE:
        raise ValueError("no nonce of 1 to 32 characters")
    return text


def _whole(number: object) -> int:
    # 2**53: what JSON can say in every language; in microseconds that is the year 2255.
    if type(number) is not int or not 0 <= number < 1 << 53:
        raise ValueError(f"no whole number of 0 or more: {number!r}"[:80])
    return number


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps({"v": 1, **document}, separators=(",", ":")).encode()


def _decoded(payload: bytes, read: Callable[[dict[str, Any]], T]) -> T:
    try:
        return read(_document(payload))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
        raise BadPayload(f"not a message of ours ({problem}): {payload[:80]!r}") from problem


def _document(payload: bytes) -> Any:
    if len(payload) > MAX_BYTES:
        raise ValueError(f"{len(payload)} bytes")
    document = json.loads(payload)
    if document["v"] != 1:
        raise ValueError("not of version 1")
    return document
