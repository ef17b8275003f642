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

    Narayanan et al., section 2.2: p in the first of p stages, p - i in stage i; with v chunks per
    stage p (1 + (p - 1) / (p v)) in the first one.
    """
    waiting = float(stages - stage)
    if interleave > 1:
        waiting += (stages - 1) / interleave
    return min(float(micro_batches), waiting)
