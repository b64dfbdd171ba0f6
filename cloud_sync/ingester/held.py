"""Which records the store holds, gateway by gateway: what the ingester's confirmations say.

It is a memory, not a record: a confirmation may leave out what an earlier one said, and never takes
it back. What is forgotten here costs at most that a gateway sends something again, and writing it
again changes nothing; so everything has a limit, and what was least lately written goes first.

What must a confirmation say, when only the last one waits for a gateway that was away? A gateway
has at most UNDER_WAY batches under way, and lets go of one only when it is told. So whatever it was
not told yet is among the last UNDER_WAY batches that came from it, and the spans that these are in
are enough. That is one boot and one span as long as nothing is amiss.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from cloud_sync.batch import WINDOW
from cloud_sync.spans import Spans
from cloud_sync.wire import encode_confirmed

MAX_GATEWAYS = 10_000
"""About 6 kB each."""

MAX_BOOTS = 8
"""Of one gateway. Records of older boots are confirmed when they come, and then forgotten."""

MAX_SPANS = 256
"""Of one boot, so that a confirmation is at most some kilobytes long."""

UNDER_WAY = 2 * WINDOW
"""Batches of events and of readings that a gateway may have sent and not seen confirmed."""


@dataclass(slots=True)
class _Gateway:
    boots: OrderedDict[str, Spans] = field(default_factory=OrderedDict)
    """Least lately written first."""
    lately: deque[tuple[str, int, int]] = field(
        default_factory=lambda: deque(maxlen=UNDER_WAY + MAX_BOOTS)
    )
    """Of each of the last batches: boot, lowest and highest number. There is room for what a
    confirmation from before our start said until UNDER_WAY batches have come."""


class Held:
    """What is known to be stored."""

    def __init__(self) -> None:
        self._gateways: OrderedDict[str, _Gateway] = OrderedDict()

    def add(self, gateway: str, boot: str, numbers: Spans, floor: int = 0) -> None:
        """Note that these records are stored, and all of that boot up to `floor` are settled."""
        if not numbers:
            return
        known = self._known(gateway)
        boots = known.boots
        spans = boots.setdefault(boot, Spans())
        boots.move_to_end(boot)
        spans.update(numbers)
        if len(list(spans)) > MAX_SPANS:
            boots[boot] = spans = Spans(numbers)
        if floor:
            spans.add(1, floor)
        if len(boots) > MAX_BOOTS:
            boots.popitem(last=False)
        known.lately.append((boot, *_ends(numbers)))

    def recall(self, gateway: str, boots: Mapping[str, Spans]) -> bool:
        """Take up what a confirmation from before our start says, where there is room for it.

        Returns whether what we have said meanwhile has left out something of that.
        """
        known = self._known(gateway)
        said = self.confirmed(gateway)
        for boot, numbers in reversed(list(boots.items())):
            if boot in known.boots:
                known.boots[boot].update(numbers)
            elif len(known.boots) < MAX_BOOTS:
                known.boots[boot] = numbers
                known.boots.move_to_end(boot, last=False)
        room = (known.lately.maxlen or 0) - len(known.lately)
        before = [(boot, *_ends(known.boots[boot])) for boot in boots if known.boots.get(boot)]
        known.lately.extendleft(reversed(before[:room]))
        return bool(said) and said != self.confirmed(gateway)

    def confirmed(self, gateway: str) -> dict[str, Spans]:
        """Return what the gateway has to be told."""
        known = self._known(gateway)
        said: dict[str, Spans] = {}
        for boot, lowest, highest in known.lately:
            spans = known.boots.get(boot, ())
            touched = [(a, b) for a, b in spans if a <= highest and lowest <= b]
            said.setdefault(boot, Spans()).update(touched)
        return {boot: spans for boot, spans in said.items() if spans}

    def confirmation(self, gateway: str) -> bytes:
        """Return the payload that tells the gateway."""
        return encode_confirmed(self.confirmed(gateway))

    def _known(self, gateway: str) -> _Gateway:
        known = self._gateways.setdefault(gateway, _Gateway())
        self._gateways.move_to_end(gateway)
        if len(self._gateways) > MAX_GATEWAYS:
            self._gateways.popitem(last=False)
        return known


def _ends(numbers: Spans) -> tuple[int, int]:
    """Return the lowest and the highest. There is at least one."""
    spans = list(numbers)
    return spans[0][0], spans[-1][1]
