"""Products of a training step in a narrower format than the module computes in.

Products by weights in blocks, of the forward and the backward pass: activations, weights and
gradients are converted before them, each in a pass over its elements. Attention, the embedding, the
head and the optimizer stay as they are (Micikevicius et al., 2022, arXiv 2209.05433, section 3).
Must not know chips or layouts.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator

from crossgrade.predict.layouts.pieces import Piece, Pieces
from crossgrade.predict.lowering.kernel import Division
from crossgrade.predict.silicon.facts import BYTES
from crossgrade.values.training import Products

_BY_WEIGHTS = ("columns", "rows", "whole")
_GRADIENTS = ("gradient-rows", "gradient-columns")


def narrowed_products(pieces: Pieces, format: Products, *, weights: bool) -> Pieces:
    """Return launches whose products by weights and of gradients are in a format.

    Args:
        pieces: of the blocks.
        format: of the products.
        weights: whether weights are converted too, as the forward pass does.
    """
    found: dict[Piece, int] = defaultdict(int)
    for piece, count in pieces.pieces.items():
        role = piece.division.role
        if piece.family != "matmul" or piece.op != "mm" or role not in (*_BY_WEIGHTS, *_GRADIENTS):
            found[piece] += count
            continue
        found[dataclasses.replace(piece, format=format)] += count
        if role in _BY_WEIGHTS:
            for cast in _casts(piece, format, weights=weights):
                found[cast] += count
    return dataclasses.replace(pieces, pieces=dict(found))


def _casts(piece: Piece, format: str, *, weights: bool) -> Iterator[Piece]:
    """Yield the conversions of what a product reads."""
    rows, columns, inner = (piece.size(name) for name in ("m", "n", "k"))
    by_rows = piece.division.role == "rows"
    yield _cast(piece, rows * inner, format, divides=by_rows)
    if weights:
        yield _cast(piece, columns * inner, format, divides=True)


def _cast(piece: Piece, elements: float, format: str, *, divides: bool) -> Piece:
    degrees = piece.division.degrees if divides else ((1, 1.0),)
    sizes = (BYTES[piece.format] * elements, BYTES[format] * elements, 2 * elements, 0.0)
    return Piece(
        family="vector", op="pointwise", format=piece.format, sizes=sizes,
        division=Division(role="vector", degrees=degrees), repeated=piece.repeated,
    )  # fmt: skip
