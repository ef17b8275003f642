"""Targets and operators of the catalogue as documents. Must not look for either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crossgrade.report.document import Document, Table

if TYPE_CHECKING:
    from crossgrade.targets.registry import TargetInfo
    from crossgrade.workloads.operators.info import OperatorInfo


def targets_document(targets: Sequence[TargetInfo]) -> Document:
    """Return one row per target."""
    table = Table(
        columns=("target", "what it is", "here", "why not, or what to do"),
        rows=tuple((t.name, t.what, _here(t), t.reason) for t in targets),
        whole=frozenset({0}),
        title="targets of bench",
    )
    return Document(blocks=(table,))


def operators_document(operators: Sequence[OperatorInfo]) -> Document:
    """Return one row per operator of the catalogue, with the arguments it takes."""
    table = Table(
        columns=("operator", "group", "what it does", "arguments and defaults"),
        rows=tuple((o.name, o.group, o.line, _arguments(o)) for o in operators),
        whole=frozenset({0}),
        title="operators of bench op",
    )
    return Document(blocks=(table,))


def _arguments(operator: OperatorInfo) -> str:
    given = ", ".join(f"{name}={value}" for name, value in operator.defaults.items())
    return f"{given}; {operator.default_dtype}" if given else operator.default_dtype


def _here(target: TargetInfo) -> str:
    if target.devices is not None:
        return ", ".join(target.devices) or "no device"
    return "installed" if target.installed else "no"
