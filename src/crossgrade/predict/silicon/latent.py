"""Seconds of attention over a latent (MLA), alone or as the module with its projections.

Prefill expands the latent into keys and values of every head; decode attends in the latent itself,
all heads sharing one read of the cache. A module's time is that of its projections, one after the
other, and of the attention. Must not know chips by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.attention import (
    COMMON,
    KEY_TILE,
    QUERY_TILE,
    SPLIT_KEYS,
    cores_of,
    join,
    memory,
    parameter,
    spread,
)
from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.values.kernel import Family, KernelRows

Values = Mapping[str, float]
HIDDEN, QUERY_RANK, KEY_SIZE, VALUE_SIZE = 7168.0, 1536.0, 128.0, 128.0
"""Sizes that rows do not hold: config.json of deepseek-ai/DeepSeek-V3, the only model measured."""
SPEED: Mapping[str, tuple[float, float]] = {
    "bf16": (1.0, 2.0), "fp8_block": (2.0, 1.0), "nvfp4": (4.0, 0.5625)
}  # fmt: skip
"""Format of projections -> rate over bf16 (data sheets of Hopper and Blackwell), bytes a weight."""
HEAD_TILE, HEAD_UNIT = 64.0, 128.0
"""Heads of one block of queries (deepseek-ai/FlashMLA), and heads that share one read: a pair."""


SCALES: Mapping[str, float] = {"batch": 0.3, "tokens": 0.5, "heads": 0.5, "length": 0.5}
"""Correlation lengths of what the formula leaves over, as steps per doubling; not searched for."""


def parts(format: str) -> tuple[str, float, float]:
    """Return format of projections, bytes per cached element, bytes per attention operand."""
    gemm, _, rest = format.partition("_kv_fp8")
    return gemm, 1.0 if "_kv_fp8" in format else 2.0, 1.0 if "attn_fp8" in rest else 2.0


def weights(rows: KernelRows) -> Floats:
    """Return weight elements that one token passes: all projections of a module, else expansion."""
    s = rows.sizes
    expand = s["rank"] * s["heads"] * (KEY_SIZE + VALUE_SIZE)
    if not rows.op.endswith("_module"):
        return np.asarray(expand)
    down = HIDDEN * (QUERY_RANK + s["rank"] + s["rope"])
    up = QUERY_RANK * s["heads"] * (KEY_SIZE + s["rope"])
    return np.asarray(down + up + expand + s["heads"] * VALUE_SIZE * HIDDEN)


@dataclass(frozen=True, slots=True)
class Latent:
    """Attention over a latent; `decode` chooses the form that attends in the latent."""

    decode: bool
    """Whether positions are few and the cache is long."""

    @property
    def name(self) -> str:
        """Return `latent-expanded` or `latent-absorbed`."""
        return "latent-absorbed" if self.decode else "latent-expanded"

    @property
    def family(self) -> Family:
        """Return `latent-attention`."""
        return "latent-attention"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what differs between chips and kernels."""
        common = [p for p in COMMON if p.name != "floor"]
        return (
            parameter("floor", 3e-5, 2e-6, 1e-3, 0.8, "about ten kernels of 3 us", "s"),
            parameter("projection", 0.6, 0.05, 1.5, 0.4, "0.5-0.9 of the peak, as of matmul"),
            parameter("matrix_efficiency", 0.5, 0.03, 2.0, 0.4, "0.5-0.75: FlashAttention 2, 3"),
            parameter("memory_efficiency", 0.7, 0.1, 1.2, 0.2, "0.7-0.9: own fits, streaming"),
            parameter("block", 3e-7, 1e-9, 1e-5, 0.8, "one step over 128 keys", "s"),
            parameter(
                "token", 1e-7, 1e-9, 2e-5, 1.0, "1 us for a block, ten at once on a core", "s"
            ),
            parameter("moved", 3.0, 0.3, 20.0, 0.7, "activations written and read between kernels"),
            parameter("split", 2e-6, 1e-8, 5e-5, 0.8, "second kernel that joins the parts", "s"),
            *common,
        )

    def terms(self, rows: KernelRows, facts: Facts, values: Values) -> Terms:
        """Return the time of each row.

        Args:
            rows: latent attention, with or without its projections.
            facts: the chip, for bf16.
            values: parameter name -> value.
        """
        s, cores = rows.sizes, cores_of(facts, values)
        tokens = s["batch"] * s["queries"]
        gemm, _, _ = parts(rows.format)
        speed, wide = SPEED[gemm]
        elements = weights(rows)
        rate = facts.matrix_flop_per_s * speed * values["projection"]
        flop = 2 * tokens * elements / rate
        passed = tokens * s["heads"] * (KEY_SIZE + s["rope"] + VALUE_SIZE) * 2 * values["moved"]
        every = np.ones_like(tokens)
        read = memory(elements * wide + passed, every, facts, values)
        projected = join(flop, read, values["join"]) + tokens * values["token"] / cores
        attend = self._absorbed if self.decode else self._expanded
        matrix, moved, time = attend(rows, facts, values)
        floor = values["floor"] + values["sequence"] * s["batch"]
        zero = np.zeros_like(tokens)
        return Terms(
            total=projected + time + floor, compute=flop + matrix, vector=zero,
            memory=read + moved, floor=floor,
        )  # fmt: skip

    def _expanded(
        self, rows: KernelRows, facts: Facts, values: Values
    ) -> tuple[Floats, Floats, Floats]:
        s, cores = rows.sizes, cores_of(facts, values)
        units = s["batch"] * s["heads"] * np.ceil(s["queries"] / QUERY_TILE)
        depth = s["keys"] - s["queries"] / 2 + 0.5 + (QUERY_TILE + KEY_TILE) / 4
        pairs = units * QUERY_TILE * depth
        operand = parts(rows.format)[2]
        rate = facts.matrix_flop_per_s * values["matrix_efficiency"] * (2.0 / operand)
        matrix = 2 * pairs * (KEY_SIZE + s["rope"] + VALUE_SIZE) / rate
        steps = values["block"] * units * depth / KEY_TILE / cores
        last = np.maximum(s["keys"] / depth, 1.0)
        busy = spread(matrix + steps, units, last, cores, values)
        positions = s["batch"] * s["heads"] * (s["queries"] + s["keys"])
        bytes_ = positions * (KEY_SIZE + s["rope"] + VALUE_SIZE) * operand
        moved = memory(bytes_, np.ones_like(depth), facts, values)
        return matrix, moved, join(busy, moved, values["join"])

    def _absorbed(
        self, rows: KernelRows, facts: Facts, values: Values
    ) -> tuple[Floats, Floats, Floats]:
        s, cores = rows.sizes, cores_of(facts, values)
        queries = s["heads"] * s["queries"]
        units = s["batch"] * np.ceil(queries / HEAD_UNIT)
        most = np.maximum(1.0, s["keys"] / SPLIT_KEYS)
        asked = units * np.clip(cores / units, 1.0, most)
        padded = s["batch"] * np.ceil(queries / HEAD_TILE) * HEAD_TILE * s["keys"]
        rate = facts.matrix_flop_per_s * values["matrix_efficiency"]
        matrix = 2 * padded * (2 * s["rank"] + s["rope"]) / rate
        steps = values["block"] * units * np.maximum(1.0, s["keys"] / KEY_TILE) / cores
        busy = spread(matrix + steps, asked, np.ones_like(most), cores, values)
        cached = s["batch"] * s["keys"] * (s["rank"] + s["rope"]) * parts(rows.format)[1]
        moved = memory(cached, np.minimum(1.0, asked / cores), facts, values)
        time = join(busy, moved, values["join"]) + values["split"] * (1 - 1 / most)
        return matrix, moved, time

    def features(self, rows: KernelRows, facts: Facts, values: Values) -> Floats:
        """Return the coordinates in which the formula's error is smooth, shape [kernels, 4]."""
        del facts, values
        s = rows.sizes
        columns = {
            "batch": s["batch"],
            "tokens": s["batch"] * np.maximum(s["queries"], 1.0),
            "heads": s["heads"],
            "length": s["keys"],
        }
        axes = [SCALES[name] * np.log2(column) for name, column in columns.items()]
        return np.stack(axes, axis=1)
