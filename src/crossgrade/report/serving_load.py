"""One load on a served model: latencies with their bounds, and everything that qualifies them.

Must not work out a number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from crossgrade.report.document import Block, Entry, Line, Table
from crossgrade.units import count, figure, percent, seconds, things
from crossgrade.values.bench import Interval
from crossgrade.values.serving import (
    ClientCheck,
    Counting,
    Limits,
    LoadResult,
    Metric,
    Percentile,
    Saturation,
    ServingResult,
    Share,
)

_BROAD = 0.2
"""Half width above which an interval is shown by its ends."""
_DETAILS = 3
"""Different things that failed requests said, the commonest first."""
_SCALES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2e": "e2e"}


def load_blocks(result: ServingResult, place: int) -> Iterator[Block]:
    """Yield the latencies of a load, by its place in the plan, then outcomes, rates and checks."""
    found = result.loads[place]
    if any(metric.count for metric in found.metrics):
        yield _latencies(found)
    details = (
        *_outcomes(result, place),
        *_means(found),
        *_rates(found),
        *_good(found.good, result.plan.limits),
        _saturation(found.saturation),
        _client(found.client),
        *_counting(found.counting),
    )
    yield Entry(text=f"what stands behind it, {things(found.sessions, 'session')}",
                details=details)  # fmt: skip
    for remark in found.remarks:
        yield Line(text=f"mind: {remark}", tone="quiet")


def pair(first: float | None, second: float | None, between: str) -> str:
    """Return two times in the unit of the second, such as `118/240 ms`; `none` for a missing one.

    Args:
        first: s.
        second: s.
        between: what stands between them.
    """
    if first is None or second is None:
        return between.join("none" if t is None else seconds(t) for t in (first, second))
    whole = seconds(second)
    scale = _SCALES.get(whole.rpartition(" ")[2], 1.0)
    # The sign keeps the zeros of 20.0, and the point of 118. too.
    return f"{first / scale:#.3g}".removesuffix(".") + between + whole


def _latencies(found: LoadResult) -> Table:
    shares = [f"p{p.share * 100:g}" for p in found.metrics[0].percentiles]
    columns = ("latency", "over\nsessions", *shares)
    rows = tuple(_row(metric) for metric in found.metrics if metric.count)
    title = "median over sessions; percentiles over all requests, with 95 % bounds"
    return Table(columns=columns, rows=rows, right=frozenset(range(1, len(columns))),
                 title=title)  # fmt: skip


def _row(metric: Metric) -> tuple[str, ...]:
    return (
        f"{_NAMES[metric.name]}\nn {count(metric.count)}",
        _interval(metric.median_s),
        *(_percentile(p) for p in metric.percentiles),
    )


def _interval(interval: Interval | None) -> str:
    """Return a time with how well it is known: a share, or both ends where that says more."""
    if interval is None:
        return ""
    value = seconds(interval.value)
    if interval.half_width <= _BROAD:
        return f"{value}\n±{percent(interval.half_width)}"
    return f"{value}\n{pair(interval.low, interval.high, ' to ')}"


def _percentile(percentile: Percentile) -> str:
    value = "no answer" if percentile.value_s is None else seconds(percentile.value_s)
    if percentile.low_s is None and percentile.high_s is None:
        return value
    if percentile.low_s is None:
        return f"{value}\n{seconds(percentile.high_s or 0.0)} or less"
    if percentile.high_s is None:
        return f"{value}\n{seconds(percentile.low_s)} or more"
    return f"{value}\n{pair(percentile.low_s, percentile.high_s, ' to ')}"


def _outcomes(result: ServingResult, place: int) -> Iterator[str]:
    """Yield requests by outcome, and what those that failed said."""
    found = result.loads[place]
    told = ", ".join(f"{number} {outcome}" for outcome, number in found.outcomes.items())
    yield f"requests: {told or 'none'}"
    rows = [session.requests for session in result.sessions if session.load == place]
    # Where no request that counts was sent, the warm-ups tell why.
    sent = any(t is not None for row in rows for t in row.sent_ns[row.warmups :])
    said = Counter(
        (outcome, detail)
        for row in rows
        for outcome, detail in list(zip(row.outcomes, row.details, strict=True))[
            row.warmups if sent else 0 :
        ]
        if outcome != "ok" and detail
    )
    for (outcome, detail), number in said.most_common(_DETAILS):
        yield f"{number} times {outcome}: {detail}"


def _means(found: LoadResult) -> Iterator[str]:
    means = [f"{_NAMES[m.name]} {seconds(m.mean_s)}" for m in found.metrics
             if m.mean_s is not None]  # fmt: skip
    if means:
        yield f"means: {', '.join(means)}"


def _rates(found: LoadResult) -> Iterator[str]:
    if found.requests_per_s and found.output_tokens_per_s:
        yield (f"answered: {_known(found.requests_per_s)} requests/s, "
               f"{_known(found.output_tokens_per_s)} tokens/s")  # fmt: skip


def _known(interval: Interval) -> str:
    if not math.isfinite(interval.high):
        return figure(interval.value)
    if interval.half_width <= _BROAD:
        return f"{figure(interval.value)} ±{percent(interval.half_width)}"
    return f"{figure(interval.value)} ({figure(interval.low)} to {figure(interval.high)})"


def _good(good: Share | None, limits: Limits) -> Iterator[str]:
    if good is not None:
        given = (("TTFT", limits.ttft_s), ("TPOT", limits.tpot_s), ("e2e", limits.e2e_s))
        within = ", ".join(f"{name} {seconds(limit)}" for name, limit in given if limit is not None)
        yield (f"good: {percent(good.value)} ({percent(good.low)} to {percent(good.high)}) within "
               f"{within}")  # fmt: skip


def _saturation(saturation: Saturation) -> str:
    """Return whether requests piled up, with the numbers."""
    told = [f"piling up: {'yes' if saturation.saturated else 'no'}, {saturation.why}"]
    if saturation.slope:
        told.append(f"latency {_growth(saturation.slope)} of its median")
    if saturation.in_flight:
        told.append(f"in flight {_growth(saturation.in_flight)} of the mean")
    if saturation.delivered is not None:
        told.append(f"delivered {percent(saturation.delivered)} of what was offered")
    return "; ".join(told)


def _growth(interval: Interval) -> str:
    ends = f"{interval.low * 100:+.0f} to {interval.high * 100:+.0f} %"
    return f"{interval.value * 100:+.0f} % ({ends})"


def _client(client: ClientCheck) -> str:
    """Return whether the client was the limit, with the numbers."""
    told = [f"client: {'may be the limit' if client.bound else 'not the limit'}, {client.why}"]
    if client.late_share is not None:
        told.append(f"requests late by {percent(client.late_share)} of the median TTFT (p95)")
    return "; ".join(told)


def _counting(counting: Counting) -> Iterator[str]:
    """Yield how tokens are counted, and what cannot be right."""
    source = {"reported": "as the endpoint reports them", "events": "one per event with text"}
    told = [f"tokens: {source[counting.source]}"]
    if counting.input_tokens is not None:
        told.append(f"{figure(counting.input_tokens)} per prompt")
    if counting.output_tokens is not None:
        told.append(f"{figure(counting.output_tokens)} per answer")
    if counting.short:
        told.append(f"{things(counting.short, 'answer')} shorter than was asked for")
    yield ", ".join(told)
    for fault in counting.faults:
        yield f"cannot be right: {fault}"
