"""The schedule of a stack has a slice per launch and ends when the stack is predicted to end."""

from __future__ import annotations

import pytest
from tests.unit.predict.test_explanation import execution

from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.stack_time import launched, stack_time
from crossgrade.predict.stack_tracing import trace_stack

STACKS = ("vllm", "trtllm", "compile", "eager")


@pytest.mark.parametrize("chips", [1, 4])
@pytest.mark.parametrize("stack", STACKS)
def test_it_ends_when_the_stack_does_and_holds_every_launch(moe_decode, stack, chips):
    case = execution(moe_decode, chips=chips)
    found = stack_time(case.prepared, case.chip, case.layout, stack, shipped())
    one = trace_stack(case, stack, shipped())
    compute = next(s for s in one.streams if s.stream == "compute")
    assert len(compute.start_s) == sum(p.launches for p in found.parts)
    busy = float((compute.end_s - compute.start_s).sum())
    assert busy == pytest.approx(sum(p.mid_s for p in found.parts))
    assert one.total_s == max(s.end_s.max() for s in one.streams)
    if stack != "eager":
        assert one.total_s == pytest.approx(found.mid_s)
    assert {s.stream for s in one.streams} >= ({"communication"} if chips > 1 else {"compute"})


def test_launches_are_in_order_and_say_what_they_rest_on(moe_decode):
    case = execution(moe_decode)
    one = trace_stack(case, "vllm", shipped())
    (compute,) = (s for s in one.streams if s.stream == "compute")
    names = [one.kinds[row].name for row in compute.kind.tolist()]
    kernels = launched(case.prepared, "vllm").kernels
    own = [k.op for k in kernels if k.family is not None and k.part_of is None]
    assert names == own
    assert (compute.start_s[1:] >= compute.end_s[:-1] - 1e-12).all()
    product = next(kind for kind in one.kinds if kind.kind == "matmul")
    assert product.sizes.startswith("batch 1, m ")
    assert product.tier == "T2"
    low, high = product.band_s
    assert 0 < product.roofline_s < high
    assert low < high


def test_a_host_that_launches_one_by_one_is_seen_on_its_stream(moe_decode):
    one = trace_stack(execution(moe_decode), "eager", shipped())
    host = next(s for s in one.streams if s.stream == "host")
    launches = [row for row in host.kind.tolist() if one.kinds[row].kind == "launch"]
    compute = next(s for s in one.streams if s.stream == "compute")
    assert len(launches) >= len(compute.start_s)
