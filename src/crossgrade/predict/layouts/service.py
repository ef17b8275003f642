"""One instance of a service: a model on a layout of a chip, as a stack schedules it.

Must not know the loop that runs it, nor what users ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossgrade.predict.layouts.cost import StepCost
from crossgrade.predict.layouts.family import StepFamily
from crossgrade.predict.layouts.prices import StepPrices
from crossgrade.predict.layouts.step import rank_memory
from crossgrade.predict.lowering.stack import load_stack
from crossgrade.predict.serving.request import Policy
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is set otherwise than a stack has it; None: as it has it."""

    max_tokens: int | None = None
    """Tokens of one step of a replica."""
    max_running: int | None = None
    """Sequences in work at once on a replica."""
    memory: float | None = None
    """Share of a chip's memory that weights, activations and cache may take."""
    ahead: bool | None = None
    """Whether a step is put together when the one before it begins."""
    every: int = 1
    """New requests are looked for at every so many steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What the loop needs of an instance."""

    policy: Policy
    """How it schedules."""
    prices: StepPrices
    """What its steps take."""


def cache_tokens(
    family: StepFamily, layout: Layout, chip: Chip, longest: int, limits: Limits = Limits()
) -> int:
    """Return how many tokens the cache of one instance holds, over all replicas; 0: none.

    What weights and activations leave of the memory that the stack may take, over the bytes per
    token of a sequence of the longest kind: short windows take less per token, the longer it is.

    Args:
        family: the model's steps.
        layout: of the instance.
        chip: one chip.
        longest: tokens of the longest sequence, prompt and output together.
        limits: what is set otherwise.

    Raises:
        ValueError: the chip's memory is unknown, or the stack does not serve.
    """
    scheduler = load_stack(family.stack).scheduler
    if chip.memory_capacity is None or scheduler is None:
        raise ValueError(f"{chip.name} or {family.stack}: memory or scheduler is unknown")
    step = family.decode(longest)
    reading = family.prefill(min(limits.max_tokens or scheduler.max_tokens, longest))
    full = rank_memory(step, [layout], [step.batch])
    usable = chip.memory_capacity.value * (limits.memory or scheduler.memory)
    spare = usable - float(full.weights[0])
    spare -= float(rank_memory(reading, [layout], [1]).activations[0]) / layout.tp
    per_sequence = float(full.cache[0]) / max(-(-step.batch // layout.dp), 1)
    if spare <= 0 or not per_sequence:
        return 0
    return int(spare / (per_sequence / longest)) * layout.dp


def instance(
    family: StepFamily, layout: Layout, chip: Chip, cost: StepCost, *, longest: int,
    users: int | None = None, pace: int = 1000, end: str = "mid", refuses: bool = False,
    limits: Limits = Limits(),
) -> Instance | None:  # fmt: skip
    """Return an instance with the stack's own limits; None where the longest sequence has no room.

    Args:
        family: the model's steps.
        layout: of the instance.
        chip: one chip.
        cost: times of its steps.
        longest: tokens of the longest sequence, prompt and output together.
        users: requests that are open at once, where that is a limit.
        pace: tokens per sequence and step, in thousandths.
        end: `low`, `mid` or `high`.
        refuses: whether requests without room are refused one by one, and there is an instance for
            the others.
        limits: what is set otherwise.

    Raises:
        ValueError: the chip's memory is unknown, or the stack does not serve.
    """
    scheduler = load_stack(family.stack).scheduler
    tokens = cache_tokens(family, layout, chip, longest, limits)
    if scheduler is None or not tokens or (tokens < longest and not refuses):
        return None
    running = min((limits.max_running or scheduler.max_running) * layout.dp, users or 1 << 30)
    most = (limits.max_tokens or scheduler.max_tokens) * layout.dp
    policy = Policy(
        max_running=running, max_tokens=max(most, running + 1), every=limits.every,
        ahead=scheduler.ahead if limits.ahead is None else limits.ahead,
        capacity=tokens, reserves=scheduler.reserves, mixed=scheduler.mixed,
        chunked=scheduler.chunked, pace=pace,
    )  # fmt: skip
    return Instance(policy=policy, prices=StepPrices(cost=cost, replicas=layout.dp, end=end))
