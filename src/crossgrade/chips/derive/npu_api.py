"""Facts from the API pages of torch_npu: verified SoCs, dtype limits, categories of limits.

The pages are prose in Chinese; only facts parsed from it are kept, never the text. What the
parser does not understand becomes the category `other`. Must not know which operators are
registered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import read_rows

SOCS = ("A2", "A3", "950DT")
_TORCH_NAMES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "fp64": "float64",
    "double": "float64",
    "float16": "float16",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "uint8": "uint8",
    "uint16": "uint16",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "complex64": "complex64",
    "complex128": "complex128",
}
_DTYPE = "|".join(sorted(_TORCH_NAMES, key=len, reverse=True))
_DTYPES = rf"(?P<list>(?:{_DTYPE})(?:\s*[，、,和]\s*(?:{_DTYPE}))*)"
_MAIN = ("input", "self", "tensor", "query", "key", "value", "dtype")
"""Parameters whose limits hold for the operator; `index`, `target`, `weight` do not."""
_ALLOWS = re.compile(rf"^(?:`(?P<names>\w+)`(?:、`\w+`)*)?仅支持{_DTYPES}(?=$|[。，；\s])")
_EXCLUDES = re.compile(rf"^(?:<term>Ascend (?P<soc>950DT)</term>：)?不支持{_DTYPES}(?:数据类型)?$")
_CATEGORIES = (
    ("cpu-fallback", ("回退至CPU",)),
    ("inference-only", ("仅支持推理",)),
    ("precision", ("精度",)),
    ("shape", ("维", "shape", "元素个数")),
)
_MODULES = ("linalg", "fft", "special")
"""Modules whose function `x` is the aten operator `<module>_x`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one limits text says, as facts."""

    dtypes: frozenset[str]
    """torch dtypes allowed; empty: not restricted."""
    excluded: frozenset[str]
    """`dtype` or `SoC:dtype`."""
    notes: frozenset[str]
    """Categories of everything else."""


def aten_base(api: str, bases: frozenset[str]) -> str:
    """The aten base operator of an API name; empty where the mapping is not certain.

    `torch.x`, `torch.Tensor.x` and `torch.nn.functional.x` are `x`, `torch.linalg.x` is
    `linalg_x` (and so for fft and special), each only where aten has a base of that name.
    """
    parts = api.partition("(")[0].strip().split(".")
    if parts[0] != "torch" or len(parts) < 2:
        return ""
    *module, name = parts[1:]
    if len(module) == 1 and module[0] in _MODULES:
        name = f"{module[0]}_{name}"
    elif module not in ([], ["Tensor"], ["nn", "functional"]):
        return ""
    return name if name in bases else ""


def clauses(text: str) -> list[str]:
    """The bullets of a limits text, without the pages of methods that may follow."""
    own = text.partition(" > <font")[0]
    return [part.strip() for part in re.split(r"(?:^|\s)- |\n", own) if part.strip()]


def parse_limits(text: str) -> Limits:
    """Facts in a limits text."""
    dtypes: set[str] = set()
    excluded: set[str] = set()
    notes: set[str] = set()
    for clause in clauses(text):
        if allowed := _ALLOWS.match(clause):
            if allowed["names"] is None or allowed["names"] in _MAIN:
                dtypes.update(_torch_dtypes(allowed["list"]))
            else:
                notes.add("other")
            if rest := clause[allowed.end() :].strip("。，； "):
                notes.update(_categories(rest))
        elif without := _EXCLUDES.match(clause):
            prefix = f"{without['soc']}:" if without["soc"] else ""
            excluded.update(prefix + dtype for dtype in _torch_dtypes(without["list"]))
        else:
            notes.update(_categories(clause))
    return Limits(dtypes=frozenset(dtypes), excluded=frozenset(excluded), notes=frozenset(notes))


def _torch_dtypes(names: str) -> Iterable[str]:
    return (_TORCH_NAMES[name] for name in re.findall(_DTYPE, names))


def _categories(clause: str) -> set[str]:
    found = {name for name, marks in _CATEGORIES if any(mark in clause for mark in marks)}
    return found or {"other"}


def npu_api(path: Path, bases: frozenset[str]) -> Sheet:
    """API rows that map to an aten base operator.

    Args:
        path: csv with torch_version, api, a column per SoC, limits_zh.
        bases: Base operators of aten, in-place ones with their `_`.
    """
    rows = []
    for row in read_rows(path):
        op = aten_base(row["api"], bases)
        if not op:
            continue
        limits = parse_limits(row["limits_zh"])
        facts = {
            "dtypes": limits.dtypes,
            "excluded": limits.excluded,
            "notes": limits.notes,
        }
        rows.append(
            {
                "torch_version": row["torch_version"],
                "op": op,
                "api": row["api"].partition("(")[0].strip(),
                **{soc: row[soc] for soc in SOCS},
                **{name: " ".join(sorted(values)) for name, values in facts.items()},
            }
        )
    columns = ("op", "torch_version", "api", *SOCS, "dtypes", "excluded", "notes")
    return sheet(columns, rows)
