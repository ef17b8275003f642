"""Load on a served model as a document: what is wrong first, then a row per load, then each load.

Must not work out a number.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from crossgrade.report.document import Block, Document, Heading, Line, Table, Tone
from crossgrade.report.serving_load import load_blocks, pair
from crossgrade.units import figure, things
from crossgrade.values.bench import Interval
from crossgrade.values.serving import Load, LoadResult, MetricName, ServingResult, ServingRun

TONES: dict[str, Tone] = {
    "measured": "good",
    "noisy": "warning",
    "saturated": "warning",
    "client-bound": "warning",
}
"""How a verdict is meant; any other is bad."""


def serving_document(run: ServingRun) -> Document:
    """Return a run: verdict, what is wrong, every load, the endpoint, and how to get it again."""
    return Document(blocks=tuple(_blocks(run)))


def _blocks(run: ServingRun) -> Iterator[Block]:
    result = run.result
    model = result.endpoint.model or "a served model"
    yield Heading(text=f"{model} at {result.endpoint.address}: {result.verdict}")
    yield Line(text=_summary(result), tone=_tone(result.verdict))
    yield from _warnings(result)
    yield _table(result)
    for place, (load, found) in enumerate(zip(result.plan.loads, result.loads, strict=True)):
        yield Heading(text=f"{found.key}: {found.verdict}", level=2)
        yield Line(text=_said(load), tone="quiet")
        yield from load_blocks(result, place)
    yield from _endpoint(result)
    yield from _kept(run)


def _tone(verdict: str) -> Tone:
    return TONES.get(verdict, "bad")


def _summary(result: ServingResult) -> str:
    """Return how many loads ended how."""
    counts: dict[str, int] = {}
    for found in result.loads:
        counts[found.verdict] = counts.get(found.verdict, 0) + 1
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    sessions = len({s.index for s in result.sessions})
    return f"{things(len(result.loads), 'load')} ({told}) in {things(sessions, 'session')}"


def _warnings(result: ServingResult) -> Iterator[Block]:
    """Yield what is wrong, the worst first."""
    for found in sorted(result.loads, key=lambda load: _RANK[_tone(load.verdict)]):
        if found.why:
            yield Line(text=f"{found.key}, {found.verdict}: {found.why}",
                       tone=_tone(found.verdict))  # fmt: skip
    for lost in result.lost:
        yield Line(text=f"session {lost.index + 1} was lost, {lost.reason}: {lost.detail}",
                   tone="warning")  # fmt: skip


_RANK: dict[Tone, int] = {"bad": 0, "warning": 1, "good": 2}


def _table(result: ServingResult) -> Table:
    # The verdict first: of columns behind the first the widest gives way, a long name of a trace.
    columns = ("verdict", "load", "n", "TTFT\np50/p99", "TPOT\np50/p99", "e2e\np50/p99", "req/s",
               "tok/s", "in\nflight")  # fmt: skip
    title = "measured, n requests; one without an answer counts as longer than any"
    return Table(columns=columns, rows=tuple(_cells(found) for found in result.loads),
                 right=frozenset(range(2, len(columns))), title=title)  # fmt: skip


def _cells(found: LoadResult) -> tuple[str, ...]:
    return (
        found.verdict,
        found.key,
        str(sum(found.outcomes.values())),
        _middle_and_tail(found, "ttft"),
        _middle_and_tail(found, "tpot"),
        _middle_and_tail(found, "e2e"),
        _rate(found.requests_per_s),
        _rate(found.output_tokens_per_s),
        "" if found.concurrency is None else figure(found.concurrency),
    )


def _middle_and_tail(found: LoadResult, name: MetricName) -> str:
    """Return p50 and p99 of a latency."""
    metric = next(m for m in found.metrics if m.name == name)
    at = {p.share: p.value_s for p in metric.percentiles}
    return pair(at.get(0.5), at.get(0.99), "/") if metric.count else ""


def _rate(interval: Interval | None) -> str:
    return "" if interval is None else figure(interval.value)


def _said(load: Load) -> str:
    """Return what a load is."""
    if load.kind == "open-loop":
        what = f"Poisson arrivals, {load.rate_per_s:g} per s on average"
    elif load.kind == "closed-loop":
        what = f"{things(load.concurrency or 0, 'user')}, each with one request at a time"
    else:
        what = f"trace {load.trace}, {load.pace:g} times as fast as it was recorded"
    if load.kind != "closed-loop" and load.concurrency is not None:
        what += f", {load.concurrency} at once at most"
    if load.kind == "trace":
        size = "tokens as the trace says"
    else:
        size = f"{load.input_tokens} tokens in, {load.output_tokens} out"
    return (f"{what}; {things(load.requests, 'request')} per session after "
            f"{things(load.warmups, 'warm-up')}; {size}")  # fmt: skip


def _endpoint(result: ServingResult) -> Iterator[Block]:
    """Yield what is known of the endpoint, and what a reader should mind."""
    endpoint = result.endpoint
    for note in (*result.notes, *endpoint.notes):
        yield Line(text=f"mind: {note}", tone="quiet")
    rows = [("interface", result.plan.api), *endpoint.facts.items()]
    yield Table(columns=("endpoint", "what it says of itself"), rows=tuple(rows))


def _kept(run: ServingRun) -> Iterator[Block]:
    if run.taken_up:
        yield Line(text=f"taken up: {things(run.taken_up, 'load')} of an earlier run, not measured "
                   "again", tone="quiet")  # fmt: skip
    plan = run.result.plan
    yield Line(text=f"the same arrivals and lengths again: seed {plan.seed}, the same loads and "
               "budget; prompts differ from run to run", tone="quiet")  # fmt: skip
    if run.record:
        named = shlex.quote(run.record)
        yield Line(text=f"record: {named}", tone="quiet")
        yield Line(text=f"does it hold together: crossgrade records verify {named}", tone="quiet")
