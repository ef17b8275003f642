"""Whether a model runs on a layout, and how fast: faults, memory of a rank, time of a step.

Must not know how the answer is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crossgrade.check.fit import capacity_evidence
from crossgrade.predict.layouts.faults import batch_faults, layout_faults
from crossgrade.predict.layouts.figures import layout_figures
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.phase import Prepared, usable_memory
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.units import bytes_
from crossgrade.values.assessment import RankFigures, StackFigures
from crossgrade.values.chip import Chip
from crossgrade.values.finding import Finding
from crossgrade.values.layout import Layout
from crossgrade.values.training import TrainingFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutAnswer:
    """What is known of a phase on a layout."""

    stack: StackFigures
    """Its time."""
    rank: RankFigures
    """Memory of the fullest rank."""
    findings: tuple[Finding, ...]
    """What keeps it from running."""
    step: TrainingFigures | None = None
    """How a training step is run; None outside training."""


def layout_answer(
    prepared: Prepared, chip: Chip, layout: Layout, stack: str, knowledge: Knowledge
) -> LayoutAnswer:
    """Return what is known of a phase on a layout.

    Args:
        prepared: the captured phase.
        chip: one chip.
        layout: how many of them, and what each does.
        stack: the stack that runs it.
        knowledge: what is known of kernels.

    Raises:
        ValueError: the stack cannot run the phase.
    """
    pieces = pieces_of(prepared, stack)
    figures, rank = layout_figures(pieces, chip, layout, stack, knowledge)
    phase = prepared.capture.workload.phase
    found = [
        *(blocked(words, chip, phase, layout) for words in layout_faults(pieces, layout)),
        *(_idle(words, chip, phase, layout) for words in batch_faults(layout, pieces.batch)),
        *_fit(rank, chip, phase, layout),
    ]
    return LayoutAnswer(stack=figures, rank=rank, findings=tuple(found))


def blocked(
    words: str, chip: Chip, phase: str, layout: Layout,
    evidence: str = "shapes of the captured model",
    hint: str = "take degrees that divide them; `crossgrade layout search` lists those that do",
) -> Finding:  # fmt: skip
    """Return the finding that a layout cannot run a phase."""
    return Finding(
        id="CG-F207",
        severity="blocker",
        chip=chip.name,
        phase=phase,
        title=f"{layout.words}: {words}",
        place=(),
        evidence=(evidence,),
        hint=hint,
    )


def _idle(words: str, chip: Chip, phase: str, layout: Layout) -> Finding:
    return dataclasses.replace(
        blocked(words, chip, phase, layout), severity="warning",
        hint="give at least as many sequences",
    )  # fmt: skip


def _fit(rank: RankFigures, chip: Chip, phase: str, layout: Layout) -> Iterator[Finding]:
    """Yield a finding where a rank has too little memory."""
    parts = {"weights": rank.weights, "cache": rank.cache, "activations": rank.activations}
    yield from no_room(
        parts, chip, phase, layout,
        hint="more chips, other degrees, a narrower --quant, or fewer sequences; "
        "`crossgrade layout search` lists the layouts that fit",
    )  # fmt: skip


def no_room(
    parts: Mapping[str, float], chip: Chip, phase: str, layout: Layout, *, hint: str
) -> Iterator[Finding]:
    """Yield a finding where the parts of a rank's memory are more than a chip holds.

    Args:
        parts: what it is -> bytes on the fullest rank.
        chip: one chip.
        phase: phase of the workload.
        layout: the degrees.
        hint: what to do.
    """
    usable, peak = usable_memory(chip), sum(parts.values())
    if usable is None or peak <= usable:
        return
    yield Finding(
        id="CG-F206",
        severity="blocker",
        chip=chip.name,
        phase=phase,
        title=f"{layout.words}: a rank needs {bytes_(peak)} and can hold {bytes_(usable)}",
        place=tuple(f"{name} {bytes_(size)}" for name, size in parts.items()),
        evidence=capacity_evidence(chip, usable),
        hint=hint,
        data={"peak_bytes": peak},
    )
