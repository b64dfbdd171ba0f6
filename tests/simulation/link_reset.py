"""Ends TCP connections from the middle, as a router does that has forgotten them (IPv4).

Whoever sends a packet of such a connection is answered with a reset. Linux believes one only if its
sequence number is exactly what it expects next, which is the acknowledgement number of its own
packet (RFC 5961).
"""

import struct
from typing import NamedTuple

IPV4, TCP = 4, 6
ACK, RST = 0x10, 0x04
HEADERS = struct.Struct("!BBHHHBBH4s4s")
"""IPv4 without options."""

SEGMENT = struct.Struct("!HHIIBBHHH")
"""TCP without options."""


class Flow(NamedTuple):
    """One direction of a connection."""

    source: bytes
    target: bytes
    source_port: int
    target_port: int

    @property
    def back(self) -> "Flow":
        return Flow(self.target, self.source, self.target_port, self.source_port)


class Seen(NamedTuple):
    """A TCP packet that went by."""

    flow: Flow
    acknowledged: int
    is_syn: bool


def seen(packet: bytes) -> Seen | None:
    """Read a packet; None for what is not TCP."""
    if len(packet) < 40 or packet[0] >> 4 != IPV4 or packet[9] != TCP:
        return None
    start = (packet[0] & 0x0F) * 4
    source_port, target_port, _, acknowledged, _, flags = SEGMENT.unpack_from(packet, start)[:6]
    flow = Flow(packet[12:16], packet[16:20], source_port, target_port)
    return Seen(flow, acknowledged, is_syn=bool(flags & 0x02) and not flags & ACK)


def reset_for(packet: Seen) -> bytes:
    """Return the reset that its sender believes."""
    flow = packet.flow.back
    segment = SEGMENT.pack(
        flow.source_port, flow.target_port, packet.acknowledged, 0, 5 << 4, RST, 0, 0, 0
    )
    pseudo_header = flow.source + flow.target + struct.pack("!BBH", 0, TCP, len(segment))
    segment = _with_checksum(segment, 16, _checksum(pseudo_header + segment))
    length = HEADERS.size + len(segment)
    header = HEADERS.pack(0x45, 0, length, 0, 0, 64, TCP, 0, flow.source, flow.target)
    return _with_checksum(header, 10, _checksum(header)) + segment


def _checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071; `data` has an even length."""
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _with_checksum(data: bytes, position: int, checksum: int) -> bytes:
    return data[:position] + struct.pack("!H", checksum) + data[position + 2 :]
