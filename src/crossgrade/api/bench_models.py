"""`bench model`: phases of a model on targets, measured side by side.

Turns what the user asks for into cases and plans. Must not know how a number is made.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crossgrade.errors import BadOption
from crossgrade.values.bench import BenchPlan, BenchRun, SessionStart, Variant
from crossgrade.values.model_case import ModelCase
from crossgrade.values.precision import RUN_DTYPES, USER_DTYPES
from crossgrade.values.workload import OPTIMIZERS, PHASES, Optimizer, Phase, Workload

if TYPE_CHECKING:
    from crossgrade.api.benching import Narrate
    from crossgrade.measure.events import CasePlan
    from crossgrade.workloads.built import BuiltModel
    from crossgrade.workloads.resolve import FoundModel

DEFAULT_TOKENS: Final[Mapping[Phase, int]] = {"prefill": 512, "decode": 1, "train": 128}
"""Tokens where the user and the model name none; fewer than `assess` takes, because they are
run."""
DEFAULT_CONTEXT: Final = 512
"""Tokens in the cache of a decode step where the user names none."""
_ROUNDS: Final = 12
"""Rounds of a session: a call of a model takes as long as thousands of an operator."""
_BATCH: Final = 3
"""Rounds per batch median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What of a model is to be measured, and how well."""

    model: str
    """Preset, `config.json`, or folder of a checkpoint."""
    on: tuple[str, ...] = ("cpu",)
    """Targets; several are interleaved, and the first is the baseline."""
    phases: tuple[Phase, ...] = ()
    """Phases; none given: prefill, and decode where the model has a cache."""
    batch: int | None = None
    """Sequences, None for 1."""
    tokens: int | None = None
    """Tokens per sequence, None for the phase's default."""
    context: int | None = None
    """Tokens in the cache of a decode step, None for the default."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes that only some models have, by name."""
    dtype: str | None = None
    """Format of weights and arithmetic; None: that in which the checkpoint computes."""
    weights: Path | None = None
    """Folder of a checkpoint whose values are used; None: random ones."""
    layers: int | None = None
    """Only the first layers of the model, that many; None: all."""
    optimizer: Optimizer = "adamw"
    """What a training step updates parameters with."""
    budget_s: float = 120.0
    """Time for the sessions of each case, s."""
    half_width: float = 0.02
    """Wanted half width of the 95 % interval, as a share."""
    least_sessions: int = 5
    """Sessions without which nothing counts as measured."""
    start: SessionStart = "forked"
    """`fresh`: every session in a new interpreter, though it could be forked."""
    memory_bytes: float | None = None
    """Memory that a worker may use, bytes; None: no limit."""
    seed: int = 0
    """Seed of weights, inputs and orders."""
    folder: Path | None = None
    """Where records and the journal of the run go."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        from crossgrade.api.benching import check_measuring

        check_measuring(self.on, self.budget_s, self.half_width, self.least_sessions,
                        self.memory_bytes)  # fmt: skip
        if len(set(self.phases)) < len(self.phases):
            raise BadOption(f"--phase names one twice: {', '.join(self.phases)}")
        if any(phase not in PHASES for phase in self.phases):
            raise BadOption(f"phases {self.phases!r}", hint=f"one or more of {', '.join(PHASES)}")
        if self.dtype is not None and self.dtype not in RUN_DTYPES:
            raise BadOption(f"--dtype {self.dtype}", hint=f"one of {', '.join(RUN_DTYPES)}")
        if self.optimizer not in OPTIMIZERS:
            raise BadOption(f"--optimizer {self.optimizer}", hint=f"one of {', '.join(OPTIMIZERS)}")
        least = (("--batch", self.batch, 1), ("--tokens", self.tokens, 1),
                 ("--context", self.context, 1), ("--layers", self.layers, 1))  # fmt: skip
        for name, value, low in least:
            if value is not None and not low <= value < 1 << 31:
                raise BadOption(f"{name} {value}", hint=f"a whole number from {low} to 2^31")


def bench_model(
    options: ModelOptions, *, record: bool = True, narrate: Narrate = lambda text: None
) -> BenchRun:
    """Return measurements of each phase on each target, and write a record of each phase.

    Before it is timed every variant is run once in a process of its own: its output is compared
    with a trusted run, and its memory and energy are told.

    Args:
        options: what and how well.
        record: whether records and a journal are written.
        narrate: told what happens.

    Raises:
        CrossgradeError: a name or a value is wrong, the model cannot be built, a target is not
            here, or another run is writing to the folder.
    """
    from crossgrade.api.benching import measured

    options.check()
    with contextlib.redirect_stdout(sys.stderr):
        narrate(f"building {options.model} without weights")
        name, plans, notes = _planned(options)
    return replace(measured(plans, options, record=record, narrate=narrate),
                   name=name, notes=notes)  # fmt: skip


def _planned(options: ModelOptions) -> tuple[str, tuple[CasePlan, ...], tuple[str, ...]]:
    """Return the name of the model, a plan per phase, and notes."""
    from crossgrade.api.predicting import flop_of
    from crossgrade.api.sizing import default_phases
    from crossgrade.measure.events import CasePlan
    from crossgrade.workloads.resolve import find_model

    if options.weights is not None and not any(options.weights.glob("*.safetensors")):
        raise BadOption(f"--weights '{options.weights}' has no *.safetensors",
                        hint="pickled weights are never opened")  # fmt: skip
    found = _cut(_of_transformers(find_model(options.model)), options.layers)
    built = found.build(options.dtype)
    phases = options.phases or default_phases(built)
    plans, notes = [], list(built.notes)
    notes += _format_notes(options, built)
    for phase in phases:
        case = _case(options, found, built, phases, phase)
        flop, why = flop_of(case)
        notes += [f"operations of {phase} are not counted: {why}"] if why else []
        plans.append(CasePlan(key=case.key, plan=_plan(case, options), flop=flop))
    return found.ref.name, tuple(plans), tuple(dict.fromkeys(notes))


def _of_transformers(found: FoundModel) -> FoundModel:
    if found.config is None or "crossgrade_model" in found.config:
        raise BadOption(
            f"{found.ref.name} is no model of transformers, and only these are run",
            hint="pass a preset, a config.json or the folder of a checkpoint",
        )
    return found


def _case(
    options: ModelOptions, found: FoundModel, built: BuiltModel, phases: tuple[Phase, ...],
    phase: Phase,
) -> ModelCase:  # fmt: skip
    """Return one phase with its sizes."""
    from crossgrade.api.bench_book import without_folders

    assert found.config is not None
    workload = _workload(options, found, built, phases, phase)
    return ModelCase(
        model=replace(found.ref, passed=without_folders(found.ref.passed)),
        config=found.config,
        weights=str(options.weights) if options.weights else "",
        phase=phase,
        batch=workload.batch,
        tokens=workload.tokens,
        context=workload.context,
        sizes=dict(workload.sizes),
        dtype=_dtype(options, built),
        optimizer=options.optimizer,
        seed=options.seed,
    )


def _workload(
    options: ModelOptions, found: FoundModel, built: BuiltModel, phases: tuple[Phase, ...],
    phase: Phase,
) -> Workload:  # fmt: skip
    from crossgrade.api.options import AssessOptions
    from crossgrade.api.sizing import check_asked, sized

    asked = AssessOptions(on=options.on, phases=phases, batch=options.batch, tokens=options.tokens,
                          context=options.context, sizes=options.sizes, dtype=options.dtype,
                          optimizer=options.optimizer)  # fmt: skip
    check_asked(asked, built, phases, found.ref.name)
    usual = built.defaults.get(phase, {})
    tokens = asked.tokens
    if tokens is None:
        tokens = usual.get("tokens", DEFAULT_TOKENS[phase])
    context = asked.context
    if phase == "decode" and context is None:
        context = min(usual.get("context", DEFAULT_CONTEXT), DEFAULT_CONTEXT)
    return sized(replace(asked, tokens=tokens, context=context), built, phases, phase, found.ref)


def _dtype(options: ModelOptions, built: BuiltModel) -> str:
    if options.dtype:
        return USER_DTYPES[options.dtype]
    return built.weights.base or "bfloat16"


def _format_notes(options: ModelOptions, built: BuiltModel) -> Iterator[str]:
    if built.weights.rules and options.dtype is None:
        yield (f"the checkpoint stores {built.weights.title}; weights are held and computed with "
               f"in {_dtype(options, built)}")  # fmt: skip
    if options.weights is None:
        yield "weights are random: times do not depend on them, routing of experts may"


def _plan(case: ModelCase, options: ModelOptions) -> BenchPlan:
    from crossgrade.targets.protocol import DEFAULT_ANCHOR

    return BenchPlan(
        variants=tuple(Variant(name=spec, target=spec, case=case) for spec in options.on),
        anchor=DEFAULT_ANCHOR,
        half_width=options.half_width,
        least_sessions=options.least_sessions,
        budget_s=options.budget_s,
        rounds=_ROUNDS,
        batch=_BATCH,
        prime_s=min(0.5, options.budget_s / 100),
        settle_s=min(5.0, options.budget_s / 40),
        seed=options.seed,
        start=options.start,
    )


def _cut(found: FoundModel, layers: int | None) -> FoundModel:
    """Return the model with its first layers alone.

    Raises:
        BadOption: it has fewer, or its configuration does not say how many it has.
    """
    if layers is None:
        return found
    assert found.config is not None
    config = dict(found.config)
    part = dict(config["text_config"]) if isinstance(config.get("text_config"), dict) else config
    count = part.get("num_hidden_layers")
    if not isinstance(count, int) or not layers <= count:
        raise BadOption(f"--layers {layers}: {found.ref.name} has {count or 'no number of'} layers",
                        hint="a smaller number, or leave it out")  # fmt: skip
    part.update(_fewer(part, count, layers))
    if part is not config:
        config["text_config"] = part
    name = f"{found.ref.name}[{layers} layers]" if layers < count else found.ref.name
    return replace(found, config=config, ref=replace(found.ref, name=name))


def _fewer(part: Mapping[str, Any], count: int, layers: int) -> Iterator[tuple[str, Any]]:
    """Yield what a configuration says layer by layer, for fewer of them."""
    yield "num_hidden_layers", layers
    for key, value in part.items():
        if isinstance(value, list) and len(value) == count:
            yield key, value[:layers]
        elif key == "max_window_layers" and isinstance(value, int):
            yield key, min(value, layers)
