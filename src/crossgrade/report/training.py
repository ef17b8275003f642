"""A training step on a layout: what its time is made of, and what a rank holds.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Table
from crossgrade.units import bytes_, count, percent, seconds
from crossgrade.values.assessment import ChipAssessment, PhaseAssessment, RankFigures
from crossgrade.values.training import TrainingFigures, TrainingPlan

Rows = Sequence[tuple[ChipAssessment, PhaseAssessment]]


def training_blocks(rows: Rows) -> Iterator[Block]:
    """Yield a table of parts, and one of memory where a layout was given."""
    found = [(chip, p, p.step) for chip, p in rows if p.step is not None]
    if not found:
        return
    yield _parts(found)
    ranks = [(chip, p, step, p.rank) for chip, p, step in found if p.rank is not None]
    if ranks:
        yield _memory(ranks)


def _parts(found: Sequence[tuple[ChipAssessment, PhaseAssessment, TrainingFigures]]) -> Table:
    rows = training_rows([(chip, p) for chip, p, _ in found])
    return Table(
        title=f"training step (predicted, P50: {plan_in_words(found[0][2])}; collectives as far "
        "as nothing hides them)",
        columns=("part", *(chip.chip for chip, _, _ in found)),
        rows=tuple((name, *cells) for name, cells in rows),
        right=frozenset(range(1, 1 + len(found))),
    )


def training_rows(rows: Rows) -> list[tuple[str, list[str]]]:
    """Return the parts of training steps and their utilisation, a cell per chip that has one."""
    steps = [p.step for _, p in rows if p.step is not None]
    names = dict.fromkeys(part.name for step in steps for part in step.parts)
    columns = [_column(step) for step in steps]
    return [(name, [column.get(name, "-") for column in columns]) for name in (*names, *_RATES)]


_RATES = ("MFU", "HFU")


def _column(step: TrainingFigures) -> dict[str, str]:
    """Return the cells of one chip by row."""
    total = sum(part.seconds for part in step.parts)
    cells: dict[str, str] = {
        part.name: f"{seconds(part.seconds)} ({percent(part.seconds / total)})"
        for part in step.parts
    }
    return {**cells, "MFU": _utilised(step.mfu), "HFU": _utilised(step.hfu)}


def _utilised(share: float | None) -> str:
    return "unknown" if share is None else percent(share)


def plan_in_words(step: TrainingFigures) -> str:
    """Return how a step is run, what is usual left out."""
    plan: TrainingPlan = step.plan
    words = [f"batch {count(plan.batch)} in {count(step.micro_batches)} micro-batches of "
             f"{count(plan.micro_batch)}"]  # fmt: skip
    if plan.interleave > 1:
        words.append(f"{plan.interleave} chunks a stage")
    if plan.recompute != "none":
        words.append(f"recompute {plan.recompute}")
    if plan.sequence_parallel:
        words.append("sequence parallel")
    if plan.products != "as-computed":
        words.append(f"products in {plan.products}")
    if not plan.overlap:
        words.append("no overlap")
    if plan.offload != "none":
        words.append(f"{plan.offload} state in the host's memory")
    return ", ".join(words)


def _memory(
    found: Sequence[tuple[ChipAssessment, PhaseAssessment, TrainingFigures, RankFigures]],
) -> Table:
    return Table(
        title="memory of the fullest rank (predicted; activations: what is kept for the backward "
        "pass)",
        columns=("chip", "weights", "gradients", "optimizer", "activations", "peak",
                 "usable per chip"),
        rows=tuple(
            (
                chip.chip, bytes_(rank.weights), bytes_(step.gradients), bytes_(step.optimizer),
                bytes_(rank.activations), bytes_(rank.peak),
                bytes_(p.memory.usable_per_chip) if p.memory.usable_per_chip else "unknown",
            )
            for chip, p, step, rank in found
        ),
        right=frozenset(range(1, 7)),
    )  # fmt: skip
