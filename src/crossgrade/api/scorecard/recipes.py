"""How services of the public dashboard were started, as far as its recipes differ from defaults.

SemiAnalysisAI/InferenceX@843c6254f (Apache-2.0), benchmarks/single_node/fixed_seq_len, of
2026-08-22: the recipes of DeepSeek-R1, and those of MiniMax-M2.5 and gpt-oss-120b that it calls
deprecated. Rows are older, and a recipe may have been another then. Left out: streams that send
several tokens at a time, batches that TensorRT-LLM holds back (`batch_wait_timeout_iters`), and its
share of the memory, which is one of what weights leave. Must not know prices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crossgrade.predict.layouts.service import Limits
from crossgrade.predict.sources.served import ServedRow
from crossgrade.values.workload import CacheFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What was set."""

    kv: CacheFormat | None
    """Format of cached keys and values."""
    limits: Limits
    """Limits of the scheduler."""


PLAIN = Recipe(kv=None, limits=Limits())
"""A row of somebody else, of whose options nothing is told."""
_MANY = 16
"""Users from which on SGLang's scheduler looks for requests less often."""
_FIRST_AHEAD = (0, 14)
"""Version of vLLM from which on steps are put together ahead."""


def recipe(row: ServedRow) -> Recipe:
    """Return how the service of a row was started."""
    found = PLAIN
    if row.ranged:
        made = _RECIPES.get((row.stack, row.model.rpartition("/")[2]))
        found = made(row) if made else PLAIN
    if row.stack == "vllm" and _version(row.version) < _FIRST_AHEAD:
        limits = Limits(max_tokens=found.limits.max_tokens, max_running=found.limits.max_running,
                        ahead=False)  # fmt: skip
        return Recipe(kv=found.kv, limits=limits)
    return found


def _version(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version; a nightly one is newer than all."""
    parts = text.split(".")[:2]
    return tuple(map(int, parts)) if all(p.isdigit() for p in parts) else (99,)


def _minimax_vllm(row: ServedRow) -> Recipe:
    if row.chip == "h100":
        return PLAIN
    return Recipe(kv="fp8", limits=Limits(max_tokens=2 * row.prompt))


def _gpt_oss_vllm(row: ServedRow) -> Recipe:
    if row.chip == "h100":
        return Recipe(kv=None, limits=Limits(max_tokens=8192, max_running=row.users))
    return Recipe(kv="fp8", limits=Limits(max_tokens=8192, max_running=512))


def _gpt_oss_trtllm(row: ServedRow) -> Recipe:
    return Recipe(kv="fp8", limits=Limits(max_tokens=20_000, max_running=512))


def _deepseek_trtllm(row: ServedRow) -> Recipe:
    asked = -(-(row.users + row.prompt + 64) // 64) * 64
    return Recipe(kv="fp8", limits=Limits(max_tokens=max(asked, 8192)))


def _deepseek_sglang(row: ServedRow) -> Recipe:
    every = 30 if row.users >= _MANY else 10
    if row.precision == "fp4":
        replicas = row.layout.dp > 1
        limits = Limits(max_tokens=32768 if replicas else 16384, max_running=256, memory=0.85,
                        every=1 if replicas else every)  # fmt: skip
    elif row.layout.tp == 4:
        limits = Limits(max_tokens=8192, max_running=32, memory=0.95, every=10)
    else:
        limits = Limits(max_tokens=32768, max_running=128, memory=0.82, every=every)
    return Recipe(kv="fp8", limits=limits)


_RECIPES: Mapping[tuple[str, str], Callable[[ServedRow], Recipe]] = {
    ("vllm", "MiniMax-M2.5"): _minimax_vllm,
    ("vllm", "gpt-oss-120b"): _gpt_oss_vllm,
    ("trtllm", "gpt-oss-120b"): _gpt_oss_trtllm,
    ("trtllm", "DeepSeek-V3"): _deepseek_trtllm,
    ("sglang", "DeepSeek-V3"): _deepseek_sglang,
}
"""(stack, last part of the model) -> its recipe."""
