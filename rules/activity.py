"""Which readings show that a person is there, and which only that a sensor works."""

from typing import Final

from drivers.reading import Quantity, Reading

PEOPLE: Final = frozenset({Quantity.CONTACT_OPEN, Quantity.MOTION_DETECTED, Quantity.BUTTON_EVENT})
"""What can show it."""


def is_activity(reading: Reading, previous: float | None) -> bool:
    """Whether somebody must have moved, opened, closed or pressed something.

    A sensor that repeats its state (a heartbeat, a stuck contact) shows nothing, and neither does
    motion that ends: only the end of a waiting time. Nor does the first state of a contact after
    the start, which may have been so for days; motion is of just now.
    """
    match reading.quantity:
        case Quantity.BUTTON_EVENT:
            return True
        case Quantity.MOTION_DETECTED:
            return bool(reading.value) and not previous
        case Quantity.CONTACT_OPEN:
            return previous is not None and reading.value != previous
    return False
