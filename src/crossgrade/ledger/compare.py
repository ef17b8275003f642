"""A published result beside our own band for the same conditions.

Must not know whether either is right.
"""

from __future__ import annotations

from collections.abc import Sequence

from crossgrade.predict.phase import UNRATED, Prepared, predict
from crossgrade.values.assessment import ClaimComparison
from crossgrade.values.chip import Chip
from crossgrade.values.claim import Claim
from crossgrade.values.evidence import Band
from crossgrade.values.layout import Layout
from crossgrade.values.workload import Workload


def nearest(claims: Sequence[Claim], workload: Workload) -> Claim | None:
    """Return the claim whose context, then batch, is nearest to the workload's; None without.

    Among equals the first published counts.
    """
    return min(
        claims,
        key=lambda c: (abs(c.context - workload.context), abs(c.batch - workload.batch)),
        default=None,
    )


def compare(
    claim: Claim, prepared: Prepared | None, chip: Chip, *, reason: str = ""
) -> ClaimComparison:
    """Return the claim beside our band.

    Args:
        claim: what was said, about `tpot_s`.
        prepared: our capture at the claim's batch, context and tokens per step; None without one.
        chip: the chip.
        reason: why there is no capture.
    """
    if prepared is None or chip.memory_bandwidth is None:
        why = reason or "the chip's memory bandwidth is not published"
        return ClaimComparison(claim=claim, predicted=None, inside=None, remark=why)
    layout = Layout(chips=claim.chips, kind="ideal-shards", tp=claim.chips)
    prediction = predict(prepared, chip, layout)
    if prediction.unrated_share > UNRATED:
        why = f"no peak is published for {', '.join(prediction.unknown_rates)}"
        return ClaimComparison(claim=claim, predicted=None, inside=None, remark=why)
    step = prediction.time_s
    gain = claim.tokens_per_step
    band = Band(low=step.low / gain, high=step.high / gain, low_name=step.low_name,
                high_name=step.high_name, unit="s", kind="predicted")  # fmt: skip
    remark = "ideal shards over the claim's chips, composites taken as native"
    if claim.step_tokens > 1:
        remark += (
            f"; {claim.step_tokens} tokens per step, {gain:g} kept; the drafting layers are not "
            "in our figure"
        )
    return ClaimComparison(
        claim=claim, predicted=band, inside=band.holds(claim.value), remark=remark
    )
