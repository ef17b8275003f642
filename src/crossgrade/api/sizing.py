"""What the user asked and what the model takes -> the sizes of each phase.

Must not know chips, nor how a model is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadOption
from crossgrade.values.workload import Phase, Workload

if TYPE_CHECKING:
    from crossgrade.api.options import AssessOptions
    from crossgrade.workloads.built import BuiltModel

DEFAULT_TOKENS: Mapping[Phase, int] = {"prefill": 4096, "decode": 1, "train": 4096}
DEFAULT_CONTEXT: Mapping[Phase, int] = {"prefill": 0, "decode": 8192, "train": 0}
_USUAL = ("batch", "tokens", "context")


def default_phases(built: BuiltModel) -> tuple[Phase, ...]:
    """Return the phases where the user names none: decode where there is a cache."""
    cached = "context" in built.sizes and "decode" in built.phases
    return ("prefill", "decode") if cached else ("prefill",)


def check_asked(
    options: AssessOptions, built: BuiltModel, phases: tuple[Phase, ...], name: str
) -> None:
    """Refuse phases and sizes that the model does not have.

    Raises:
        BadOption: names the option, and what the model takes.
    """
    for phase in phases:
        if phase not in built.phases:
            raise BadOption(
                f"--phase {phase}: {name} has no such phase",
                hint=f"one or more of {', '.join(built.phases)}",
            )
    for size in _USUAL:
        value = getattr(options, size)
        if value is not None and size not in built.sizes:
            raise BadOption(f"--{size} {value}: {name} brings its own inputs", hint=_taken(built))
    for size, value in options.sizes.items():
        own = built.own_sizes.get(size)
        if own is None:
            raise BadOption(f"--size {size}={value}: {name} has no such size", hint=_taken(built))
        if not own.takes(value):
            raise BadOption(f"--size {size}={value}: {name} cannot take it", hint=own.allowed)


def _taken(built: BuiltModel) -> str:
    """Return what sizes a model takes, in words."""
    usual = [f"--{size}" for size in _USUAL if size in built.sizes]
    own = [f"--size {n}=N ({size.allowed})" for n, size in built.own_sizes.items()]
    if usual or own:
        return f"it takes {', '.join((*usual, *own))}"
    return "give the factory a parameter of that name, or leave the option out"


def sized(
    options: AssessOptions, built: BuiltModel, phases: tuple[Phase, ...], phase: Phase, model: Any
) -> Workload:
    """Return a phase with its sizes.

    With several phases, the tokens asked for are the prompt; decode adds one token at a time.

    Raises:
        BadOption: more positions than the model has.
    """
    several = len(phases) > 1
    usual = built.defaults.get(phase, {})
    tokens, context = options.tokens, options.context
    if several and phase == "decode":
        tokens = 1
    if phase == "train" or (several and phase != "decode"):
        context = 0
    if tokens is None:
        tokens = usual.get("tokens", DEFAULT_TOKENS[phase])
    if context is None:
        context = usual.get("context", DEFAULT_CONTEXT[phase])
    workload = Workload(
        model=model,
        phase=phase,
        dtype=options.weights,
        batch=_batch(options) if "batch" in built.sizes else 1,
        tokens=tokens if "tokens" in built.sizes else 1,
        context=context if "context" in built.sizes else 0,
        item=built.item(phase),
        kv=options.kv if phase != "train" else None,
        skew=options.skew,
        optimizer=options.optimizer,
        lora_rank=options.lora_rank or 0,
        sizes=_own_sizes(options.sizes, built, tokens),
    )
    _check_positions(workload, built.most_positions)
    return workload


def _batch(options: AssessOptions) -> int:
    """Return the sequences that are captured: in training on a layout, of one micro-batch."""
    plan = options.plan()
    return plan.micro_batch if plan is not None else options.batch or 1


def _own_sizes(
    given: Mapping[str, int], built: BuiltModel, tokens: int
) -> tuple[tuple[str, int], ...]:
    """Return every size that only this model has, by name."""
    rows = []
    for name, own in built.own_sizes.items():
        usual = own.default if own.default_for is None else own.default_for(tokens, given)
        rows.append((name, given.get(name, usual)))
    return tuple(rows)


def _check_positions(workload: Workload, most: int | None) -> None:
    """Refuse more tokens than a model has positions."""
    asked = workload.tokens + workload.context
    if most is not None and asked > most:
        raise BadOption(
            f"{workload.phase}: {asked:,} positions; {workload.model.name} has {most:,}",
            hint="give fewer --tokens or --context",
        )


def in_words(built: BuiltModel, workload: Workload) -> str:
    """Return what one execution works on, in words; empty where the usual sizes say it."""
    return "" if built.describe is None else built.describe(workload)
