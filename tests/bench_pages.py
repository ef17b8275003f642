"""Measurements of made-up devices for tests of their page: every kind of trouble, hostile names."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from tests.unit.measure.simulated import GEMM, keyed, plan, slower, source

from crossgrade.measure.harness import run
from crossgrade.targets.simulated import NoiseModel
from crossgrade.values.bench import BenchResult, BenchRow, BenchRun, LostSession
from crossgrade.values.beside import Beside, CeilingsUsed, Predicted, Share
from crossgrade.values.evidence import Band
from crossgrade.values.observation import Accuracy, Energy, MemoryPeak, Observation
from crossgrade.values.operator_case import OperatorCase

CREATED = "2026-01-02T03:04:05+00:00"
NOISY = NoiseModel(session_sd=0.01, kernel_sd=0.004, within_sd=0.02, phi=0.3)
TARGETS = ("cpu", "compile:cpu", "openvino")


def failing(reason: str) -> OperatorCase:
    """Return a case that a made-up device cannot run."""
    return replace(GEMM, arguments={"sim_us": 9.0, "sim_fail": reason})


@cache
def result(*scales: float, fail: str = "", least: int = 8) -> BenchResult:
    """Return a measurement of variants that take so many times as long as the first."""
    cases = [GEMM, *(slower(scale - 1) for scale in scales), *([failing(fail)] if fail else [])]
    options = {"least_sessions": least, "half_width": 0.05}
    (found,) = dict(run(keyed(plan(*cases, **options)), source(NOISY))).values()
    variants = tuple(replace(v, name=n) for v, n in zip(found.plan.variants, TARGETS, strict=False))
    rows = tuple(replace(v, name=n)
                 for v, n in zip(found.variants[:-1], TARGETS, strict=False))  # fmt: skip
    return replace(found, plan=replace(found.plan, variants=variants),
                   variants=(*rows, found.variants[-1]))  # fmt: skip


def titled(found: BenchResult, **arguments) -> BenchResult:
    """Return a measurement of a case with other arguments, so with another title."""
    variants = tuple(
        replace(v, case=replace(v.case, arguments={**arguments})) for v in found.plan.variants
    )
    return replace(found, plan=replace(found.plan, variants=variants))


def bench_run(*results: BenchResult, **more) -> BenchRun:
    """Return a run of these measurements."""
    rows = tuple(BenchRow(key=f"c{i}", result=r) for i, r in enumerate(results))
    facts = {"platform": "Linux", "kernel": "6", "cpu": "a processor", "torch": "2.13.0"}
    return BenchRun(**{"name": "a suite", "rows": rows, "notes": (), "folder": "",
                       "environment": facts, **more})  # fmt: skip


def troubled() -> BenchRun:
    """Return a run in which everything went wrong that a page tells of."""
    wrong = replace(
        result(0.5, fail="crashed"),
        verdict="noisy",
        why="time of cpu is known to ±9.0 % after 8 sessions, asked was ±1.0 %",
        lost=(LostSession(index=3, reason="timed-out", detail="no sign for 60 s"),),
        remarks=("2 of 8 sessions had not become steady before the first sample",),
        notes={"openvino": ("fp16 is computed in fp32",)},
        observed={"cpu": observation(passed=True), "openvino": observation(passed=False)},
    )
    first = replace(wrong.variants[0], censored={"throttled": 7})
    wrong = replace(wrong, variants=(first, *wrong.variants[1:]))
    stale = CeilingsUsed(target="cpu", device="a processor", sheet="", created=CREATED,
                         stale=("runtime: torch 2.9.0 -> torch 2.10.0",))  # fmt: skip
    run_ = bench_run(wrong, titled(result(0.5, 1.3), m=7), notes=("3 cases left out",),
                     ceilings=(stale,))  # fmt: skip
    rows = (replace(run_.rows[0], beside=(beside("cpu"),)), run_.rows[1])
    return replace(run_, rows=rows)


def observation(*, passed: bool) -> Observation:
    """Return what was seen of a variant; energy is missing."""
    accuracy = Accuracy(reference="float64", relative_error=1e-7 if passed else 0.9, worst=1e-6,
                        same_top=1.0, elements=10, limit=1e-5, passed=passed)  # fmt: skip
    energy = Energy(joules_per_call=None, gross_joules_per_call=None, idle_w=None, active_w=None,
                    calls=0, seconds=0.0, sensor="", kind=None, scope="", reason="no-sensor",
                    detail="no RAPL here")  # fmt: skip
    memory = MemoryPeak(ready_bytes=1e6, peak_bytes=2e6, counter="VmHWM of the process")
    return Observation(accuracy=accuracy, memory=memory, energy=energy)


def beside(variant: str) -> Beside:
    """Return a share of half a data sheet, a band, and no ceiling."""
    band = Band(low=1e-6, high=1e-3, low_name="fused", high_name="eager", unit="s",
                kind="predicted")  # fmt: skip
    nothing = Share(of="", kind=None, compute=None, bandwidth=None, bound=None,
                    reason="stale-ceilings")  # fmt: skip
    sheet = Share(of="h100", kind="claimed", compute=0.5, bandwidth=0.1, bound="compute",
                  precision="fp32")  # fmt: skip
    return Beside(variant=variant, ceiling=nothing, sheet=sheet, place="inside",
                  predicted=Predicted(chip="h100", band=band))  # fmt: skip


def hostile(names: tuple[str, ...]) -> BenchRun:
    """Return a run in which every text that comes from outside is one of these names."""
    every = " ".join(names)
    found = replace(result(0.5, fail="error"), why=every, remarks=names, verdict="noisy",
                    notes={every: names},
                    lost=(LostSession(index=1, reason="error", detail=every),))  # fmt: skip
    called = [f"{name} {i}" for i, name in enumerate(names[:3])]
    variants = tuple(
        replace(v, name=n, target=n, case=OperatorCase(op=every, dtype=names[0], arguments={n: n}))
        for v, n in zip(found.plan.variants, called, strict=True)
    )
    rows = tuple(replace(v, name=n, detail=every)
                 for v, n in zip(found.variants[:-1], called, strict=True))  # fmt: skip
    audits = tuple(
        replace(a, target=called[0], facts=tuple((n, n) for n in ("device", *names)))
        for a in found.audits
    )
    found = replace(found, plan=replace(found.plan, variants=variants), audits=audits,
                    variants=(*rows, found.variants[-1]),
                    observed={called[0]: observation(passed=False)})  # fmt: skip
    facts = {name: name for name in names}
    return bench_run(found, name=every, notes=names, environment=facts)
