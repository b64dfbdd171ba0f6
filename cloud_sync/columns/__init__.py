"""A batch in few bytes: what repeats is left out, numbers are told by how they change.

Lossless to the byte: lines that do not fit the mould are carried as they are. What all lines of a
gateway have in common stands in a table that is sent separately (series.py); the rest is
columns of small numbers: which series, when (frames.py), how much (values.py), in
as many bits as they need (bits.py). docs/wire.md describes it for others, bit by bit, and
tests/vectors/wire/columns.toml pins it.
"""

from cloud_sync.columns.codec import Find, UnknownSeries, pack, unpack
from cloud_sync.columns.envelope import is_columns
from cloud_sync.columns.series import SeriesTable

__all__ = ["Find", "SeriesTable", "UnknownSeries", "is_columns", "pack", "unpack"]
