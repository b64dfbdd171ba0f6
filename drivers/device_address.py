"""Brings the Bluetooth addresses that people type into the one spelling that frames use.

Phones and labels write the same address in several ways. A setting that differs from the frames
only in its spelling would make a sensor look silent for ever.
"""

import re

_ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")


def ble_address(text: str) -> str:
    """Return the address in capitals with colons: "A4:C1:38:12:34:56".

    Takes small letters, and hyphens for colons. Raises ValueError when it is not an address.
    """
    address = text.strip().upper().replace("-", ":")
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            f"{text[:40]!r} is not an address; one of Bluetooth has six pairs of digits, 0-9 and "
            'A-F, such as "A4:C1:38:12:34:56" (`satomori listen` shows those in reach)'
        )
    return address
