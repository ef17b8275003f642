"""Draws the next token by temperature and seed, one request at a time, whatever runs beside it.

The largest of scores plus Gumbel noise is a draw from the softmax of the scores (Gumbel 1954), so a
draw is an argmax, and a request without a temperature keeps the argmax that it has. The noise
follows from the request's seed and its length so far alone. Must not know the protocol.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
)
from transformers.generation.logits_process import LogitsProcessorList, TemperatureLogitsWarper

_NO_DRAW = 0
_LEAST = 1e-30


def processors() -> Any:
    """Return what turns logits into scores whose largest is the next token.

    A request brings `temperature` and `draw` (its seed), or neither.
    """
    steps = LogitsProcessorList(
        [
            ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0)),
            SeededDraw(),
        ]
    )
    listed = ContinuousBatchingLogitsProcessorList(steps)
    # transformers 5.23 counts only those that it converts itself; each of these takes one tensor.
    listed.tensors_required = len(steps)
    return listed


class SeededDraw(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # untyped library
    """Adds the noise of this step to the scores of each request that brings a `draw`."""

    supported_kwargs: ClassVar[dict[str, type]] = {"draw": int}
    ignored_kwargs: ClassVar[tuple[str, ...]] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """Fill a tensor with what stands for no draw."""
        int32_tensor.fill_(_NO_DRAW)

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        """Return one seed per request, for this step, int32; 0 for one that takes the largest."""
        return torch.tensor(
            [_seed_now(request.state) for request in requests_with_new_token], dtype=torch.int32
        )

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Return scores, `[requests, vocabulary]`, with noise in the rows that are drawn."""
        seeds = tensor_arg[: scores.size(0)].tolist()
        if not any(seeds):
            return scores
        noise = torch.zeros(scores.shape)
        for row, seed in zip(noise, seeds, strict=True):
            if seed != _NO_DRAW:
                # On the host, so that every device draws alike.
                row.exponential_(generator=torch.Generator().manual_seed(seed))
                row.clamp_(min=_LEAST).log_().neg_()
        return scores + noise.to(scores.device)


def _seed_now(state: Any) -> int:
    seed = state.logit_processor_kwargs.get("draw")
    if seed is None:
        return _NO_DRAW
    # Their sum stays the same when the library puts a request back and reads its tokens again.
    length = len(state.initial_tokens) + state.generated_len()
    digest = hashlib.blake2b(struct.pack("<QQ", seed & (1 << 64) - 1, length), digest_size=4)
    return int.from_bytes(digest.digest(), "little") & 0x7FFFFFFF or 1
