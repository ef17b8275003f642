"""The answer of `layout serve` as a document.

Must not compute: every figure stands in the value.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.report.document import Block, Document, Heading, Line, Table
from crossgrade.units import count, figure, percent, seconds, things
from crossgrade.values.simulated_service import LATENCIES, PERCENTILES, SimulatedService

_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end to end"}
_METHOD = (
    "all predicted: the stack's launches, priced by kernel models, and its scheduler with "
    "defaults where nothing is set, simulated event by event; P50, and P10 to P90, of every "
    "launch at once, over requests their percentiles. Experts are chosen without preference. "
    "HTTP, tokenisation and warm-up are not in it"
)


def service_document(found: SimulatedService) -> Document:
    """Return the simulation as headings and tables."""
    return Document(blocks=tuple(_blocks(found)))


def _blocks(found: SimulatedService) -> Iterator[Block]:
    aims = "" if found.ttft_aim_s is None and found.tpot_aim_s is None else (
        ": within the aims" if found.meets_aims else ": misses the aims"
    )  # fmt: skip
    yield Heading(text=f"{found.model} on {things(found.chips, found.chip)}{aims}")
    limits = f" with {found.limits}" if found.limits else ""
    yield Line(text=f"weights: {found.weights}; {found.stack}{limits}; {found.load}")
    if aims:
        yield Line(text=f"aims for 99 of 100 requests: {_aims(found)}")
    if found.refused:
        yield Line(text=f"{count(found.refused)} requests are longer than the cache of an instance",
                   tone="warning")  # fmt: skip
    yield _latencies(found)
    yield _rates(found)
    yield _pools(found)
    yield Heading(text="how we know", level=2)
    yield Line(text=_METHOD)
    delay = found.scheduler_delay_s
    if delay:
        yield Line(text=f"{seconds(delay)} between two steps, as given")
    if found.transfer_s is not None:
        yield Line(text=f"a prompt's cache takes {seconds(found.transfer_s)} on average over "
                   f"{found.transfer_link}, at the middle of the assumed efficiency")  # fmt: skip


def _aims(found: SimulatedService) -> str:
    aims = (("TTFT", found.ttft_aim_s), ("TPOT", found.tpot_aim_s))
    return ", ".join(f"{name} at most {seconds(aim)}" for name, aim in aims if aim is not None)


def _latencies(found: SimulatedService) -> Table:
    """Return each latency over requests, with the band of its median and of its tail."""
    low, mid, high = (found.outcomes[end].latencies for end in ("low", "mid", "high"))
    columns = ("latency", "mean", *(f"p{p}" for p in PERCENTILES), "p50, P10 to P90",
               "p99, P10 to P90")  # fmt: skip
    rows = []
    for name in (known for known in LATENCIES if known in mid):
        bands = [
            f"{seconds(low[name].percentiles_s[p])} to {seconds(high[name].percentiles_s[p])}"
            for p in (50, 99)
        ]
        whole = (seconds(mid[name].percentiles_s[p]) for p in PERCENTILES)
        rows.append((_NAMES[name], seconds(mid[name].mean_s), *whole, *bands))
    return Table(title="latencies over requests (predicted)", columns=columns, rows=tuple(rows),
                 right=frozenset(range(1, len(columns))), whole=frozenset({5, 6}))  # fmt: skip


def _rates(found: SimulatedService) -> Table:
    """Return throughput at the three ends."""
    aimed = found.outcomes["mid"].within_aims is not None
    columns = ("launches at", "tokens/s", "tokens/s/chip", "answers/s", "busy",
               *(("within aims",) if aimed else ()), "read again", "in work, most")  # fmt: skip
    rows = []
    for end, name in (("low", "P10"), ("mid", "P50"), ("high", "P90")):
        o = found.outcomes[end]
        rows.append((name, figure(o.tokens_per_s), figure(o.tokens_per_s / found.chips),
                     figure(o.requests_per_s), percent(o.busy),
                     *((percent(o.within_aims or 0.0),) if aimed else ()), percent(o.read_again),
                     count(o.most_running)))  # fmt: skip
    asked = (
        "" if found.rate_per_s is None else f"; {figure(found.rate_per_s)} requests come per second"
    )
    return Table(title=f"throughput (predicted{asked})", columns=columns, rows=tuple(rows),
                 right=frozenset(range(1, len(columns))))  # fmt: skip


def _pools(found: SimulatedService) -> Table:
    names = {"both": "read and decode", "prefill": "read prompts", "decode": "decode"}
    return Table(
        title="instances (cache: predicted)",
        columns=("they", "instances", "layout", "chips", "cache of one, tokens"),
        rows=tuple((names[pool.role], count(pool.instances), pool.layout.words, count(pool.chips),
                    count(pool.cache_tokens)) for pool in found.pools),
        right=frozenset({1, 3, 4}), whole=frozenset({2}),
    )  # fmt: skip
