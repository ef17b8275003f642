"""Which of a workload's operators a chip's software runs, and how.

Every distinct operator is looked up in the chip's operator table with the dtypes it is called
with; a composite is followed into what it dissolves into there. Must not know any backend.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from crossgrade.predict.phase import Prepared
from crossgrade.predict.price import HostWork
from crossgrade.values.support import Support, SupportLevel

_SCALAR_READ = "aten._local_scalar_dense.default"
_DEPTH = 4


class SupportTable(Protocol):
    """What is asked of an operator table."""

    backend: str
    version: str

    def support(
        self, op: str, *, soc: str | None = None, dtypes: frozenset[str] = frozenset()
    ) -> Support:
        """Return how one overload runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorUse:
    """One distinct operator of a workload on one chip."""

    op: str
    """Overload with namespace, such as `aten.add.Tensor`."""
    level: SupportLevel
    """How it runs there."""
    calls: int
    """Captured calls."""
    call_share: float
    """Share of the launching calls, 0 to 1."""
    time_share: float
    """Share of the predicted device time, call by call, 0 to 1."""
    dtypes: tuple[str, ...]
    """Formats of its tensors."""
    support: Support
    """The table's answer with its evidence."""
    inner: tuple[tuple[str, int], ...]
    """What all its calls dissolve into there: operator, count; empty unless composite."""
    host_syncs: int
    """Reads of device values by the host that its calls cause there."""
    places: tuple[str, ...]
    """Where it is called, most frequent first."""


@dataclass(slots=True)
class _Group:
    """What the calls of one operator have in common."""

    keys: Counter[int] = field(default_factory=Counter)
    dtypes: set[str] = field(default_factory=set)
    places: Counter[str] = field(default_factory=Counter)
    time_share: float = 0.0


def operator_uses(
    prepared: Prepared, table: SupportTable, soc: str | None, time_shares: np.ndarray
) -> tuple[OperatorUse, ...]:
    """Return every distinct launching operator on a chip, the most time first.

    Args:
        prepared: the capture with its kernels.
        table: the chip's operator table.
        soc: which of the table's limits hold for the chip.
        time_shares: share of device time per call, shape [calls].
    """
    groups = _group(prepared, time_shares)
    launching = sum(sum(g.keys.values()) for g in groups.values()) or 1
    resolver = _Resolver(prepared, table, soc)
    uses = []
    for op, group in groups.items():
        support = resolver.support(op, frozenset(group.dtypes))
        calls = sum(group.keys.values())
        inner: Counter[str] = Counter()
        if support.level == "composite":
            for key, count in group.keys.items():
                inner.update({o: n * count for o, n in resolver.dissolved(key).items()})
        own_reads = calls if op == _SCALAR_READ else 0
        uses.append(
            OperatorUse(
                op=op,
                level=support.level,
                calls=calls,
                call_share=calls / launching,
                time_share=group.time_share,
                dtypes=tuple(sorted(group.dtypes)),
                support=support,
                inner=tuple(inner.most_common()),
                host_syncs=inner[_SCALAR_READ] + own_reads,
                places=tuple(place for place, _ in group.places.most_common(3)),
            )
        )
    return tuple(sorted(uses, key=lambda use: (-use.time_share, use.op)))


def _group(prepared: Prepared, time_shares: np.ndarray) -> dict[str, _Group]:
    """Return the launching calls by operator."""
    capture = prepared.capture
    c = capture.columns
    keys, sources = c["call_key"].tolist(), c["call_source"].tolist()
    shares = time_shares.tolist()
    groups: dict[str, _Group] = defaultdict(_Group)
    for kernel in prepared.eager:
        call = kernel.calls[0]
        key = capture.key(keys[call])
        group = groups[key.operator]
        group.keys[key.index] += 1
        group.time_share += shares[call]
        group.places[capture.tables["sources"][sources[call]]] += 1
    for group in groups.values():
        for index in group.keys:
            key = capture.key(index)
            group.dtypes.update(m.dtype for m in (*key.inputs, *key.outputs))
    return groups


def short_name(op: str) -> str:
    """Return an overload as tables name it: `aten.mm.default` -> `mm`."""
    return op.split(".", 1)[1].removesuffix(".default")


class _Resolver:
    """Looks operators up and follows composites."""

    def __init__(self, prepared: Prepared, table: SupportTable, soc: str | None) -> None:
        self._table, self._soc = table, soc
        self._capture = prepared.capture
        c = self._capture.columns
        names = self._capture.tables["operators"]
        self._inner: dict[int, dict[str, int]] = defaultdict(dict)
        for key, op, count in zip(
            c["inner_key"].tolist(),
            c["inner_operator"].tolist(),
            c["inner_count"].tolist(),
            strict=True,
        ):
            self._inner[key][names[op]] = count
        self._by_operator: dict[str, int] = {}
        for index in self._inner:
            self._by_operator.setdefault(self._capture.key(index).operator, index)

    def support(self, op: str, dtypes: frozenset[str]) -> Support:
        """Return the table's answer."""
        if not op.startswith(("aten.", "prims.")):
            return Support(
                op=op,
                backend=self._table.backend,
                level="unknown",
                evidence=("not an aten operator: no table lists it",),
            )
        return self._table.support(short_name(op), soc=self._soc, dtypes=dtypes)

    def dissolved(self, key: int, depth: int = _DEPTH) -> Counter[str]:
        """Return what one call of a composite key becomes on this backend."""
        total: Counter[str] = Counter()
        for op, count in self._inner.get(key, {}).items():
            known = self._by_operator.get(op)
            again = (
                depth > 0
                and known is not None
                and known != key
                and self.support(op, frozenset()).level == "composite"
            )
            if again and known is not None:
                inner = self.dissolved(known, depth - 1)
                total.update({o: n * count for o, n in inner.items()})
            else:
                total[op] += count
        return total


def dissolved_work(uses: tuple[OperatorUse, ...]) -> HostWork:
    """Return what the host does beyond one launch per captured call, in eager execution."""
    chosen = [use for use in uses if use.level == "composite" and use.inner]
    launches = sum(n for use in chosen for op, n in use.inner if op != _SCALAR_READ)
    reads = sum(use.host_syncs for use in chosen)
    return HostWork(launches=max(launches - sum(u.calls for u in chosen), 0), reads=reads)


def level_shares(uses: tuple[OperatorUse, ...]) -> Iterator[tuple[SupportLevel, int, int, float]]:
    """Yield (level, distinct operators, calls, share of time) for the levels that occur."""
    order: tuple[SupportLevel, ...] = (
        "native",
        "composite",
        "cpu-fallback",
        "missing",
        "dtype-limited",
        "unverified",
        "conflict",
        "unknown",
    )
    for level in order:
        chosen = [use for use in uses if use.level == level]
        if chosen:
            yield (
                level,
                len(chosen),
                sum(u.calls for u in chosen),
                sum(u.time_share for u in chosen),
            )
