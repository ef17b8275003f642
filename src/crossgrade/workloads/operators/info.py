"""What the catalogue says of an operator: its group, its arguments, its formats, its defaults.

Values only, so that listing and help need no torch. Must not know how an operator is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

OperatorGroup = Literal["basic", "llm", "communication", "backward", "convolution", "more"]
GROUPS: tuple[OperatorGroup, ...] = (
    "basic", "llm", "communication", "backward", "convolution", "more",
)  # fmt: skip
"""Groups in the order of the listing; the first three are xpu-perf's."""

ArgumentKind = Literal["size", "number", "flag", "choice", "format", "sizes", "table"]
"""size: a whole number. number: a real one. flag: true or false. choice: one of a few words.
format: name of a number format. sizes: list of whole numbers. table: list of such lists."""

REQUIRED: Final = "(required)"
"""Default of an argument that must be given."""
LARGEST: Final = (1 << 31) - 1
"""Largest size that is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentInfo:
    """One argument of an operator."""

    name: str
    """Its name; xpu-perf's where xpu-perf has the operator."""
    meaning: str
    """What it is, for a person."""
    kind: ArgumentKind = "size"
    """What its value looks like."""
    unit: str = ""
    """Unit of the value; empty: it has none."""
    default: Any = REQUIRED
    """Value where it is not given; None: it depends on others."""
    least: int = 1
    """Smallest value of sizes."""
    most: int = LARGEST
    """Largest value of sizes."""
    choices: tuple[str, ...] = ()
    """Words of a choice, or formats that are taken."""
    forms: tuple[str, ...] = ()
    """Values of `arg_type` under which it exists; empty: all."""
    aliases: tuple[str, ...] = ()
    """Other spellings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorInfo:
    """One operator of the catalogue."""

    name: str
    """Its name."""
    group: OperatorGroup
    """Where it stands in the listing."""
    line: str
    """What it computes, one line."""
    arguments: tuple[ArgumentInfo, ...]
    """Its arguments, without `arg_type` and `dtype`."""
    dtypes: tuple[str, ...]
    """Formats that `dtype` takes, torch's names."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of a case that a CPU runs in less than 100 ms."""
    default_dtype: str = "float32"
    """Format of that case."""
    forms: tuple[str, ...] = ("default",)
    """Values of `arg_type`, the one that is meant without it first."""
    implied_dtype: str = ""
    """Format that xpu-perf takes for a workload that names none; empty: it must name one."""
    xpu_perf: bool = False
    """Whether it is one of xpu-perf's, under the same name and arguments."""
    not_on_cpu: str = ""
    """Why a CPU alone cannot run it; empty: it can."""
    devices: str = ""
    """Argument that holds how many devices it takes; empty: one."""


def size(
    name: str, meaning: str, default: Any = REQUIRED, *, least: int = 1, most: int = LARGEST,
    forms: tuple[str, ...] = (), aliases: tuple[str, ...] = (), unit: str = "elements",
) -> ArgumentInfo:  # fmt: skip
    """Return a whole-number argument."""
    return ArgumentInfo(
        name=name, meaning=meaning, unit=unit, default=default, least=least, most=most,
        forms=forms, aliases=aliases,
    )  # fmt: skip


def flag(name: str, meaning: str, default: bool) -> ArgumentInfo:
    """Return an argument that is true or false."""
    return ArgumentInfo(name=name, meaning=meaning, kind="flag", default=default)


def choice(
    name: str, meaning: str, choices: tuple[str, ...], default: Any = REQUIRED
) -> ArgumentInfo:
    """Return an argument that is one of a few words."""
    return ArgumentInfo(name=name, meaning=meaning, kind="choice", choices=choices, default=default)


def number_format(
    name: str, meaning: str, choices: tuple[str, ...], default: Any = REQUIRED
) -> ArgumentInfo:
    """Return an argument that names a format; default None: the same as `dtype`."""
    return ArgumentInfo(name=name, meaning=meaning, kind="format", choices=choices, default=default)
