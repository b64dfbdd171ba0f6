"""Text as DEFLATE without any header, and back: what columns do not carry as numbers."""

import zlib

from cloud_sync.batch import BadPayload

RAW = -15
"""zlib's window bits for DEFLATE alone (RFC 1951)."""


def deflated(text: bytes, preset: bytes = b"") -> bytes:
    """Return it in few bytes; `preset` is text that both ends know."""
    packer = zlib.compressobj(9, wbits=RAW, zdict=preset)
    return packer.compress(text) + packer.flush()


def inflated(
    packed: bytes, max_bytes: int, preset: bytes = b"", *, damaged: str, cut_off: str
) -> bytes:
    """Return the text. Raises BadPayload, with these words for what is wrong."""
    unpacker = zlib.decompressobj(wbits=RAW, zdict=preset)
    try:
        text = unpacker.decompress(packed, max_bytes)
    except zlib.error as problem:
        raise BadPayload(f"{damaged}: {problem}") from problem
    if not unpacker.eof or unpacker.unused_data:
        raise BadPayload(f"{cut_off}, or of more than {max_bytes} bytes")
    return text
