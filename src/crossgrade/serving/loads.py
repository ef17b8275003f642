"""When the requests of a load come, and how long they are: a pure function of load and seed.

Must not know what a request is made of, nor the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossgrade.errors import BadOption
from crossgrade.serving.traces import Trace, read_trace
from crossgrade.values.serving import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The requests of one load in one session, warm-ups first; one per place."""

    offsets_s: NDArray[np.float64] | None
    """When each is due, s after the beginning; None of a closed loop, where it is due when a user
    is free."""
    input_tokens: NDArray[np.int64]
    """Tokens that each prompt is made to have."""
    output_tokens: NDArray[np.int64]
    """Tokens that are asked for."""
    warmups: int
    """So many of the first are warm-ups."""
    left_out: int = 0
    """Requests of the trace that were passed over because they are longer than the model takes."""

    def __len__(self) -> int:
        return len(self.input_tokens)


def schedule_of(
    load: Load,
    *,
    seed: int,
    index: int,
    place: int,
    trace: Trace | None = None,
    longest_tokens: int | None = None,
) -> Schedule:
    """Return the requests of a load in a session.

    An open loop is a Poisson process: independent exponential gaps with the mean 1 / rate, drawn
    from seed, session and place of the load. A trace gives always its first requests that fit:
    warm-ups, then those that count, at their own gaps over `pace`; where it has fewer than are
    planned, all that it has. Warm-ups are a part of the same arrivals, so that a load that counts
    begins in the state that the load itself makes. A closed loop has as many warm-ups as users at
    least.

    Args:
        load: the load.
        seed: seed of the plan.
        index: number of the session.
        place: place of the load in the plan.
        trace: what `load.trace` names; None: it is read.
        longest_tokens: most tokens of prompt and answer together that the model takes, where known;
            longer requests of a trace are left out, and counted.

    Raises:
        BadOption: the load has no rate, no users, no requests, or nothing of the trace fits.
        BadTrace: the trace cannot be read.
    """
    _refuse_impossible(load)
    if load.kind == "trace":
        return _of_trace(load, trace or read_trace(load.trace), longest_tokens)
    warmups = load.warmups
    offsets = None
    if load.kind == "closed-loop":
        warmups = max(warmups, load.concurrency or 1)
    count = warmups + load.requests
    if load.kind == "open-loop":
        random = np.random.default_rng([abs(seed), index, place, 1])
        offsets = np.cumsum(random.exponential(1 / (load.rate_per_s or 1), count))
    return Schedule(
        offsets_s=offsets,
        input_tokens=np.full(count, load.input_tokens, np.int64),
        output_tokens=np.full(count, load.output_tokens, np.int64),
        warmups=warmups,
    )


def _of_trace(load: Load, trace: Trace, longest_tokens: int | None) -> Schedule:
    prompts = np.asarray(trace.input_tokens, np.int64)
    answers = np.asarray(trace.output_tokens, np.int64)
    fits = np.ones(len(prompts), np.bool_)
    if longest_tokens is not None:
        fits = prompts + answers <= longest_tokens
    chosen = np.flatnonzero(fits)[: load.warmups + load.requests]
    if not len(chosen):
        raise BadOption(
            f"no request of the trace '{trace.name}' fits into {longest_tokens} tokens",
            hint="measure a model with a longer context, or another trace",
        )
    offsets = np.asarray(trace.offsets_s, np.float64)[chosen]
    return Schedule(
        offsets_s=(offsets - offsets[0]) / load.pace,
        input_tokens=prompts[chosen],
        output_tokens=answers[chosen],
        warmups=min(load.warmups, len(chosen) - 1),
        left_out=int(chosen[-1]) + 1 - len(chosen),
    )


def _refuse_impossible(load: Load) -> None:
    wrong = {
        "requests": load.requests < 1,
        "warmups": load.warmups < 0,
        "input_tokens": load.input_tokens < 1,
        "output_tokens": load.output_tokens < 1,
        "concurrency": load.concurrency is not None and load.concurrency < 1,
        "pace": not 0 < load.pace < float("inf"),
    }
    if load.kind == "open-loop":
        wrong["rate_per_s"] = not 0 < (load.rate_per_s or 0) < float("inf")
    if load.kind == "closed-loop" and load.concurrency is None:
        wrong["concurrency"] = True
    bad = [name for name, is_bad in wrong.items() if is_bad]
    if bad:
        values = ", ".join(f"{name} {getattr(load, name)}" for name in bad)
        raise BadOption(f"a load of the kind {load.kind} cannot have {values}")
