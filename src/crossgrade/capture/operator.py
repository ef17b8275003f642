"""One operator case as a capture: built, fed with fake tensors, recorded.

Must not know chips or prices.
"""

from __future__ import annotations

import platform

import torch

from crossgrade.capture.attention import FusedAttention
from crossgrade.capture.device import DEVICE_NAME, AccelFakeMode, ensure_device
from crossgrade.capture.modulestack import ModuleStack
from crossgrade.capture.recorder import Recorder
from crossgrade.errors import CaptureFailed
from crossgrade.values.capture import Capture
from crossgrade.values.operator_case import OperatorCase
from crossgrade.values.workload import ModelRef, Workload
from crossgrade.workloads.operators import build


def capture_operator(case: OperatorCase) -> Capture:
    """Return the capture of one call of an operator; its inputs are activations.

    Raises:
        CannotRun: the case cannot be built.
        CaptureFailed: it needs values that fake tensors do not have.
    """
    built = build(case)
    device = ensure_device()
    modules = ModuleStack(torch.nn.Module())
    recorder = Recorder(modules, {device.type: DEVICE_NAME})
    try:
        with AccelFakeMode(allow_non_fake_inputs=True), FusedAttention(), modules:
            inputs = built.make_inputs(torch.Generator().manual_seed(case.seed), device)
            for index, tensor in enumerate(inputs):
                recorder.tag(tensor, "input", str(index))
            with recorder:
                # Results have to outlive the recorder, or they would seem to be freed in it.
                held = built.run(*inputs)
            recorder.stop_watching()
            del held
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CaptureFailed(
            f"{case.title} stopped on fake tensors: {type(error).__name__}: {line[:200]}"
        ) from error
    ref = ModelRef(passed=case.title, name=case.op, kind="factory", runs_code=False)
    return Capture(
        workload=Workload(model=ref, phase="prefill", batch=1, tokens=1, context=0,
                          dtype=None, item="executions"),
        environment={"torch": torch.__version__, "python": platform.python_version(),
                     "device": f"{DEVICE_NAME} (fake, out of tree)"},
        tables=recorder.tables.texts(),
        columns=recorder.tables.columns(),
    )  # fmt: skip
