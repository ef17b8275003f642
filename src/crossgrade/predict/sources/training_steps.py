"""Measured training steps: Megatron-LM on Selene, and MaxText in Google's recipes.

For scoring alone. Selene: calculon-ai/calculon@caa4b11 (Apache-2.0), after Korthikanti et al.,
2022, arXiv 2205.05198, table 5. Recipes: AI-Hypercomputer/tpu-recipes@c8cfe2f and gpu-recipes
(Apache-2.0), the log line that each README shows. Must not know models or prices.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

SELENE = "perf/calculon_selene_a100_step_times.csv"
RECIPES = "perf/google_tpu_gpu_recipes_training_steps.csv"
"""Below the folder of the large data sets."""


def selene(data: Path) -> Iterator[tuple[str, float]]:
    """Yield `MODEL, MODE` and the time of a step, s."""
    for row in _rows(data / SELENE):
        yield f"{row['model']}, {row['mode']}", float(row["measured_step_s"])


def recipes(data: Path) -> Iterator[tuple[str, float]]:
    """Yield the path of a recipe's README and the time of a step, s."""
    for row in _rows(data / RECIPES):
        yield row["path"], float(row["step_s"])


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
