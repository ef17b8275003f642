"""Sizes as a user writes them: a list, or a range in which each size is a factor above the last.

Must not know what is done with them.
"""

from __future__ import annotations

import re
from typing import Final

from crossgrade.errors import BadOption

SIZES: Final = "1KiB..64MiB"
"""What is measured where no sizes are named."""
_FACTOR: Final = 4.0
_MOST_SIZES: Final = 64
_UNITS: Final = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_HINT: Final = "such as 1KiB..64MiB, 1MB..1GB:2 or 64KiB,1MiB; KB is 1000 bytes, KiB 1024"


def sizes_of(text: str) -> tuple[int, ...]:
    """Return sizes in bytes, each once, the smallest first.

    `A..B` is A, 4 A, 16 A and so on below B, and B; `A..B:F` has the factor F instead of 4.

    Raises:
        BadOption: it cannot be read, or gives too many.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dots, rest = part.partition("..")
        if not dots:
            found.add(_size(part, text))
            continue
        last, colon, factor = rest.partition(":")
        low, high = _size(first, text), _size(last, text)
        if low > high:
            raise BadOption(f"--sizes {text}: the first of `{part}` is the larger", hint=_HINT)
        found.update(_range(low, high, _factor(factor, text) if colon else _FACTOR, text))
    if len(found) > _MOST_SIZES:
        raise _too_many(text)
    return tuple(sorted(found))


def _range(low: int, high: int, factor: float, text: str) -> list[int]:
    sizes = [high]
    size = float(low)
    while size < high:
        sizes.append(int(size))
        size *= factor
        if len(sizes) > _MOST_SIZES:
            raise _too_many(text)
    return sizes


def _too_many(text: str) -> BadOption:
    return BadOption(f"--sizes {text} gives more than {_MOST_SIZES} sizes", hint=_HINT)


def _size(word: str, text: str) -> int:
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", word)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise BadOption(f"--sizes {text}: `{word.strip()}` is no size", hint=_HINT)
    size = int(float(match[1]) * unit)
    if not 0 < size < 10**13:
        raise BadOption(f"--sizes {text}: `{word.strip()}` is no size that can be sent", hint=_HINT)
    return size


def _factor(word: str, text: str) -> float:
    try:
        factor = float(word)
    except ValueError:
        factor = 0.0
    if not 1.1 <= factor <= 1e6:
        raise BadOption(f"--sizes {text}: `{word}` is no factor above 1.1", hint=_HINT)
    return factor
