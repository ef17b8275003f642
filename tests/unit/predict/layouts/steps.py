"""Small models with the shapes of big ones: captured once per session of tests."""

from __future__ import annotations

import functools

from tests.conftest import small_config
from truthlib import from_config

from crossgrade.capture.run import CaptureSession
from crossgrade.predict.layouts.pieces import Pieces, pieces_of
from crossgrade.predict.phase import Prepared, prepare
from crossgrade.values.layout import Layout
from crossgrade.values.workload import ModelRef, Phase, Workload

BATCH = 8
REF = ModelRef(passed="m", name="m", kind="config", runs_code=False)


@functools.cache
def session(preset: str, layers: int = 2) -> CaptureSession:
    return CaptureSession(from_config(small_config(preset, num_hidden_layers=layers)))


@functools.cache
def prepared(
    preset: str, phase: Phase = "decode", context: int = 512, batch: int = BATCH, tokens: int = 1
) -> Prepared:
    tokens = tokens if phase == "decode" else context
    workload = Workload(model=REF, phase=phase, batch=batch, tokens=tokens,
                        context=context if phase == "decode" else 0, dtype=None)  # fmt: skip
    return prepare(session(preset).capture(workload))


def pieces(preset: str, phase: Phase = "decode", stack: str = "vllm", **sizes: int) -> Pieces:
    return pieces_of(prepared(preset, phase, **sizes), stack)


def layout(tp: int = 1, dp: int = 1, pp: int = 1, ep: int = 1) -> Layout:
    return Layout(chips=tp * dp * pp, kind="sharded", tp=tp, dp=dp, pp=pp, ep=ep)
