"""One phase on one chip: prediction, operators and findings put together, and the verdict.

Must not know any chip, nor how the answer is shown.
"""

from __future__ import annotations

from typing import Any

from crossgrade.check.execution import execution_findings
from crossgrade.check.fit import fit_findings, format_findings
from crossgrade.check.numerics import numerics_findings
from crossgrade.check.operator_findings import operator_findings
from crossgrade.check.operators import (
    OperatorUse,
    SupportTable,
    dissolved_work,
    level_shares,
    operator_uses,
)
from crossgrade.predict.memory import MemoryNeed
from crossgrade.predict.phase import (
    Prediction,
    Prepared,
    call_time_shares,
    least_chips,
    predict,
    usable_memory,
)
from crossgrade.values.assessment import (
    LevelFigures,
    MemoryFigures,
    OperatorFigures,
    PhaseAssessment,
    SpeedFigures,
    Verdict,
)
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.finding import Finding
from crossgrade.values.layout import Layout

_SEVERITY = {"blocker": 0, "warning": 1, "note": 2}


def assess_phase(
    prepared: Prepared,
    chip: Chip,
    table: SupportTable,
    *,
    chips: int | None,
    price_per_hour: float | None,
    weights_format: str,
) -> PhaseAssessment:
    """Return the answer for one phase on one chip.

    Args:
        prepared: the capture with its kernels.
        chip: the chip.
        table: its operator table.
        chips: how many, None for as many as are needed.
        price_per_hour: of one chip, in the user's currency.
        weights_format: format of the weights, in words.
    """
    memory = prepared.memory
    workload = prepared.capture.workload
    least = least_chips(memory.peak_fused, chip)
    layout = _layout(chips or least or 1)
    priced = chip.memory_bandwidth is not None
    uses = operator_uses(prepared, table, chip.soc, _shares(prepared, chip, priced))
    prediction = predict(prepared, chip, layout, dissolved_work(uses)) if priced else None
    findings = _findings(prepared, chip, uses, prediction, layout, least)
    return PhaseAssessment(
        phase=workload.phase,
        batch=workload.batch,
        tokens=workload.tokens,
        context=workload.context,
        item=workload.item,
        verdict=_verdict(uses, findings, chips or 1, least),
        layout=layout,
        calls=prepared.capture.calls,
        distinct_calls=prepared.capture.keys,
        flops=prepared.flops,
        memory=_memory(memory, chip, least, _format(memory, workload.phase, weights_format)),
        speed=_speed(prediction, layout, price_per_hour) if prediction else None,
        levels=_levels(uses),
        operators=tuple(_operator(use) for use in uses),
        findings=findings,
        claims=(),
        capture_digest="",
    )


def _levels(uses: tuple[OperatorUse, ...]) -> tuple[LevelFigures, ...]:
    return tuple(
        LevelFigures(level=level, operators=n, calls=calls, time_share=share)
        for level, n, calls, share in level_shares(uses)
    )


def _layout(chips: int) -> Layout:
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
) -> tuple[Finding, ...]:
    """Return all findings, the worst and heaviest first."""
    phase = prepared.capture.workload.phase
    found = [
        *fit_findings(prepared.memory, chip, phase, layout.chips, least),
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
    return tuple(
        sorted(found, key=lambda f: (_SEVERITY[f.severity], -(f.time_share or 0), f.id, f.title))
    )


def _verdict(
    uses: tuple[OperatorUse, ...], findings: tuple[Finding, ...], chips: int, least: int | None
) -> Verdict:
    """Return the answer in one word."""
    if any(use.level == "missing" for use in uses):
        return "blocked"
    unknown = sum(use.time_share for use in uses if use.level == "unknown")
    if least is None or unknown > 0.05 or all(use.level == "unknown" for use in uses):
        return "unknown"
    if least > chips:
        return "needs-N-chips"
    return "runs-with-findings" if any(f.severity == "warning" for f in findings) else "runs"


def _format(memory: MemoryNeed, phase: str, given: str) -> str:
    """Return the format that weights count in: a training step needs them as it computes."""
    if phase != "train":
        return given
    return f"{', '.join(memory.formats)} as the module computes (training)"


def _memory(
    memory: MemoryNeed, chip: Chip, least: int | None, weights_format: str
) -> MemoryFigures:
    return MemoryFigures(
        weights=memory.weights,
        weights_format=weights_format,
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
        least_chips_eager=least_chips(memory.peak_eager, chip),
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
        binds=prediction.binds,
        share_by_bound=prediction.share_by_bound,
        share_by_bound_eager=prediction.share_by_bound_eager,
        kernels_fused=prediction.kernels_fused,
        kernels_eager=prediction.kernels_eager,
        network_s=prediction.network_s,
        top=prediction.top,
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
