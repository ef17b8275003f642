"""Several instances, and prompts read on others than those that decode.

Requests go to the instances of a pool in turn, in the order in which they come. Where prompts are
read apart, a request decodes once the cache of its prompt has arrived; the step that reads the
prompt gives the first token. Must not know prices or layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.serving.loop import serve
from crossgrade.predict.serving.request import Ints, Load, Policy, Price, Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """What a service of several instances made of a load; arrays of shape [requests], ns."""

    arrival: Ints
    """When each request came."""
    first: Ints
    """When its first token was there; -1: refused."""
    end: Ints
    """When its last one was."""
    outputs: Ints
    """Tokens that each generated."""
    transfer: Ints
    """How long the cache of its prompt was under way; 0 where nothing moves."""
    busy: tuple[int, ...]
    """Time in steps of each instance."""
    again: int
    """Tokens of prompts that were read once more."""
    most_running: int
    """Sequences in work at once on one instance, at most."""


def pooled(load: Load, policy: Policy, price: Price, instances: int) -> Pooled:
    """Return what equal instances make of a load, each with its share of the users or requests.

    Args:
        load: requests; of at least as many users as there are instances.
        policy: how each schedules.
        price: time of a step.
        instances: how many there are.
    """
    many = len(load.prompts)
    columns = {name: np.full(many, -1) for name in ("arrival", "first", "end")}
    runs: list[Served] = []
    for i in range(min(instances, many)):
        at = np.arange(i, many, instances)
        found = serve(_taken(load, at, i, instances), policy, price)
        for name, column in columns.items():
            column[at] = getattr(found, name)
        runs.append(found)
    idle = [0] * (instances - len(runs))
    return Pooled(
        **columns, outputs=load.outputs, transfer=np.zeros(many, dtype=np.int64),
        busy=(*(run.busy for run in runs), *idle), again=sum(run.again for run in runs),
        most_running=max(run.most_running for run in runs),
    )  # fmt: skip


def _taken(load: Load, at: Ints, i: int, instances: int) -> Load:
    """Return the requests of one instance; users are shared out evenly."""
    users = load.users // instances + (i < load.users % instances)
    return Load(
        prompts=load.prompts[at], outputs=load.outputs[at],
        arrivals=None if load.arrivals is None else load.arrivals[at],
        users=users if load.arrivals is None else 0,
        cached=None if load.cached is None else load.cached[at], arrives=load.arrives,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The instances that read prompts, or those that decode."""

    policy: Policy
    """How each schedules."""
    price: Price
    """Time of a step."""
    instances: int
    """How many there are."""


def disaggregated(
    load: Load, reads: Side, decodes: Side, transfer: Callable[[Ints], Ints]
) -> Pooled:
    """Return what a service makes of a load whose prompts are read on instances of their own.

    Args:
        load: requests with arrivals: users that wait for answers would tie the two sides together.
        reads: instances that read prompts.
        decodes: instances that decode.
        transfer: tokens of prompts -> time in which their cache moves, ns.

    Raises:
        ValueError: the load has no arrivals.
    """
    if load.arrivals is None:
        raise ValueError("a service with instances for prompts needs arrivals")
    one = Load(prompts=load.prompts, outputs=np.ones_like(load.outputs), arrivals=load.arrivals,
               cached=load.cached)  # fmt: skip
    read = pooled(one, reads.policy, reads.price, reads.instances)
    moved = transfer(load.prompts)
    goes_on = np.flatnonzero((read.first >= 0) & (load.outputs > 1))
    order = goes_on[np.argsort((read.end + moved)[goes_on], kind="stable")]
    rest = Load(
        prompts=load.prompts[order] + 1, outputs=load.outputs[order] - 1,
        arrivals=(read.end + moved)[order], cached=load.prompts[order], arrives=True,
    )  # fmt: skip
    ends, first = read.end.copy(), read.first.copy()
    decoded = pooled(rest, decodes.policy, decodes.price, decodes.instances) if len(order) else None
    if decoded is not None:
        ends[order] = decoded.end
        first[order[decoded.first < 0]] = -1
    return Pooled(
        arrival=read.arrival, first=first, end=ends, outputs=load.outputs,
        transfer=np.where(load.outputs > 1, moved, 0),
        busy=(*read.busy, *(decoded.busy if decoded else ())),
        again=read.again + (decoded.again if decoded else 0),
        most_running=max(read.most_running, decoded.most_running if decoded else 0),
    )  # fmt: skip
