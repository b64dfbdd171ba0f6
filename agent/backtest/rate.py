"""How often something happens, and between which rates the truth lies, from a count alone.

The interval is Garwood's (F. Garwood, "Fiduciary limits for the Poisson distribution", Biometrika
28, 1936): exact, so that it holds for 0 and for 3 alarms too, which is what a good rule gives. It
takes alarms to come independently of each other: where one cause makes several, the truth may lie
outside of it more often than one time in twenty.
"""

import math
from typing import Final

SHARE_OUTSIDE: Final = 0.05
"""What a 95 % interval leaves out, half of it on either side."""

PRECISION: Final = 1e-15
"""Relative, of sums that go on for ever."""

BISECTIONS: Final = 80

MAX_STEPS: Final = 1_000_000
"""Rounding must not keep the fraction from ever being still."""


def interval(count: int) -> tuple[float, float]:
    """Return between which means a Poisson count lies, with 95 % confidence, when `count` came.

    Raises ValueError for a count below 0.
    """
    if count < 0:
        raise ValueError(f"{count} is no count")
    half = SHARE_OUTSIDE / 2
    low = _mean_at(count - 1, 1 - half) if count else 0.0
    return low, _mean_at(count, half)


def _mean_at(count: int, share: float) -> float:
    """Return the mean of which at most `count` come with a probability of `share`."""
    low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(count, middle) > share else (low, middle)
    return (low + high) / 2


def at_most(count: int, mean: float) -> float:
    """Return how probable at most `count` are of a Poisson variable.

    It is the regularised incomplete gamma function Q(count + 1, mean), by its series or its
    continued fraction, whichever is quick there: a sum of `count` terms would be slow for a rule
    that fires all the time.
    """
    a = count + 1.0
    if mean <= 0:
        return 1.0
    front = math.exp(-mean + a * math.log(mean) - math.lgamma(a))
    return 1 - front * _series(a, mean) if mean < a + 1 else front * _fraction(a, mean)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    while term > total * PRECISION:
        a += 1
        term *= x / a
        total += term
    return total


def _fraction(a: float, x: float) -> float:
    """Return the continued fraction, by Lentz's method; it is quick where x > a + 1."""
    b = x + 1 - a
    c, d = math.inf, 1 / b
    found, step, n = d, 0.0, 0
    while abs(step - 1) > PRECISION and n < MAX_STEPS:
        n += 1
        part, b = n * (a - n), b + 2
        c = b + part / c
        d = 1 / (b + part * d)
        step = c * d
        found *= step
    return found
