"""Whether a training step runs on a layout, and how fast: faults, memory of a rank, time.

Must not know how the answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.check.layouts import LayoutAnswer, blocked, no_room
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.lowering.stack import load_stack
from crossgrade.predict.phase import Prepared
from crossgrade.predict.silicon.facts import narrows
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.predict.training.figures import training_figures
from crossgrade.predict.training.memory import one_replica
from crossgrade.predict.training.passes import TrainingPasses, passes_of
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
    rank, step = found.rank, found.step
    parts = {"weights": rank.weights, "gradients": step.gradients, "optimizer": step.optimizer,
             "activations": rank.activations}  # fmt: skip
    findings = [
        *_degrees(passes_of(prepared, stack), chip, layout, plan),
        *_options(chip, layout, plan, stack),
        *no_room(parts, chip, "train", layout, hint=_SMALLER),
    ]
    return LayoutAnswer(stack=found.stack, rank=rank, findings=tuple(findings), step=step)


_SMALLER = (
    "--recompute full, --shard optimizer or full, --sequence-parallel, a smaller --micro-batch, or "
    "more chips"
)


def _degrees(
    passes: TrainingPasses, chip: Chip, layout: Layout, plan: TrainingPlan
) -> Iterator[Finding]:
    """Yield degrees that do not divide the model."""
    faults = list(layout_faults(passes.whole, one_replica(layout)))
    chunks = layout.pp * plan.interleave
    if plan.interleave > 1 and chunks > passes.blocks:
        faults.append(f"{passes.blocks} blocks for {chunks} chunks of pp {layout.pp}")
    for words in faults:
        yield blocked(words, chip, "train", layout, hint="take degrees that divide them")


def _options(chip: Chip, layout: Layout, plan: TrainingPlan, stack: str) -> Iterator[Finding]:
    """Yield options that chip or stack cannot do."""
    described = f"description of {chip.name}"
    if plan.products != "as-computed" and not narrows(chip, plan.products):
        yield blocked(f"no engine for products in {plan.products}", chip, "train", layout,
                      evidence=described, hint="leave --products out")  # fmt: skip
    if plan.offload != "none" and chip.link("host") is None:
        yield blocked(
            "no link to the host is described, so --offload has no time", chip, "train", layout,
            evidence=described, hint="--chip-file with a host link of yours",
        )  # fmt: skip
    if layout.tp > 1 and load_stack(stack)["graph"] == "calls":
        yield blocked(f"stack {stack} runs whole operators, not tp {layout.tp}", chip, "train",
                      layout, evidence=f"rules of the stack {stack}",
                      hint="--stack compile, or --dp and --pp alone")  # fmt: skip
