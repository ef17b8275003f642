"""What chips that share the work say to each other, as an alpha-beta bound.

Must not know kernels, vendors, or which operators are captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from crossgrade.predict.assumptions import End, assumptions
from crossgrade.values.breakdown import Exchange
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What an even split over chips has to exchange per step."""

    rounds: int
    """All-reduces one after another, where tensors are split."""
    bytes_per_round: float
    """Payload of each, bytes."""
    routed_rounds: int = 0
    """All-to-alls one after another, where experts are split; 0 without routed experts."""
    routed_bytes: float = 0.0
    """Rows that go to experts and back, bytes together."""
    sequences: int = 1
    """Sequences; an all-to-all needs as many as chips to split the rest evenly."""


def exchange(
    chip: Chip, layout: Layout, traffic: Traffic, end: End,
    changes: Mapping[str, float] = MappingProxyType({}),
) -> Exchange | None:  # fmt: skip
    """Return the exchange of an even split; None on one chip or without a known link.

    The cheaper of two splits at the optimistic end, the all-reduce of tensor parallelism at the
    other, which every model allows. `changes` are assumed rates in place of the shipped ones.
    """
    if layout.split == 1:
        return None
    a = {name: row.at(end) for name, row in assumptions().items()} | dict(changes)
    reduced = _all_reduce(chip, layout, traffic, a)
    if end == "pessimistic" or not traffic.routed_rounds or traffic.sequences < layout.chips:
        return reduced
    found = [e for e in (reduced, _all_to_all(chip, layout, traffic, a)) if e is not None]
    return min(found, key=lambda e: e.seconds, default=None)


def timed(
    chip: Chip, a: Mapping[str, float], *, kind: str, rounds: int, inside: float, outside: float,
    at_once: bool,
) -> Exchange | None:  # fmt: skip
    """Return an exchange with its time; None where no link carries it.

    Args:
        chip: one chip.
        a: assumed rates of one end.
        kind: what it is, in words.
        rounds: collectives one after another.
        inside: bytes through a chip's scale-up link.
        outside: bytes through its scale-out link.
        at_once: whether both links work at the same time.
    """
    links = (chip.link("scale-up"), inside), (chip.link("scale-out"), outside)
    if not any(link and moved for link, moved in links):
        return None
    times = [moved / (link.bandwidth.value * a["link_efficiency"])
             for link, moved in links if link and moved]  # fmt: skip
    total = max(times) if at_once else sum(times)
    return Exchange(
        kind=kind,
        rounds=rounds,
        inside_bytes=inside,
        outside_bytes=outside,
        at_once=at_once,
        seconds=rounds * a["collective_latency_s"] + total,
    )


def domain(chip: Chip, chips: int) -> int:
    """Return how many of the chips a scale-up domain joins; 1 without such a link."""
    inside = chip.link("scale-up")
    return 1 if inside is None else min(chips, inside.domain or chips)


def _all_reduce(
    chip: Chip, layout: Layout, traffic: Traffic, a: Mapping[str, float]
) -> Exchange | None:
    """Return all-reduces.

    Each scale-up domain takes its share of the tokens and all-reduces their hidden states: v bytes
    over m chips move 2 (m-1)/m v through each chip's link (Thakur et al., IJHPCA 2005). Between
    domains they are handed on once, as a pipeline does; the chips of a domain share that transfer.
    """
    members = domain(chip, layout.chips)
    domains = -(-layout.chips // members)
    payload = traffic.bytes_per_round / domains
    reduces = traffic.rounds if members > 1 else 0
    hands = domains - 1 if chip.link("scale-out") else 0
    return timed(
        chip, a, kind="all-reduces", rounds=reduces + hands,
        inside=reduces * 2 * (members - 1) / members * payload, outside=hands * payload / members,
        at_once=False,
    )  # fmt: skip


def _all_to_all(
    chip: Chip, layout: Layout, traffic: Traffic, a: Mapping[str, float]
) -> Exchange | None:
    """Return all-to-alls of expert rows.

    Each of n chips sends (n-1)/n of its n-th of the rows; of these (m-1)/n stay in its domain of m
    and go through the scale-up link, the others through the scale-out link at the same time.
    """
    n, m = layout.chips, domain(chip, layout.chips)
    share = traffic.routed_bytes / n
    return timed(
        chip, a, kind="all-to-alls of expert rows", rounds=traffic.routed_rounds,
        inside=share * (m - 1) / n, outside=share * (n - m) / n, at_once=True,
    )  # fmt: skip
