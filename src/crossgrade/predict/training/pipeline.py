"""Time of the stages of a pipeline that work on micro-batches, one forward and one backward.

Must not know what a stage computes.
"""

from __future__ import annotations

from collections.abc import Sequence


def pipeline_time(stages: Sequence[float], micro_batches: int, interleave: int = 1) -> float:
    """Return the time until all micro-batches have passed forward and backward, s.

    The slowest stage works on all of them; the others fill the pipeline before and drain it behind,
    which takes a chunk of each of them where stages have several (Narayanan et al., 2021, arXiv
    2104.04473, section 2.2): m t + (p - 1) t / v for p equal stages of v chunks.

    Args:
        stages: time of one micro-batch in each stage, forward and backward together, s.
        micro_batches: how many there are.
        interleave: chunks per stage.
    """
    slowest = max(stages)
    return micro_batches * slowest + (sum(stages) - slowest) / interleave


def in_flight(stage: int, stages: int, micro_batches: int, interleave: int = 1) -> float:
    """Return the most micro-batches whose activations a stage keeps at once, in whole stages.

    One forward and one backward in turn: p - i in stage i of p. With v chunks stage i has
    2 (p - i - 1) + (v - 1) p + 1 of them under way, which makes p (1 + (p - 1) / (p v)) in the
    first one (Korthikanti et al., 2022, arXiv 2205.05198, section 4.2.3).
    """
    if interleave == 1:
        return min(float(micro_batches), float(stages - stage))
    chunks = 2 * (stages - stage - 1) + (interleave - 1) * stages + 1
    return min(float(micro_batches), chunks / interleave)
