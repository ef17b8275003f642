"""Quantities for a person: SI inside, formatted here, at the edge only.

Must not know where a number came from.
"""

from __future__ import annotations

import math

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value: float, unit: str, digits: int = 3) -> str:
    """Return `value` with an SI prefix, such as `1.60 TB/s`; `unknown` for NaN."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return f"infinite {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            return f"{_digits(value / scale, digits)} {prefix}{unit}"
    return f"{_digits(value, digits)} {unit}"


def bytes_(value: float) -> str:
    """Return a decimal byte count, such as `144 GB`; decimal as data sheets print it."""
    return si(value, "B")


def binary_bytes(value: int) -> str:
    """Return a byte count that is whole in a binary unit as such, `64 KiB`; others in full."""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= scale and value % scale == 0:
            return f"{count(value // scale)} {unit}"
    return f"{count(value)} B"


def seconds(value: float) -> str:
    """Return a time in the unit that reads best: `4.12 ms`, `1.2 s`, `850 µs`."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "infinite"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= scale * 0.9995:
            return f"{_digits(value / scale, 3)} {unit}"
    return f"{_digits(value / 1e-9, 3)} ns"


def count(value: float) -> str:
    """Return a whole number with thin grouping: `44,861`."""
    return f"{value:,.0f}"


def figure(value: float) -> str:
    """Return a number without a unit in three digits: `30.9`, `1,260`.

    A band that is a factor wide says nothing of a fourth.
    """
    rounded = f"{value:.3g}"
    return count(float(rounded)) if value >= 100 else rounded


def things(number: float, name: str) -> str:
    """Return a counted noun: `1 chip`, `7 chips`."""
    return f"{count(number)} {name}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share (0 to 1) as per cent: `12 %`, `0.4 %`, `under 0.1 %`, `0 %`."""
    value = share * 100
    if value == 0:
        return "0 %"
    if 0 < value < 0.1:
        return "under 0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def times_over(value: float, least: float) -> str:
    """Return how many times `least` a value is: `1.3x`; `-` where there is nothing to compare.

    Above 100 the digits say nothing: `>100x`.
    """
    if not value > 0 or not least > 0:
        return "-"
    ratio = value / least
    return f"{ratio:.1f}x" if ratio < 99.95 else ">100x"


def _digits(value: float, digits: int) -> str:
    """Return `value` with `digits` significant digits and no exponent."""
    if value == 0:
        return "0"
    # Rounded first: 0.9999 has as many decimals as 1.00, not as 0.999.
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded)) + 1e-9))
    return f"{rounded:,.{decimals}f}"
