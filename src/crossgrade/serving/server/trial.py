"""Holds what the engine gives against what the model gives alone, once, before anything is served.

Continuous batching packs requests into one sequence, and a model that does not follow gives other
tokens without a word. Must not know the protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch

from crossgrade.errors import BadOption, TargetBroken
from crossgrade.serving.server.asking import Asked
from crossgrade.serving.server.engine import Engine, EngineGone

_TOKENS: Final = 4
_LENGTHS: Final = (3, 10)
_NEAR: Final = 0.25
"""How far below the best score that of a right token may be, as a share of best over mean: rounding
in 16 bit moves near ties, and a model that is run wrongly picks tokens of no rank at all."""


def try_out(engine: Engine, name: str, timeout_s: float) -> None:
    """Run two requests at once and check their tokens; it warms up as well.

    Raises:
        BadOption: there is no room for the cache.
        TargetBroken: the engine fails with this model, or gives tokens that the model does not.
    """
    prompts = [_prompt(length, engine.model.vocabulary) for length in _LENGTHS]
    try:
        answers = engine.together([_asked(p) for p in prompts], timeout_s)
    except MemoryError as error:
        raise BadOption(
            f"no room for the cache of {name}: {error}",
            hint="serve fewer requests at once, or fewer tokens per request",
        ) from error
    except EngineGone as error:
        raise TargetBroken(
            f"transformers' continuous batching does not run {name}: {error}",
            hint="start another server with this model and measure that",
        ) from error
    for prompt, answer in zip(prompts, answers, strict=True):
        if len(answer) != _TOKENS or max(_gaps(engine.model.module, prompt, answer)) > _NEAR:
            raise TargetBroken(
                f"transformers' continuous batching gives other tokens than {name} alone",
                hint="start another server with this model and measure that",
            )


def _prompt(length: int, vocabulary: int) -> tuple[int, ...]:
    drawn = torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(length))
    return tuple(drawn.tolist())


def _asked(prompt: tuple[int, ...]) -> Asked:
    return Asked(prompt=prompt, most=_TOKENS, temperature=0.0, seed=None, ignore_eos=True,
                 stream=False, usage=False)  # fmt: skip


def _gaps(module: Any, prompt: tuple[int, ...], answer: list[int]) -> Iterator[float]:
    """Yield of each token how far its score is below the best, in a plain execution."""
    used = module.config._attn_implementation
    plain = str(used).removeprefix("paged|")
    if plain != used:
        module.set_attn_implementation(plain)
    with torch.no_grad():
        ids = torch.tensor([[*prompt, *answer]], device=module.device)
        scores = module(input_ids=ids, use_cache=False).logits[0].float()
    if plain != used:
        module.set_attn_implementation(used)
    for place, token in enumerate(answer, len(prompt) - 1):
        row = scores[place]
        spread = float(row.max() - row.mean()) or 1.0
        yield float(row.max() - row[token]) / spread
