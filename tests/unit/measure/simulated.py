"""Plans and made-up devices for the tests of measuring."""

from __future__ import annotations

from crossgrade.measure.events import CasePlan
from crossgrade.measure.source import InProcess
from crossgrade.targets.protocol import DEFAULT_ANCHOR
from crossgrade.targets.simulated import Faults, NoiseModel, SimulatedDevice
from crossgrade.values.bench import BenchPlan, Variant
from crossgrade.values.operator_case import OperatorCase

GEMM = OperatorCase(op="gemm", dtype="float32", arguments={"m": 192, "k": 192, "n": 192})


def slower(share, case=GEMM):
    """Return the case, longer by a share."""
    return OperatorCase(op=case.op, dtype=case.dtype,
                        arguments={**case.arguments, "scale": 1 + share})  # fmt: skip


def plan(*cases, targets=("null",), **options):
    variants = tuple(
        Variant(name=f"v{i}", target=targets[i % len(targets)], case=case)
        for i, case in enumerate(cases or (GEMM,))
    )
    defaults = {"budget_s": 10.0, "prime_s": 0.02, "settle_s": 0.2, "start": "in-process"}
    return BenchPlan(variants=variants, anchor=DEFAULT_ANCHOR, **{**defaults, **options})


def keyed(*plans):
    return [CasePlan(key=f"c{i}", plan=p) for i, p in enumerate(plans)]


def source(noise=None, faults=None):
    """Return a source of made-up devices, all with that noise and those faults."""
    return InProcess(
        lambda spec, opening: SimulatedDevice(
            noise or NoiseModel(), faults or Faults(), opening, spec=spec
        )
    )
