"""The kernels of a step for other batches and contexts, without another capture.

Of a fixed model, what a kernel computes and moves is a sum of parts that are constant, grow with
the batch, with the context, or with both: four captures at the corners of a rectangle give them.
Of routed experts the matrices are read that some row falls to, which is neither; their share
follows from the rows by the formula of the lowering. Where kernels come and go or a size follows
another law, a fifth capture inside the rectangle shows it, and nothing is rescaled. Must not know
how a capture is made, nor chips.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.exchange import Traffic
from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.formulas import expected_share
from crossgrade.predict.lowering.kernel import Kernel
from crossgrade.predict.phase import Prepared
from crossgrade.predict.price import Floats, KernelColumns, price
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout
from crossgrade.values.workload import Workload

CLOSE = 0.005
"""Largest error of a sum over kernels at the fifth capture, relative; the bands are far wider."""
_SIZES = ("work", "vector_ops", "bytes")
_ARRAYS = (*_SIZES, "format", "is_host", "module")
_GROUPED = frozenset({"_grouped_mm", "_scaled_grouped_mm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaled:
    """A step at another batch or context."""

    workload: Workload
    """What it would run."""
    eager: KernelColumns
    """The distinct kernels of eager execution; repeated blocks repeat theirs."""
    eager_counts: Floats
    """How often each is launched."""
    fused: KernelColumns
    """The distinct kernels of a fusing stack."""
    fused_counts: Floats
    """How often each is launched."""
    traffic: Traffic
    """Exchange of an even split."""

    def time_s(self, chip: Chip, layout: Layout) -> Band:
        """Return the predicted time of one execution, as `predict` gives it without composites.

        Raises:
            ValueError: the chip's memory bandwidth is unknown.
        """
        fast = price(self.fused, chip, layout, self.traffic, "optimistic")
        slow = price(self.eager, chip, layout, self.traffic, "pessimistic")
        low = float(self.fused_counts @ fast.device_s) + fast.network_s
        high = float(self.eager_counts @ slow.device_s) + slow.network_s
        return Band(low=low, high=max(low, high), low_name="fused+graph", high_name="eager",
                    unit="s", kind="predicted")  # fmt: skip


class Rescaling:
    """What four captures say of all batches and contexts between them."""

    def __init__(self, corners: Sequence[Prepared], check: Prepared) -> None:
        """Take the corners of a rectangle of batches and contexts, in any order.

        Args:
            corners: one phase of one model: two batches with the same two contexts each.
            check: another one inside the rectangle.

        Raises:
            ValueError: they are no rectangle, kernels differ, or the check is missed; says which.
        """
        self._workload = corners[0].capture.workload
        self.batches = _two(p.capture.workload.batch for p in corners)
        self.contexts = _two(p.capture.workload.context for p in corners)
        placed = {(p.capture.workload.batch, p.capture.workload.context): p for p in corners}
        order = [placed.get((b, c)) for b in self.batches for c in self.contexts]
        given = [p for p in order if p is not None]
        if len(given) < 4 or len(corners) != 4:
            raise ValueError("four corners of a rectangle are needed")
        self._eager = _Columns([p.eager_columns for p in given], given[0], given[0].eager)
        self._fused = _Columns([p.fused_columns for p in given], given[0], given[0].fused)
        self._traffic = [p.traffic for p in given]
        self._compare(check)

    def at(self, batch: int, context: int) -> Rescaled:
        """Return a step between the corners.

        Raises:
            ValueError: it is outside of them.
        """
        for value, (low, high), name in (
            (batch, self.batches, "batch"), (context, self.contexts, "context"),
        ):  # fmt: skip
            if not low <= value <= high:
                raise ValueError(f"{name} {value} is not between {low} and {high}")
        weights = _corner_weights(_share(batch, self.batches), _share(context, self.contexts))
        return Rescaled(
            workload=dataclasses.replace(self._workload, batch=batch, context=context),
            eager=self._eager.at(weights, batch, self.batches),
            eager_counts=self._eager.counts,
            fused=self._fused.at(weights, batch, self.batches),
            fused_counts=self._fused.counts,
            traffic=_traffic_at(self._traffic, weights, batch),
        )

    def _compare(self, check: Prepared) -> None:
        """Refuse where a captured step differs from the rescaled one.

        Raises:
            ValueError: names the end, the size and the error.
        """
        asked = check.capture.workload
        found = self.at(asked.batch, asked.context)
        for end, ours, counts, known, theirs in (
            ("eager", found.eager, found.eager_counts, self._eager, check.eager_columns),
            ("fused", found.fused, found.fused_counts, self._fused, check.fused_columns),
        ):
            _same_kernels([known.whole, theirs])
            for size in _SIZES:
                expected = float(getattr(theirs, size).sum())
                error = abs(float(counts @ getattr(ours, size)) - expected)
                if error > CLOSE * expected:
                    raise ValueError(
                        f"{end}: {size} at batch {asked.batch}, context {asked.context} is "
                        f"{error / expected:.1%} off: it does not grow evenly between the corners"
                    )


class _Columns:
    """Kernels at four corners, and which of them read experts."""

    def __init__(
        self, corners: list[KernelColumns], first: Prepared, kernels: list[Kernel]
    ) -> None:
        _same_kernels(corners)
        self.whole = corners[0]
        routed = [_routed(first, kernel) for kernel in kernels]
        kept, self.counts = _distinct(corners, routed)
        self._first = _taken(self.whole, kept)
        self._sizes = {name: np.stack([getattr(c, name)[kept] for c in corners])
                       for name in _SIZES}  # fmt: skip
        rows = [routed[i] for i in kept.tolist()]
        self._routed = np.array([i for i, row in enumerate(rows) if row], dtype=np.int64)
        self._groups = [row for row in rows if row]

    def at(self, weights: Floats, batch: int, batches: tuple[int, int]) -> KernelColumns:
        """Return the kernels at one batch and context."""
        sizes = {name: weights @ corners for name, corners in self._sizes.items()}
        if len(self._routed):
            sizes["bytes"][self._routed] = self._experts(batch, batches)
        return dataclasses.replace(self._first, **sizes)

    def _experts(self, batch: int, batches: tuple[int, int]) -> Floats:
        """Return bytes of grouped products: activations grow with the batch, matrices by share.

        bytes = a batch + w share(batch), of which two batches give a and w. The context plays
        no part.
        """
        low, high = self._sizes["bytes"][[0, 2]][:, self._routed]
        shares = {b: np.array([expected_share(g, round(per * b)) for g, per in self._groups])
                  for b in (*batches, batch)}  # fmt: skip
        first, last = batches
        # Both batches alike, or a share that grows as the batch does: no second unknown.
        other = last * shares[first] - first * shares[last]
        even = np.abs(other) < 1e-9 * last
        matrices = np.where(even, 0.0, (last * low - first * high) / np.where(even, 1.0, other))
        rows = (low - matrices * shares[first]) / first
        total: Floats = rows * batch + matrices * shares[batch]
        return total


def _distinct(
    corners: list[KernelColumns], routed: list[tuple[int, float] | None]
) -> tuple[NDArray[np.int64], Floats]:
    """Return the first of each kernel that is priced alike, and how many are."""
    first = corners[0]
    sizes = np.column_stack([getattr(c, name) for c in corners for name in _SIZES])
    rows: dict[object, list[int]] = {}
    for i, row in enumerate(sizes):
        key = (row.tobytes(), int(first.format[i]), bool(first.is_host[i]), routed[i])
        rows.setdefault(key, []).append(i)
    kept = np.array([found[0] for found in rows.values()], dtype=np.int64)
    return kept, np.array([len(found) for found in rows.values()], dtype=np.float64)


def _taken(columns: KernelColumns, kept: NDArray[np.int64]) -> KernelColumns:
    """Return some kernels of columns."""
    sizes: dict[str, Any] = {n: getattr(columns, n)[kept] for n in _ARRAYS}
    words: dict[str, Any] = {
        n: tuple(getattr(columns, n)[i] for i in kept.tolist()) for n in ("labels", "kinds")
    }
    return dataclasses.replace(columns, **sizes, **words)


def _routed(prepared: Prepared, kernel: Kernel) -> tuple[int, float] | None:
    """Return groups, and rows per sequence, of a grouped product; None for every other kernel."""
    if kernel.label not in _GROUPED:
        return None
    keys = prepared.capture.columns["call_key"]
    for call in kernel.calls:
        key = prepared.capture.key(int(keys[call]))
        if base_name(key.operator) in _GROUPED and len(key.inputs[1].shape) == 3:
            rows, groups = key.inputs[0].shape[0], key.inputs[1].shape[0]
            return groups, rows / prepared.capture.workload.batch
    return None


def _same_kernels(columns: Sequence[KernelColumns]) -> None:
    """Refuse kernels that are not the same ones in the same order.

    Raises:
        ValueError: counts or names differ.
    """
    first = columns[0]
    for other in columns[1:]:
        alike = (first.labels, first.formats) == (other.labels, other.formats)
        if not alike or not np.array_equal(first.format, other.format):
            raise ValueError(
                f"other kernels at other sizes ({len(first.labels)} and {len(other.labels)})"
            )


def _two(values: object) -> tuple[int, int]:
    found = sorted(set(values))  # type: ignore[call-overload]
    if len(found) != 2:
        raise ValueError("corners of a rectangle have two batches and two contexts")
    return found[0], found[1]


def _share(value: int, ends: tuple[int, int]) -> float:
    """Return how far a value lies between two, 0 to 1."""
    return (value - ends[0]) / (ends[1] - ends[0])


def _corner_weights(batch: float, context: float) -> Floats:
    """Return the weight of each corner, shape [4]: bilinear interpolation."""
    return np.array([(1 - batch) * (1 - context), (1 - batch) * context,
                     batch * (1 - context), batch * context])  # fmt: skip


def _traffic_at(corners: list[Traffic], weights: Floats, batch: int) -> Traffic:
    """Return the exchange: payloads grow with the rows, rounds do not."""
    payload = [float(weights @ [getattr(t, name) for t in corners])
               for name in ("bytes_per_round", "routed_bytes")]  # fmt: skip
    return dataclasses.replace(corners[0], bytes_per_round=payload[0], routed_bytes=payload[1],
                               sequences=batch)  # fmt: skip
