"""What a simulated service makes of a load: latencies, throughput, and what limits it.

Must not know how it was simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from crossgrade.values.layout import Layout

LatencyName = Literal["ttft", "tpot", "e2e"]
"""Time to the first token; per further token; from arrival to the last token."""
LATENCIES: tuple[LatencyName, ...] = ("ttft", "tpot", "e2e")
Role = Literal["both", "prefill", "decode"]
"""What an instance does: read prompts and decode, or one of the two."""
PERCENTILES = (50, 90, 99)
"""Percentiles over requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One latency over all requests that were served, s."""

    mean_s: float
    """Mean."""
    percentiles_s: Mapping[int, float]
    """Percentile over requests -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out with every launch at one end of its band."""

    latencies: Mapping[LatencyName, Latency]
    """By name; without `tpot` where no answer has a second token."""
    tokens_per_s: float
    """Generated tokens over the time from the first arrival to the last end, all instances."""
    requests_per_s: float
    """Answers over the same time."""
    busy: float
    """Share of that time in which an instance is in a step, the scheduler's delay included; mean
    over instances, 0 to 1."""
    within_aims: float | None
    """Share of all requests that met every aim; None without aims."""
    read_again: float
    """Tokens of prompts that were read again because the cache was full, over those asked for."""
    most_running: int
    """Sequences in work at once on one instance, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal instances that do the same."""

    role: Role
    """What they do."""
    layout: Layout
    """Of one of them."""
    instances: int
    """How many there are; requests go to them in turn."""
    cache_tokens: int
    """Tokens that the cache of one of them holds."""

    @property
    def chips(self) -> int:
        """Return the chips of all of them."""
        return self.layout.chips * self.instances


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedService:
    """A service under a load; predicted."""

    limits: str
    """Limits of the scheduler that were set, in words; empty where all are the stack's."""

    model: str
    """Name of the model."""
    weights: str
    """Format of the weights and where it comes from."""
    chip: str
    """Name of the chip."""
    stack: str
    """Stack whose launches and scheduler are taken."""
    pools: tuple[Pool, ...]
    """One, or one that reads prompts and one that decodes."""
    load: str
    """The load in words."""
    requests: int
    """Requests of the load."""
    refused: int
    """Requests that are longer than the cache of an instance."""
    rate_per_s: float | None
    """Requests that come per second; None where users wait for their answers."""
    scheduler_delay_s: float
    """Time between two steps in which nothing is computed, s."""
    transfer_s: float | None
    """Mean time in which the cache of a prompt reaches the instance that decodes, s; None where
    none moves."""
    transfer_link: str
    """Link that it takes; empty where one instance does both."""
    ttft_aim_s: float | None
    """Most time to the first token, s."""
    tpot_aim_s: float | None
    """Most time per further token, s."""
    outcomes: Mapping[str, Outcome]
    """`low`, `mid`, `high`: every launch at its P10, P50, P90."""

    @property
    def chips(self) -> int:
        """Return the chips of all pools."""
        return sum(pool.chips for pool in self.pools)

    @property
    def meets_aims(self) -> bool:
        """Return whether the 99th percentile of each latency that has an aim is within it at P50,
        and nothing was refused; without aims it is."""
        found = self.outcomes["mid"].latencies
        aims: dict[LatencyName, float | None] = {"ttft": self.ttft_aim_s, "tpot": self.tpot_aim_s}
        late = any(
            aim is not None and name in found and found[name].percentiles_s[99] > aim
            for name, aim in aims.items()
        )
        aimed = any(aim is not None for aim in aims.values())
        return not aimed or not (late or self.refused)

    @property
    def verdict(self) -> str:
        """Return `within-aims` or `misses-aims`."""
        return "within-aims" if self.meets_aims else "misses-aims"

    @property
    def exit_code(self) -> int:
        """Return 0 within the aims, 1 outside them."""
        return 0 if self.meets_aims else 1
