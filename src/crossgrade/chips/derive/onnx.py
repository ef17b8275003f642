"""ONNX operators that the execution providers of ONNX Runtime implement.

Sources: docs/OperatorKernels.md, which the project generates from the registered kernels, and the
lists in the sources of providers that the page leaves out. Must not know PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import read_text
from crossgrade.errors import BadOperatorTable

_PROVIDER = re.compile(r"^## Operators implemented by (\w+)ExecutionProvider$")
_DOMAIN = re.compile(r"^\|\*\*Operator Domain:\*\* \*([\w.]+)\*")
_TYPE = re.compile(r"tensor\((\w+)\)")
_KERNEL = re.compile(
    r"BuildKernelCreateInfo<ONNX_OPERATOR_(VERSIONED_)?(?:TYPED_|TWO_TYPED_)?KERNEL_CLASS_NAME"
    r"\(([^)]*)\)"
)
_C_TYPES = {
    "float": "float32", "double": "float64", "mlfloat16": "float16", "bfloat16": "bfloat16",
}  # fmt: skip
_INTERNAL = frozenset({"MemcpyFromHost", "MemcpyToHost"})
"""Copies that the runtime inserts; no model has them."""


@dataclass(slots=True)
class _Kernels:
    """The kernels of one provider for one operator."""

    opsets: list[tuple[int, int | None]] = field(default_factory=list)
    dtypes: dict[int, set[str]] = field(default_factory=dict)

    def add(self, first: int, last: int | None, dtypes: Iterable[str]) -> None:
        if (first, last) not in self.opsets:
            self.opsets.append((first, last))
        self.dtypes.setdefault(first, set()).update(dtypes)

    def row(self) -> dict[str, str]:
        """Opset ranges, and the dtypes of the newest one."""
        ranges = [
            f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
            for low, high in sorted(self.opsets)
        ]
        newest = self.dtypes[max(self.dtypes)]
        return {"opsets": " ".join(ranges), "dtypes": " ".join(sorted(newest))}


Found = dict[tuple[str, str], _Kernels]
"""By provider and operator."""


def onnx(kernels: Path, sources: Mapping[str, Path]) -> Sheet:
    """One row per operator and provider.

    Args:
        kernels: docs/OperatorKernels.md of ONNX Runtime.
        sources: Provider to its C++ file, for those that register kernels or list names there.
    """
    found = _documented(kernels)
    for provider, path in sources.items():
        for op, entry in _in_source(path).items():
            found[(provider, op)] = entry
    rows = (
        {"op": op, "provider": provider, **entry.row()} for (provider, op), entry in found.items()
    )
    return sheet(("op", "provider", "opsets", "dtypes"), rows)


def _documented(path: Path) -> Found:
    """What the generated page says; the operators of other domains carry their domain."""
    found: Found = {}
    provider = domain = op = ""
    for line in read_text(path).splitlines():
        if head := _PROVIDER.match(line):
            provider = head[1].lower()
        elif head := _DOMAIN.match(line):
            domain = "" if head[1] == "ai.onnx" else f"{head[1]}."
        elif provider and (cells := _cells(line)):
            op = cells[0] or op
            entry = found.setdefault((provider, domain + op), _Kernels())
            first, last = _opsets(cells[2])
            entry.add(first, last, map(_dtype, _TYPE.findall(_main_types(cells[3]))))
    if not found:
        raise BadOperatorTable("no kernels", where=path.name, hint="give docs/OperatorKernels.md")
    return found


def _cells(line: str) -> list[str]:
    """Cells of a row of kernels; empty for any other line."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    if line.startswith("|||"):
        cells = ["", "", *[cell for cell in cells if cell]]
    is_kernel = line.startswith("|") and len(cells) == 4 and re.match(r"[\[\d]", cells[2])
    return cells if is_kernel else []


def _opsets(cell: str) -> tuple[int, int | None]:
    """`13+`, `13` or `[7, 12]` as first and last."""
    numbers = [int(n) for n in re.findall(r"\d+", cell)]
    return numbers[0], None if cell.endswith("+") else numbers[-1]


def _main_types(cell: str) -> str:
    """The types of the first type variable, which is that of the main input."""
    return cell.partition("<br/>")[0]


def _dtype(name: str) -> str:
    plain = name.lower().removesuffix("_t")
    return _C_TYPES.get(plain, plain)


def _in_source(path: Path) -> dict[str, _Kernels]:
    """Kernels that a provider registers in C++, or the names in its set of supported operators."""
    text = re.sub(r"\s+", " ", read_text(path))
    found: dict[str, _Kernels] = {}
    for versioned, arguments in _KERNEL.findall(text):
        _, _, *rest = (part.strip() for part in arguments.split(","))
        first = int(rest[0])
        last = int(rest[1]) if versioned else None
        *types, op = rest[2 if versioned else 1 :]
        if op not in _INTERNAL:
            entry = found.setdefault(op, _Kernels())
            entry.add(first, last, (_dtype(t.partition("_")[0]) for t in map(_whole, types)))
    for op in [] if found else _names(text):
        found[op] = _Kernels(dtypes={0: set()})  # the list names no opsets
    if not found:
        raise BadOperatorTable("no kernels", where=path.name, hint="is this the right file?")
    return found


def _names(text: str) -> list[str]:
    """Operators in a set of names, or in a list of names with a version and devices."""
    if listed := re.search(r"supported_ops = \{(.*?)\};", text):
        return re.findall(r'"(\w+)"', listed[1])
    if listed := re.search(r"supported_op_mode = \{(.*?)\};", text):
        return re.findall(r'\{"(\w+)", V_', listed[1])
    return []


def _whole(name: str) -> str:
    """`int32_t` keeps its `_t`; `float_float` is two equal types."""
    return name.removesuffix("_t")
