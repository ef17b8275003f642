"""Operators by backends, from any tables that answer for an operator.

A pattern picks operators, a column is a table and a SoC, and a base operator stands for its
overloads. Must not read files and must not know any backend by name.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from crossgrade.errors import BadOption
from crossgrade.values.operators import (
    LEVELS,
    Grain,
    LevelCount,
    OperatorCell,
    OperatorColumn,
    OperatorLine,
    OperatorMatrix,
)
from crossgrade.values.support import Support, SupportLevel

_GLOB = frozenset("*?[")


class Answers(Protocol):
    """A table that says of every operator how it runs."""

    @property
    def operators(self) -> Collection[str]:
        """Overloads that the table has a row for."""
        ...

    def support(self, op: str, *, soc: str | None = None) -> Support:
        """Return how one overload runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A column, and the table that fills it."""

    column: OperatorColumn
    """Its head."""
    table: Answers
    """Who answers."""

    def support(self, op: str) -> Support:
        """How an overload runs in this column."""
        return self.table.support(op, soc=self.column.soc or None)


def short_name(pattern: str, namespace: str = "aten") -> str:
    """A pattern without namespace and `.default`: `aten::add.default` is `add`."""
    for prefix in (f"{namespace}::", f"{namespace}."):
        pattern = pattern.removeprefix(prefix)
    return pattern.removesuffix(".default") if pattern != ".default" else pattern


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Names that a pattern picks, sorted.

    With `*`, `?` or `[` it is a glob. Without, it is the name itself where there is one of that
    name, and otherwise any name that it is a part of. Empty picks all. Case does not matter.
    """
    known = sorted(set(names))
    if not pattern:
        return known
    if _GLOB & set(pattern):
        return [name for name in known if fnmatchcase(name.lower(), pattern.lower())]
    exact = [name for name in known if name.lower() == pattern.lower()]
    return exact or [name for name in known if pattern.lower() in name.lower()]


def build_matrix(
    asked: Sequence[Asked],
    *,
    pattern: str = "",
    grain: Grain = "base",
    levels: tuple[SupportLevel, ...] = (),
    evidence: bool = False,
    namespace: str = "aten",
    only: Collection[str] | None = None,
    base_of: Callable[[str], str],
) -> OperatorMatrix:
    """Operators by columns.

    Args:
        asked: Columns with their tables.
        pattern: See `matching`; one that names an overload asks for overloads.
        grain: What a row is.
        levels: Only rows that have one of these in a column; empty: all.
        evidence: Whether cells carry the rows that led to them.
        namespace: Of the operators.
        only: Overloads that count; None: all of every table.
        base_of: The base operator of an overload.

    Raises:
        BadOption: No operator is like the pattern.
    """
    short = short_name(pattern, namespace)
    overloads = _overloads(asked, only)
    if grain == "base" and short in overloads and base_of(short) != short:
        grain = "overload"
    groups = _groups(overloads, base_of if grain == "base" else str)
    picked = matching(short, groups)
    if not picked and overloads:
        raise BadOption(f"no operator is like `{pattern}`", hint=_nearest(short, groups))
    lines = (_line(op, groups[op], asked, evidence) for op in picked)
    return OperatorMatrix(
        namespace=namespace,
        grain=grain,
        pattern=pattern,
        levels=levels,
        columns=tuple(entry.column for entry in asked),
        lines=tuple(
            line for line in lines if not levels or any(c.level in levels for c in line.cells)
        ),
        with_evidence=evidence,
    )


def _overloads(asked: Sequence[Asked], only: Collection[str] | None) -> list[str]:
    """Overloads of all tables, sorted."""
    known = {op for entry in asked for op in entry.table.operators}
    return sorted(known if only is None else known.intersection(only))


def _groups(overloads: Iterable[str], name_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Overloads by the name of their row."""
    groups: dict[str, list[str]] = {}
    for op in overloads:
        groups.setdefault(name_of(op), []).append(op)
    return groups


def _nearest(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(names), n=3)
    near = f"did you mean {', '.join(f'`{name}`' for name in close)}? " if close else ""
    return near + "a pattern is a name, a part of one, or a glob such as '*attention*'"


def _line(op: str, overloads: list[str], asked: Sequence[Asked], evidence: bool) -> OperatorLine:
    """The cells of one row; a column speaks of the overloads that its own table has."""
    cells = []
    for entry in asked:
        own = [o for o in overloads if o in entry.table.operators] or overloads
        cells.append(cell_of([entry.support(o) for o in own], evidence=evidence))
    return OperatorLine(op=op, cells=tuple(cells))


def cell_of(answers: Sequence[Support], *, evidence: bool) -> OperatorCell:
    """What the answers for all overloads of an operator come to.

    The level is the first of `LEVELS` that one of them has. `via`, limits and evidence are those
    of the overloads at that level; with evidence the other overloads get a line each.
    """
    found = Counter(answer.level for answer in answers)
    level = next(level for level in LEVELS if level in found)
    leading = [answer for answer in answers if answer.level == level]
    vias = {answer.via for answer in leading}
    return OperatorCell(
        level=level,
        counts=tuple(LevelCount(level=one, count=found[one]) for one in LEVELS if one in found),
        via=vias.pop() if len(vias) == 1 else "",
        limits="; ".join(dict.fromkeys(a.limits for a in leading if a.limits)),
        evidence=_evidence(answers) if evidence else (),
    )


def _evidence(answers: Sequence[Support]) -> tuple[str, ...]:
    """Every line once; where there are several overloads, with the level of each."""
    lines = []
    for answer in answers:
        head = f"{answer.op}: {answer.level}: " if len(answers) > 1 else ""
        lines.append(head + "; ".join(dict.fromkeys(answer.evidence)))
    return tuple(lines)
