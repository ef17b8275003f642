"""Where the time of each phase goes, and what would help, as a document.

Must not compute: every figure stands in the value; shares of a total are taken here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossgrade.report.document import Block, Document, Heading, Line, Table
from crossgrade.report.stacked import resting_table, stack_table
from crossgrade.units import count, percent, seconds, si, things, times_over
from crossgrade.values.assessment import Assessment
from crossgrade.values.explanation import (
    Crossover,
    KernelExplanation,
    Lever,
    LeverEnd,
    PhaseExplanation,
)

MOST_KERNELS = 8
MOST_PARTS = 6
_STARRED = ".*"
_TITLES = {
    "memory_bandwidth": "memory bandwidth", "kernel_floor_s": "kernel floor",
    "host_launch_s": "host launch", "host_sync_s": "host read",
    "collective_latency_s": "collective latency",
}  # fmt: skip


def explained_document(
    assessment: Assessment, explanations: Sequence[PhaseExplanation], *, everything: bool = False
) -> Document:
    """Return the explanation of every time.

    Args:
        assessment: the answer.
        explanations: where its times come from.
        everything: list all kernels and parts of the model.
    """
    return Document(blocks=tuple(_blocks(assessment, explanations, everything)))


def _blocks(
    a: Assessment, explanations: Sequence[PhaseExplanation], everything: bool
) -> Iterator[Block]:
    known = {(e.chip, e.phase): e for e in explanations}
    for index, first in enumerate(a.chips[0].phases):
        for chip in a.chips:
            found = known.get((chip.chip, chip.phases[index].phase))
            stack = chip.phases[index].stack
            if found is None:
                text = f"{first.phase} of {a.model.name} on {chip.chip}"
                yield Heading(level=2, text=text)
                yield Line(text="no time is predicted: see the findings of this chip", tone="quiet")
            else:
                yield from _phase(a.model.name, found, everything)
            if stack is not None:
                yield stack_table(stack, everything=everything)
                yield resting_table(stack)
    yield Line(
        text="Times of the two ends are predicted from data sheets and assumed rates (T0), not "
        "fitted to the chip; those of a stack from models of its kernels. A saving is the "
        "difference to the phase priced again with that one change; savings of two levers do not "
        "add up. `--trace FILE` shows when each kernel runs.",
        tone="quiet",
    )


def _phase(model: str, e: PhaseExplanation, everything: bool) -> Iterator[Block]:
    """Yield one phase on one chip."""
    band = f"{seconds(e.time_s.low)} to {seconds(e.time_s.high)}"
    where = f"{e.chip}, {things(e.chips, 'chip')}" if e.chips > 1 else e.chip
    yield Heading(level=2, text=f"{e.phase} of {model} on {where}: {band}")
    yield _bounds(e)
    yield _kernels(e, everything)
    yield _parts(e, everything)
    yield _levers(e)
    for crossover in e.crossovers:
        yield Line(text=_crossover(crossover, e.levers))


def _bounds(e: PhaseExplanation) -> Table:
    """Return what binds at both ends; what binds nothing is left out."""
    low, high = e.time_s.low, e.time_s.high
    ends = ((name, share, e.share_by_bound_eager[name]) for name, share in e.share_by_bound.items())
    rows = [
        (seconds(share * low), _percent(share), seconds(eager * high), _percent(eager), name)
        for name, share, eager in ends
        if share or eager
    ]
    return Table(title="what binds (predicted; fused+graph and eager end)",
                 columns=("fused", "share", "eager", "share", "bound by"),
                 rows=tuple(rows), right=frozenset(range(4)))  # fmt: skip


def _kernels(e: PhaseExplanation, everything: bool) -> Table:
    """Return the kernels that take the most time at either end."""
    shown = e.kernels if everything else _largest(e.kernels)
    prefix = _common(k.module for k in shown)
    rest = [k for k in e.kernels if k not in shown]
    rows = [_kernel_row(k, e, prefix) for k in shown]
    if rest:
        fused, eager = (sum(end.time_s for k in rest if (end := getattr(k, name)))
                        for name in ("fused", "eager"))  # fmt: skip
        rows.append((seconds(fused), _percent(fused / (e.time_s.low or 1)), seconds(eager), "", "",
                     "", f"{len(rest)} others: add --all"))  # fmt: skip
    star = f"; *: {prefix}" if prefix else ""
    return Table(
        title="kernels (predicted; share, what binds, time over roofline, launches: at the fused "
        f"end, else the eager one{star})",
        columns=("fused", "share", "eager", "binds", "roof", "n", "kernel"),
        rows=tuple(rows),
        right=frozenset({0, 1, 2, 4, 5}),
    )


def _largest(kernels: Sequence[KernelExplanation]) -> list[KernelExplanation]:
    """Return the largest of the fused end and the two largest of the eager end, in order."""
    eager = sorted(kernels, key=lambda k: -k.eager.time_s if k.eager else 0.0)[:2]
    return [k for k in kernels if k in kernels[:MOST_KERNELS] or k in eager]


def _kernel_row(k: KernelExplanation, e: PhaseExplanation, prefix: str) -> tuple[str, ...]:
    told = k.fused or k.eager
    assert told is not None, "a kernel is at one end at least"
    name = f"{k.label} {k.precision}".strip()
    module = _short(k.module, prefix)
    return (
        seconds(k.fused.time_s) if k.fused else "-",
        _percent(k.fused.time_s / (e.time_s.low or 1)) if k.fused else "-",
        seconds(k.eager.time_s) if k.eager else "-",
        told.binds,
        times_over(told.time_s, told.roofline_s),
        count(told.kernels),
        f"{name}, {module}" if module else name,
    )


def _percent(share: float) -> str:
    """Return a share in as few columns as can be."""
    return percent(share).replace("under ", "<")


def _parts(e: PhaseExplanation, everything: bool) -> Table:
    """Return the time by part of the model."""
    shown = e.modules if everything else e.modules[:MOST_PARTS]
    rest = e.modules[len(shown) :]
    prefix = _common(m.module for m in shown)
    rows = [(m.fused_s, m.eager_s, _short(m.module, prefix) or "outside of any") for m in shown]
    if rest:
        rows.append((sum(m.fused_s for m in rest), sum(m.eager_s for m in rest),
                     f"{len(rest)} others: add --all"))  # fmt: skip
    star = f"; *: {prefix}" if prefix else ""
    return Table(
        title=f"parts of the model (predicted; without collectives{star})",
        columns=("fused", "share", "eager", "share", "part"),
        rows=tuple(
            (seconds(fused), _percent(fused / (e.time_s.low or 1)), seconds(eager),
             _percent(eager / (e.time_s.high or 1)), name)
            for fused, eager, name in rows
        ),
        right=frozenset(range(4)),
    )  # fmt: skip


def _common(modules: Iterator[str]) -> str:
    """Return what stands before the star in all modules that have one; empty if not one thing."""
    found = {m[: m.index(_STARRED) + 2] for m in modules if _STARRED in m}
    return found.pop() if len(found) == 1 else ""


def _short(module: str, prefix: str) -> str:
    return f"*{module[len(prefix) :]}" if prefix and module.startswith(prefix) else module


def _levers(e: PhaseExplanation) -> Table:
    """Return what one step, ten per cent and all of a constant would save, in per cent."""
    return Table(
        title="what would help (predicted: % of the phase saved, fused+graph; eager)",
        columns=("lever", "now", "step", "saves", "by 10 %", "at most"),
        rows=tuple(
            (lever_title(v.name), _now(v), _step(v),
             *(_saved(v, e, name) for name in ("step_s", "tenth_s", "most_s")))
            for v in e.levers
        ),
        right=frozenset({1, 2, 3, 4, 5}),
    )  # fmt: skip


def lever_title(name: str) -> str:
    """Return a lever in words: `matrix bf16 peak`, `scale-up link`, `kernel floor`."""
    if name.startswith("peaks["):
        return f"{name[6:-1].replace('/', ' ')} peak"
    if name.startswith("links["):
        return f"{name[6:].partition(':')[0]} link"
    return _TITLES.get(name, name)


def _now(v: Lever) -> str:
    if v.unit == "s":
        return "; ".join(seconds(end.now) if end.now else "0" for end in (v.fused, v.eager))
    return _rate(v.fused.now, v.unit)


def _rate(value: float, unit: str) -> str:
    return si(value, unit.replace("byte", "B"))


def _step(v: Lever) -> str:
    if v.unit == "s":
        return f"-{si(-v.step * 1e6, 'µs', digits=1)}"
    return f"+{si(v.step, v.unit.replace('byte', 'B'), digits=1)}"


def _saved(v: Lever, e: PhaseExplanation, what: str) -> str:
    """Return a saving at both ends, as per cent of the time there."""

    def per_cent(end: LeverEnd, total: float) -> str:
        share = 100 * getattr(end, what) / (total or 1.0)
        return "0" if abs(share) < 5e-4 else f"{share:.2g}"

    return f"{per_cent(v.fused, e.time_s.low)}; {per_cent(v.eager, e.time_s.high)}"


def _crossover(c: Crossover, levers: Sequence[Lever]) -> str:
    """Return how much more of what binds until something else does."""
    told = f"{c.end}: {c.binds} binds {_percent(c.share)} of the time"
    names = " and ".join(lever_title(name) for name in c.grows)
    if not c.grows:
        return f"{told}; no lever gives way to it"
    if c.factor is None:
        return f"{told}; 1,000 times better {names} would not change that"
    one = next((v for v in levers if v.name == c.grows[0]), None)
    value = ""
    if one is not None and len(c.grows) == 1:
        end = one.fused if c.end == "fused+graph" else one.eager
        reached = end.now / c.factor if one.unit == "s" else end.now * c.factor
        value = f" ({seconds(reached) if one.unit == 's' else _rate(reached, one.unit)})"
    return f"{told}; from {c.factor:.3g} times better {names}{value} on, {c.then} binds most"
