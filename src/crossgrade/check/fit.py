"""Whether a workload's memory fits, on how many chips at least, and in which format.

Must not know how the bytes were counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.phase import Prediction, usable_memory
from crossgrade.units import bytes_, percent, things
from crossgrade.values.chip import Chip
from crossgrade.values.finding import Finding


def fit_findings(
    memory: MemoryNeed, chip: Chip, phase: str, chips: int, least: int | None
) -> Iterator[Finding]:
    """Yield findings about capacity.

    Args:
        memory: what the phase needs on all chips together.
        chip: one chip.
        phase: phase of the workload.
        chips: how many the prediction is for.
        least: how many are needed at least; None where capacity is unknown.
    """
    usable = usable_memory(chip)
    if least is None or usable is None or chip.memory_capacity is None:
        yield Finding(
            id="CG-F203",
            severity="note",
            chip=chip.name,
            phase=phase,
            title="memory capacity is not published: whether it fits is unknown",
            place=(),
            evidence=(f"{chip.name}: memory_capacity is absent",),
            hint="measure it on the chip",
        )
        return
    if least > chips:
        yield _does_not_fit(memory, chip, phase, chips, least, usable)
    elif memory.peak_fused / (usable * chips) > 0.9:
        yield _hardly_fits(memory, chip, phase, chips, usable)
    eager = max(1, math.ceil(memory.peak_eager / usable))
    if eager > max(chips, least):
        yield _fits_fused_only(memory, chip, phase, eager, usable)


def _does_not_fit(
    memory: MemoryNeed, chip: Chip, phase: str, chips: int, least: int, usable: float
) -> Finding:
    return Finding(
        id="CG-F201",
        severity="warning",
        chip=chip.name,
        phase=phase,
        title=f"needs {bytes_(memory.peak_fused)}; {things(chips, 'chip')} can hold "
        f"{bytes_(usable * chips)}",
        place=(
            f"weights {bytes_(memory.weights)}",
            f"cache {bytes_(memory.kv)}",
            f"activations {bytes_(memory.activations_fused)}",
        ),
        evidence=capacity_evidence(chip, usable),
        hint=f"use at least {things(least, 'chip')}, or a smaller batch, context or weight format",
        data={"peak_bytes": memory.peak_fused, "least_chips": least},
    )


def _hardly_fits(memory: MemoryNeed, chip: Chip, phase: str, chips: int, usable: float) -> Finding:
    return Finding(
        id="CG-F202",
        severity="note",
        chip=chip.name,
        phase=phase,
        title=f"fits with {percent(1 - memory.peak_fused / (usable * chips))} to spare",
        place=(),
        evidence=capacity_evidence(chip, usable),
        hint="fragmentation and communication buffers may take more than that",
        data={"peak_bytes": memory.peak_fused},
    )


def _fits_fused_only(
    memory: MemoryNeed, chip: Chip, phase: str, eager: int, usable: float
) -> Finding:
    return Finding(
        id="CG-F204",
        severity="note",
        chip=chip.name,
        phase=phase,
        title=f"eager execution needs {things(eager, 'chip')}: its activations take "
        f"{bytes_(memory.activations_eager)}, with fused kernels "
        f"{bytes_(memory.activations_fused)}",
        place=(),
        evidence=capacity_evidence(chip, usable),
        hint="run with fused attention or torch.compile, or in shorter pieces of the prompt",
        data={"peak_bytes": memory.peak_eager, "least_chips": eager},
    )


def format_findings(
    memory: MemoryNeed, chip: Chip, phase: str, prediction: Prediction
) -> Iterator[Finding]:
    """Yield findings about weight formats that the chip has no engine for."""
    usable = usable_memory(chip)
    for wanted, used in prediction.precision_fallbacks:
        if wanted == "fp4" and used in ("fp8", "mxfp8"):
            continue  # 4-bit weights meet 8-bit activations: nothing is lost against the intent
        computed = memory.peak_fused - memory.weights + memory.weights_as_computed
        more = f"; kept in {used} the whole needs {bytes_(computed)}"
        if usable:
            more += f", {things(max(1, -(-int(computed) // int(usable))), 'chip')}"
        yield Finding(
            id="CG-F302",
            severity="warning",
            chip=chip.name,
            phase=phase,
            title=f"{wanted} weights and no {wanted} engine: bounds are priced as stored in "
            f"{wanted} and computed in {used}{more}",
            place=tuple(memory.formats),
            evidence=(f"{chip.name}: no matrix peak for {wanted}",),
            hint="needs weight-only kernels, or a checkpoint converted to a format of the chip",
            data={"wanted": wanted, "used": used},
        )


def capacity_evidence(chip: Chip, usable: float) -> tuple[str, ...]:
    """Return where a chip's capacity stands, and what of it counts as usable."""
    constant = chip.memory_capacity
    if constant is None:
        return ()
    source = chip.source(constant.source)
    return (
        f"{chip.name}: {bytes_(constant.value)} per {constant.scope} "
        f"({source.title}, {source.date})",
        f"usable {bytes_(usable)}: assumed share {percent(usable / constant.value)}",
    )
