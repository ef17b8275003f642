"""Sessions and batches as a drawing needs them follow from the raw samples."""

from __future__ import annotations

from statistics import median

import pytest
from tests.bench_pages import result

from crossgrade.measure.strips import strips_of
from crossgrade.values.strip import QUANTILES


def batches_of(found, session, variant):
    """Return batch medians worked out from the raw spans, s per call."""
    fixed = (session.fixed_ns or (0.0,) * len(session.counts))[variant]
    spans = [ns - fixed for ns, v in zip(session.spans_ns, session.order, strict=True)
             if v == variant]  # fmt: skip
    per_call = [ns * 1e-9 / session.counts[variant] for ns in spans]
    size = found.plan.batch
    return [median(per_call[i : i + size]) for i in range(0, len(per_call), size)]


def test_values_of_sessions_are_medians_of_batch_medians():
    found = result(0.5, 1.3)
    strip = strips_of(found)[1]
    batches = [batches_of(found, s, 1) for s in found.sessions]
    # Medians of logarithms and of times differ where two middle ones are averaged: by noise.
    assert strip.sessions_s == pytest.approx([median(b) for b in batches], rel=1e-3)
    assert strip.batches == sum(map(len, batches))
    pooled = sorted(v for b in batches for v in b)
    assert (strip.batch_s[0], strip.batch_s[-1]) == pytest.approx((pooled[0], pooled[-1]), rel=1e-3)


def test_quantiles_are_in_order_and_hold_the_time():
    for strip in strips_of(result(0.5, 1.3)):
        assert len(strip.batch_s) == len(QUANTILES)
        assert list(strip.batch_s) == sorted(strip.batch_s)
        assert strip.batch_s[0] <= strip.batch_s[3] <= strip.batch_s[-1]


def test_what_has_no_number_has_no_strip():
    assert [s.variant for s in strips_of(result(0.5, fail="crashed"))] == ["cpu", "compile:cpu"]
