"""One number with its arithmetic, down to constants that a document states.

Must not know how numbers are found out or shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.values.evidence import NumberClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of arithmetic. Steps below a step, one deeper, are its parts."""

    depth: int
    """0 for the number itself."""
    text: str
    """What it is and how it follows, in words and figures."""
    value: float
    """Result in SI units."""
    unit: str
    """`s`, `byte`, `1/s`, `1`, ..."""
    kind: NumberClass
    """How it is known."""
    rests_on: tuple[str, ...] = ()
    """Names of constants and assumptions in it; `capture` and `options` name those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """The arithmetic of one number."""

    number: str
    """Such as `decode.time`."""
    chip: str
    """Chip that it is for."""
    steps: tuple[Step, ...]
    """In reading order."""
