"""One step of a model, captured and lowered once: shared by the benchmarks that score bands."""

from __future__ import annotations

import functools

from crossgrade.capture.run import CaptureSession
from crossgrade.predict.phase import Prepared, prepare
from crossgrade.values.workload import Phase, Workload
from crossgrade.workloads.resolve import find_model


@functools.lru_cache(maxsize=4)
def session_of(model: str) -> CaptureSession:
    """Return the built model."""
    return CaptureSession(find_model(model).build(None))


@functools.lru_cache(maxsize=8)
def step_of(model: str, phase: Phase, batch: int, tokens: int, context: int) -> Prepared:
    """Return one step in the checkpoint's own format."""
    workload = Workload(model=find_model(model).ref, phase=phase, batch=batch, tokens=tokens,
                        context=context, dtype=None)  # fmt: skip
    return prepare(session_of(model).capture(workload))
