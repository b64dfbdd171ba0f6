"""A decoder of columns, written after docs/wire.md and nothing else.

It is slow and believes everything; it shows that somebody else can write one.
"""

import re
import zlib
from itertools import accumulate
from pathlib import Path

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
PRESET = re.search(r"```preset\n(.*?)\n```", DOCUMENT, re.DOTALL)[1].encode()
UNIT_NS = (10**9, 10**6, 10**3, 1)


def signed(code):
    return code // 2 if code % 2 == 0 else -(code + 1) // 2


class Bits:
    def __init__(self, octets):
        self.left = "".join(f"{octet:08b}" for octet in octets)

    def take(self, count):
        taken, self.left = self.left[:count], self.left[count:]
        assert len(taken) == count
        return int(taken or "0", 2)

    def run(self, most):
        zeros = 0
        while zeros < most and self.left[zeros] == "0":
            zeros += 1
        self.left = self.left[zeros:]
        return zeros

    def gamma(self):
        return self.take(self.run(200) + 1) - 1

    def list(self, count):
        if count == 0:
            return []
        mode = self.take(4)
        if mode == 0:
            return [0] * count
        if mode == 1:
            filled = self.gamma() + 1
            gaps, numbers = self.list(filled), self.list(filled)
            found = [
                n for gap, more in zip(gaps, numbers, strict=True) for n in [0] * gap + [more + 1]
            ]
            return found + [0] * (count - len(found))
        k = mode - 2 if mode < 15 else 13 + self.take(6)
        highs = []
        for _ in range(count):
            highs.append(self.run(8))
            assert self.take(1) == 1
        lows = [self.take(k) for _ in range(count)]
        highs = [high + self.gamma() if high == 8 else high for high in highs]
        return [high * 2**k + low for high, low in zip(highs, lows, strict=True)]

    def signed(self, count):
        return [signed(code) for code in self.list(count)]

    def chain(self, start, count):
        return list(accumulate(self.signed(count), initial=start))[1:]


def table_text(payload):
    assert payload[0] == 0xD8
    return zlib.decompress(payload[1:], wbits=-15)


def decoded(payload, table):
    """Return boot, numbers, floor and lines."""
    flags, at = payload[0] - 0xC0, 5

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            at, shift, octet = at + 1, shift + 7, payload[at]
            number += (octet & 127) << shift - 7
            if octet < 128:
                return number

    boot, text = payload[1:5].hex(), table_text(table)
    if flags & 1:
        assert int.from_bytes(payload[5:9], "big") == zlib.crc32(text)
        at = 9
    first = varint()
    numbers = list(range(first, first + varint() + 1))
    floor = first - 1
    if not flags & 8:
        floor -= signed(varint())
        for _ in range(varint()):
            start = numbers[-1] + 2 + varint()
            numbers += range(start, start + varint() + 1)
    raw = b""
    if flags & 2:
        length = varint() if flags & 1 else len(payload) - at
        raw, at = payload[at : at + length], at + length
        if flags & 4:
            raw = zlib.decompressobj(wbits=-15, zdict=PRESET).decompress(raw)
    lines = raw.split(b"\n")[:-1]
    if flags & 1:
        series = [one.rsplit(b" ", 1) for one in text.split(b"\n")[:-1]]
        lines = columns(Bits(payload[at:]), series, lines, len(numbers))
    return boot, numbers, floor, b"".join(line + b"\n" for line in lines)


def columns(bits, series, raw, count):
    gaps = bits.list(len(raw))
    frames = in_order(bits)
    rows = [(place, time) for places, time in frames for place in places]
    names = [names.split(b",") for _, names in series]
    texts = values(bits, [place for place, _ in rows], names)
    assert "1" not in bits.left
    assert len(bits.left) < 8
    lines = []
    for place, time in rows:
        fields = [b"%s=%s" % (name, texts[place, n].pop(0)) for n, name in enumerate(names[place])]
        lines.append(b"%s %s %d" % (series[place][0], b",".join(fields), time))
    at = 0
    for gap, line in zip(gaps, raw, strict=True):
        lines.insert(at + gap, line)
        at += gap + 1
    assert len(lines) == count
    return lines


