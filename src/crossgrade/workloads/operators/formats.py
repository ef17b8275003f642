"""Names of formats in operator cases -> torch's names.

Takes torch's names, the short ones of `--dtype`, and those of xpu-perf. Must not know torch.
"""

from __future__ import annotations

from crossgrade.values.operator_case import CannotRun
from crossgrade.values.precision import DTYPE_CODE, USER_DTYPES

_ALIASES: dict[str, str] = {
    **USER_DTYPES,
    "float": "float32", "double": "float64", "half": "float16", "tf32": "tfloat32",
    "float8": "float8_e4m3fn", "float8_e4m3": "float8_e4m3fn",
}  # fmt: skip
_BLOCK_SCALED = ("mxfloat", "mxfp", "nvfp", "mxint")
"""Beginnings of formats whose elements share a scale by blocks."""

FLOATS: tuple[str, ...] = ("float32", "bfloat16", "float16", "float64")
"""Formats that elementwise operators, norms and products take."""
QUANTISED: tuple[str, ...] = ("int8", "float8_e4m3fn", "float8_e5m2")
"""Formats that are kept beside a scale."""
INTEGERS: tuple[str, ...] = ("int8", "int16", "int32", "int64", "uint8")
"""Whole numbers."""


def format_name(text: str) -> str:
    """Return torch's name of a format; a name that nobody has comes back as it is."""
    return _ALIASES.get(text, text)


def known_format(text: str) -> bool:
    """Return whether it is the name of some format, taken by the operator or not."""
    name = format_name(text)
    return name in DTYPE_CODE or name == "tfloat32" or name.startswith(_BLOCK_SCALED)


def check_format(argument: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return torch's name of a format that an argument of an operator has.

    Raises:
        CannotRun: `unsupported-format`, with what the operator takes.
    """
    if not isinstance(value, str):
        raise CannotRun("bad-arguments", f"`{argument}`: a format's name, not {value!r}")
    name = format_name(value)
    if name in allowed:
        return name
    if name.startswith(_BLOCK_SCALED):
        why = "block-scaled; torch has no public operator for it"
    elif known_format(name):
        why = "this operator does not take it"
    else:
        why = "no such format"
    takes = ", ".join(allowed)
    raise CannotRun("unsupported-format", f"`{argument}` {value}: {why}; it takes {takes}")
