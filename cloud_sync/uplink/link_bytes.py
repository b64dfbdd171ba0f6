"""How many bytes a TCP connection has cost, as whoever sells the data volume counts them.

The kernel knows: TCP_INFO has the bytes each way, those sent again too, and the number of packets.
Each packet is counted with its IP and TCP headers. What no socket tells is left out: look-ups of
the broker's name, and what the link's own layers add below IP.

Layout: struct tcp_info in linux/tcp.h, which only ever grows at its end.
"""

import socket
from struct import Struct

TCP_INFO_BYTES = 256
_BYTES = Struct("=Q")
_SEGMENTS = Struct("=II")
BYTES_ACKED_AT, BYTES_IN_AT, SEGMENTS_AT, BYTES_OUT_AT = 120, 128, 136, 200

IPV4_HEADERS, IPV6_HEADERS = 52, 72
"""IP 20 or 40, TCP 20, and its timestamps, which every Linux sends: 12."""

FAREWELL_PACKETS = 3
"""FIN, its answer and the last acknowledgement come after a socket can be asked."""

LOGIN_BYTES = 4_200
"""A TLS login that failed, about: such a socket is gone before it can be asked."""


def ip_bytes(sock: socket.socket) -> int | None:
    """Return the bytes of all IP packets of this connection so far, both ways.

    None if the socket is closed, or the kernel does not tell (before Linux 4.2).
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < SEGMENTS_AT + _SEGMENTS.size:
        return None
    # Before Linux 4.19 nobody says what was sent again: what was acknowledged has to do.
    out_at = BYTES_OUT_AT if len(info) >= BYTES_OUT_AT + _BYTES.size else BYTES_ACKED_AT
    (sent,), (received,) = _BYTES.unpack_from(info, out_at), _BYTES.unpack_from(info, BYTES_IN_AT)
    headers = IPV6_HEADERS if sock.family == socket.AF_INET6 else IPV4_HEADERS
    return int(sent + received + headers * sum(_SEGMENTS.unpack_from(info, SEGMENTS_AT)))


class LinkMeter:
    """The bytes of one connection, also after its end. May be read from any thread."""

    def __init__(self) -> None:
        self.total = 0
        """All of it, as far as known."""
        self.is_measured = True
        """False: the kernel does not tell, and `estimate` has to do."""
        self._taken = 0

    def read(self, sock: socket.socket | None) -> None:
        """Look at the socket, if there still is one."""
        if sock is None:
            return
        found = ip_bytes(sock)
        if found is not None:
            self.total = max(self.total, found)
        elif not self.total:
            self.is_measured = False

    def close(self, sock: socket.socket) -> None:
        """Look at the socket for the last time."""
        self.read(sock)
        self.total += FAREWELL_PACKETS * IPV4_HEADERS

    def estimate(self, count: int) -> None:
        """Count this where nobody else does."""
        if not self.is_measured:
            self.total += count

    def taken(self) -> int:
        """Return how many bytes came since this was called last."""
        total, before = self.total, self._taken
        self._taken = total
        return total - before
