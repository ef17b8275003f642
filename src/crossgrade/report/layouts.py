"""The answer of `layout search` as a document.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Document, Heading, Line, Table
from crossgrade.report.stacked import RESTS_ON
from crossgrade.units import bytes_, count, figure, percent, seconds, things
from crossgrade.values.layout_search import LayoutSearch, ServicePoint

_METHOD = (
    "all predicted: P50 and P10 to P90 of the launches of the stack, each divided as "
    "docs/explanation/layouts.md says; nothing overlaps unless it is asked for; a token takes one "
    "decode step and its share of the prompts that are read between; no queue, experts chosen "
    "without preference where no --skew is given"
)
SHOWN = 10
"""Layouts that are listed without `--all`."""


def layouts_document(found: LayoutSearch, *, everything: bool = False) -> Document:
    """Return the search as headings and tables.

    Args:
        found: the answer.
        everything: list every layout, also those that will not do.
    """
    return Document(blocks=tuple(_blocks(found, everything)))


def _blocks(found: LayoutSearch, everything: bool) -> Iterator[Block]:
    yield Heading(text=f"{found.model} on {things(found.chips, found.chip)}: {_headline(found)}")
    lengths = f"prompts of {count(found.prompt)} tokens, answers of {count(found.output)}"
    if found.cached:
        lengths += f", {percent(found.cached)} of a prompt cached"
    if found.drafts:
        lengths += f"; {found.drafts} drafts a step, {found.accepted:g} of them right"
    yield Line(text=f"weights: {found.weights}; {lengths}; {found.stack}")
    yield Line(text=_aims(found))
    if found.front:
        title = "no other one is better in both: time per token against tokens per chip (predicted)"
        yield _table(title, found.front)
        shown = found.best if everything else found.best[:SHOWN]
        more = f"; {len(found.best) - len(shown)} more: add --all" * (len(shown) < len(found.best))
        yield _table(f"the best batch of each layout, the most tokens first (predicted{more})",
                     shown)  # fmt: skip
    yield from _rejected(found, everything)
    yield Heading(text="how we know", level=2)
    yield from _known(found)


def _headline(found: LayoutSearch) -> str:
    if not found.front:
        return "no layout meets the aims"
    top = found.best[0]
    return f"{_layout(top)}, batch {count(top.batch)}"


def _layout(p: ServicePoint) -> str:
    return p.layout.words + (f", {p.instances} instances" if p.instances > 1 else "")


def _aims(found: LayoutSearch) -> str:
    aims = [f"{name} at most {seconds(value)}" for name, value in
            (("TTFT", found.ttft_aim_s), ("TPOT", found.tpot_aim_s)) if value]  # fmt: skip
    priced = f"{count(found.considered)} layouts and batches priced"
    return f"aims at P50: {', '.join(aims) or 'none'}; {priced}"


def _table(title: str, points: Sequence[ServicePoint]) -> Table:
    priced = any(p.tokens_per_price is not None for p in points)
    columns = ("layout", "instances", "batch", "TPOT", "P10 to P90", "TTFT", "tokens/s",
               "tokens/s/chip", *(("tokens per price unit",) if priced else ()),
               "memory of a rank")  # fmt: skip
    return Table(
        title=title,
        columns=columns,
        rows=tuple(
            (
                p.layout.words, count(p.instances), count(p.batch), seconds(p.tpot_mid_s),
                f"{seconds(p.tpot_s.low)} to {seconds(p.tpot_s.high)}", seconds(p.ttft_mid_s),
                figure(p.tokens_per_s), figure(p.tokens_per_s_per_chip),
                *((figure(p.tokens_per_price or 0.0),) if priced else ()), bytes_(p.rank_bytes),
            )
            for p in points
        ),
        right=frozenset(range(1, len(columns))),
        whole=frozenset({0, 4}),
    )  # fmt: skip


def _rejected(found: LayoutSearch, everything: bool) -> Iterator[Block]:
    """Yield the layouts that will not do: all, or how many there are of each kind of reason."""
    if not found.rejected:
        return
    title = f"{things(len(found.rejected), 'layout')} of which no batch will do (predicted)"
    if everything:
        rows = tuple((count(r.layout.chips), r.layout.words, r.reason) for r in found.rejected)
        yield Table(title=title, columns=("chips of an instance", "layout", "why"), rows=rows,
                    right=frozenset({0}))  # fmt: skip
        return
    kinds = Counter(_kind(r.reason) for r in found.rejected)
    examples = {_kind(r.reason): f"{r.layout.words}: {r.reason}" for r in found.rejected}
    rows = tuple((count(n), kind, examples[kind]) for kind, n in kinds.most_common())
    yield Table(title=f"{title}: add --all for each", columns=("layouts", "why", "such as"),
                rows=rows, right=frozenset({0}))  # fmt: skip


def _kind(reason: str) -> str:
    """Return what a reason is about."""
    for word, kind in (("weights of", "too little memory for the weights"),
                       ("a rank needs", "too little memory for the cache"),
                       ("TPOT", "too slow per token"), ("TTFT", "too slow to the first token"),
                       ("divide", "degrees do not divide the model"),
                       ("blocks", "more stages than blocks"), ("link", "no link")):  # fmt: skip
        if word in reason:
            return kind
    return "other"


def _known(found: LayoutSearch) -> Iterator[Block]:
    yield Line(text=_METHOD)
    if found.best:
        tiers = sorted(found.best[0].tiers.items(), key=lambda item: -item[1])
        told = ", ".join(f"{RESTS_ON[tier]} {percent(share)}" for tier, share in tiers
                         if share >= 0.005)  # fmt: skip
        yield Line(text=f"kernel times of the first layout are fitted to: {told}")
    yield Line(text=f"usable of a chip: {bytes_(found.usable_bytes)}, what the stack takes by "
               "default")  # fmt: skip
