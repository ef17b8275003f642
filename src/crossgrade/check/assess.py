"""One phase on one chip: prediction, operators and findings put together, and the verdict.

Must not know any chip, nor how the answer is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crossgrade.check.execution import execution_findings
from crossgrade.check.fit import fit_findings, format_findings
from crossgrade.check.layouts import LayoutAnswer, layout_answer
from crossgrade.check.numerics import numerics_findings
from crossgrade.check.operator_findings import operator_findings
from crossgrade.check.operators import (
    OperatorUse,
    SupportTable,
    dissolved_work,
    level_shares,
    operator_uses,
)
from crossgrade.check.training import sharded_findings, training_in_words
from crossgrade.check.training_step import training_answer
from crossgrade.predict.lowering.stack import load_stack, usual_stack
from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.phase import (
    UNRATED,
    Execution,
    Prediction,
    Prepared,
    call_time_shares,
    least_chips,
    predict,
    unrated_share,
    usable_memory,
)
from crossgrade.predict.sharding import least_sharded, peak_per_chip
from crossgrade.predict.silicon.knowledge import Knowledge, shipped
from crossgrade.predict.stack_time import stack_time
from crossgrade.predict.training.figures import training_figures
from crossgrade.values.assessment import (
    LevelFigures,
    MemoryFigures,
    OperatorFigures,
    PhaseAssessment,
    RankFigures,
    SpeedFigures,
    StackFigures,
    Verdict,
)
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.finding import Finding
from crossgrade.values.layout import Layout, Shard
from crossgrade.values.training import TrainingFigures, TrainingPlan
from crossgrade.values.workload import Workload

PLAIN = "eager"
"""Stack of a chip without a usual one, once its kernels were calibrated: they were timed so."""
TRAINS = "compile"
"""Stack that trains where none is asked for."""
_SEVERITY = {"blocker": 0, "warning": 1, "note": 2}


def assess_phase(
    prepared: Prepared,
    chip: Chip,
    table: SupportTable,
    *,
    chips: int | None,
    price_per_hour: float | None,
    weights_format: str,
    shard: Shard = "none",
    stack: str | None = None,
    knowledge: Knowledge | None = None,
    layout: Layout | None = None,
    plan: TrainingPlan | None = None,
) -> PhaseAssessment:
    """Return the answer for one phase on one chip.

    Args:
        prepared: the capture with its kernels.
        chip: the chip.
        table: its operator table.
        chips: how many, None for as many as are needed.
        price_per_hour: of one chip, in the user's currency.
        weights_format: format of the weights, in words.
        shard: what data-parallel chips share out, `none` for ideal shards.
        stack: the stack whose kernels are timed; None for the one that is usual on the chip.
        knowledge: fits of kernel models; None for those that are shipped.
        layout: what each chip does; None for ideal shards of `chips`.
        plan: how a training step is run on that layout.
    """
    least = _least(prepared.memory, chip, shard)
    spread = layout or _layout(chips or least or 1, shard)
    known = knowledge or shipped()
    priced = chip.memory_bandwidth is not None
    told = priced and unrated_share(prepared, chip) <= UNRATED
    uses = operator_uses(prepared, table, chip.soc, _shares(prepared, chip, told))
    prediction = predict(prepared, chip, spread, dissolved_work(uses)) if priced else None
    on_layout = _on_layout(prepared, chip, layout, plan, stack, known) if told else None
    trains = on_layout is not None and on_layout.step is not None
    findings = _findings(prepared, chip, uses, prediction, spread, least, shard, fits=not trains)
    result = _assessment(
        prepared, spread, uses=uses, on_layout=on_layout,
        findings=_ordered((*on_layout.findings, *findings)) if on_layout else findings,
        timed=on_layout or (_timed(prepared, chip, spread, stack, known) if told else None),
        memory=_memory(prepared, chip, least, weights_format, spread,
                       on_layout.rank if on_layout else None),
        # Ranks of a training layout were looked at one by one.
        verdict_chips=(spread.chips if layout else chips or 1, 1 if trains else least),
        speed=None if trains or not (prediction and told)
        else _speed(prediction, spread, price_per_hour),
    )  # fmt: skip
    return result if told else _untimed(result)


def _assessment(
    prepared: Prepared, layout: Layout, *, uses: tuple[OperatorUse, ...],
    on_layout: LayoutAnswer | None, findings: tuple[Finding, ...],
    timed: LayoutAnswer | _Timed | None, memory: MemoryFigures,
    verdict_chips: tuple[int, int | None], speed: SpeedFigures | None,
) -> PhaseAssessment:  # fmt: skip
    """Return what was found out of a phase, in one value."""
    workload = prepared.capture.workload
    trained = workload.phase == "train"
    return PhaseAssessment(
        phase=workload.phase, batch=workload.batch, tokens=workload.tokens,
        context=workload.context, item=workload.item,
        verdict=_verdict(uses, findings, *verdict_chips),
        training=training_in_words(workload, prepared.memory, layout) if trained else "",
        layout=layout, calls=prepared.capture.calls, distinct_calls=prepared.capture.keys,
        flops=prepared.flops, memory=memory, speed=speed,
        rank=on_layout.rank if on_layout else None,
        stack=timed.stack if timed else None, step=timed.step if timed else None,
        levels=_levels(uses), operators=tuple(_operator(use) for use in uses),
        findings=findings, claims=(), capture_digest="",
    )  # fmt: skip


def execution_of(prepared: Prepared, chip: Chip, table: SupportTable, layout: Layout) -> Execution:
    """Return all that the predicted time of a phase follows from."""
    uses = operator_uses(prepared, table, chip.soc, _shares(prepared, chip, False))
    return Execution(prepared=prepared, chip=chip, layout=layout, dissolved=dissolved_work(uses))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """A phase as a stack runs it where no degrees were given."""

    stack: StackFigures
    """Its time."""
    step: TrainingFigures | None = None
    """What a training step is made of."""


def _timed(
    prepared: Prepared, chip: Chip, layout: Layout, stack: str | None, knowledge: Knowledge
) -> _Timed | None:
    """Return the time as a stack runs the phase; None where no stack does.

    Training has a time on one chip, and on replicas of which each has the captured batch.
    """
    name = _stack_name(prepared, chip, stack, knowledge)
    if name is None:
        return None
    workload = prepared.capture.workload
    if workload.phase != "train":
        return _Timed(stack=stack_time(prepared, chip, layout, name, knowledge))
    if layout.kind == "ideal-shards":
        return None
    dp, micro = layout.copies, workload.batch
    replicas = Layout(chips=dp, kind="sharded", dp=dp, shard=layout.shard)
    plan = TrainingPlan(batch=dp * micro, micro_batch=micro)
    found = training_figures(prepared, chip, replicas, plan, name, knowledge)
    return _Timed(stack=found.stack, step=found.step)


def _stack_name(
    prepared: Prepared, chip: Chip, stack: str | None, knowledge: Knowledge
) -> str | None:
    """Return the stack that is timed.

    None where no stack is known for the chip, or the one asked for does not run there. What serves
    does not train: `compile` stands for a training stack that joins what lies between products.
    """
    trains = prepared.capture.workload.phase == "train"
    name = stack or (TRAINS if trains else usual_stack(chip.op_table))
    if name is None and knowledge.calibrated(chip.name):
        name = PLAIN
    if name is None or not load_stack(name).runs_on(chip.op_table):
        return None
    return name


def _on_layout(
    prepared: Prepared, chip: Chip, layout: Layout | None, plan: TrainingPlan | None,
    stack: str | None, knowledge: Knowledge,
) -> LayoutAnswer | None:  # fmt: skip
    """Return the phase on a layout that was given; None without one, or where no stack serves."""
    name = _stack_name(prepared, chip, stack, knowledge) if layout is not None else None
    if layout is None or name is None:
        return None
    if plan is not None:
        return training_answer(prepared, chip, layout, plan, name, knowledge)
    if load_stack(name).scheduler is None:
        return None
    return layout_answer(prepared, chip, layout, name, knowledge)


def _untimed(result: PhaseAssessment) -> PhaseAssessment:
    """Return an answer that tells no shares of a time that is not predicted."""
    findings = []
    for f in result.findings:
        data = {name: value for name, value in f.data.items() if name != "share_of_time"}
        findings.append(dataclasses.replace(f, time_share=None, data=data))
    return dataclasses.replace(
        result,
        levels=tuple(dataclasses.replace(row, time_share=None) for row in result.levels),
        operators=tuple(dataclasses.replace(row, time_share=None) for row in result.operators),
        findings=tuple(findings),
    )


def _levels(uses: tuple[OperatorUse, ...]) -> tuple[LevelFigures, ...]:
    return tuple(
        LevelFigures(level=level, operators=n, calls=calls, time_share=share)
        for level, n, calls, share in level_shares(uses)
    )


def _least(memory: MemoryNeed, chip: Chip, shard: Shard, *, eager: bool = False) -> int | None:
    """Return how many chips hold the phase at least; None if unknown or if no number does."""
    usable = usable_memory(chip)
    if shard != "none" and usable is not None:
        return least_sharded(memory, shard, usable, eager=eager)
    return least_chips(memory.peak_eager if eager else memory.peak_fused, chip)


def _layout(chips: int, shard: Shard) -> Layout:
    if shard != "none" and chips > 1:
        return Layout(chips=chips, kind="data-parallel-sharded", dp=chips, shard=shard)
    return Layout(chips=chips, kind="single" if chips == 1 else "ideal-shards", tp=chips)


def _shares(prepared: Prepared, chip: Chip, priced: bool) -> Any:
    import numpy as np

    return call_time_shares(prepared, chip) if priced else np.zeros(prepared.capture.calls)


def _findings(
    prepared: Prepared,
    chip: Chip,
    uses: tuple[OperatorUse, ...],
    prediction: Prediction | None,
    layout: Layout,
    least: int | None,
    shard: Shard,
    *,
    fits: bool,
) -> tuple[Finding, ...]:
    """Return all findings, the worst and heaviest first; of capacity where they are asked for."""
    phase = prepared.capture.workload.phase
    found = [
        *(_fit(prepared.memory, chip, phase, layout, least, shard) if fits else ()),
        *operator_findings(uses, chip.name, phase),
        *numerics_findings(prepared, chip, phase),
    ]
    if prediction is None:
        found.append(
            Finding(
                id="CG-F402",
                severity="note",
                chip=chip.name,
                phase=phase,
                title="memory bandwidth is not published: no time is predicted",
                place=(),
                evidence=(f"{chip.name}: memory_bandwidth is absent",),
                hint="measure it on the chip",
            )
        )
    else:
        found.extend(format_findings(prepared.memory, chip, phase, prediction))
        found.extend(execution_findings(prepared, chip.name, phase, prediction))
    return _ordered(found)


def _ordered(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, the worst and heaviest first."""
    return tuple(
        sorted(found, key=lambda f: (_SEVERITY[f.severity], -(f.time_share or 0), f.id, f.title))
    )


