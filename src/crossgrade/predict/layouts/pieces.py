"""The distinct launches of one captured step, with what a layout needs to know of each.

Repeated blocks launch the same kernels: a step of thousands of launches is some dozens of pieces,
so that another layout or batch costs as many prices. Must not know layouts or chips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.lowering.kernel import Division, Kernel, Reduction
from crossgrade.predict.phase import Prepared
from crossgrade.predict.stack_time import launched
from crossgrade.predict.traffic import block_of
from crossgrade.values.capture import ROLES, Capture
from crossgrade.values.kernel import SIZES, Family

ATTENTION: tuple[Family, ...] = ("attention", "latent-attention")
"""Families of attention."""
Degrees = tuple[tuple[int, float], ...]
"""(degree, share), as of a division."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One distinct launch."""

    family: Family
    """Family of its kernel model."""
    op: str
    """What is launched."""
    format: str
    """Arithmetic and operands."""
    sizes: tuple[float, ...]
    """Undivided sizes at the captured batch, in the order of `values.kernel.SIZES`."""
    division: Division
    """How it divides."""
    repeated: bool
    """Whether it lies in a repeated block, which pipeline stages share out."""

    def size(self, name: str) -> float:
        """Return one of its sizes."""
        return self.sizes[SIZES[self.family].index(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A place where ranks add up, or put side by side, what each of them has."""

    kinds: frozenset[str]
    """`rows`, `experts` or `gather`, see `Reduction`."""
    bytes: float
    """The result over the whole captured batch, bytes."""
    repeated: bool
    """Whether it lies in a repeated block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Weights, or cache, that divide alike."""

    bytes: float
    """All of it, bytes."""
    role: str
    """As of a division: `experts`, or what the degrees say."""
    degrees: Degrees
    """(degree, share), as of a division."""
    repeated: bool
    """Whether it lies in repeated blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The routed experts of a model, as a layout has to know them."""

    experts: int
    """Experts of one layer."""
    topk: int
    """Experts per token."""
    inter: int
    """Inner size of one expert."""
    narrow: bool
    """Whether activations go to them in 8 bits or fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """One captured step of a stack."""

    batch: int
    """Sequences that were captured."""
    tokens: int
    """New tokens of each."""
    hidden_bytes: float
    """Hidden states of the batch between two blocks, bytes."""
    pieces: dict[Piece, int]
    """Distinct launch -> how often."""
    sums: dict[Sum, int]
    """Distinct collective -> how often."""
    last: dict[Piece, int]
    """Of the distinct launches those of the last repeated block, which a module that drafts tokens
    repeats."""
    last_sums: dict[Sum, int]
    """Its collectives."""
    host_reads: int
    """Reads of device values by the host."""
    blocks: int
    """Repeated blocks."""
    weights: tuple[Stored, ...]
    """Parameters and buffers, as stored."""
    cache: tuple[Stored, ...]
    """Cache at the end of the step, at the captured batch."""
    activations: float
    """What else is alive at once at the captured batch on one chip, bytes."""
    routed: Routed | None
    """Routed experts; None without any."""
    heads: int | None
    """Most ranks that attention divides over: least number of heads of any layer; None without."""
    shared: int | None
    """Least number of heads of keys, of attention that is not over a latent; None without."""

    @property
    def reads(self) -> bool:
        """Return whether it reads prompts, or parts of them."""
        return any(p.op == "prefill" for p in self.pieces if p.family in ATTENTION)


def pieces_of(prepared: Prepared, stack: str) -> Pieces:
    """Return the distinct launches of a step; worked out once per capture and stack.

    Raises:
        ValueError: no such stack, or it cannot run the phase.
    """
    key = f"{stack}/pieces"
    if key not in prepared.launches:
        prepared.launches[key] = pieces_from(prepared, launched(prepared, stack).kernels)
    found: Pieces = prepared.launches[key]
    return found


def pieces_from(prepared: Prepared, kernels: list[Kernel], *, partial: bool = False) -> Pieces:
    """Return the distinct ones of some launches.

    Args:
        prepared: the capture that they are of.
        kernels: launches of one stack.
        partial: whether they are a part of the step: weights are those that they read alone.
    """
    capture = prepared.capture
    modules = capture.tables["modules"]
    blocks = [block_of(module) for module in modules]
    of_call = capture.columns["call_module"].tolist()
    of_kernel = [blocks[of_call[kernel.calls[0]]] for kernel in kernels]
    final = next((block for block in reversed(of_kernel) if block), "")
    places = [bool(blocks[module]) for module in of_call]
    counts: dict[Piece, int] = defaultdict(int)
    last: dict[Piece, int] = defaultdict(int)
    groups: dict[int, list[tuple[Reduction, str]]] = defaultdict(list)
    for kernel, block in zip(kernels, of_kernel, strict=True):
        repeated = bool(block)
        for reduction in kernel.division.reductions:
            groups[reduction.group].append((reduction, block))
        if kernel.family is not None and kernel.part_of is None:
            division = Division(role=kernel.division.role, degrees=kernel.division.degrees,
                                fixed=kernel.division.fixed)  # fmt: skip
            piece = Piece(family=kernel.family, op=kernel.op, format=kernel.format,
                          sizes=tuple(map(float, kernel.sizes)), division=division,
                          repeated=repeated)  # fmt: skip
            counts[piece] += 1
            if repeated and block == final:
                last[piece] += 1
    return Pieces(
        batch=capture.workload.batch, tokens=capture.workload.tokens,
        hidden_bytes=prepared.traffic.bytes_per_round, pieces=dict(counts),
        sums=_sums(groups.values()), last=dict(last),
        last_sums=_sums(g for g in groups.values() if any(b == final != "" for _, b in g)),
        host_reads=prepared.host_reads,
        blocks=len({block_of(module) for module in modules} - {""}),
        weights=_weights(capture, kernels, places, partial=partial), cache=_cache(capture, kernels),
        activations=prepared.memory.activations_fused, routed=_routed(counts),
        heads=_least(counts, "heads", ATTENTION),
        shared=_least(counts, "kv_heads", ("attention",)),
    )  # fmt: skip


def _least(pieces: Iterable[Piece], size: str, families: tuple[Family, ...]) -> int | None:
    """Return the least of a size over launches of some families; None without any."""
    return min((int(p.size(size)) for p in pieces if p.family in families), default=None)


def _sums(groups: Iterable[list[tuple[Reduction, str]]]) -> dict[Sum, int]:
    """Return the collectives; what is added up before it is reduced needs one together."""
    counts: dict[Sum, int] = defaultdict(int)
    for group in groups:
        one = Sum(
            kinds=frozenset(r.kind for r, _ in group),
            bytes=max(r.bytes for r, _ in group),
            repeated=any(block for _, block in group),
        )
        counts[one] += 1
    return dict(counts)


def _routed(pieces: Iterable[Piece]) -> Routed | None:
    every = next((p for p in pieces if p.division.role == "experts" and p.op == "bmm"), None)
    found = max((p for p in pieces if p.family == "experts"), key=lambda p: p.size("topk"),
                default=None)  # fmt: skip
    if found is None and every is not None:
        many = int(every.size("batch"))  # every expert computes every token
        return Routed(experts=many, topk=many, inter=int(every.size("n")), narrow=False)
    if found is None:
        return None
    return Routed(
        experts=int(found.size("experts")), topk=int(found.size("topk")),
        inter=int(found.size("inter")), narrow=found.format not in ("bf16", "fp16"),
    )  # fmt: skip


def _weights(
    capture: Capture, kernels: list[Kernel], places: list[bool], *, partial: bool
) -> tuple[Stored, ...]:
    """Return the parameters and buffers by how the launches that read them divide."""
    c = capture.columns
    roles, stored = c["storage_role"], c["storage_stored_bytes"]
    accel = c["storage_device"] == capture.tables["devices"].index("accel")
    fixed = np.isin(roles, [ROLES.index("parameter"), ROLES.index("buffer")]) & accel
    readers: dict[int, Kernel] = {}
    for kernel in kernels:
        for s in kernel.reads:
            if s >= 0 and fixed[s] and kernel.label != "quantise":
                kept = readers.get(s)
                if kept is None or _divides(kernel.division) > _divides(kept.division):
                    readers[s] = kernel
    totals: dict[tuple[str, Degrees, bool], float] = defaultdict(float)
    role: str
    degrees: Degrees
    for s in np.flatnonzero(fixed).tolist():
        reader = readers.get(s)
        if partial and reader is None:
            continue
        role, degrees, repeated = "whole", ((1, 1.0),), False
        if reader is not None:
            repeated = places[reader.calls[0]]
            if _divides(reader.division):
                role, degrees = reader.division.role, reader.division.degrees
        totals[role, degrees, repeated] += float(stored[s])
    return tuple(Stored(bytes=b, role=role, degrees=degrees, repeated=repeated)
                 for (role, degrees, repeated), b in totals.items())  # fmt: skip


def _divides(division: Division) -> bool:
    return division.role in ("columns", "rows", "heads", "experts", "vocabulary")


def _cache(capture: Capture, kernels: list[Kernel]) -> tuple[Stored, ...]:
    """Return the cache by over how many ranks it divides: as many as its heads, at most."""
    c = capture.columns
    kept = (c["storage_role"] == ROLES.index("kv")) & (c["storage_died"] >= capture.calls)
    degree: dict[int, int] = {}
    for kernel in kernels:
        shared = max(kernel.division.degrees, key=lambda one: one[1])[0]
        if kernel.family == "attention" and kernel.sizes:
            shared = int(kernel.sizes[2])
        elif kernel.family == "latent-attention":
            shared = 1
        for s in (*kernel.reads, *kernel.writes):
            if s >= 0 and kept[s]:
                degree[s] = min(degree.get(s, shared), shared)
    totals: dict[int, float] = defaultdict(float)
    for s in np.flatnonzero(kept).tolist():
        totals[degree.get(s, 1)] += float(c["storage_stored_bytes"][s])
    return tuple(Stored(bytes=b, role="cache", degrees=((d, 1.0),), repeated=True)
                 for d, b in totals.items())  # fmt: skip
