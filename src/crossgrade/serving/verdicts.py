"""How a load ended, why, and what to do. Must not know how a number is worked out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from crossgrade.units import percent, things
from crossgrade.values.bench import Interval
from crossgrade.values.serving import (
    SERVING_VERDICTS,
    LoadResult,
    Outcome,
    ServePlan,
    ServingVerdict,
)

FailedOutcome = Literal["refused", "timed-out", "http-error", "cut-off", "malformed"]
FAILED: Final[tuple[FailedOutcome, ...]] = get_args(FailedOutcome)
"""Outcomes that are the endpoint's."""
FAILURES: Final = 0.01
"""Share of the requests sent above which a load counts as failed."""
DECIDING: Final = ("ttft", "e2e")
"""Latencies whose medians have to be known as well as was asked."""
_DO: Final[Mapping[FailedOutcome, str]] = {
    "refused": "see that the server runs and listens at that address, and how many connections it "
    "takes",
    "timed-out": "the server hangs or is far behind: look at its log, ask for less load, or give "
    "more --timeout",
    "http-error": "the answer of the server stands below: its limits or its log say why",
    "cut-off": "the server or something between closes connections early: look at its log",
    "malformed": "what answers does not speak the protocol as it should: the details stand below",
}


def load_verdict(
    plan: ServePlan, found: LoadResult, sent: Mapping[Outcome, int]
) -> tuple[ServingVerdict, str]:
    """Return the verdict of a load with why, and what to do; the worst that holds.

    Args:
        plan: what was asked.
        found: everything else of the load.
        sent: requests that were sent, by outcome.
    """
    tried = sum(sent.values())
    failed = {kind: sent.get(kind, 0) for kind in FAILED}
    if sum(failed.values()) > FAILURES * tried:
        worst = max(FAILED, key=lambda kind: failed[kind])
        share = percent(sum(failed.values()) / tried)
        return worst, f"{share} of the requests failed, most as {worst}: {_DO[worst]}"
    if found.requests_per_s is None:
        why = "no request was answered in the time given: give more --budget, or ask for less load"
        return "unmeasured", why
    if found.counting.faults:
        return "miscounting", f"{'; '.join(found.counting.faults)}; no figure per token holds"
    if found.client.bound:
        return "client-bound", (f"{found.client.why}: use a faster or idle client machine, or ask "
                                "for less load")  # fmt: skip
    if found.saturation.saturated:
        return "saturated", (f"{found.saturation.why}: latencies say how long the load lasted; ask "
                             "for less load")  # fmt: skip
    late = sent.get("unfinished", 0)
    if late > FAILURES * tried:
        return "noisy", (f"{things(late, 'request')} had no answer when the time was over: give "
                         "more --budget, or ask for less load")  # fmt: skip
    wide = _wide(plan, found)
    return ("noisy", wide) if wide else ("measured", "")


def _wide(plan: ServePlan, found: LoadResult) -> str:
    """Return what is known less well than was asked; empty where nothing is."""
    if found.sessions < plan.least_sessions:
        there = things(found.sessions, "session")
        return f"{there} of {plan.least_sessions} that it takes: give more --budget"
    for metric in found.metrics:
        if metric.name in DECIDING and not is_narrow(metric.median_s, plan):
            known = f"±{percent(metric.median_s.half_width)}" if metric.median_s else "no interval"
            return (f"the median {metric.name} is known to {known}, ±{percent(plan.half_width)} "
                    "was asked: give more --budget, or a wider --half-width")  # fmt: skip
    return ""


def is_narrow(interval: Interval | None, plan: ServePlan) -> bool:
    """Return whether a number is known as well as was asked."""
    return interval is not None and interval.half_width <= plan.half_width


def worst_of(verdicts: Iterable[ServingVerdict]) -> ServingVerdict:
    """Return the worst of some verdicts; `unmeasured` of none."""
    return min(verdicts, key=SERVING_VERDICTS.index, default="unmeasured")
