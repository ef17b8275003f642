"""A model's steps at any context or prompt: built once, captured where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgrade.predict.layouts.family import StepFamily
    from crossgrade.predict.phase import Prepared
    from crossgrade.values.workload import CacheFormat, ModelRef, Workload
    from crossgrade.workloads.built import BuiltModel

Narrate = Callable[[str], None]
KEPT = 8
"""Prepared captures that are kept, so that several stacks can lower each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSteps:
    """A built model whose steps can be asked for."""

    name: str
    """Name to show."""
    built: BuiltModel
    """The model without weights."""
    prepare: Callable[[Workload], Prepared]
    """Captures a workload."""
    workload: Workload
    """Any of the model."""

    def family(self, stack: str, kv: CacheFormat | None = None) -> StepFamily:
        """Return its steps as a stack launches them; `kv`: another format of the cache."""
        import dataclasses

        from crossgrade.predict.layouts.family import StepFamily

        workload = dataclasses.replace(self.workload, kv=kv or self.workload.kv)
        return StepFamily(prepare=self.prepare, workload=workload, stack=stack,
                          most=self.built.most_positions)  # fmt: skip


def model_steps(
    model: str, dtype: str | None = None, narrate: Narrate = lambda _: None, *,
    kv: CacheFormat | None = None, skew: float | None = None,
) -> ModelSteps:  # fmt: skip
    """Return a model whose steps can be asked for.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        dtype: weight format or quantisation, None for the checkpoint's own.
        narrate: gets one line per step that takes time.
        kv: format of cached keys and values, None for the module's own.
        skew: exponent of the loads of routed experts, None without preference.

    Raises:
        CrossgradeError: the model cannot be found or built.
        BadOption: it has no decode step.
    """
    from crossgrade.workloads.resolve import find_model

    found = find_model(model)
    narrate(f"building {found.ref.name} without weights")
    return steps_of(found.build(dtype), found.ref, dtype, narrate, kv=kv, skew=skew)


def steps_of(
    built: BuiltModel, ref: ModelRef, dtype: str | None = None,
    narrate: Narrate = lambda _: None, *, kv: CacheFormat | None = None,
    skew: float | None = None,
) -> ModelSteps:  # fmt: skip
    """Return a built model whose steps can be asked for.

    Args:
        built: the model without weights.
        ref: what it is.
        dtype: weight format or quantisation that it was built in, None for its own.
        narrate: gets one line per step that takes time.
        kv: format of cached keys and values, None for the module's own.
        skew: exponent of the loads of routed experts, None without preference.

    Raises:
        BadOption: it has no decode step.
    """
    import functools

    from crossgrade.capture.run import CaptureSession
    from crossgrade.errors import BadOption
    from crossgrade.predict.phase import prepare
    from crossgrade.values.workload import Workload

    if "decode" not in built.phases or "context" not in built.sizes:
        raise BadOption(f"{ref.name} has no decode step", hint="a model with a cache")
    session = CaptureSession(built)

    @functools.lru_cache(maxsize=KEPT)
    def prepared(workload: Workload) -> Prepared:
        narrate(f"capturing {workload.phase}: batch {workload.batch}, {workload.tokens} new, "
                f"{workload.context} cached")  # fmt: skip
        return prepare(session.capture(workload))

    any_ = Workload(model=ref, phase="decode", batch=1, tokens=1, context=0, dtype=dtype,
                    kv=kv, skew=skew)  # fmt: skip
    return ModelSteps(name=ref.name, built=built, prepare=prepared, workload=any_)
