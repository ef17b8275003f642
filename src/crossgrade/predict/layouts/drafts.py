"""A decode step that drafts tokens and verifies them: multi-token prediction, or speculation.

The step runs the model on the last token and its drafts at once, then drafts the next ones, one
after the other, each by a module of one more block with the embedding and the head (DeepSeek-V3,
arXiv 2412.19437, section 2.2; serving runs its one module several times). Must not know how many
drafts are right.
"""

from __future__ import annotations

import dataclasses

from crossgrade.predict.layouts.pieces import Piece, Pieces, Sum


def drafted(verify: Pieces, single: Pieces, drafts: int) -> Pieces:
    """Return a step that verifies drafts and makes as many.

    Args:
        verify: a decode step of `1 + drafts` tokens per sequence.
        single: one of a single token, at the same batch and context.
        drafts: tokens that are drafted.

    Raises:
        ValueError: the steps are not of these numbers of tokens and one batch.
    """
    if (verify.tokens, single.tokens) != (1 + drafts, 1) or verify.batch != single.batch:
        raise ValueError(f"steps of {verify.tokens} and {single.tokens} tokens for {drafts} drafts")
    pieces: dict[Piece, int] = dict(verify.pieces)
    sums: dict[Sum, int] = dict(verify.sums)
    outside = {piece: n for piece, n in single.pieces.items() if not piece.repeated}
    for piece, count in (*single.last.items(), *outside.items()):
        pieces[piece] = pieces.get(piece, 0) + drafts * count
    ends = {one: n for one, n in single.sums.items() if not one.repeated}
    for one, count in (*single.last_sums.items(), *ends.items()):
        sums[one] = sums.get(one, 0) + drafts * count
    return dataclasses.replace(verify, pieces=pieces, sums=sums)
