"""What a training step keeps, and whether chips that share it out can hold it.

Must not know how the bytes were counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.check.fit import capacity_evidence
from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.sharding import least_sharded, peak_per_chip
from crossgrade.units import bytes_, percent, things
from crossgrade.values.chip import Chip
from crossgrade.values.finding import Finding
from crossgrade.values.layout import SHARDS, Layout, Shard
from crossgrade.values.workload import Optimizer, Workload

_UPDATES: dict[Optimizer, str] = {
    "adamw": "AdamW keeps its state in the format of the weights, without fp32 master weights",
    "adamw-fp32": "AdamW keeps fp32 master weights and fp32 moments",
    "sgd": "SGD keeps no state",
}
_SHARED: dict[Shard, str] = {
    "none": "",
    "optimizer": "optimizer state",
    "gradients": "optimizer state and gradients",
    "full": "optimizer state, gradients and weights",
}


def training_in_words(workload: Workload, memory: MemoryNeed, layout: Layout) -> str:
    """Return what is trained, how it is updated, and what chips share."""
    words = _UPDATES[workload.optimizer]
    if workload.lora_rank:
        trained = bytes_(memory.shares.trained)
        words += f"; adapters of rank {workload.lora_rank} alone are trained, {trained} of weights"
    if layout.kind == "data-parallel-sharded":
        words += f"; {layout.dp} chips share {_SHARED[layout.shard]}, each on a batch of its own"
    return words


def sharded_findings(
    memory: MemoryNeed,
    chip: Chip,
    phase: str,
    chips: int,
    least: int | None,
    shard: Shard,
    usable: float,
) -> Iterator[Finding]:
    """Yield findings about capacity where data-parallel chips share the step out.

    Args:
        memory: what one replica needs.
        chip: one chip.
        phase: phase of the workload.
        chips: how many the prediction is for.
        least: how many are needed at least; None where no number is enough.
        shard: what they share.
        usable: bytes of a chip that a model can use.
    """
    need = peak_per_chip(memory, shard, chips)
    if least is None:
        yield _never(memory, chip, phase, shard, usable)
    elif least > chips:
        yield _finding(
            "CG-F201", "warning", chip, phase,
            f"{things(chips, 'chip')} that share {_SHARED[shard]} need {bytes_(need)} each; "
            f"one can hold {bytes_(usable)}",
            f"use at least {things(least, 'chip')}, or a smaller batch or sequence",
            {"peak_bytes": need, "least_chips": least}, usable,
        )  # fmt: skip
    elif need / usable > 0.9:
        yield _finding(
            "CG-F202", "note", chip, phase, f"fits with {percent(1 - need / usable)} to spare",
            "fragmentation and communication buffers may take more than that",
            {"peak_bytes": need}, usable,
        )  # fmt: skip
    if least is not None:
        yield from _eager(memory, chip, phase, max(chips, least), shard, usable)


def _eager(
    memory: MemoryNeed, chip: Chip, phase: str, chips: int, shard: Shard, usable: float
) -> Iterator[Finding]:
    """Yield that eager execution needs more chips than fused kernels do."""
    eager = least_sharded(memory, shard, usable, eager=True)
    if eager is None or eager > chips:
        number = "cannot fit on any number of chips" if eager is None else (
            f"needs {things(eager, 'chip')}"
        )  # fmt: skip
        yield _finding(
            "CG-F204", "note", chip, phase,
            f"eager execution {number}: its activations take {bytes_(memory.activations_eager)}, "
            f"with fused kernels {bytes_(memory.activations_fused)}",
            "run with fused attention or torch.compile, or recompute activations",
            {"peak_bytes": memory.peak_eager}, usable,
        )  # fmt: skip


def _never(memory: MemoryNeed, chip: Chip, phase: str, shard: Shard, usable: float) -> Finding:
    stays = peak_per_chip(memory, shard, 1 << 40)
    further = [s for s in SHARDS[SHARDS.index(shard) + 1 :]
               if least_sharded(memory, s, usable) is not None]  # fmt: skip
    hint = "a smaller batch or sequence; activations do not divide over data-parallel chips"
    if further:
        hint = f"--shard {further[0]}, or a smaller batch or sequence"
    return _finding(
        "CG-F205", "blocker", chip, phase,
        f"no number of chips is enough: with {_SHARED[shard]} shared out, {bytes_(stays)} stay on "
        f"every chip; one can hold {bytes_(usable)}",
        hint, {"peak_bytes": stays}, usable,
    )  # fmt: skip


def _finding(
    code: str,
    severity: str,
    chip: Chip,
    phase: str,
    title: str,
    hint: str,
    data: dict[str, float | int | str],
    usable: float,
) -> Finding:
    return Finding(
        id=code, severity=severity, chip=chip.name, phase=phase, title=title, place=(),  # type: ignore[arg-type]
        evidence=capacity_evidence(chip, usable), hint=hint, data=data,
    )  # fmt: skip
