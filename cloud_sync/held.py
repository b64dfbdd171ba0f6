"""Which records the store holds, gateway by gateway: what the ingester's confirmations say.

It is a memory, not a record: a confirmation may leave out what an earlier one said, and never takes
it back. What is forgotten here costs at most that a gateway sends something again, and writing it
again changes nothing; so everything has a limit, and what was least lately written goes first.
"""

from collections import OrderedDict
from collections.abc import Mapping

from cloud_sync.spans import Spans
from cloud_sync.wire import encode_confirmed

MAX_GATEWAYS = 20_000
"""About 1 kB each."""

MAX_BOOTS = 8
"""Of one gateway. Records of older boots are confirmed when they come, and then forgotten."""

MAX_SPANS = 256
"""Of one boot, so that a confirmation is at most some kilobytes long."""


class Held:
    """What is known to be stored."""

    def __init__(self) -> None:
        self._gateways: OrderedDict[str, OrderedDict[str, Spans]] = OrderedDict()

    def add(self, gateway: str, boot: str, numbers: Spans, floor: int = 0) -> None:
        """Note that these records are stored, and all of that boot up to `floor` are settled."""
        boots = self._boots(gateway)
        spans = boots.setdefault(boot, Spans())
        boots.move_to_end(boot)
        spans.update(numbers)
        if len(list(spans)) > MAX_SPANS:
            boots[boot] = spans = Spans(numbers)
        if floor:
            spans.add(1, floor)
        if len(boots) > MAX_BOOTS:
            boots.popitem(last=False)

    def recall(self, gateway: str, boots: Mapping[str, Spans]) -> bool:
        """Take up what a confirmation from before our start says, where there is room for it.

        Returns whether we have said less than that meanwhile, and should say all of it again.
        """
        known = self._boots(gateway)
        said = self.confirmation(gateway) if known else None
        for boot, numbers in reversed(list(boots.items())):
            if boot in known:
                known[boot].update(numbers)
            elif len(known) < MAX_BOOTS:
                known[boot] = numbers
                known.move_to_end(boot, last=False)
        return said is not None and said != self.confirmation(gateway)

    def confirmation(self, gateway: str) -> bytes:
        """Return the payload that tells the gateway."""
        return encode_confirmed(self._boots(gateway))

    def _boots(self, gateway: str) -> OrderedDict[str, Spans]:
        boots = self._gateways.setdefault(gateway, OrderedDict())
        self._gateways.move_to_end(gateway)
        if len(self._gateways) > MAX_GATEWAYS:
            self._gateways.popitem(last=False)
        return boots
