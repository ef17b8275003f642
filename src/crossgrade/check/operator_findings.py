"""Operator uses -> findings.

One finding per operator that costs or stops something; operators that merely lack a verification
are gathered into one. Must not know any backend or operator by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.check.operators import OperatorUse
from crossgrade.predict.assumptions import assumptions
from crossgrade.units import count, percent, seconds
from crossgrade.values.finding import Finding

_HEAVY = 0.01


def operator_findings(uses: tuple[OperatorUse, ...], chip: str, phase: str) -> Iterator[Finding]:
    """Yield the findings about one chip's operators."""
    for use in uses:
        if use.level == "missing":
            yield _one(use, chip, phase, "CG-F103", "blocker", "is not available",
                       "replace it in the model, or register a kernel for it")  # fmt: skip
        elif use.level == "cpu-fallback":
            yield _one(use, chip, phase, "CG-F102", "warning", "falls back to the CPU",
                       "each call copies its tensors to the host and back: replace it, or move "
                       "it out of the loop")  # fmt: skip
        elif use.level == "dtype-limited":
            yield _one(use, chip, phase, "CG-F104", "warning",
                       f"is documented without {', '.join(_refused(use)) or 'these dtypes'}",
                       "cast before the call, and test it on the device")  # fmt: skip
        elif use.level == "composite" and _matters(use):
            yield _composite(use, chip, phase)
        elif use.host_syncs:
            yield _one(use, chip, phase, "CG-F106", "warning",
                       f"makes the host wait {count(use.host_syncs)} times",
                       "keep the value on the device, or read it once per step")  # fmt: skip
    yield from _gathered(uses, chip, phase)


def _matters(use: OperatorUse) -> bool:
    """Return whether a composite costs more than the copy or two that many natives are."""
    launches = sum(n for _, n in use.inner) / use.calls
    return use.host_syncs > 0 or (use.time_share >= _HEAVY and launches > 2)


def _composite(use: OperatorUse, chip: str, phase: str) -> Finding:
    """Return the finding about an operator without a kernel of its own."""
    inner_calls = sum(n for _, n in use.inner)
    syncs = f", {count(use.host_syncs)} of them host synchronisations" if use.host_syncs else ""
    cost = (_sync_cost(use.host_syncs),) if use.host_syncs else ()
    parts = ", ".join(f"{op.split('.')[1]} x{count(n)}" for op, n in use.inner[:5])
    return _one(
        use,
        chip,
        phase,
        "CG-F101",
        "warning" if use.host_syncs else "note",
        f"has no kernel there: its {count(use.calls)} calls become {count(inner_calls)} "
        f"others{syncs}",
        "use the vendor's fused operator or another implementation of this part"
        if use.host_syncs
        else "expect more launches than on a chip with its own kernel",
        more=((f"dissolves into: {parts}", *cost) if parts else cost),
    )


def _sync_cost(reads: int) -> str:
    """Return what the host reads cost, in words."""
    sync = assumptions()["host_sync_s"]
    return (
        f"{count(reads)} reads at {seconds(sync.optimistic)} to {seconds(sync.pessimistic)} each "
        f"(assumed) are {seconds(reads * sync.optimistic)} to {seconds(reads * sync.pessimistic)}, "
        "counted in the eager end"
    )


def _gathered(uses: tuple[OperatorUse, ...], chip: str, phase: str) -> Iterator[Finding]:
    """Yield one finding per level that only says how sure the sources are."""
    words = {
        "unverified": (
            "CG-F105",
            "have a kernel that the vendor does not list as verified on this chip",
            "run these operators on the device before relying on them",
        ),
        "conflict": (
            "CG-F107",
            "are listed differently by two documents or releases of the vendor",
            "run these operators on the device before relying on them",
        ),
        "unknown": (
            "CG-F108",
            "stand in no public operator table of this chip",
            "ask the vendor for the list, or run the model on the device; until then the eager end "
            "counts each as one launch, as if it were native",
        ),
    }
    for level, (code, title, hint) in words.items():
        chosen = [use for use in uses if use.level == level]
        if chosen:
            names = [use.op.removeprefix("aten.") for use in chosen]
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            yield Finding(
                id=code,
                severity="note",
                chip=chip,
                phase=phase,
                title=f"{len(chosen)} operators {title}: {shown}",
                place=tuple(names),
                evidence=tuple(e for u in chosen[:3] for e in u.support.evidence),
                hint=hint,
                calls=sum(u.calls for u in chosen),
                call_share=sum(u.call_share for u in chosen),
                time_share=sum(u.time_share for u in chosen),
            )


def _refused(use: OperatorUse) -> list[str]:
    allowed = use.support.dtypes
    return [d for d in use.dtypes if allowed is not None and d not in allowed]


def _one(
    use: OperatorUse,
    chip: str,
    phase: str,
    code: str,
    severity: str,
    title: str,
    hint: str,
    *,
    more: tuple[str, ...] = (),
) -> Finding:
    """Return a finding about one operator."""
    limits = (f"documented limits: {use.support.limits}",) if use.support.limits else ()
    return Finding(
        id=code,
        severity=severity,  # type: ignore[arg-type]
        chip=chip,
        phase=phase,
        title=f"{use.op} {title}",
        place=use.places,
        evidence=(*use.support.evidence, *limits, *more),
        hint=hint,
        calls=use.calls,
        call_share=use.call_share,
        time_share=use.time_share,
        data={
            "calls": use.calls,
            "host_syncs": use.host_syncs,
            "inner_calls": sum(n for _, n in use.inner),
            "share_of_time": percent(use.time_share),
        },
    )
