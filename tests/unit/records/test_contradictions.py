"""Parts of a measured record that cannot be true together."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.measure.simulated import keyed, plan, source

from crossgrade.api.bench_book import bench_record
from crossgrade.measure.harness import run
from crossgrade.records.contradictions import contradictions
from crossgrade.values.observation import Accuracy, Energy, MemoryPeak, Observation


def observed(error, limit, passed):
    """Return a measurement whose only variant was seen to be that far off."""
    ((_, result),) = run(keyed(plan()), source())
    accuracy = Accuracy(reference="x", relative_error=error, worst=error, same_top=None, elements=1,
                        limit=limit, passed=passed)  # fmt: skip
    memory = MemoryPeak(ready_bytes=1.0, peak_bytes=1.0, counter="x")
    energy = Energy(joules_per_call=None, gross_joules_per_call=None, idle_w=None, active_w=None,
                    calls=0, seconds=0.0, sensor="", kind=None, scope="",
                    reason="no-sensor")  # fmt: skip
    seen = Observation(accuracy=accuracy, memory=memory, energy=energy)
    return dataclasses.replace(result, observed={"v0": seen})


@pytest.mark.parametrize(("error", "limit", "passed", "count"), [
    (1e-6, 1e-5, True, 0),
    (1e-4, 1e-5, True, 1),
    (1e-4, 1e-5, False, 1),  # and yet it has a number
    (1e-6, 1e-5, False, 2),
])  # fmt: skip
def test_a_variant_has_a_number_only_where_its_error_is_allowed(error, limit, passed, count):
    result = observed(error, limit, passed)
    assert len(list(contradictions(bench_record(result, {}, {}), result))) == count
