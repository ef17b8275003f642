"""Forward and backward passes in fp32 that NeuSight measured, with its own predictions.

For scoring alone: sitar-lab/NeuSight@6945927, MIT-style. Times in ms there, s here: events around
the model's forward pass and around `loss.backward()`, without loss and optimizer, no TF32; mean of
the five fastest of 25. Must not know models or prices.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = "perf/neusight_e2e_measured_and_predicted.csv"
"""Below the folder of the large data sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatStep:
    """One measured pass or two."""

    model: str
    """Name of the model's configuration."""
    device: str
    """Device as the table names it."""
    batch: int
    """Sequences over all devices."""
    tokens: int
    """Tokens of each."""
    trains: bool
    """Whether the backward pass is in the time."""
    option: str
    """Empty, `fusion` (torch.compile), or degrees on four devices: `dp4`, `tp4`, `pp4_1`."""
    measured_s: float
    """Time, s."""
    neusight_s: float
    """NeuSight's prediction, s."""


def float_steps(data: Path) -> Iterator[FloatStep]:
    """Yield the rows.

    Args:
        data: the folder of the large data sets.
    """
    with (data / FILE).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield FloatStep(
                model=row["model_name"], device=row["device"], batch=int(row["batch"]),
                tokens=int(row["seqlen"]), trains=row["mode"] == "train", option=row["option"],
                measured_s=float(row["label_all_e2e_latency"]) / 1e3,
                neusight_s=float(row["neusight_all_e2e_latency"]) / 1e3,
            )  # fmt: skip