def _fit(
    memory: MemoryNeed, chip: Chip, phase: str, layout: Layout, least: int | None, shard: Shard
) -> Iterator[Finding]:
    """Return findings about capacity, by how the memory divides."""
    usable = usable_memory(chip)
    if shard == "none" or usable is None:
        return fit_findings(memory, chip, phase, layout.chips, least)
    return sharded_findings(memory, chip, phase, layout.chips, least, shard, usable)


def _verdict(
    uses: tuple[OperatorUse, ...], findings: tuple[Finding, ...], chips: int, least: int | None
) -> Verdict:
    """Return the answer in one word."""
    if any(use.level == "missing" for use in uses) or any(
        f.severity == "blocker" for f in findings
    ):
        return "blocked"
    unknown = sum(use.time_share for use in uses if use.level == "unknown")
    if least is None or unknown > 0.05 or (uses and all(use.level == "unknown" for use in uses)):
        return "unknown"
    if least > chips:
        return "needs-N-chips"
    return "runs-with-findings" if any(f.severity == "warning" for f in findings) else "runs"


def _format(memory: MemoryNeed, workload: Workload, given: str) -> str:
    """Return the format that weights count in: a training step needs them as it computes."""
    if workload.phase != "train":
        return given
    if workload.lora_rank:
        return f"{given}, frozen; adapters as the module computes"
    return f"{', '.join(memory.formats)} as the module computes (training)"