def in_order(bits):
    kinds = bits.gamma() + 1
    firsts, end = [], 0
    steps = bits.signed(kinds)
    lengths = bits.chain(1, kinds)
    for step, length in zip(steps, lengths, strict=True):
        firsts.append(end + step)
        end = firsts[-1] + length
    counts = bits.chain(1, kinds)
    units = bits.chain(0, kinds)
    second = signed(bits.take(36))
    longer = [n for n in range(kinds) if counts[n] > 1]
    grids = {unit: bits.take(1) for unit in range(4) if any(units[n] == unit for n in longer)}
    starts = in_units(bits, second * 10**9, units)
    periods = dict(zip(longer, in_units(bits, 0, [units[n] for n in longer]), strict=True))
    misses = {}
    for unit, is_grid in grids.items():
        those = [n for n in longer if units[n] == unit]
        found = bits.signed(sum(counts[n] - 1 + is_grid for n in those))
        for n in those:
            own = counts[n] - 1 + is_grid
            misses[n], found = found[:own], found[own:]
    frames = []
    for n in range(kinds):
        times = [starts[n]]
        if counts[n] > 1 and grids[units[n]]:
            times = [starts[n] + nth * periods[n] + miss for nth, miss in enumerate(misses[n])]
        elif counts[n] > 1:
            for miss in misses[n]:
                times.append(times[-1] + periods[n] + miss)
        places = range(firsts[n], firsts[n] + lengths[n])
        frames += [(time * UNIT_NS[units[n]], n, places) for time in times]
    frames.sort(key=lambda frame: frame[:2])
    taken = [frames.pop(rank) for rank in bits.list(len(frames))]
    return [(places, time) for time, _, places in taken]


def in_units(bits, before_ns, units):
    found = []
    for step, unit in zip(bits.signed(len(units)), units, strict=True):
        found.append(before_ns // UNIT_NS[unit] + step)
        before_ns = found[-1] * UNIT_NS[unit]
    return found


def values(bits, places, names):
    """Return the texts of the numbers of each column (series, number of the field)."""
    groups = {}
    for place in sorted(set(places)):
        for n, name in enumerate(names[place]):
            groups.setdefault(name, []).append((place, n))
    most = bits.list(len(groups))
    texts = {}
    for highest, group in zip(most, groups.values(), strict=True):
        less = bits.list(len(group)) if bits.take(1) else [0] * len(group)
        scales = [highest - by for by in less]
        first, before = 0, 0
        found = {}
        for column, step in zip(group, bits.signed(len(group)), strict=True):
            scale = scales[len(found)]
            first = first * 10**scale // 10**before + step
            before = scale
            found[column] = (scale, [first])
        counts = [places.count(place) - 1 for place, _ in group]
        for (_, numbers), steps, predictor in zip(
            found.values(), *steps_of(bits, counts), strict=True
        ):
            for step in steps:
                one, other = numbers[-1], numbers[-2] if len(numbers) > 1 else numbers[-1]
                numbers.append(step + (one, other, 2 * one - other)[predictor])
        for column, (scale, numbers) in found.items():
            texts[column] = [written(number, scale) for number in numbers]
    return texts


def steps_of(bits, counts):
    if not any(counts):
        return [[]] * len(counts), [0] * len(counts)
    if bits.take(1):
        steps, predictors = [], []
        for count in counts:
            predictors.append(bits.take(2) if count else 0)
            steps.append(bits.signed(count))
        return steps, predictors
    predictor = bits.take(2)
    found, steps = bits.signed(sum(counts)), []
    for count in counts:
        steps.append(found[:count])
        found = found[count:]
    return steps, [predictor] * len(counts)


def written(number, scale):
    whole, rest = divmod(abs(number), 10**scale)
    decimals = f"{rest:0{scale}d}".rstrip("0") if scale else ""
    return f"{'-' if number < 0 else ''}{whole}{'.' if decimals else ''}{decimals}".encode()
