"""MQTT topic names. Written down for others in docs/wire.md; both ends import this file.

    satomori/v1/<partition>/<gateway>/<leaf>     readings | events | series | state | hello |
                                                 latest/<sensor>     from the gateway
                                                 confirmed | time | ask          to it
    satomori/v1/ingesters/<client id>            an ingester's sign

Gateways are spread over 64 partitions by a stable hash of their name, so that one ingester can
take one range of them and each gateway's stream stays with one ingester, whatever the broker.
"""

from typing import Literal, NamedTuple, TypeAlias
from zlib import crc32

PARTITIONS = 64
ROOT = "satomori/v1"
INGESTERS = f"{ROOT}/ingesters"

Lane: TypeAlias = Literal["readings", "events"]
"""What a batch holds. Events (alerts) leave first."""


def partition(gateway: str) -> str:
    """Return "p00" to "p63": CRC-32 of the name's UTF-8 bytes, modulo 64."""
    return f"p{crc32(gateway.encode()) % PARTITIONS:02d}"


def topic(gateway: str, leaf: str) -> str:
    """Return the gateway's topic that ends in `leaf`."""
    return f"{ROOT}/{partition(gateway)}/{gateway}/{leaf}"


def sign_topic(client_id: str) -> str:
    """Return where an ingester says that it is there."""
    return f"{INGESTERS}/{client_id}"


class TopicParts(NamedTuple):
    partition: str
    gateway: str
    leaf: str


def parse_topic(text: str) -> TopicParts:
    """Return the parts of a topic. Raises ValueError for one that is not ours or not consistent."""
    parts = text.split("/", 4)
    if len(parts) == 5 and f"{parts[0]}/{parts[1]}" == ROOT and parts[3]:
        found = TopicParts(*parts[2:])
        if found.partition == partition(found.gateway):
            return found
    raise ValueError(f"not a topic of a gateway: {text[:200]!r}")
