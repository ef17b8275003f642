"""What a simulated service is asked, how it schedules, and what comes out.

Times are whole nanoseconds, so that many equal steps are exactly as long as their sum. Must not
know the loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
NS = 1_000_000_000
"""Nanoseconds of a second."""
MILLI = 1000
"""Tokens are counted in thousandths where drafts are accepted in part."""
BUCKET = 64
"""Mean contexts are priced in steps of so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests in the order in which they come; arrays of shape [requests]."""

    prompts: Ints
    """Tokens of each prompt."""
    outputs: Ints
    """Tokens that each request generates, at least 1."""
    arrivals: Ints | None = None
    """When each comes, ns, ascending; None: as many at a time as `users`."""
    users: int = 0
    """Requests that are open at any time where there are no arrivals. The first come one after the
    other, 1 ns apart; when one ends, the next one comes, 1 ns later: as no two are sent at the very
    same time, a step begins with the first alone, and the next one has begun when an answer is
    followed by a question."""
    cached: Ints | None = None
    """Tokens of each prompt that a prefix cache holds; None: none."""
    arrives: bool = False
    """Whether what is cached came with the request, and is gone where it gives its place up."""

    def __post_init__(self) -> None:
        """Check the arrays.

        Raises:
            ValueError: lengths differ, a size is below 1, arrivals go back in time, or nobody asks.
        """
        lengths = {len(self.prompts), len(self.outputs)}
        for column in (self.arrivals, self.cached):
            if column is not None:
                lengths.add(len(column))
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths {sorted(lengths)}")
        if len(self.prompts) and min(self.prompts.min(), self.outputs.min()) < 1:
            raise ValueError("a prompt and an output have at least one token")
        if self.arrivals is None and self.users < 1:
            raise ValueError("no arrivals and no users")
        if self.arrivals is not None and (np.diff(self.arrivals) < 0).any():
            raise ValueError("arrivals go back in time")
        if self.cached is not None and (self.cached >= self.prompts).any():
            raise ValueError("of a cached prompt at least the last token is computed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one instance of a service schedules."""

    max_running: int
    """Sequences that are in work at once, at most."""
    max_tokens: int
    """Tokens of one step, at most."""
    capacity: int
    """Tokens that the cache holds."""
    reserves: bool = True
    """Whether a request is admitted only when its prompt and all of its output have room. Else its
    prompt has to have room, and where the cache fills up the sequence that was admitted last is put
    back into the queue and read again."""
    mixed: bool = True
    """Whether decoding goes on in steps that prefill; else such steps prefill alone."""
    chunked: bool = True
    """Whether a prompt may be read in parts; else a step takes whole prompts, one at least."""
    pace: int = MILLI
    """Tokens that a decoding sequence gets per step, in thousandths: above MILLI where drafts are
    verified."""
    ahead: bool = False
    """Whether a step is put together when the one before it begins, and not when it ends: what has
    come until then is in it. What ends makes room at once, all the same."""
    every: int = 1
    """New requests are looked for at every so many steps, and where nothing else is to be done."""

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ValueError: a limit is below 1, or decoding alone may fill a step.
        """
        least = min(self.max_running, self.max_tokens, self.capacity, self.every)
        if least < 1 or self.pace < MILLI:
            raise ValueError("limits are at least 1, and a step gives at least one token")
        if self.mixed and self.max_tokens <= self.max_running:
            raise ValueError("max_tokens has to be above max_running: nothing could be prefilled")


class Price(Protocol):
    """The time of a step."""

    def __call__(
        self, decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]
    ) -> int:  # fmt: skip
        """Return the time of a step, ns, at least 1.

        Args:
            decoding: sequences that decode.
            bucket: their mean context in units of BUCKET, rounded down.
            chunks: (new tokens, tokens cached before) of each prompt that is read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What came out; arrays of shape [requests], ns where nothing else is said."""

    arrival: Ints
    """When each request came."""
    first: Ints
    """When its first token was there."""
    end: Ints
    """When its last one was."""
    outputs: Ints
    """Tokens that each generated."""
    steps: int
    """Steps of the service."""
    busy: int
    """Time in steps, ns."""
    prefilled: int
    """Tokens of prompts that were computed."""
    again: int
    """Of these, tokens of sequences that had given their place up."""
    most_running: int
    """Sequences in work at once, at most."""
    refused: Ints
    """Requests that no instance can hold, by index; they have no times (-1)."""

    @property
    def ttft_s(self) -> NDArray[np.float64]:
        """Return the time to the first token of those that were served, s."""
        return (self.first - self.arrival)[self.first >= 0] / NS

    @property
    def tpot_s(self) -> NDArray[np.float64]:
        """Return the time per further token of those with more than one, s."""
        many = (self.outputs > 1) & (self.first >= 0)
        return (self.end - self.first)[many] / (self.outputs[many] - 1) / NS

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Return the time from arrival to the last token, s."""
        return (self.end - self.arrival)[self.first >= 0] / NS

    @property
    def tokens_per_s(self) -> float:
        """Return generated tokens over the time from the first arrival to the last end, 1/s."""
        served = self.first >= 0
        if not served.any():
            return 0.0
        span = (self.end[served].max() - self.arrival[served].min()) / NS
        return float(self.outputs[served].sum() / span) if span else 0.0
