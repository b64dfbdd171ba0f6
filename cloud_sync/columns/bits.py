"""Lists of whole numbers as bits: most of them small, some lists all 0, now and then a large one.

Rice codes: of each number the lowest k bits are kept as they are, and the rest is written as that
many zeros and a one. k is chosen for each list and stands in front of it. A few hundred numbers do
not pay for the tables that a general compressor sends with them: the same deltas as varints in zstd
make batches of 184 and 400 bytes where these have 123 and 266 (150 and 600 readings of ten weather
stations; tests/benchmarks/wire.py).

In memory, bits are text of 0 and 1. Python splits, counts and joins text at the speed of C.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add
from typing import Final

from cloud_sync.batch import BadPayload

MODE_BITS: Final = 4
ZEROS: Final = 0
"""Mode: all are 0."""
SPARSE: Final = 1
"""Mode: most are 0."""
RICE: Final = 2
"""Mode: this + k, as far as that goes."""
WIDE: Final = 15
"""Mode: k is WIDE - RICE + what the next WIDE_BITS say."""
WIDE_BITS: Final = 6
MAX_K: Final = 63

LONG: Final = 8
"""So many zeros before a one say that the rest is LONG or more; the surplus stands behind."""

MAX_GAMMA_BITS: Final = 70

SAMPLE: Final = 128
"""k is chosen by about so many numbers of a long list."""

MAX_LANE_K: Final = 5
"""With k up to this, a number whose upper part is less than LONG fits into a byte."""

MANY: Final = 16
"""So many numbers are read faster side by side than one by one."""

_TABLE_BITS = 10
_BIT_VALUES = bytes.maketrans(b"01", b"\0\1")
_RUNS = [f"{'0' * zeros}1" for zeros in range(LONG + 1)]


def zigzag(number: int) -> int:
    """Return 0, 1, 2, 3, 4 for 0, -1, 1, -2, 2."""
    return number << 1 if number >= 0 else ~(number << 1)


def zigzags(numbers: Iterable[int]) -> list[int]:
    """Return `zigzag` of each."""
    return [number << 1 if number >= 0 else ~(number << 1) for number in numbers]


def unzigzag(code: int) -> int:
    """Return what `zigzag` was given."""
    return (code >> 1) ^ -(code & 1)


_UNZIGZAG = tuple(map(unzigzag, range(1 << _TABLE_BITS)))


def unzigzags(codes: Sequence[int]) -> list[int]:
    """Return what `zigzags` was given."""
    try:
        return list(map(_UNZIGZAG.__getitem__, codes))
    except IndexError:
        return [(code >> 1) ^ -(code & 1) for code in codes]


class BitWriter:
    """Collects bits."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def bits(self, number: int, width: int) -> None:
        """Write a number of at most `width` bits."""
        self._parts.append(f"{number:0{width}b}")

    def gamma(self, number: int) -> None:
        """Write one number of 0 or more (Elias gamma of number + 1)."""
        self._parts.append(_gamma(number))

    def numbers(self, numbers: Sequence[int]) -> None:
        """Write a list of numbers of 0 or more; the reader knows how many they are."""
        self._parts.append(packed(numbers))

    def text(self, bits: str) -> None:
        """Write bits that are text already."""
        self._parts.append(bits)

    def to_bytes(self) -> bytes:
        """Return all of it, filled up with zeros."""
        bits = "".join(self._parts)
        count = -(-len(bits) // 8)
        return int(bits.ljust(count * 8, "0") or "0", 2).to_bytes(count, "big")


def packed(numbers: Sequence[int]) -> str:
    """Return a list of numbers of 0 or more in the shortest of the modes."""
    if not numbers:
        return ""
    if not any(numbers):
        return _mode(ZEROS)
    k = _best_k(numbers)
    dense = _rice_mode(k) + _rice(numbers, k)
    if numbers.count(0) * 2 < len(numbers):
        return dense
    return min(_mode(SPARSE) + _sparse(numbers), dense, key=len)


def _mode(mode: int) -> str:
    return f"{mode:0{MODE_BITS}b}"


def _rice_mode(k: int) -> str:
    wide = k + RICE - WIDE
    return _mode(k + RICE) if wide < 0 else f"{_mode(WIDE)}{wide:0{WIDE_BITS}b}"


def _gamma(number: int) -> str:
    width = (number + 1).bit_length()
    return f"{number + 1:0{2 * width - 1}b}"


def _rice(numbers: Sequence[int], k: int) -> str:
    highs = [number >> k for number in numbers]
    if max(highs) < LONG:
        runs, surplus = "".join([_RUNS[high] for high in highs]), ""
    else:
        runs = "".join([_RUNS[min(high, LONG)] for high in highs])
        surplus = "".join(_gamma(high - LONG) for high in highs if high >= LONG)
    mask = (1 << k) - 1
    if k == 0:
        lows = ""
    elif k <= _TABLE_BITS:
        texts = _low_texts(k)
        lows = "".join([texts[number & mask] for number in numbers])
    else:
        lows = "".join([f"{number & mask:0{k}b}" for number in numbers])
    return runs + lows + surplus


def _best_k(numbers: Sequence[int]) -> int:
    # The mean is led astray by a few large numbers, the median by many zeros.
    sample = sorted(numbers[:: 1 + len(numbers) // SAMPLE])
    mean, median = sum(sample) // len(sample), sample[len(sample) // 2]
    guesses = {mean.bit_length(), median.bit_length()}
    tried = {min(max(k - step, 0), MAX_K) for k in guesses for step in (0, 1, 2)}
    return min(sorted(tried), key=lambda k: _rice_bits(sample, k))


def _rice_bits(numbers: Sequence[int], k: int) -> int:
    highs = [number >> k for number in numbers]
    fixed = len(highs) * (k + 1)
    if max(highs) < LONG:
        return fixed + sum(highs)
    return fixed + sum(h if h < LONG else LONG + len(_gamma(h - LONG)) for h in highs)


def _sparse(numbers: Sequence[int]) -> str:
    places = [place for place, number in enumerate(numbers) if number]
    gaps = [b - a - 1 for a, b in zip([-1, *places[:-1]], places, strict=True)]
    return "".join(
        [_gamma(len(places) - 1), _dense(gaps), _dense([numbers[place] - 1 for place in places])]
    )


def _dense(numbers: Sequence[int]) -> str:
    if not any(numbers):
        return _mode(ZEROS)
    k = _best_k(numbers)
    return _rice_mode(k) + _rice(numbers, k)


@lru_cache(maxsize=_TABLE_BITS)
def _low_texts(k: int) -> list[str]:
    return [f"{low:0{k}b}" for low in range(1 << k)]


class _Numbers(dict[str, int]):
    """What texts of bits say; remembers the short ones."""

    def __missing__(self, text: str) -> int:
        number = int(text, 2)
        if len(text) <= _TABLE_BITS:
            self[text] = number
        return number


_number: Final[Mapping[str, int]] = _Numbers()


class BitReader:
    """Reads what a BitWriter wrote. Everything raises BadPayload where bits are missing."""

    def __init__(self, payload: bytes) -> None:
        width = len(payload) * 8
        self._text = f"{int.from_bytes(payload, 'big'):0{width}b}" if width else ""
        self._at = 0

    def bits(self, width: int) -> int:
        """Read a number of `width` bits, at least one."""
        start, self._at = self._at, self._at + width
        if self._at > len(self._text):
            raise BadPayload("columns: cut off")
        return _number[self._text[start : self._at]]

    def gamma(self) -> int:
        """Read one number of 0 or more."""
        one = self._text.find("1", self._at, self._at + MAX_GAMMA_BITS)
        if one < 0:
            raise BadPayload("columns: a number without an end")
        width = one - self._at + 1
        self._at = one
        return self.bits(width) - 1

    def numbers(self, count: int) -> list[int]:
        """Read a list of `count` numbers of 0 or more."""
        if count == 0:
            return []
        mode = self.bits(MODE_BITS)
        return self._sparse(count) if mode == SPARSE else self._dense(mode, count)

    def signed(self, count: int) -> list[int]:
        """Read a list of `count` numbers that were given to `zigzags`."""
        return unzigzags(self.numbers(count))

    def end(self) -> None:
        """Raise BadPayload if there is more than fills up the last byte."""
        rest = self._text[self._at : self._at + 8]
        if len(rest) > 7 or "1" in rest:
            raise BadPayload("columns: more bits than are known")

    def _sparse(self, count: int) -> list[int]:
        filled = self.gamma() + 1
        if filled > count:
            raise BadPayload("columns: more numbers than places")
        gaps = self._dense(self.bits(MODE_BITS), filled)
        places = list(map(add, accumulate(gaps), range(filled)))
        if places[-1] >= count:
            raise BadPayload("columns: a number beyond the last place")
        numbers = [0] * count
        for place, number in zip(places, self._dense(self.bits(MODE_BITS), filled), strict=True):
            numbers[place] = number + 1
        return numbers

    def _dense(self, mode: int, count: int) -> list[int]:
        if mode == ZEROS:
            return [0] * count
        if mode < RICE:
            raise BadPayload("columns: a sparse list in a sparse list")
        k = mode - RICE + (self.bits(WIDE_BITS) if mode == WIDE else 0)
        # No more than can be needed is looked at, or many short lists would take long.
        window = self._text[self._at : self._at + count * (LONG + 1 + k)]
        *runs, lows = window.split("1", count)
        rest = len(lows) - count * k
        if len(runs) < count or rest < 0:
            raise BadPayload("columns: a list that is cut off")
        self._at += len(window) - rest
        highs = list(map(len, runs))
        highest = max(highs)
        if highest > LONG:
            raise BadPayload("columns: a longer run than any")
        if highest == LONG:
            highs = [high + self.gamma() if high == LONG else high for high in highs]
        if k == 0:
            return highs
        low_bits = lows[: count * k]
        if k <= MAX_LANE_K and highest < LONG and count >= MANY:
            return _side_by_side(highs, low_bits, k)
        return _one_by_one(highs, low_bits, k)


def _one_by_one(highs: Sequence[int], low_bits: str, k: int) -> list[int]:
    """Return numbers of which `low_bits` has the lowest k bits, at least one."""
    places = range(0, len(low_bits), k)
    if k > _TABLE_BITS:
        return [h << k | int(low_bits[p : p + k], 2) for h, p in zip(highs, places, strict=True)]
    return [h << k | _number[low_bits[p : p + k]] for h, p in zip(highs, places, strict=True)]


def _side_by_side(highs: Sequence[int], low_bits: str, k: int) -> list[int]:
    """Return the same, all at once: each has a byte of its own in one large number.

    That takes up the highest of the low bits of all of them, then the next ones, and so on.
    """
    bits = low_bits.encode().translate(_BIT_VALUES)
    lanes = int.from_bytes(bytes(highs), "big")
    for nth in range(k):
        lanes = lanes << 1 | int.from_bytes(bits[nth::k], "big")
    return list(lanes.to_bytes(len(highs), "big"))
