"""Whether a training step runs on a layout, and how fast: faults, memory of a rank, time.

Must not know how the answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.check.fit import capacity_evidence
from crossgrade.check.layouts import LayoutAnswer, blocked
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.lowering.stack import load_stack
from crossgrade.predict.phase import Prepared, usable_memory
from crossgrade.predict.silicon.facts import narrows
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.training.figures import StepFigures, training_figures
from crossgrade.predict.training.memory import one_replica
from crossgrade.predict.training.passes import TrainingPasses, passes_of
from crossgrade.units import bytes_
from crossgrade.values.chip import Chip
from crossgrade.values.finding import Finding
from crossgrade.values.layout import Layout
from crossgrade.values.training import TrainingPlan


def training_answer(
    prepared: Prepared, chip: Chip, layout: Layout, plan: TrainingPlan, stack: str,
    knowledge: Knowledge,
) -> LayoutAnswer:  # fmt: skip
    """Return what is known of a training step on a layout.

    Args:
        prepared: the captured step of one micro-batch.
        chip: one chip.
        layout: how many of them, and what each does.
        plan: how the step is run.
        stack: the stack that runs it.
        knowledge: what is known of kernels.

    Raises:
        ValueError: the stack does not train.
    """
    found = training_figures(prepared, chip, layout, plan, stack, knowledge)
    faults = _faults(passes_of(prepared, stack), chip, layout, plan, stack)
    findings = [
        *(blocked(words, chip, "train", layout) for words in faults),
        *_fit(found, chip, layout),
    ]
    return LayoutAnswer(stack=found.stack, rank=found.rank, findings=tuple(findings),
                        step=found.step)  # fmt: skip


def _faults(
    passes: TrainingPasses, chip: Chip, layout: Layout, plan: TrainingPlan, stack: str
) -> Iterator[str]:
    """Yield what keeps a layout from training a model."""
    if plan.products != "as-computed" and not narrows(chip, plan.products):
        yield f"{chip.name} has no engine for products in {plan.products}"
    if plan.offload != "none" and chip.link("host") is None:
        yield f"{chip.name}: no link to the host is described, so offloading has no time"
    yield from layout_faults(passes.whole, one_replica(layout))
    chunks = layout.pp * plan.interleave
    if plan.interleave > 1 and chunks > passes.blocks:
        yield f"{passes.blocks} blocks for {chunks} chunks of pp {layout.pp}"
    if layout.tp > 1 and load_stack(stack)["graph"] == "calls":
        yield f"stack {stack} runs whole operators, not tp {layout.tp}"


def _fit(found: StepFigures, chip: Chip, layout: Layout) -> Iterator[Finding]:
    """Yield a finding where a rank has too little memory."""
    usable, rank = usable_memory(chip), found.rank
    if usable is None or rank.peak <= usable:
        return
    yield Finding(
        id="CG-F206",
        severity="blocker",
        chip=chip.name,
        phase="train",
        title=f"{layout.words}: a rank needs {bytes_(rank.peak)} and can hold {bytes_(usable)}",
        place=(
            f"weights {bytes_(rank.weights)}",
            f"gradients {bytes_(found.step.gradients)}",
            f"optimizer {bytes_(found.step.optimizer)}",
            f"activations {bytes_(rank.activations)}",
        ),
        evidence=capacity_evidence(chip, usable),
        hint="--recompute full, --shard optimizer or full, --sequence-parallel, "
        "a smaller --micro-batch, or more chips",
        data={"peak_bytes": rank.peak},
    )
