"""aiconfigurator's attention tables as kernel rows: context and generation, with or without latent.

No row is dropped. Some 65 rows of 678,000 are isolated spikes (over 1.6 times both the next larger
batch and the next longer sequence; most on L40S); they stay and count as errors. So do the times of
FlashInfer at 256 queries of one sequence on L40S and RTX PRO 6000, two to three times
those of two sequences: they repeat over head configurations, so they are the kernel's.
The A100 context table has 408 shapes twice, 0.6 % apart in the middle; both rows stay.

Of their columns, `isl` is the new positions of one sequence and `step` the positions already
cached, so that a generation row sees `isl + step` keys. `num_key_value_heads` is the number itself,
never 0. Must not know models or splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.silicon.model import Floats
from crossgrade.predict.sources.aiconfigurator import (
    FORMATS,
    Columns,
    by_format,
    columns,
    tables,
)
from crossgrade.values.kernel import KernelRows

ATTENTION = {"prefill": "context_attention_perf", "decode": "generation_attention_perf"}
"""Operation -> how the file names of its tables end."""
SUFFIX = {"bfloat16": "", "fp8": "_kv_fp8"}
"""Their format of the cache -> what the format of our rows ends with; bf16 arithmetic otherwise."""


def attention(data: Path, op: str) -> dict[str, list[KernelRows]]:
    """Return attention by chip, one entry per format of the cache.

    Args:
        data: the folder of the large data sets.
        op: a key of ATTENTION.
    """
    rows: dict[str, list[KernelRows]] = {}
    for chip, stack, path in tables(data, ATTENTION[op]):
        rows.setdefault(chip, []).extend(heads(columns(path), stack, op))
    return rows


def heads(found: Columns, stack: str, op: str) -> Iterator[KernelRows]:
    """Yield the attention of one table, one entry per format of the cache."""
    caches = found["kv_cache_dtype"].astype(str).tolist()
    formats = np.array([f"bf16{SUFFIX[cache]}" for cache in caches])
    yield from by_format(found, formats, family="attention", op=op, stack=stack,
                         sizes=_sizes(found))  # fmt: skip


def _sizes(found: Columns) -> dict[str, Floats]:
    def of(name: str) -> Floats:
        return np.asarray(found[name], dtype=np.float64)

    queries = of("isl")
    return {
        "batch": of("batch_size"),
        "heads": of("num_heads"),
        "kv_heads": of("num_key_value_heads"),
        "queries": queries,
        "keys": queries + of("step"),
        "qk_size": of("head_dim"),
        "v_size": of("head_dim"),
        "window": of("window_size") if "window_size" in found else np.zeros(len(queries)),
    }


LATENT = {
    "prefill": "context_mla_perf", "decode": "generation_mla_perf",
    "prefill_module": "mla_context_module_perf", "decode_module": "mla_generation_module_perf",
}  # fmt: skip
"""Operation -> how the file names of its tables end; a module has its projections with it."""
RANK, ROPE = 512.0, 64.0
"""Latent and rotary elements of a position: DeepSeek-V3, the model of all these tables."""


def latent(data: Path, op: str) -> dict[str, list[KernelRows]]:
    """Return latent attention by chip, one entry per format.

    Args:
        data: the folder of the large data sets.
        op: a key of LATENT.
    """
    rows: dict[str, list[KernelRows]] = {}
    for chip, stack, path in tables(data, LATENT[op]):
        rows.setdefault(chip, []).extend(latents(columns(path), stack, op))
    return rows


def latents(found: Columns, stack: str, op: str) -> Iterator[KernelRows]:
    """Yield the latent attention of one table, one entry per format."""
    formats = _latent_formats(found)
    yield from by_format(found, formats, family="latent-attention", op=op, stack=stack,
                         sizes=_latent_sizes(found))  # fmt: skip


def _latent_formats(found: Columns) -> NDArray[np.str_]:
    """Return format of the projections, then whether cache and attention are fp8."""
    count = len(found["latency"])
    gemm = found["gemm_type"] if "gemm_type" in found else np.full(count, "bfloat16")
    named = np.array([FORMATS[name] for name in gemm.astype(str)])
    cache = np.where(found["kv_cache_dtype"].astype(str) == "fp8", "_kv_fp8", "")
    operands = np.where(found["mla_dtype"].astype(str) == "fp8", "_attn_fp8", "")
    return np.char.add(np.char.add(named, cache), operands)


def _latent_sizes(found: Columns) -> dict[str, Floats]:
    def of(name: str) -> Floats:
        return np.asarray(found[name], dtype=np.float64)

    queries = of("isl")
    return {
        "batch": of("batch_size"),
        "heads": of("num_heads"),
        "queries": queries,
        "keys": queries + of("step"),
        "rank": np.full(len(queries), RANK),
        "rope": np.full(len(queries), ROPE),
    }
