"""A training step on a layout as the figures that a person reads.

Must not know how it is shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.layouts.figures import collective_parts, kernel_parts, tiers_of
from crossgrade.predict.lowering.stack import load_stack
from crossgrade.predict.phase import Prepared
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.stack_time import format_on
from crossgrade.predict.training.memory import training_memory
from crossgrade.predict.training.passes import TrainingPasses, passes_of
from crossgrade.predict.training.step import TrainingPricer, TrainingStep
from crossgrade.values.assessment import RankFigures, StackFigures
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.training import COLLECTIVES, TrainingFigures, TrainingPart, TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """Everything about a training step on a layout; predicted."""

    stack: StackFigures
    """Its time."""
    rank: RankFigures
    """Memory of the fullest rank."""
    step: TrainingFigures
    """What the time is made of."""


def training_figures(
    prepared: Prepared, chip: Chip, layout: Layout, plan: TrainingPlan, stack: str,
    knowledge: Knowledge,
) -> StepFigures:  # fmt: skip
    """Return the time of a training step, its parts, and the memory of its fullest rank.

    Args:
        prepared: the captured step of one micro-batch.
        chip: one chip.
        layout: how many of them, and what each does.
        plan: how the step is run.
        stack: the stack that launches it.
        knowledge: what is known of kernels.

    Raises:
        ValueError: the stack does not train.
    """
    passes = passes_of(prepared, stack, plan.products)
    pricer = TrainingPricer(
        passes=passes, need=prepared.memory, chip=chip, stack=stack, knowledge=knowledge
    )
    step = pricer.step(layout, plan)
    memory = training_memory(passes, prepared.memory, layout, plan)
    mfu, hfu = _utilisation(prepared, passes, chip, layout, plan, stack, step)
    return StepFigures(
        stack=_stack(step, stack, plan.batch * _items(prepared)),
        rank=RankFigures(weights=memory.weights, cache=0.0, activations=memory.activations,
                         peak=memory.total),
        step=TrainingFigures(
            plan=plan, micro_batches=plan.micro_batches(layout),
            parts=tuple(TrainingPart(name=n, seconds=s) for n, s in step.parts.items()),
            mfu=mfu, hfu=hfu, gradients=memory.gradients, optimizer=memory.optimizer,
        ),
    )  # fmt: skip


def _items(prepared: Prepared) -> int:
    """Return what one sequence counts in rates."""
    workload = prepared.capture.workload
    return workload.tokens if workload.item == "tokens" else 1


def _stack(step: TrainingStep, stack: str, items: int) -> StackFigures:
    """Return the time of a step with its launches and collectives by kind."""
    kernels = kernel_parts((one.kind, one.times) for one in step.kernels)
    said = collective_parts((one, found, times) for (one, found), times in step.said)
    parts = sorted((*kernels, *said), key=lambda part: -part.mid_s)
    talk = sum(seconds for name, seconds in step.parts.items() if name in COLLECTIVES)
    return StackFigures(
        stack=stack, low_s=step.low, mid_s=step.mid, high_s=step.high,
        tokens_per_s=items / step.mid if step.mid else 0.0,
        launches=sum(p.launches for p in parts if p.family != "collective"),
        network_s=None if step.unknown_links else talk, host_s=step.parts.get("host", 0.0),
        tiers=tiers_of(parts), parts=tuple(parts),
    )  # fmt: skip


def _utilisation(
    prepared: Prepared, passes: TrainingPasses, chip: Chip, layout: Layout, plan: TrainingPlan,
    stack: str, step: TrainingStep,
) -> tuple[float | None, float | None]:  # fmt: skip
    """Return MFU and HFU; None where the peak of the products' format is not published."""
    work: dict[str, float] = defaultdict(float)
    for piece, count in passes.whole.pieces.items():
        if piece.family == "matmul":
            work[piece.format] += count * math.prod(piece.sizes)
    if not work or prepared.capture.workload.lora_rank:
        return None, None
    format = format_on(chip, max(work, key=lambda name: work[name]), load_stack(stack))
    peak = facts_of(chip, format).matrix_flop_per_s
    if not np.isfinite(peak):
        return None, None
    core = passes.core_flops if passes.keeps_scores else 0.0
    again = {"none": 0.0, "selective": core, "full": passes.block_flops}[plan.recompute]
    steps = plan.batch / plan.micro_batch
    capacity = step.mid * layout.chips * peak
    return 3 * passes.flops * steps / capacity, (3 * passes.flops + again) * steps / capacity
