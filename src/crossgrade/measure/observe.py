"""A case of a model is run where its result is trusted, then each variant is looked at alone.

Generators of events, for a worker's process. Memory of a variant is that of its process, so nothing
else runs in it. Must not know who listens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from crossgrade.measure.accuracy import LAUNCHES, accuracy_of, output_sample, relative_error, told
from crossgrade.measure.calibrate import prepared
from crossgrade.measure.energy import energy_of
from crossgrade.measure.events import (
    Absent,
    Event,
    Observed,
    ObserveRequest,
    Referred,
    ReferRequest,
)
from crossgrade.measure.memory_peak import PeakMemory
from crossgrade.targets.energy.finding import meter_of
from crossgrade.targets.energy.meter import NoMeter
from crossgrade.targets.protocol import (
    DEFAULT_ANCHOR,
    GivesOutput,
    Kernel,
    Opening,
    RunsModels,
    Target,
)
from crossgrade.targets.registry import OpenTarget, open_target
from crossgrade.values.model_case import ModelCase
from crossgrade.values.observation import Energy, Observation, OutputSample
from crossgrade.values.operator_case import CannotRun

TRUSTED: Final = "cpu"
"""Target that is trusted."""
TRUSTED_FORMAT: Final = "float64"
"""Format in which it computes."""


def refer(request: ReferRequest, open_: OpenTarget = open_target) -> Iterator[Event]:
    """Yield the trusted run of each case of a model."""
    for case in request.cases:
        model = case.plan.variants[0].case
        if isinstance(model, ModelCase):
            yield _referred(case.key, model, open_)


def _referred(key: str, model: ModelCase, open_: OpenTarget) -> Referred:
    about = f"torch on the CPU in {TRUSTED_FORMAT}, the same weights and inputs"
    trusted = replace(model, compute=TRUSTED_FORMAT)
    found, why = _sampled_on(TRUSTED, trusted, open_)
    if found is None:
        return Referred(key=key, about=about, sample=None, plain_error=None, detail=why)
    plain, why = _sampled_on(TRUSTED, model, open_)
    error = None if plain is None else relative_error(plain, found)
    return Referred(key=key, about=about, sample=found, plain_error=error, detail=why)


def _sampled_on(spec: str, model: ModelCase, open_: OpenTarget) -> tuple[OutputSample | None, str]:
    """Return what a case gives on a target, and why there is nothing."""
    target = open_(spec, Opening())
    try:
        kernel = prepared(target, model)
        try:
            return sampled(kernel), ""
        finally:
            kernel.close()
    except CannotRun as cannot:
        return None, f"{cannot.reason}: {cannot.detail}"
    finally:
        target.close()


def sampled(kernel: Kernel) -> OutputSample:
    """Return what a kernel gives in its first launches; preparing it was the first one.

    Raises:
        CannotRun: its output cannot be looked at.
    """
    if not isinstance(kernel, GivesOutput):
        raise CannotRun("error", "its output cannot be looked at")
    outputs = [kernel.output_array()]
    while len(outputs) < LAUNCHES:
        kernel.launch()
        outputs.append(kernel.output_array())
    return output_sample(outputs)


def observe(request: ObserveRequest, open_: OpenTarget = open_target) -> Iterator[Event]:
    """Yield what is seen of one variant, and that it is absent where it is too far off."""
    variant = next(v for v in request.case.plan.variants if v.name == request.variant)
    target = open_(variant.target, Opening(scratch=request.scratch))
    key = request.case.key
    try:
        _load_code(target)
        memory = PeakMemory.start(target)
        kernel = prepared(target, variant.case)
        memory.ready()
        try:
            found = _observation(request, target, kernel, memory)
        finally:
            kernel.close()
    except CannotRun as cannot:
        yield Absent(key=key, variant=variant.name, reason=cannot.reason, detail=cannot.detail)
        return
    finally:
        target.close()
    yield Observed(key=key, variant=variant.name, observation=found)
    if found.accuracy is not None and not found.accuracy.passed:
        detail = "; ".join(told(found.accuracy))
        yield Absent(key=key, variant=variant.name, reason="inaccurate", detail=detail)


def _load_code(target: Target) -> None:
    """Run something small, so that code which is loaded at first use is not the model's memory."""
    if isinstance(target, RunsModels):
        target.load_libraries()
    kernel = target.prepare(DEFAULT_ANCHOR)
    kernel.launch()
    kernel.read()
    kernel.close()


def _observation(
    request: ObserveRequest, target: Target, kernel: Kernel, memory: PeakMemory
) -> Observation:
    reference, unchecked = request.reference, ""
    accuracy = None
    try:
        sample = sampled(kernel)
    except CannotRun as cannot:
        unchecked = cannot.detail
    else:
        if reference.sample is None:
            unchecked = f"no trusted run: {reference.detail}"
        else:
            dtype = request.case.plan.variants[0].case.dtype
            accuracy = accuracy_of(sample, reference.sample, about=reference.about, dtype=dtype,
                                   plain_error=reference.plain_error)  # fmt: skip
    target.synchronize()
    peak = memory.peak()
    energy = _energy(target, kernel)
    return Observation(accuracy=accuracy, unchecked=unchecked, memory=peak, energy=energy)


def _energy(target: Target, kernel: Kernel) -> Energy:
    meter = meter_of(target)
    try:
        return energy_of(meter, kernel.launch, wait=target.synchronize)
    finally:
        if not isinstance(meter, NoMeter):
            meter.close()
