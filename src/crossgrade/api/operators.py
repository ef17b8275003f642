"""`chips ops`: operators by backends, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from crossgrade.errors import BadOption
from crossgrade.values.support import SupportLevel

if TYPE_CHECKING:
    from crossgrade.chips.ops.matrix import Asked
    from crossgrade.values.operators import OperatorDiff, OperatorMatrix

OperatorFormat = Literal["table", "csv", "markdown", "html", "json"]
"""What `render_operators` writes; `table` fits a terminal and is Markdown elsewhere."""
Namespace = Literal["aten", "onnx"]
"""`aten`: PyTorch's operators. `onnx`: those of ONNX on the providers of ONNX Runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorQuery:
    """What is asked of the operator tables."""

    pattern: str = ""
    """Name, part of a name, or glob; empty: all."""
    backends: tuple[str, ...] = ()
    """`NAME` or `NAME@VERSION`; empty, and no chips: every backend in its newest version."""
    chips: tuple[str, ...] = ()
    """Described chips, each with its own table and SoC."""
    diff: tuple[str, str] | None = None
    """Two of `NAME@VERSION` or chips to compare, None for a matrix."""
    torch: str = ""
    """Version of torch whose tables are wanted where a backend has one; empty: the newest."""
    levels: tuple[SupportLevel, ...] = ()
    """Only rows that have one of these in a column; empty: all."""
    overloads: bool = False
    """Whether a row is an overload and not a base operator."""
    core: bool = False
    """Whether only overloads of the Core ATen opset count."""
    evidence: bool = False
    """Whether every cell carries the rows that led to it."""
    namespace: Namespace = "aten"
    """Whose operators."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        if unknown := sorted(set(self.levels) - set(get_args(SupportLevel))):
            known = ", ".join(get_args(SupportLevel))
            raise BadOption(f"no level `{unknown[0]}`", hint=f"known: {known}")
        if self.diff and (self.backends or self.chips or self.levels or self.torch):
            hint = "leave out --backend, --on, --level and --torch"
            raise BadOption("--diff has its own two tables", hint=hint)
        if self.namespace not in get_args(Namespace):
            raise BadOption(f"no namespace `{self.namespace}`", hint="aten or onnx")
        if self.namespace == "onnx" and self.chips:
            raise BadOption("chips have no ONNX table", hint="name providers with --backend")
        if self.namespace == "onnx" and (self.core or self.torch):
            raise BadOption("ONNX has neither opset of torch", hint="leave out --core and --torch")


def operators(query: OperatorQuery) -> OperatorMatrix | OperatorDiff:
    """Return operators by backends, or with `diff` what changed between two of them.

    Raises:
        BadOption: No such backend, version or level, or no operator is like the pattern.
        UnknownChip: No such chip.
    """
    from crossgrade.chips.ops.diff import changes
    from crossgrade.chips.ops.matrix import build_matrix
    from crossgrade.chips.optables import base_operator, core_operators

    query.check()
    matrix = build_matrix(
        _asked(query),
        pattern=query.pattern,
        grain="overload" if query.overloads else "base",
        levels=query.levels,
        evidence=query.evidence,
        namespace=query.namespace,
        only=core_operators() if query.core else None,
        base_of=base_operator if query.namespace == "aten" else str,
    )
    return changes(matrix) if query.diff else matrix


def _asked(query: OperatorQuery) -> Sequence[Asked]:
    """Return the columns that are asked for."""
    from crossgrade.chips.ops import columns

    if query.namespace == "onnx":
        from crossgrade.chips.ops.onnx import onnx_columns

        return onnx_columns(query.diff or query.backends)
    if query.diff is None:
        return columns.columns(query.backends, query.chips, torch=query.torch)
    return [
        columns.backend_column(spec) if columns.is_backend(spec) else columns.chip_column(spec)
        for spec in query.diff
    ]


def render_operators(
    found: OperatorMatrix | OperatorDiff,
    kind: OperatorFormat = "table",
    *,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return operators as text; `table` is Markdown where there is no terminal."""
    from crossgrade.report.matrix import inert

    return inert(_rendered(found, kind, terminal=terminal, width=width, colour=colour))


def _rendered(
    found: OperatorMatrix | OperatorDiff,
    kind: OperatorFormat,
    *,
    terminal: bool,
    width: int,
    colour: bool,
) -> str:
    """Return the text of one format."""
    from crossgrade.report import matrix as report
    from crossgrade.values.operators import LEGEND, OperatorMatrix

    if kind == "json":
        from crossgrade.records.codec import to_json
        from crossgrade.report.envelope import envelope

        data = to_json(found) | {"legend": to_json(LEGEND)}
        if isinstance(found, OperatorMatrix):
            data["totals"] = to_json(found.totals)
        return envelope("chips ops", data)
    if kind == "csv":
        return report.operators_csv(found)
    if kind == "html":
        from crossgrade.report.matrix_html import operators_html

        return operators_html(found)
    from crossgrade.report.shown import shown

    on_screen = kind == "table" and terminal
    document = report.operators_document(found, width=width if on_screen else None)
    return shown(document, terminal=on_screen, width=width, colour=colour)
