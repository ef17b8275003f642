"""The launches of a captured training step by pass and by place in the model.

Blocks are shared out by pipeline stages; what comes before them is the first stage's, what comes
behind them the last one's. Must not know layouts or chips.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossgrade.predict.layouts.pieces import Piece, Pieces, Stored, Sum, pieces_from
from crossgrade.predict.lowering.division import ANY
from crossgrade.predict.lowering.kernel import WHOLE, Kernel
from crossgrade.predict.phase import Prepared
from crossgrade.predict.stack_time import launched
from crossgrade.predict.traffic import block_of
from crossgrade.predict.training.products import narrowed_products
from crossgrade.values.capture import ROLES, STAGES, Capture
from crossgrade.values.training import Products
from crossgrade.values.workload import Optimizer

Pass = Literal["forward", "backward"]
Place = Literal["first", "blocks", "last"]
PLACES: tuple[Place, ...] = ("first", "blocks", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Activations that the forward pass leaves to the backward pass; bytes at the captured batch,
    by how they divide over ranks."""

    core: tuple[Stored, ...]
    """Of the inside of attention."""
    rest: tuple[Stored, ...]
    """All others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPasses:
    """One captured training step, of one micro-batch."""

    forward: Mapping[Place, Pieces]
    """Launches of the forward pass; weights are those that they read, one copy per place."""
    backward: Mapping[Place, Pieces]
    """Launches of the backward pass."""
    core: Pieces
    """Launches of the forward pass inside attention: without its projections."""
    update: Pieces
    """Launches of the optimizer, for all parameters."""
    tied: tuple[Stored, ...]
    """Weights that are read before the blocks and behind them: one stage keeps one copy."""
    kept: Mapping[Place, Kept]
    """What the backward pass reads of the forward pass."""
    hidden_bytes: float
    """Activations between two blocks at the captured batch, bytes."""
    blocks: int
    """Repeated blocks."""
    optimizer: Optimizer
    """What updates parameters."""
    flops: float
    """Nominal matrix operations of the forward pass."""
    block_flops: float
    """Those in blocks."""
    core_flops: float
    """Those inside attention."""

    @property
    def keeps_scores(self) -> bool:
        """Return whether attention keeps what lies between its products: it is not fused."""
        return any(piece.family == "matmul" for piece in self.core.pieces)

    @property
    def whole(self) -> Pieces:
        """Return the blocks of the forward pass: heads and experts of the model are theirs."""
        return self.forward["blocks"]


def passes_of(prepared: Prepared, stack: str, products: Products = "as-computed") -> TrainingPasses:
    """Return the launches of a training step; worked out once per capture and stack.

    Args:
        prepared: a captured training step.
        stack: the stack that launches it.
        products: format of products by weights and of their gradients in blocks.

    Raises:
        ValueError: no such stack, or it does not train.
    """
    key = f"{stack}/passes/{products}"
    if key not in prepared.launches:
        found = _passes(prepared, launched(prepared, stack).kernels)
        if products != "as-computed":
            found = _in_format(found, products)
        prepared.launches[key] = found
    result: TrainingPasses = prepared.launches[key]
    return result


def _in_format(found: TrainingPasses, products: Products) -> TrainingPasses:
    forward = narrowed_products(found.forward["blocks"], products, weights=True)
    backward = narrowed_products(found.backward["blocks"], products, weights=False)
    return dataclasses.replace(
        found, forward={**found.forward, "blocks": forward},
        backward={**found.backward, "blocks": backward},
    )  # fmt: skip


def _passes(prepared: Prepared, kernels: list[Kernel]) -> TrainingPasses:
    capture = prepared.capture
    blocks = [block_of(module) for module in capture.tables["modules"]]
    places = _places(kernels, capture, blocks)
    stages = capture.columns["call_stage"].tolist()
    of_stage = [STAGES[stages[min(kernel.calls)]] for kernel in kernels]
    groups: dict[tuple[str, Place], list[Kernel]] = defaultdict(list)
    for kernel, stage, place in zip(kernels, of_stage, places, strict=True):
        groups[stage, place].append(kernel)
    core = _core(groups["forward", "blocks"])
    update = [k for (stage, _), ks in groups.items() if stage == "optimizer" for k in ks]
    eager = [k for k in prepared.eager if STAGES[stages[min(k.calls)]] == "forward"]

    def made(some: list[Kernel]) -> Pieces:
        return dataclasses.replace(pieces_from(prepared, some, partial=True), host_reads=0)

    before = {s for k in groups["forward", "first"] for s in k.reads}
    twice = [k for k in groups["forward", "last"] if k.reads_parameter and k.reads.keys() & before]
    routed = sum(k.division.role == "experts" and k.kind == "matmul"
                 for k in groups["forward", "blocks"]) // 2  # fmt: skip

    def blocks_of(stage: Pass) -> dict[Place, Pieces]:
        found = {place: made(groups[stage, place]) for place in PLACES}
        hidden = prepared.traffic.bytes_per_round
        return {**found, "blocks": _experts_once(found["blocks"], routed, hidden)}

    return TrainingPasses(
        forward=blocks_of("forward"),
        tied=made(twice).weights,
        backward=blocks_of("backward"),
        core=made(core),
        update=_undivided(made(update)),
        kept={p: _kept(groups["forward", p], core, kernels, of_stage, capture) for p in PLACES},
        hidden_bytes=prepared.traffic.bytes_per_round,
        blocks=max(len({block for block in blocks if block}), 1),
        optimizer=capture.workload.optimizer,
        flops=sum(k.flops for k in eager),
        block_flops=sum(k.flops for k in groups["forward", "blocks"]),
        core_flops=sum(k.flops for k in core),
    )


def _places(kernels: list[Kernel], capture: Capture, blocks: list[str]) -> list[Place]:
    """Return the place of each launch: by its module, else by what it comes before or behind."""
    of_call = capture.columns["call_module"].tolist()
    stages = capture.columns["call_stage"].tolist()
    inside = [call for call, module in enumerate(of_call) if blocks[module]]
    ends: dict[int, tuple[int, int]] = {}
    for call in inside:
        first, _ = ends.get(stages[call], (call, call))
        ends[stages[call]] = first, call
    result: list[Place] = []
    for kernel in kernels:
        call = kernel.calls[0]
        if blocks[of_call[call]]:
            result.append("blocks")
            continue
        before = call < ends.get(stages[call], (len(of_call), 0))[0]
        # The backward pass begins with what is behind the blocks.
        result.append("first" if before == (STAGES[stages[call]] == "forward") else "last")
    return result


def _core(kernels: list[Kernel]) -> list[Kernel]:
    """Return the launches inside attention: fused ones, or products of two activations and the
    vector launches between them."""
    inside = [k for k in kernels if k.kind == "attention" or _of_activations(k)]
    made = {s for k in inside for s in k.writes}
    read = {s for k in inside for s in k.reads}
    chosen = {id(k) for k in inside}
    for kernel in kernels:
        if kernel.kind == "vector" and kernel.reads.keys() & made and kernel.writes.keys() & read:
            chosen.add(id(kernel))
    return [k for k in kernels if id(k) in chosen]


def _of_activations(kernel: Kernel) -> bool:
    return kernel.kind == "matmul" and not kernel.reads_parameter and kernel.op == "bmm"


def _experts_once(pieces: Pieces, layers: int, hidden: float) -> Pieces:
    """Return launches whose routed layers add up once each, what shared experts made included.

    A layer that is not one launch leaves partial sums in several places of the graph.
    """
    if not layers:
        return pieces
    dense = {one: count for one, count in pieces.sums.items() if "experts" not in one.kinds}
    once = Sum(kinds=frozenset({"experts"}), bytes=hidden, repeated=True)
    return dataclasses.replace(pieces, sums={**dense, once: layers})


def _undivided(pieces: Pieces) -> Pieces:
    """Return launches that no layout changes: they are scaled by what a rank updates."""
    whole = {dataclasses.replace(p, division=WHOLE): n for p, n in pieces.pieces.items()}
    return dataclasses.replace(pieces, pieces=whole, sums={})


def _kept(
    made: list[Kernel], core: list[Kernel], kernels: list[Kernel], of_stage: list[str],
    capture: Capture,
) -> Kept:  # fmt: skip
    """Return what some launches write and the backward pass reads."""
    later = {s for k, stage in zip(kernels, of_stage, strict=True) if stage == "backward"
             for s in k.reads}  # fmt: skip
    c = capture.columns
    activation = np.isin(c["storage_role"], [ROLES.index("activation")]).tolist()
    inside = _inside(made, core)
    totals: dict[bool, dict[int, float]] = {True: defaultdict(float), False: defaultdict(float)}
    seen: set[int] = set()
    for kernel in made:
        for s, size in kernel.writes.items():
            if s not in later or s in seen or (s >= 0 and not activation[s]):
                continue
            seen.add(s)
            bytes_ = float(c["storage_bytes"][s]) if s >= 0 else size
            totals[s in inside][kernel.written_degrees.get(s, 1)] += bytes_
    return Kept(core=_stored(totals[True].items()), rest=_stored(totals[False].items()))


def _inside(made: list[Kernel], core: list[Kernel]) -> set[int]:
    """Return what the inside of attention makes and no other launch of the forward pass reads."""
    chosen = {id(k) for k in core}
    outside = {s for k in made if id(k) not in chosen for s in k.reads}
    return {s for k in core for s in k.writes} - outside


def _stored(totals: Iterable[tuple[int, float]]) -> tuple[Stored, ...]:
    return tuple(Stored(bytes=size, role="activation", degrees=((degree, 1.0),), repeated=False)
                 for degree, size in totals)  # fmt: skip


def shared_tokens(pieces: Pieces) -> Pieces:
    """Return launches whose vector work ranks share by tokens where they would all do the same."""
    found: dict[Piece, int] = defaultdict(int)
    for piece, count in pieces.pieces.items():
        if piece.family == "vector" and piece.division.role == "vector":
            degrees = tuple((ANY if d == 1 else d, share) for d, share in piece.division.degrees)
            division = dataclasses.replace(piece.division, degrees=degrees)
            piece = dataclasses.replace(piece, division=division)
        found[piece] += count
    return dataclasses.replace(pieces, pieces=dict(found))
