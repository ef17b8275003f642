"""The time of any step of a service: so many sequences decode while so many tokens are prefilled.

Launches that only know tokens are priced at all tokens of the step together; attention of what
decodes and of what is prefilled each by itself, and the head for the sequences that get a token.
Each part is a table over the few numbers that it depends on, linear between its points. Must not
know schedulers.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrade.predict.layouts.divided import Floats
from crossgrade.predict.layouts.family import LEAST, StepFamily
from crossgrade.predict.layouts.pieces import Piece, Pieces
from crossgrade.predict.layouts.step import ENDS, step_times
from crossgrade.predict.silicon.knowledge import Knowledge
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout

ROWS = np.unique(np.concatenate([
    [1, 2, 3, 4, 6, 8, 12], 2.0 ** np.arange(4, 19), 1.5 * 2.0 ** np.arange(4, 18),
    2.0 ** np.arange(6, 19) + 1,
]))  # fmt: skip
"""Tokens of a step that are priced; one more than a power of two begins another tile."""
SEQUENCES = np.unique(np.concatenate([[1, 2, 3, 4, 6, 8, 12], 2.0 ** np.arange(4, 14),
                                      1.5 * 2.0 ** np.arange(4, 13)]))  # fmt: skip
"""Decoding sequences that are priced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Times of the parts of a step at one end of the band, s."""

    rows: Line
    """Of launches that know tokens alone, over the tokens of a replica in a step."""
    experts: Line
    """Of routed experts, over the tokens of all replicas for each of them."""
    head: Line
    """Of launches that know sequences alone, over the sequences that get a token."""
    decode: Plane
    """Of attention that decodes, over sequences and their mean context."""
    prefill: Plane
    """Of attention that prefills, over the tokens of a chunk and those cached before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Times of steps on one layout."""

    tables: dict[str, Tables]
    """End of the band -> times."""

    def seconds(
        self, decoding: float, context: float, chunks: Sequence[tuple[float, float]],
        tokens: float | None = None, end: str = "mid",
    ) -> float:  # fmt: skip
        """Return the time of a step, s.

        Args:
            decoding: sequences of the busiest replica that get their next token.
            context: mean of their cached tokens.
            chunks: (new tokens, tokens cached before them) of each prompt that it reads.
            tokens: mean over the replicas of what each has in the step; None: as many as this one.
            end: `low`, `mid` or `high`.
        """
        table = self.tables[end]
        rows = decoding + sum(new for new, _ in chunks)
        if not rows:
            return 0.0
        time = table.rows.at(rows) + table.head.at(decoding + len(chunks))
        time += table.experts.at(rows if tokens is None else tokens)
        if decoding:
            time += table.decode.at(decoding, context)
        for new, past in chunks:
            time += table.prefill.at(new, past)
        return time


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Values over one number; as lists, which are faster to read one by one."""

    xs: list[float]
    """Where it is known, ascending."""
    values: list[float]
    """Values there."""

    def at(self, x: float) -> float:
        """Return a value between two points, on the last segment's line beyond them."""
        xs, values = self.xs, self.values
        i = min(max(bisect_right(xs, x) - 1, 0), len(xs) - 2)
        part = (x - xs[i]) / (xs[i + 1] - xs[i]) if x > xs[0] else 0.0
        return values[i] + (values[i + 1] - values[i]) * part


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Values over two numbers."""

    ys: list[float]
    """Where the second one is known, ascending."""
    lines: list[Line]
    """Values over the first one, for each of the second."""

    @classmethod
    def of(cls, xs: Floats, ys: Floats, table: Floats) -> Plane:
        """Return a plane of values of shape [xs, ys]."""
        columns = [Line(xs=xs.tolist(), values=column.tolist()) for column in table.T]
        return cls(ys=ys.tolist(), lines=columns)

    def at(self, x: float, y: float) -> float:
        """Return a value between points, on the outer lines beyond them."""
        ys = self.ys
        if len(ys) == 1:
            return self.lines[0].at(x)
        j = min(max(bisect_right(ys, y) - 1, 0), len(ys) - 2)
        part = (y - ys[j]) / (ys[j + 1] - ys[j]) if y > ys[0] else 0.0
        low = self.lines[j].at(x)
        return low + (self.lines[j + 1].at(x) - low) * part if part else low


def step_cost(
    family: StepFamily, layout: Layout, chip: Chip, knowledge: Knowledge, *,
    contexts: Sequence[int], longest: int,
) -> StepCost:  # fmt: skip
    """Return the times of all steps of a service on a layout.

    Args:
        family: the model's steps.
        layout: of one instance.
        chip: one chip.
        knowledge: what is known of kernels.
        contexts: cached tokens per decoding sequence, at least two, ascending.
        longest: most tokens of a prompt, or of a chunk of one.
    """
    decodes = [family.decode(context) for context in contexts]
    sizes = _chunks(longest)
    prefills = [family.prefill(int(size)) for size in sizes]
    apart = Apart.of(decodes[0], decodes[-1], prefills[0])
    replicas = layout.dp * layout.pp

    def times(pieces: Pieces, batches: Floats) -> dict[str, Floats]:
        step = step_times(pieces, chip, [layout] * len(batches), batches * replicas,
                          family.stack, knowledge)  # fmt: skip
        return {end: getattr(step, end) for end in ENDS}

    rows = times(apart.rows(decodes[0]), ROWS)
    experts = times(apart.experts(decodes[0]), ROWS)
    head = times(apart.head(decodes[0]), SEQUENCES)
    decode = [times(apart.attention(pieces), SEQUENCES) for pieces in decodes]
    reads = [times(apart.prefill_only(pieces), np.ones(1)) for pieces in prefills]
    # A chunk behind others also sees what is before it: taken from prompts of both lengths.
    pasts = np.array([0.0, *(float(size) for size in sizes)])
    tables = {}
    for end in ENDS:
        alone = np.array([r[end][0] for r in reads])
        attention = np.stack([d[end] for d in decode], axis=1)
        tables[end] = Tables(
            rows=Line(xs=ROWS.tolist(), values=rows[end].tolist()),
            experts=Line(xs=ROWS.tolist(), values=experts[end].tolist()),
            head=Line(xs=SEQUENCES.tolist(), values=head[end].tolist()),
            decode=Plane.of(SEQUENCES, np.array(contexts, dtype=np.float64), attention),
            prefill=Plane.of(sizes, pasts, _with_past(alone, sizes, pasts)),
        )  # fmt: skip
    return StepCost(tables=tables)


def _chunks(longest: int) -> Floats:
    """Return prompt lengths that are priced: powers of two from LEAST up to the longest."""
    most = max(int(np.ceil(np.log2(longest / LEAST))), 1)
    return np.asarray(LEAST * 2.0 ** np.arange(most + 1))


def _with_past(alone: Floats, sizes: Floats, pasts: Floats) -> Floats:
    """Return the time of chunks behind others, shape [sizes, pasts].

    Attention of a prompt of n + c tokens less that of its first c tokens, at least the time of n
    tokens alone: what is computed and read is the same.
    """
    table = np.zeros((len(sizes), len(pasts)))
    for j, past in enumerate(pasts):
        before = np.interp(past, sizes, alone) if past else 0.0
        whole = np.interp(sizes + past, sizes, alone)
        beyond = np.maximum((sizes + past) / sizes[-1], 1.0)
        table[:, j] = np.maximum(whole * beyond**2 - before, alone)
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Which launches of a step depend on what."""

    decode: frozenset[tuple[str, str, str]]
    """Kinds that only decoding launches, or whose sizes the context changes."""
    prefill: frozenset[tuple[str, str, str]]
    """Kinds that only prefilling launches, and attention."""

    @classmethod
    def of(cls, near: Pieces, far: Pieces, prompt: Pieces) -> Apart:
        """Tell launches apart by a decode step at two contexts and one prefill."""
        changing = {
            _site(a) for a, b in zip(near.pieces, far.pieces, strict=False)
            if a.family == b.family and a.sizes != b.sizes
        } | {_site(p) for p in near.pieces if "attention" in p.family}  # fmt: skip
        mine, theirs = {_site(p) for p in near.pieces}, {_site(p) for p in prompt.pieces}
        attention = {_site(p) for p in prompt.pieces if "attention" in p.family}
        return cls(decode=frozenset(changing | (mine - theirs)),
                   prefill=frozenset((theirs - mine) | attention))  # fmt: skip

    def rows(self, pieces: Pieces) -> Pieces:
        """Return what knows tokens alone."""
        return _only(pieces, lambda p: _site(p) not in self.decode and not _of_head(p)
                     and p.family != "experts", sums="inside")  # fmt: skip

    def experts(self, pieces: Pieces) -> Pieces:
        """Return routed experts, which replicas share."""
        return _only(pieces, lambda p: p.family == "experts")

    def head(self, pieces: Pieces) -> Pieces:
        """Return what knows sequences alone."""
        return _only(pieces, lambda p: _site(p) not in self.decode and _of_head(p), sums="head")

    def attention(self, pieces: Pieces) -> Pieces:
        """Return what depends on the context of what decodes."""
        return _only(pieces, lambda p: _site(p) in self.decode)

    def prefill_only(self, pieces: Pieces) -> Pieces:
        """Return what depends on the length of a prompt."""
        return _only(pieces, lambda p: _site(p) in self.prefill)


