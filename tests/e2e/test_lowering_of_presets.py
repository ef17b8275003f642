"""Every preset that captures is lowered without a hole. Slow; `make test-all` runs it."""

from __future__ import annotations

import pytest

from crossgrade.capture.run import CaptureSession
from crossgrade.errors import CrossgradeError
from crossgrade.predict.phase import prepare
from crossgrade.values.workload import Workload
from crossgrade.workloads.resolve import find_model, preset_names

SMALL = {"image": 256}
"""A picture that the prompt of a language model has room for."""
SIZES = {"prefill": (512, 0), "decode": (1, 1024)}


@pytest.mark.slow
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_lowered_without_a_hole(name):
    found = find_model(name)
    try:
        built = found.build(None)
    except CrossgradeError as error:
        pytest.skip(f"does not build: {error.message}")
    session = CaptureSession(built)
    for phase, (tokens, context) in SIZES.items():
        if phase not in built.phases:
            continue
        tokens, context = fitted(built, tokens, context)
        ready = prepare(session.capture(Workload(
            model=found.ref, phase=phase, batch=2, tokens=tokens, context=context, dtype=None,
            sizes=tuple((n, SMALL.get(n, size.default)) for n, size in built.own_sizes.items())
            if "images" in built.own_sizes
            else tuple((n, size.default) for n, size in built.own_sizes.items()),
        )))  # fmt: skip
        holes = unmade(ready)
        assert not holes, f"{phase}: read and never written: {holes}"
        eager, fused = ready.eager, ready.fused
        assert len(fused) < len(eager)
        assert sum(k.work for k in fused) <= sum(k.work for k in eager) * (1 + 1e-9)
        assert sum(k.bytes for k in fused) <= sum(k.bytes for k in eager)
        memory = ready.memory
        assert memory.peak_fused - memory.converted <= 1.02 * memory.peak_eager


def fitted(built, tokens, context):
    """Return sizes that the model has positions for."""
    most = built.most_positions or tokens + context
    return min(tokens, most), min(context, most - min(tokens, most))


def unmade(ready):
    """Return operators whose result a fused kernel reads although no kernel made it."""
    capture, c = ready.capture, ready.capture.columns
    maker: dict[int, int] = {}
    for storage, call in zip(c["value_storage"].tolist(), c["value_producer"].tolist(),
                             strict=True):  # fmt: skip
        maker.setdefault(storage, call)
    written: set[int] = set()
    found = set()
    for kernel in ready.fused:
        for s, size in kernel.reads.items():
            if size and s >= 0 and s not in written and maker[s] >= 0:
                found.add(capture.key(int(c["call_key"][maker[s]])).operator)
        written |= kernel.writes.keys()
    # Storage without contents, and weights that are converted ahead of the step.
    allowed = ("empty", "lift_fresh", "_to_copy", "clone")
    return {operator for operator in found if not any(word in operator for word in allowed)}
