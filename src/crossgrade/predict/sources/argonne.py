"""Whole batches that Argonne's LLM-Inference-Bench timed on four GPUs, with five stacks of 2024.

For scoring alone: argonne-lcf/LLM-Inference-Bench@4211f5d (BSD-3-Clause), arXiv 2411.00136. A batch
of equal prompts is asked at once, in 16 bits, and as many tokens are generated for each as it has;
the time is that of the whole. `llama-bench -b N` is another thing: one sequence, whose prompt is
read N tokens at a time (llama.cpp, tools/llama-bench/README.md); what the table calls the batch of
llama.cpp is this. Must not know models or prices.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = "perf/argonne_llm_inference_bench.csv"
"""Below the folder of the large data sets."""
ONE_BY_ONE = "llama.cpp"
"""The framework whose `batch` is a part of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One timed batch."""

    device: str
    """Device as the table names it."""
    devices: int
    """How many of them."""
    framework: str
    """Framework as the table names it."""
    model: str
    """Name at the hub, with its organisation."""
    tokens: int
    """Tokens of each prompt, and of each answer."""
    sequences: int
    """Prompts that are asked at once."""
    part: int | None
    """Tokens of a prompt that are read at a time, None: as the framework likes."""
    batch: int
    """What the table calls the batch."""
    measured_s: float
    """Time from asking to the last token of the last answer, s."""


def batch_rows(data: Path) -> Iterator[BatchRow]:
    """Yield the rows.

    Args:
        data: the folder of the large data sets.
    """
    with (data / FILE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            batch = int(row["Batch Size"])
            parts = row["Framework"] == ONE_BY_ONE
            yield BatchRow(
                device=row["Hardware"], devices=int(row["Num of Hardware"]),
                framework=row["Framework"], model=row["Model"],
                tokens=int(row["Input Output Length"]), sequences=1 if parts else batch,
                part=batch if parts else None, batch=batch, measured_s=float(row["Latency"]),
            )  # fmt: skip
