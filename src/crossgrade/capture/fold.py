"""Repeated layers, folded for reading; nothing is lost, the calls stay where they are.

Two blocks are equal when they make the same distinct calls in the same order from the same places
inside the block. Needs no torch. Must not know prices.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from crossgrade.values.capture import STAGES, Capture

_BLOCK = re.compile(r"^(?:(.*?)\.)?(\d+)(?=\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Equal blocks of a capture."""

    stack: str
    """Path of the list that the blocks stand in, such as `model.layers`."""
    stage: str
    """Part of the step."""
    blocks: tuple[int, ...]
    """Numbers of the equal blocks."""
    first: tuple[int, ...]
    """Calls of the first of them."""
    calls: int
    """Calls of all of them together."""


def fold(capture: Capture) -> tuple[Fold, ...]:
    """Return the groups of equal blocks, in order of first appearance; their calls add up.

    Calls outside any block are one group with the stack `` and no block numbers.
    """
    c = capture.columns
    place = [_BLOCK.match(m) for m in capture.tables["modules"]]
    inner = [
        m[p.end() :] if p else m for m, p in zip(capture.tables["modules"], place, strict=True)
    ]
    blocks: dict[tuple[str, int, int], list[int]] = {}
    stages, modules = c["call_stage"].tolist(), c["call_module"].tolist()
    for call, module in enumerate(modules):
        found = place[module]
        stack, number = (found.group(1) or "", int(found.group(2))) if found else ("", -1)
        blocks.setdefault((stack, number, stages[call]), []).append(call)
    groups: dict[tuple[str, int, str], list[tuple[int, list[int]]]] = {}
    for (stack, number, stage), calls in blocks.items():
        signature = _signature(capture, calls, inner)
        groups.setdefault((stack, stage, signature), []).append((number, calls))
    return tuple(
        Fold(
            stack=stack,
            stage=STAGES[stage],
            blocks=tuple(number for number, _ in members if number >= 0),
            first=tuple(members[0][1]),
            calls=sum(len(calls) for _, calls in members),
        )
        for (stack, stage, _), members in groups.items()
    )


def _signature(capture: Capture, calls: list[int], inner: list[str]) -> str:
    """Return a hash of what a block does, without its number."""
    c = capture.columns
    rows = np.array(calls)
    state = hashlib.sha256(np.ascontiguousarray(c["call_key"][rows]).tobytes())
    state.update("\n".join(inner[m] for m in c["call_module"][rows].tolist()).encode())
    return state.hexdigest()
