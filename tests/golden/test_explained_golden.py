"""What a person reads of where a time comes from. The numbers are made up, none is worked out.

`python -m tests.golden.test_explained_golden` writes the files anew; read the difference before it
is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossgrade.report.explained import explained_document
from crossgrade.report.shown import shown
from crossgrade.values.assessment import KernelPart, StackFigures
from crossgrade.values.breakdown import ModuleTime
from crossgrade.values.evidence import Band
from crossgrade.values.explanation import (
    Crossover,
    KernelEnd,
    KernelExplanation,
    Lever,
    LeverEnd,
    PhaseExplanation,
)

FILES: Mapping[str, bool] = {"explained.txt": True, "explained.md": False}
"""File -> whether it is for a screen."""
HERE = Path(__file__).parent
BINDS = ("memory", "compute", "launch", "host", "network")


def end(time_s: float, binds: str, kernels: int = 61, over: float = 1.3) -> KernelEnd:
    return KernelEnd(kernels=kernels, time_s=time_s, roofline_s=time_s / over if over else 0.0,
                     binds=binds, work=1e9, vector_ops=0.0, bytes=1e9, saves_s={})  # fmt: skip


def kernel(label: str, module: str, *, fused=None, eager=None, precision="bf16") -> object:
    return KernelExplanation(label=label, module=module, precision=precision, kind="matmul",
                             fused=fused, eager=eager)  # fmt: skip


def kernels() -> tuple[object, ...]:
    """Return more kernels than are shown: of both ends, of one end, far from the roofline."""
    some = [
        kernel("_scaled_dot_product_fused_attention_overrideable", "model.layers.*.self_attn",
               fused=end(2.1e-3, "memory"), eager=end(9.3e-3, "memory")),
        kernel("_grouped_mm", "model.layers.*.mlp.experts", precision="fp8",
               fused=end(1.4e-3, "compute", 58, 1.1), eager=end(1.9e-3, "compute", 58, 1.5)),
        kernel("all-reduces", "", precision="", fused=end(9e-4, "network", 122, 4.0),
               eager=end(4.1e-3, "network", 122, 18.0)),
        kernel("_local_scalar_dense", "", precision="", fused=end(2e-5, "host", 1, 0.0),
               eager=end(1e-4, "host", 1, 0.0)),
        kernel("absorbed", "model.layers.*.self_attn.kv_b_proj", fused=end(1e-5, "launch", 9, 400)),
    ]  # fmt: skip
    small = [kernel(f"small_{i}", "model.layers.*.mlp", fused=end(1e-6, "launch"),
                    eager=end(2e-5, "launch")) for i in range(6)]  # fmt: skip
    return (*some, *small, kernel("copy_", "model.layers.*.self_attn", eager=end(3e-2, "memory")))


def lever(name: str, unit: str, step: float, now: float, *shares: float) -> Lever:
    """Return a lever from its six shares of the phase's time."""
    ends = [LeverEnd(now=value, step_s=total * a, tenth_s=total * b, most_s=total * c)
            for (value, total), (a, b, c) in zip(
                ((now, 5.1e-3), (now * (4 if unit == "s" else 1), 4.4e-2)),
                (shares[:3], shares[3:]), strict=True)]  # fmt: skip
    return Lever(name=name, unit=unit, step=step, kind="claimed", fused=ends[0], eager=ends[1])


def explanation() -> PhaseExplanation:
    return PhaseExplanation(
        chip="h100", phase="decode", chips=16, tier="T0",
        time_s=Band(low=5.1e-3, high=4.4e-2, low_name="fused+graph", high_name="eager", unit="s",
                    kind="predicted"),
        share_by_bound=dict(zip(BINDS, (0.52, 0.28, 0.02, 0.0, 0.18), strict=True)),
        share_by_bound_eager=dict(zip(BINDS, (0.04, 0.81, 0.05, 0.01, 0.09), strict=True)),
        kernels=kernels(),
        modules=(ModuleTime(module="model.layers.*.self_attn", fused_s=2.1e-3, eager_s=3.9e-2),
                 ModuleTime(module="model.layers.*.mlp.experts", fused_s=1.4e-3, eager_s=1.9e-3),
                 ModuleTime(module="", fused_s=2e-5, eager_s=1e-4)),
        levers=(
            lever("memory_bandwidth", "byte/s", 1e9, 3.35e12, 1.5e-4, 0.047, 0.49, 2e-4, 0.07, 0.8),
            lever("peaks[matrix/fp8]", "FLOP/s", 1e12, 1.979e15, 1e-4, 0.02, 0.2, 0, 1e-7, 0.03),
            lever("links[scale-up: NVLink 4]", "byte/s", 1e9, 4.5e11, 4e-6, 1e-3, 0.02, 0, 0, 1e-3),
            lever("kernel_floor_s", "s", -1e-6, 1.2e-6, 0.09, 0.01, 0.11, 0.01, 0.005, 0.05),
        ),
        crossovers=(
            Crossover(end="fused+graph", binds="memory", share=0.52, grows=("memory_bandwidth",),
                      factor=1.93, then="compute"),
            Crossover(end="eager", binds="compute", share=0.81,
                      grows=("peaks[matrix/fp8]", "peaks[matrix/bf16]"), factor=None, then=""),
        ),
    )  # fmt: skip


def stack_of() -> StackFigures:
    parts = tuple(
        KernelPart(
            family=family, op=op, format=format, launches=n, low_s=0.9 * s, mid_s=s, high_s=1.3 * s,
            roofline_s=0.7 * s, binds=binds, tier=tier, basis="rows of somebody",
        )
        for family, op, format, n, s, binds, tier in (
            ("experts", "grouped_mm", "fp8_block", 58, 0.157, "memory", "T2"),
            ("latent-attention", "decode", "bf16", 61, 0.006, "memory", "T1"),
            ("vector", "add_rms_norm", "bf16", 122, 0.0003, "launch", "T0"),
        )
    )  # fmt: skip
    return StackFigures(
        stack="vllm", low_s=0.14, mid_s=0.1633, high_s=0.21, tokens_per_s=196.0, launches=241,
        network_s=0.0, host_s=0.0, tiers={"T0": 0.002, "T1": 0.037, "T2": 0.961}, parts=parts,
    )  # fmt: skip


def text(for_screen: bool) -> str:
    chips = [
        SimpleNamespace(chip=name, phases=(SimpleNamespace(phase="decode", stack=stack),))
        for name, stack in (("h100", stack_of()), ("mi308x", None))
    ]
    answer = SimpleNamespace(model=SimpleNamespace(name="deepseek-v3"), chips=chips)
    document = explained_document(answer, [explanation()])
    return shown(document, terminal=for_screen, width=80)


@pytest.mark.parametrize("name", FILES)
def test_it_reads_as_it_did(name):
    assert text(FILES[name]) == (HERE / name).read_text(encoding="utf-8")


def test_it_fits_a_screen_of_80_columns():
    assert max(map(len, text(True).splitlines())) <= 80


if __name__ == "__main__":
    for name, for_screen in FILES.items():
        (HERE / name).write_text(text(for_screen), encoding="utf-8")
