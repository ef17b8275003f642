"""aiconfigurator's attention tables as kernel rows: context and generation, with or without latent.

Of their columns, `isl` is the new positions of one sequence and `step` the positions already
cached, so that a generation row sees `isl + step` keys. `num_key_value_heads` is the number itself
(older tables wrote 0 for one per head; none of those that are read does). Must not know models or
splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossgrade.predict.scorecard.sources.aiconfigurator import Columns, columns, seconds, tables
from crossgrade.predict.silicon.model import Floats
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
        found = columns(path)
        caches = found["kv_cache_dtype"].astype(str)
        for cache in np.unique(caches):
            at = caches == cache
            made = KernelRows(
                family="attention",
                op=op,
                format=f"bf16{SUFFIX[cache]}",
                stack=stack,
                sizes={name: column[at] for name, column in _sizes(found).items()},
                seconds=seconds(found)[at],
                launched=found["kernel_source"][at].astype(str),
            )
            rows.setdefault(chip, []).append(made)
    return rows


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