def _site(piece: Piece) -> tuple[str, str, str]:
    """Return what makes launches of two phases the same one: what is done by which weights."""
    where = ""
    if piece.op == "mm":
        where = f"{piece.size('n'):.0f}x{piece.size('k'):.0f}"
    return piece.family, f"{piece.op} {where}", piece.format


def _of_head(piece: Piece) -> bool:
    """Return whether a launch runs once per sequence that gets a token, not once per token."""
    return not piece.repeated and (
        (piece.division.role == "vocabulary" and piece.family == "matmul") or piece.op == "gather"
    )


def _only(pieces: Pieces, chosen: Callable[[Piece], bool], sums: str = "") -> Pieces:
    """Return some launches of a step, with its collectives `inside` blocks, of the `head` or none.

    Reads by the host and hops between stages go with those inside.
    """
    head = {s: n for s, n in pieces.sums.items() if "gather" in s.kinds}
    rest = {s: n for s, n in pieces.sums.items() if "gather" not in s.kinds}
    return dataclasses.replace(
        pieces, pieces={p: n for p, n in pieces.pieces.items() if chosen(p)},
        sums=rest if sums == "inside" else head if sums == "head" else {},
        host_reads=pieces.host_reads if sums == "inside" else 0,
        hidden_bytes=pieces.hidden_bytes if sums == "inside" else 0.0,
    )  # fmt: skip
