"""Time of a collective: messages that follow each other, and bytes through the links.

Ways to do it are compared and the fastest counts: rings, trees and one shot, each with a library's
protocol for short messages and with that for long ones. `bytes` of a row is the larger of a rank's
two buffers: the tensor of an all-reduce or broadcast, what an all-gather ends with, what a
reduce-scatter begins with, what an all-to-all sends. Must not know chips or libraries by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.silicon.facts import Facts
from crossgrade.predict.silicon.model import Floats, Parameter, Terms
from crossgrade.values.kernel import Family, KernelRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One algorithm of one collective over n ranks."""

    steps: Callable[[Floats], Floats]
    """Messages that wait for each other."""
    share: Callable[[Floats], Floats]
    """Bytes through a rank's link, one direction, per byte of its buffer."""
    at_once: bool = False
    """Whether a rank talks to all others in one step, which costs it a call for each."""


def _log(n: Floats) -> Floats:
    return np.ceil(np.log2(np.maximum(n, 2.0)))


def _one(n: Floats) -> Floats:
    return np.ones_like(n)


_RING = Way(steps=lambda n: n - 1, share=lambda n: (n - 1) / n)
_DIRECT = Way(steps=_one, share=lambda n: (n - 1) / n, at_once=True)
WAYS: Mapping[str, tuple[Way, ...]] = {
    "all_reduce": (
        Way(steps=lambda n: 2 * (n - 1), share=lambda n: 2 * (n - 1) / n),
        Way(steps=lambda n: 2 * _log(n), share=lambda n: 2 * _one(n)),
        Way(steps=_one, share=lambda n: n - 1, at_once=True),
    ),
    "all_gather": (_RING, _DIRECT),
    "reduce_scatter": (_RING, _DIRECT),
    "all_to_all": (_DIRECT,),
    "broadcast": (
        Way(steps=lambda n: n - 1, share=_one),
        Way(steps=_log, share=lambda n: np.minimum(2.0, n - 1)),
    ),
    "send_recv": (Way(steps=_one, share=_one),),
}
"""Operation -> ways to do it. Rings and their bytes: Thakur, Rabenseifner and Gropp, "Optimization
of Collective Communication Operations in MPICH" (IJHPCA 2005); trees, pipelined; one shot: every
rank sends to every other at once."""

PARAMETERS = (
    Parameter(
        name="start", unit="s", start=4e-6, low=5e-7, high=2e-4, spread=0.7,
        source="1.2 to 10 us: own fits to NCCL tables of aiconfigurator, six chips",
    ),
    Parameter(
        name="step", unit="s", start=1.5e-6, low=5e-8, high=3e-5, spread=0.7,
        source="2 to 8 us per doubling of ranks in the same fits, a doubling being two steps",
    ),
    Parameter(
        name="peer", unit="s", start=5e-7, low=1e-8, high=2e-5, spread=1.0,
        source="one more message to post and to await, below 1 us",
    ),
    Parameter(
        name="link", unit="1", start=0.75, low=0.1, high=1.5, spread=0.25,
        source="0.5 to 0.9 of the link in the same fits",
    ),
    Parameter(
        name="ramp_bytes", unit="byte", start=1e6, low=1e2, high=1e9, spread=1.5,
        source="1 us of start-up per message at 1 TB/s",
    ),
    Parameter(
        name="short", unit="1", start=0.35, low=0.02, high=1.0, spread=0.5,
        source="flags beside the data take half of a short protocol's bytes or more",
    ),
    Parameter(
        name="long_start", unit="s", start=5e-6, low=1e-8, high=2e-4, spread=1.0,
        source="barriers that the protocol for long messages adds",
    ),
    Parameter(
        name="crowd", unit="1", start=1.05, low=0.7, high=1.6, spread=0.1,
        source="rate lost per doubling of ranks, near none behind a switch",
    ),
    Parameter(
        name="join", unit="1", start=2.0, low=1.0, high=8.0, spread=0.4,
        source="between a sum (1) and the larger (infinite)",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """Start, steps and bytes, the best of the ways and of two protocols."""

    @property
    def name(self) -> str:
        """Return `collective-join`."""
        return "collective-join"

    @property
    def family(self) -> Family:
        """Return `collective`."""
        return "collective"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return its parameters."""
        return PARAMETERS

    def terms(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Terms:
        """Return the time of each collective.

        Args:
            rows: collectives of one operation, a key of WAYS.
            facts: the chip, with its links.
            values: parameter name -> value.

        Raises:
            KeyError: an operation that is not in WAYS.
        """
        ranks, size = rows.sizes["ranks"], rows.sizes["bytes"]
        rate = link_rate(facts, ranks) * values["link"]
        rate = rate * values["crowd"] ** -(np.log2(np.maximum(ranks, 2.0)) - 1)
        tried = [
            _time(way, ranks, size, rate * share, extra, values)
            for way in WAYS[rows.op]
            for share, extra in ((values["short"], 0.0), (1.0, values["long_start"]))
        ]
        least = np.min([way.share(ranks) for way in WAYS[rows.op]], axis=0)
        steps = np.min([way.steps(ranks) for way in WAYS[rows.op]], axis=0)
        return Terms(
            total=np.min(tried, axis=0),
            compute=np.zeros(len(rows)),
            vector=np.zeros(len(rows)),
            memory=least * size / rate,
            floor=values["start"] + values["step"] * steps,
        )

    def features(self, rows: KernelRows, facts: Facts, values: Mapping[str, float]) -> Floats:
        """Return the coordinates in which the formula's error is smooth, shape [kernels, 2]."""
        del facts, values
        axes = [SCALES[name] * np.log2(rows.sizes[name]) for name in ("ranks", "bytes")]
        return np.stack(axes, axis=1)


SCALES = {"ranks": 3.0, "bytes": 0.25}
"""Steps per doubling of what the formula leaves over; set once, with scored errors in view."""


def link_rate(facts: Facts, ranks: Floats) -> Floats:
    """Return the slowest link that a collective of so many ranks goes through, bytes/s per rank.

    Two ranks may share a package and its die-to-die link; up to the scale-up domain the scale-up
    link carries it; more ranks also use the scale-out link, whose bytes are the fewer the larger
    the domain: hierarchical collectives hand on a domain's share of the buffer.
    """
    inside = np.full(len(ranks), facts.link_bytes_per_s)
    near = facts.die_link_bytes_per_s
    if near > facts.link_bytes_per_s:
        inside = np.where(ranks <= 2, near, inside)
    domain = facts.link_domain if facts.link_domain > 0 else np.inf
    outer = facts.outer_link_bytes_per_s
    if not outer > 0:
        return np.where(ranks <= domain, inside, np.nan)
    both = 1 / (1 / inside + 1 / (outer * np.minimum(domain, ranks)))
    return np.where(ranks <= domain, inside, both)


def _time(
    way: Way, ranks: Floats, size: Floats, rate: Floats, extra: float, values: Mapping[str, float]
) -> Floats:
    """Return the time of one way under one protocol, s."""
    moved = way.share(ranks) * size
    waits = values["start"] + extra + values["step"] * way.steps(ranks)
    if way.at_once:
        waits = waits + values["peer"] * (ranks - 1)
    ramp = 1 + np.sqrt(values["ramp_bytes"] / np.maximum(moved, 1.0))
    through = moved / rate * ramp
    q = values["join"]
    time: Floats = (waits**q + through**q) ** (1 / q)
    return time