def _memory(
    prepared: Prepared, chip: Chip, least: int | None, weights_format: str, layout: Layout,
    rank: RankFigures | None,
) -> MemoryFigures:  # fmt: skip
    memory = prepared.memory
    per_chip = rank.peak if rank else None
    if layout.kind == "data-parallel-sharded":
        per_chip = peak_per_chip(memory, layout.shard, layout.dp)
    return MemoryFigures(
        peak_per_chip=per_chip,
        weights=memory.weights,
        weights_format=_format(memory, prepared.capture.workload, weights_format),
        kv=memory.kv,
        gradients=memory.gradients,
        optimizer=memory.optimizer,
        activations_eager=memory.activations_eager,
        activations_fused=memory.activations_fused,
        converted=memory.converted,
        peak_eager=memory.peak_eager,
        peak_fused=memory.peak_fused,
        by_format=memory.formats,
        usable_per_chip=usable_memory(chip),
        least_chips=least,
        least_chips_eager=_least(memory, chip, layout.shard, eager=True),
    )


def _speed(prediction: Prediction, layout: Layout, price_per_hour: float | None) -> SpeedFigures:
    per_price = None
    if price_per_hour is not None:
        rate, cost = prediction.tokens_per_s, price_per_hour * layout.chips / 3600
        per_price = Band(low=rate.low / cost, high=rate.high / cost, low_name=rate.low_name,
                         high_name=rate.high_name, unit="1/price", kind="predicted")  # fmt: skip
    return SpeedFigures(
        time_s=prediction.time_s,
        tokens_per_s=prediction.tokens_per_s,
        tokens_per_s_per_chip=prediction.tokens_per_s_per_chip,
        tokens_per_s_per_watt=prediction.tokens_per_s_per_watt,
        tokens_per_price=per_price,
        price_per_hour=price_per_hour,
        binds=prediction.binds,
        share_by_bound=prediction.share_by_bound,
        share_by_bound_eager=prediction.share_by_bound_eager,
        kernels_fused=prediction.kernels_fused,
        kernels_eager=prediction.kernels_eager,
        network_s=prediction.network_s,
        unknown_rates=prediction.unknown_rates,
        fused=prediction.fused,
        eager=prediction.eager,
        modules=prediction.modules,
    )


def _operator(use: OperatorUse) -> OperatorFigures:
    return OperatorFigures(
        op=use.op,
        level=use.level,
        calls=use.calls,
        call_share=use.call_share,
        time_share=use.time_share,
        dtypes=use.dtypes,
        via=use.support.via,
        inner=use.inner,
        host_syncs=use.host_syncs,
        limits=use.support.limits,
        evidence=use.support.evidence,
    )
