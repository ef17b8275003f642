"""Absorb the product that expands a latent cache (multi-head latent attention, MLA).

Attention over keys `K = C W_k` and values `V = C W_v`, with a latent `C` of few elements per
position, is the same as attention over `C` with queries `Q W_k^T`, followed by `W_v`
(DeepSeek-V2, arXiv:2405.04434, section 2.1.2). A stack takes whichever costs less: the second
where there are few queries and many keys. Found in the graph: a product of an activation and a
parameter whose result goes to nothing but one attention. Tensors that only the absorbed form has
get storage ids below zero. Must not know models or chips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.kernel import AttentionShape, Kernel
from crossgrade.values.capture import DTYPES_BYTES, ROLES, Capture, TensorMeta

_PARAMETER = ROLES.index("parameter")
_LEAST_EXPANSION = 4
"""A latent has at most a fourth of the elements that are made of it, all heads together."""


@dataclass(slots=True, kw_only=True)
class _Expansion:
    """A product that only makes keys, values or both out of a latent."""

    product: Kernel
    """The product."""
    latent: int
    """Storage of the latent."""
    rank: int
    """Elements of the latent per position."""
    features: int
    """Elements that are made of it, per position and head."""
    for_keys: bool
    """Whether keys are made of it."""
    for_values: bool
    """Whether values are made of it."""


def absorb_latents(kernels: list[Kernel], capture: Capture, until: list[int]) -> list[Kernel]:
    """Return kernels in which attention reads latents where that costs less arithmetic."""
    graph = _Graph(kernels, capture, until)
    gone: set[int] = set()
    before: dict[int, list[Kernel]] = {}
    after: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        if kernel.attention is None:
            continue
        found = list(graph.expansions(kernel))
        made = _absorbed(kernel, kernel.attention, found) if found else None
        if made is None:
            continue
        gone |= {id(e.product) for e in found}
        before[id(kernel)], after[id(kernel)] = made
    result: list[Kernel] = []
    for kernel in kernels:
        if id(kernel) not in gone:
            result += [*before.get(id(kernel), ()), kernel, *after.get(id(kernel), ())]
    return result


class _Graph:
    """Who writes and who reads each storage."""

    def __init__(self, kernels: list[Kernel], capture: Capture, until: list[int]) -> None:
        self._capture, self._until = capture, until
        self._writers: dict[int, list[Kernel]] = {}
        self._readers: dict[int, list[Kernel]] = {}
        for kernel in kernels:
            for s in kernel.writes:
                self._writers.setdefault(s, []).append(kernel)
            for s in kernel.reads:
                self._readers.setdefault(s, []).append(kernel)

    def expansions(self, attention: Kernel) -> Iterator[_Expansion]:
        """Yield the products whose results only this attention uses."""
        shape = attention.attention
        assert shape is not None
        found: dict[int, _Expansion] = {}
        operands = [(s, True) for s in shape.key_storages]
        operands += [(s, False) for s in shape.value_storages]
        for storage, is_key in operands:
            for product in self._writers.get(storage, ()):
                known = found.get(id(product)) or self._expansion(product, shape)
                if known is None:
                    continue
                known.for_keys |= is_key
                known.for_values |= not is_key
                found[id(product)] = known
        for expansion in found.values():
            if _fits(expansion, shape) and all(
                self._only(s, attention, shape.last_call) for s in expansion.product.writes
            ):
                yield expansion

    def _expansion(self, product: Kernel, shape: AttentionShape) -> _Expansion | None:
        """Return a product [positions, rank] x [rank, heads * features], if it is one."""
        if product.kind != "matmul" or not product.reads_parameter or len(product.calls) > 1:
            return None
        c = self._capture.columns
        call = product.calls[0]
        key = self._capture.key(int(c["call_key"][call]))
        values = self._capture.inputs_of(call)
        if base_name(key.operator) not in ("mm", "addmm", "linear"):
            return None
        position = 1 if base_name(key.operator) == "addmm" else 0
        if position and not self._is_weight(values[0], key.inputs[0]):
            return None  # something else is added: the result is not the expansion alone
        rank, made = key.inputs[position].shape[-1], key.outputs[0].shape[-1]
        positions = key.inputs[position].numel // max(rank, 1)
        # Eager products keep the heads in the batch, so only the product of both is known.
        heads, left = divmod(shape.batch * shape.heads * shape.keys, max(positions, 1))
        if not positions or left or not heads or made % heads or rank * _LEAST_EXPANSION > made:
            return None
        weight = int(c["value_storage"][values[position + 1]])
        others = [s for s in product.reads if s != weight and not self._is_parameter(s)]
        if len(others) != 1:
            return None
        return _Expansion(product=product, latent=others[0], rank=rank, features=made // heads,
                          for_keys=False, for_values=False)  # fmt: skip

    def _is_parameter(self, storage: int) -> bool:
        return int(self._capture.columns["storage_role"][storage]) == _PARAMETER

    def _is_weight(self, value: int, meta: TensorMeta) -> bool:
        """Return whether a value is a parameter, or a vector as a bias is."""
        storage = int(self._capture.columns["value_storage"][value])
        return len(meta.shape) <= 1 or self._is_parameter(storage)

    def _only(self, storage: int, attention: Kernel, last: int) -> bool:
        """Return whether nobody but the attention reads a storage, and nobody keeps it."""
        readers = self._readers.get(storage, ())
        return self._until[storage] <= last and all(reader is attention for reader in readers)


def _fits(e: _Expansion, shape: AttentionShape) -> bool:
    """Return whether what is made per query head is the keys' part, the values, or both.

    Heads that several queries share are made once and do not fit; they are expanded as they are.
    """
    keys = e.features - (shape.value_size if e.for_values else 0)
    if not e.for_keys:
        return keys == 0
    # Keys may have a part of another origin, such as rotary elements.
    return keys == shape.key_size or (0 < keys < shape.key_size and len(shape.key_storages) > 1)


def _absorbed(
    kernel: Kernel, shape: AttentionShape, found: list[_Expansion]
) -> tuple[list[Kernel], list[Kernel]] | None:
    """Change an attention to read latents; return the products before and after it.

    None, and no change, where expanding costs less.
    """
    key_size, value_size = shape.key_size, shape.value_size
    for e in found:
        from_values = shape.value_size if e.for_values else 0
        if e.for_keys:
            key_size += e.rank - (e.features - from_values)
        if e.for_values:
            value_size = e.rank
    seen = kernel.work / kernel.flops if kernel.flops else 1.0
    flops = 2.0 * shape.pairs * (key_size + value_size)
    rows = shape.batch * shape.heads * shape.queries
    small = sum(2.0 * rows * e.rank * e.features for e in found)
    if small + flops * seen >= kernel.work + sum(e.product.work for e in found):
        return None
    before: list[Kernel] = []
    after: list[Kernel] = []
    for e in found:
        kernel.reads = {s: n for s, n in kernel.reads.items() if s not in e.product.writes}
        size = e.product.reads[e.latent] * shape.keys_read
        kernel.reads[e.latent] = max(kernel.reads.get(e.latent, 0.0), size)
        values = shape.value_size / e.features if e.for_values else 0.0
        for share, sink, is_key in ((1.0 - values, before, True), (values, after, False)):
            if share > 0:
                sink.append(_small_product(kernel, e, rows, share, is_key=is_key))
    kernel.flops, kernel.work = flops, flops * seen
    rank = max(e.rank for e in found)
    shape.latent = (rank, key_size - rank)
    return before, after


def _small_product(
    attention: Kernel, e: _Expansion, rows: int, share: float, *, is_key: bool
) -> Kernel:
    """Return the product with queries, or with results, that takes the place of an expansion.

    It has the parameter's part for keys or for values, and writes what attention reads in its
    place, or reads what attention writes: `rank` elements per query and head.
    """
    work = 2.0 * rows * e.rank * e.features * share
    latent = -2 * e.product.calls[0] - (1 if is_key else 2)
    size = rows * e.rank * DTYPES_BYTES[attention.dtype]
    reads = {s: size_ * share for s, size_ in e.product.reads.items() if s != e.latent}
    if is_key:
        writes = {latent: size}
        attention.reads[latent] = size
    else:
        writes, attention.writes = attention.writes, {latent: size}
        reads[latent] = size
    return Kernel(
        calls=list(e.product.calls),
        kind="matmul",
        label="absorbed",
        dtype=e.product.dtype,
        weight_format=e.product.weight_format,
        flops=work,
        work=work,
        reads=reads,
        writes=writes,
        reads_parameter=True,
        sizes=_sizes(attention, e, share, is_key=is_key),
    )


def _sizes(attention: Kernel, e: _Expansion, share: float, *, is_key: bool) -> tuple[float, ...]:
    """Return heads, rows per head, columns and inner size of a small product."""
    shape = attention.attention
    assert shape is not None
    made = float(round(e.features * share))
    size = (float(e.rank), made) if is_key else (made, float(e.rank))
    return (float(shape.heads), float(shape.batch * shape.queries), *size)
