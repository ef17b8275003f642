"""An operator table as a value, and the answer it gives for one operator.

The rules stand in docs/reference/operator-tables.md. Must not read files and must not know any
backend by name: whatever differs between backends is a field of the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

from crossgrade.chips.ops.documented import (
    Documented,
    allowed_dtypes,
    outside,
)
from crossgrade.chips.ops.manifest import Slot
from crossgrade.chips.ops.rows import OperatorRow
from crossgrade.chips.ops.statements import Statement
from crossgrade.errors import BadOption
from crossgrade.values.support import Support, SupportLevel

_RUNS_ON_CHIP: frozenset[SupportLevel] = frozenset({"native", "composite"})
_NON_FUNCTIONAL = "CompositeExplicitAutogradNonFunctional"
_FALLS_BACK_NOTE = "cpu-fallback"


def base_operator(op: str) -> str:
    """The base operator of an overload: `add_.Tensor` and `add.out` give `add`.

    The overload name goes, and so do trailing underscores; `__and__` keeps its leading ones.
    """
    return op.partition(".")[0].rstrip("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTable:
    """What one backend, in one version, does with every operator."""

    backend: str
    """Name, such as `npu`."""
    version: str
    """Version of the table; empty where there is none."""
    title: str
    """Name for people."""
    rows: Mapping[str, OperatorRow] = field(default_factory=dict, hash=False)
    """By overload name; empty where no table exists."""
    registered_in: str = ""
    """File with the registrations, for evidence."""
    columns: tuple[str, ...] = ()
    """Columns of that file that count."""
    aten_in: str = ""
    """File with PyTorch's composites and delegates, for evidence."""
    aten_version: str = ""
    """PyTorch version of that file."""
    composites: tuple[str, ...] = ()
    """Alias dispatch keys whose composite kernels reach this backend."""
    functionalizes: bool = False
    """True where in-place operators reach the backend as their functional form."""
    unregistered: SupportLevel = "unknown"
    """What an operator without any kernel gets."""
    unregistered_source: str = ""
    """Where that is said."""
    slots: Mapping[str, Slot] = field(default_factory=dict, hash=False)
    """Recorded operators whose work another operator may do."""
    absent: tuple[str, ...] = ()
    """Patterns of operators that the file lists and this build has not."""
    documented: Mapping[str, tuple[Documented, ...]] = field(default_factory=dict, hash=False)
    """Rows of the vendor's API pages by base operator, all releases."""
    page: str = ""
    """Release of the API pages that is used."""
    statements: Mapping[str, tuple[Statement, ...]] = field(default_factory=dict, hash=False)
    """What other lists say of this version, by overload or base operator."""
    socs: tuple[str, ...] = ()
    """SoC names that the pages know; `support` refuses others."""
    note: str = ""
    """What a reader must know of the table."""

    @property
    def operators(self) -> Collection[str]:
        """Overloads that the table has a row for."""
        return self.rows.keys()

    def support(
        self, op: str, *, soc: str | None = None, dtypes: frozenset[str] = frozenset()
    ) -> Support:
        """How `op` runs here, with the table rows that say so.

        Args:
            op: Overload name as torch prints it without namespace and `.default`.
            soc: SoC column of the vendor's API pages, such as `950DT`; None asks of none.
                A backend without such pages ignores it.
            dtypes: torch names of the dtypes of the call's tensors; empty asks of none.

        Raises:
            BadOption: The API pages do not know the SoC.
        """
        if soc is not None and self.socs and soc not in self.socs:
            raise BadOption(
                f"no SoC `{soc}` in the tables of {self.backend}",
                hint=f"known: {', '.join(self.socs)}",
            )
        op = op.removesuffix(".default")
        found = self._slot(self.slots[op]) if op in self.slots else self._registered(op)
        found = self._documented(found, soc, dtypes) if self.page else found
        return self._compared(found) if self.statements else found

    def with_row(self, op: str, **changes: object) -> OperatorTable:
        """A copy with one row changed or added; the fields are those of OperatorRow."""
        row = self.rows.get(op, OperatorRow(op=op))
        known = {f.name for f in dataclasses.fields(OperatorRow)} - {"op"}
        if unknown := sorted(set(changes) - known):
            raise BadOption(
                f"an operator row has no field {', '.join(unknown)}",
                hint=f"fields: {', '.join(sorted(known))}",
            )
        changed = dataclasses.replace(row, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, rows=MappingProxyType({**self.rows, op: changed}))

    def _cite(self, row: OperatorRow) -> str:
        cells = ", ".join(row.registered) or f"{', '.join(self.columns)} empty"
        return f"{self.registered_in} [{self.version}]: {row.op}: {cells}"

    def _cite_aten(self, row: OperatorRow, column: str) -> str:
        value = {
            "composite": "|".join(row.composite),
            "structured_delegate": row.delegate,
            "generated_from": row.generated_from,
        }[column]
        return f"{self.aten_in} [{self.aten_version}]: {row.op}: {column}={value or 'empty'}"

    def _answer(self, op: str, level: SupportLevel, *evidence: str, via: str = "") -> Support:
        return Support(
            op=op,
            backend=self.backend,
            level=level,
            evidence=evidence,
            via="" if via == op else via,
        )

    def _unregistered(self, op: str, *evidence: str) -> Support:
        return self._answer(op, self.unregistered, *evidence, self.unregistered_source)

    def _reached(self, row: OperatorRow) -> bool:
        """Whether PyTorch's composite kernel of the row reaches this backend."""
        kinds = {kind.removesuffix("(default)") for kind in row.composite}
        return not kinds.isdisjoint(self.composites)

    def _has_kernel(self, op: str) -> bool:
        row = self.rows.get(op)
        return bool(row and row.registered) and not self._is_absent(op)

    def _is_absent(self, op: str) -> bool:
        return any(fnmatchcase(op, pattern) for pattern in self.absent)

    def _registered(self, op: str) -> Support:
        """The answer from registrations, delegates and composites."""
        if not self.rows:
            return self._answer(op, "unknown", f"no operator table for {self.backend}: {self.note}")
        row = self.rows.get(op)
        if row is None:
            return self._answer(
                op, "unknown", f"{self.aten_in} [{self.aten_version}]: {op}: no such row"
            )
        cite = self._cite(row)
        if row.falls_back:
            said = f"tables.toml: {self.backend}: registers a copy to the CPU ({row.falls_back})"
            return self._answer(op, "cpu-fallback", said)
        if self._has_kernel(op):
            return self._answer(op, "native", cite)
        if self._is_absent(op):
            return self._unregistered(op, f"{cite}, not part of a {self.backend} build")
        if self._delegates(row):
            return self._delegated(row, cite)
        if self._reached(row):
            return self._answer(op, "composite", cite, self._cite_aten(row, "composite"))
        if row.generated_from:
            return self._generated(row, cite)
        if self.functionalizes and (functional := self._functional(op)):
            return self._answer(op, "native", cite, self._cite(functional), via=functional.op)
        if row.delegate and row.delegate in self.rows:
            return self._unregistered(op, cite, self._cite(self.rows[row.delegate]))
        return self._unregistered(op, cite, self._cite_aten(row, "composite"))

    def _delegates(self, row: OperatorRow) -> bool:
        """Whether a structured operator ends in a kernel that the backend has.

        PyTorch generates a kernel of the alias key CompositeExplicitAutogradNonFunctional for
        it, which allocates the output and calls the out variant.
        """
        return _NON_FUNCTIONAL in self.composites and self._has_kernel(row.delegate)

    def _delegated(self, row: OperatorRow, cite: str) -> Support:
        """The answer for a structured operator whose out variant has a kernel."""
        delegate = self._cite_aten(row, "structured_delegate")
        target = self._cite(self.rows[row.delegate])
        return self._answer(row.op, "native", cite, delegate, target, via=row.delegate)

    def _generated(self, row: OperatorRow, cite: str) -> Support:
        """An operator that PyTorch generates by calling another one."""
        source = self._registered(row.generated_from)
        level: SupportLevel = "composite" if source.level in _RUNS_ON_CHIP else source.level
        lines = (cite, self._cite_aten(row, "generated_from"), *source.evidence)
        return self._answer(row.op, level, *lines, via=row.generated_from)

    def _functional(self, op: str) -> OperatorRow | None:
        """The row of the functional form of an in-place operator, where it has a kernel."""
        name, dot, overload = op.partition(".")
        functional = f"{name.removesuffix('_')}{dot}{overload}"
        return self.rows[functional] if functional != op and self._has_kernel(functional) else None

    def _slot(self, slot: Slot) -> Support:
        """The answer for an operator whose work another one may do."""
        if not self.rows:
            return self._registered(slot.op)
        said = f"tables.toml: slot {slot.op}"
        for filler in slot.fillers:
            if self._has_kernel(filler):
                return self._answer(
                    slot.op, "native", self._cite(self.rows[filler]), said, via=filler
                )
        empty = f"{said}: no filler has a kernel in {self.registered_in} [{self.version}]"
        if not slot.otherwise:
            return self._unregistered(slot.op, empty)
        other = self._registered(slot.otherwise)
        return dataclasses.replace(
            other, op=slot.op, via=slot.otherwise, evidence=(empty, *other.evidence)
        )

    def _pages(self, op: str) -> tuple[Documented, ...]:
        """API rows of all releases for an overload; the in-place row first, if there is one."""
        name = op.partition(".")[0]
        return self.documented.get(name) or self.documented.get(name.rstrip("_"), ())

    def _documented(self, found: Support, soc: str | None, dtypes: frozenset[str]) -> Support:
        """The answer after the vendor's API pages have been asked."""
        every = self._pages(found.op) or self._pages(found.via)
        rows = tuple(row for row in every if row.torch_version == self.page)
        if not rows:
            return found
        allowed = allowed_dtypes(rows)
        gone = frozenset().union(*(row.excluded_for(soc) for row in rows))
        lines: list[str] = []
        level = found.level
        if soc is not None:
            level = self._on_soc(found, soc, rows)
            lines += [row.cite(soc, "1" if row.verified[soc] else "0") for row in rows]
        outsiders = outside(dtypes, allowed) | (dtypes & gone)
        if level == "native" and outsiders:
            # An earlier release of the same pages allows it: the sources disagree.
            others = [r for r in every if r.torch_version != self.page and r.dtypes]
            level = "conflict" if any(outsiders <= r.dtypes for r in others) else "dtype-limited"
            lines += _dtype_lines(rows, outsiders, every)
        return dataclasses.replace(
            found,
            level=level,
            evidence=(*found.evidence, *lines),
            limits=_limits(allowed, gone, rows),
            dtypes=tuple(sorted(allowed - gone)) if allowed else None,
        )

    def _compared(self, found: Support) -> Support:
        """The answer after other lists have been asked: a conflict where one contradicts it."""
        name = found.op.partition(".")[0]
        keys = (found.op, name, name.rstrip("_"))
        said = next((self.statements[key] for key in keys if key in self.statements), ())
        said = tuple(s for s in said if s.scope == "base" or s.op == found.op)
        if not said:
            return found
        disagree = any(self._contradicts(s, found) for s in said)
        return dataclasses.replace(
            found,
            level="conflict" if disagree else found.level,
            evidence=(*found.evidence, *(s.cite() for s in said)),
        )

    def _contradicts(self, said: Statement, found: Support) -> bool:
        """Whether a list says no of a kernel, or yes where nothing of the operator runs here.

        A composite contradicts neither: it runs, and may call something that does not.
        """
        if not said.supported:
            return found.level == "native"
        return found.level in ("cpu-fallback", "missing") and not self._relative_runs(found.op)

    def _relative_runs(self, op: str) -> bool:
        """Whether any overload of the same base operator runs on the chip."""
        base = base_operator(op)
        relatives = (other for other in self.rows if base_operator(other) == base)
        return any(self._registered(other).level in _RUNS_ON_CHIP for other in relatives)

    def _on_soc(self, found: Support, soc: str, rows: tuple[Documented, ...]) -> SupportLevel:
        """The level on a SoC: registered and not verified, or verified and not registered."""
        verified = any(row.verified[soc] for row in rows)
        if found.level == "native" and not verified:
            return "unverified"
        admits = any(_FALLS_BACK_NOTE in row.notes for row in rows)
        if verified and not admits and found.level in ("cpu-fallback", "missing"):
            return found.level if self._relative_runs(found.op) else "conflict"
        return found.level


def _dtype_lines(
    rows: tuple[Documented, ...], outsiders: frozenset[str], every: tuple[Documented, ...]
) -> list[str]:
    """Evidence for a dtype limit, and the releases of the pages that do not state it."""
    lines = [row.cite("dtypes", " ".join(sorted(row.dtypes))) for row in rows if row.dtypes]
    lines += [row.cite("excluded", " ".join(sorted(row.excluded))) for row in rows if row.excluded]
    others = [row for row in every if row.torch_version != rows[0].torch_version]
    for row in others:
        if row.dtypes and outsiders <= row.dtypes:
            lines.append(row.cite("dtypes", " ".join(sorted(row.dtypes))) + ", which allows it")
    return lines


def _limits(allowed: frozenset[str], gone: frozenset[str], rows: tuple[Documented, ...]) -> str:
    """The documented limits in short English."""
    parts = []
    if allowed:
        parts.append(f"dtypes: {', '.join(sorted(allowed))}")
    if gone:
        parts.append(f"not: {', '.join(sorted(gone))}")
    notes = sorted({note for row in rows for note in row.notes})
    if notes:
        parts.append(f"documented limits: {', '.join(notes)}")
    return "; ".join(parts)
