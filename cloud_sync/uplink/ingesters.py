"""What a gateway knows of the ingesters that may take what it sends: their signs, by client id.

Readings that are sent while none is there lie in the broker at best, so they wait. An ingester that
is new, or back, may have missed what was sent to the one before: that is sent again at once and not
only when its confirmation is overdue. Where nobody ever put up a sign, nothing waits for one.
"""

from collections import OrderedDict

from cloud_sync.messages import Sign, decode_sign

MAX_INGESTERS = 64
"""There are 64 partitions to share; who was heard of least lately is forgotten first."""


class Ingesters:
    """Those that serve one partition."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._signs: OrderedDict[str, Sign] = OrderedDict()

    @property
    def are_away(self) -> bool:
        """Whether all that are known have gone."""
        return bool(self._signs) and not any(sign.online for sign in self._signs.values())

    def heard(self, client_id: str, payload: bytes) -> bool:
        """Take note of a sign; returns whether what is under way may have been missed.

        An empty payload is a sign that was taken away. Raises BadPayload.
        """
        sign = decode_sign(payload) if payload else None
        before = self._signs.pop(client_id, None)
        if sign is None or not sign.serves(self._partition):
            return False
        self._signs[client_id] = sign
        if len(self._signs) > MAX_INGESTERS:
            self._signs.popitem(last=False)
        return sign.online and (before is None or not before.online or before.start != sign.start)
