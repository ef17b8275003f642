"""Steps of one model at other contexts and prompts, from few captures.

What a launch computes and moves is a sum of parts that are constant and that grow with the context
or with the prompt, piece by piece: between two captures its sizes lie on a line. Powers of FACTOR
are captured when they are first needed; where launches come and go between two of them, the size
that is asked for is captured itself. Must not know layouts, chips or stacks by name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from crossgrade.predict.layouts.pieces import Piece, Pieces, Stored, Sum, pieces_of
from crossgrade.predict.phase import Prepared
from crossgrade.values.workload import Workload

FACTOR = 4
"""Captured contexts and prompts are powers of this."""
LEAST = 256
"""Shortest one that is captured for others to lie between: windows and top-k are longer mostly."""
BATCH = 16
"""Sequences of captured decode steps: enough that no size of one sequence is taken for a batch."""


@dataclass(slots=True, kw_only=True)
class StepFamily:
    """The steps of one model as one stack launches them."""

    prepare: Callable[[Workload], Prepared]
    """Captures a workload, once each."""
    workload: Workload
    """Any of the model; phase and sizes are replaced."""
    stack: str
    """The stack."""
    most: int | None = None
    """Positions that the model has; None where it does not say."""
    _known: dict[tuple[str, int, int], Pieces] = field(default_factory=dict)

    def decode(self, context: int, tokens: int = 1) -> Pieces:
        """Return a decode step of BATCH sequences.

        Args:
            context: cached tokens of each sequence.
            tokens: new tokens of each: 1, or more where drafted tokens are verified.
        """
        return self._at("decode", context, tokens)

    def prefill(self, tokens: int, context: int = 0) -> Pieces:
        """Return a step that reads a prompt, or a chunk of one.

        Args:
            tokens: new tokens.
            context: tokens of the same sequence that are cached already.
        """
        if context:
            return self._exact("prefill", tokens, context)
        return self._at("prefill", tokens, 0)

    def _at(self, phase: str, size: int, other: int) -> Pieces:
        key = (phase, size, other)
        if key not in self._known:
            below, above = _around(size, self.most)
            if size in (below, above):
                return self._captured(phase, size, other)
            two = self._captured(phase, below, other), self._captured(phase, above, other)
            found = between(*two, (size - below) / (above - below))
            self._known[key] = found or self._captured(phase, size, other)
        return self._known[key]

    def _captured(self, phase: str, size: int, other: int) -> Pieces:
        if phase == "decode":
            return self._exact("decode", other, size)
        return self._exact("prefill", size, 0)

    def _exact(self, phase: str, tokens: int, context: int) -> Pieces:
        key = (f"{phase}!", tokens, context)
        if key not in self._known:
            decodes = phase == "decode"
            workload = dataclasses.replace(
                self.workload, phase="decode" if decodes else "prefill",
                batch=BATCH if decodes else 1, tokens=tokens, context=context,
            )  # fmt: skip
            self._known[key] = pieces_of(self.prepare(workload), self.stack)
        return self._known[key]


def _around(size: int, most: int | None) -> tuple[int, int]:
    """Return the captured sizes that one lies between."""
    if size <= LEAST:
        return size, size
    below = LEAST * FACTOR ** int(math.log(size / LEAST, FACTOR) + 1e-9)
    above = below * FACTOR
    if most is not None and above >= most:
        above = max(most - 8, size)
    return below, above


def between(one: Pieces, other: Pieces, part: float) -> Pieces | None:
    """Return the step that lies between two, None where they launch unlike things.

    Args:
        one: a step.
        other: a step of the same model at another context or prompt.
        part: where between them, 0 for the first and 1 for the second.
    """

    def mixed(a: float, b: float) -> float:
        return a + (b - a) * part

    pairs = list(zip(one.pieces.items(), other.pieces.items(), strict=False))
    if len(one.pieces) != len(other.pieces) or not all(_alike(a, b) for a, b in pairs):
        return None
    if len(one.sums) != len(other.sums) or len(one.cache) != len(other.cache):
        return None
    pieces: dict[Piece, int] = {}
    places: dict[Piece, Piece] = {}
    for (a, count), (b, _) in pairs:
        sizes = tuple(mixed(x, y) for x, y in zip(a.sizes, b.sizes, strict=True))
        fixed = mixed(a.division.fixed, b.division.fixed)
        degrees = tuple((d, mixed(s, t)) for (d, s), (_, t)
                        in zip(a.division.degrees, b.division.degrees, strict=True))  # fmt: skip
        division = dataclasses.replace(a.division, fixed=fixed, degrees=degrees)
        piece = dataclasses.replace(a, sizes=sizes, division=division)
        pieces[piece] = pieces.get(piece, 0) + count
        places[a] = piece
    added = {
        a: Sum(kinds=a.kinds, bytes=mixed(a.bytes, b.bytes), repeated=a.repeated)
        for a, b in zip(one.sums, other.sums, strict=True)
    }
    cache = tuple(
        Stored(bytes=mixed(a.bytes, b.bytes), role=a.role, degrees=a.degrees, repeated=a.repeated)
        for a, b in zip(one.cache, other.cache, strict=True)
    )
    return dataclasses.replace(
        one, pieces=pieces, sums={added[a]: count for a, count in one.sums.items()},
        last={places[a]: count for a, count in one.last.items()},
        last_sums={added[a]: count for a, count in one.last_sums.items()}, cache=cache,
        tokens=round(mixed(one.tokens, other.tokens)),
        hidden_bytes=mixed(one.hidden_bytes, other.hidden_bytes),
        activations=mixed(one.activations, other.activations),
    )  # fmt: skip


def _alike(one: tuple[Piece, int], other: tuple[Piece, int]) -> bool:
    """Return whether two pieces are one launch at two sizes."""
    (a, many), (b, times) = one, other
    return (
        many == times
        and (a.family, a.op, a.format, a.repeated) == (b.family, b.op, b.format, b.repeated)
        and a.division.role == b.division.role
        and [d for d, _ in a.division.degrees] == [d for d, _ in b.division.degrees]
    )
