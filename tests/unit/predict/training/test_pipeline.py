"""The time of a pipeline equals that of a plain simulation of its schedule."""

from __future__ import annotations

import pytest

from crossgrade.predict.training.pipeline import in_flight, pipeline_time

Op = tuple[str, int, int]
"""forward or backward, micro-batch, chunk of the stage."""


def order(stage: int, stages: int, micro: int, chunks: int) -> list[Op]:
    """The order of one stage: fill, one forward and one backward in turn, drain (Megatron-LM)."""

    def at(i: int, *, back: bool) -> tuple[int, int]:
        group, inside = divmod(i, stages * chunks)
        chunk, place = divmod(inside, stages)
        return group * stages + place, chunks - 1 - chunk if back else chunk

    total = micro * chunks
    if chunks == 1:
        ahead = min(stages - stage - 1, total)
    else:
        ahead = min((stages - stage - 1) * 2 + (chunks - 1) * stages, total)
    forward: list[Op] = [("f", *at(i, back=False)) for i in range(total)]
    backward: list[Op] = [("b", *at(i, back=True)) for i in range(total)]
    found = forward[:ahead]
    for i in range(total - ahead):
        found += [forward[ahead + i], backward[i]]
    return found + backward[total - ahead :]


def simulated(times: list[float], micro: int, chunks: int) -> tuple[float, list[int]]:
    """Return the time of all micro-batches, and the most chunks each stage has under way."""
    stages = len(times)
    orders = [order(s, stages, micro, chunks) for s in range(stages)]
    done: dict[tuple[str, int, int, int], float] = {}
    clock, places, most, alive = [0.0] * stages, [0] * stages, [0] * stages, [0] * stages
    while any(p < len(o) for p, o in zip(places, orders, strict=True)):
        moved = False
        for s in range(stages):
            if places[s] == len(orders[s]):
                continue
            kind, batch, chunk = orders[s][places[s]]
            if kind == "f":
                before = ("f", batch, chunk, s - 1) if s else ("f", batch, chunk - 1, stages - 1)
                first = s == 0 and chunk == 0
            else:
                last = s == stages - 1
                before = ("b", batch, chunk + 1, 0) if last else ("b", batch, chunk, s + 1)
                first = last and chunk == chunks - 1
                if first:
                    before, first = ("f", batch, chunk, s), False
            if not first and before not in done:
                continue
            start = max(clock[s], 0.0 if first else done[before])
            share = 1 / 3 if kind == "f" else 2 / 3
            clock[s] = start + times[s] / chunks * share
            done[kind, batch, chunk, s] = clock[s]
            alive[s] += 1 if kind == "f" else -1
            most[s] = max(most[s], alive[s])
            places[s] += 1
            moved = True
        assert moved, "the schedule waits for itself"
    return max(clock), most


@pytest.mark.parametrize("stages", [1, 2, 4, 7])
@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_equal_stages_take_what_their_schedule_takes(stages: int, rounds: int, chunks: int) -> None:
    micro = rounds * stages
    chunks = chunks if stages > 1 else 1
    time, most = simulated([3.0] * stages, micro, chunks)

    assert pipeline_time([3.0] * stages, micro, chunks) == pytest.approx(time)
    # A stage has as many chunks under way as it keeps activations of.
    for stage, kept in enumerate(most):
        assert kept / chunks == pytest.approx(in_flight(stage, stages, micro, chunks))


@pytest.mark.parametrize("slow", [0, 1, 3])
@pytest.mark.parametrize(("micro", "above"), [(4, 1.14), (16, 1.05)])
def test_a_slower_stage_is_waited_for(slow: int, micro: int, above: float) -> None:
    times = [3.0] * 4
    times[slow] = 4.0
    time, _ = simulated(times, micro, 1)

    assert time - 1e-9 <= pipeline_time(times, micro) <= above * time


def test_one_stage_has_no_bubble() -> None:
    assert pipeline_time([2.0], 5) == 10.0
    assert in_flight(0, 1, 5) == 1.0
