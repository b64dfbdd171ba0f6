"""Looks into a journal while a daemon writes to it, or after it was killed."""

from pathlib import Path

from agent.journal.files import Files


def kept(folder: Path) -> list[bytes]:
    """Return all lines on the card, in order; none as long as there is no journal."""
    files = Files(folder, segment_bytes=1 << 20, writable=False)
    return [
        line.rstrip(b"\n") for block in files.blocks(0, files.manifest.next) for line in block.lines
    ]
