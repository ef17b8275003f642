"""What a person reads of a load on a served model. The numbers are made up, none is worked out.

`python -m tests.golden.test_serving_golden` writes the files anew; read the difference before it
is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from crossgrade.report.serving import serving_document
from crossgrade.report.shown import shown
from crossgrade.values.bench import Interval, LostSession
from crossgrade.values.serving import (
    METRICS,
    PERCENTILES,
    ClientCheck,
    Counting,
    Endpoint,
    Limits,
    Load,
    LoadResult,
    Metric,
    Percentile,
    Requests,
    Saturation,
    ServePlan,
    ServeSession,
    ServingResult,
    ServingRun,
    Share,
)

FILES: Mapping[str, bool] = {"serving.txt": True, "serving.md": False}
"""File -> whether it is for a screen."""
HERE = Path(__file__).parent
LOADS = (
    Load(kind="open-loop", rate_per_s=2.5),
    Load(kind="closed-loop", concurrency=8),
    Load(kind="trace", trace="mooncake-conversation", pace=2.0, concurrency=64),
)
TYPICAL = {"ttft": 0.118, "tpot": 0.0213, "itl": 0.0207, "e2e": 1.49}
REQUESTS = Requests(
    due_ns=(0.0, 1e9, 2e9), sent_ns=(0.0, 1e9, None), first_ns=(1e8, None, None),
    last_ns=(2e8, None, None), ended_ns=(2e8, 1.1e9, None),
    outcomes=("ok", "http-error", "unfinished"),
    details=("", "503: queue is full", "the time of the load was over"),
    input_asked=(128,) * 3, input_reported=(130, -1, -1), output_asked=(64,) * 3,
    output_reported=(64, -1, -1), chunks=(2, 0, 0), text_bytes=(9, 0, 0), gaps_ns=((1e8,), (), ()),
    warmups=0,
)  # fmt: skip


def spread(value: float, share: float) -> Interval:
    return Interval(value=value, low=value * (1 - share), high=value * (1 + share))


def metric(name: str, count: int, scale: float, lost: bool) -> Metric:
    middle = TYPICAL[name] * scale
    values = [middle, middle * 1.4, middle * 1.6, middle * 2.1]
    bounded = name != "itl"
    percentiles = tuple(
        Percentile(share=share, value_s=None if lost and share == 0.99 else value,
                   low_s=value * 0.94 if bounded else None,
                   high_s=value * 1.08 if bounded and share < 0.99 else None)
        for share, value in zip(PERCENTILES, values, strict=True)
    )  # fmt: skip
    return Metric(name=name, count=count, median_s=spread(middle, 0.031) if bounded else None,
                  mean_s=None if lost else middle * 1.1, percentiles=percentiles)  # fmt: skip


def calm() -> LoadResult:
    """Return a load with nothing wrong."""
    return LoadResult(
        key=LOADS[0].key,
        verdict="measured",
        why="",
        sessions=3,
        outcomes={"ok": 300},
        metrics=tuple(metric(name, 18_900 if name == "itl" else 300, 1.0, False)
                      for name in METRICS),
        requests_per_s=spread(2.46, 0.02),
        output_tokens_per_s=spread(157.4, 0.02),
        concurrency=3.71,
        good=Share(value=0.93, low=0.895, high=0.956),
        saturation=Saturation(saturated=False, slope=Interval(value=0.04, low=-0.08, high=0.16),
                              in_flight=Interval(value=0.02, low=-0.2, high=0.24), delivered=0.991,
                              why="the latency does not grow beyond what chance explains, and no "
                                  "backlog remains"),
        client=ClientCheck(bound=False, headroom=212.0, late_share=0.004,
                           why="it reaches 212 times the rate of the load"),
        counting=Counting(source="reported", faults=(), input_tokens=131.0, output_tokens=64.0,
                          short=0),
        remarks=("p99 has no upper end: 300 requests of the 368 that it takes",),
    )  # fmt: skip


def failing() -> LoadResult:
    """Return a load of which some requests failed."""
    return dataclasses.replace(
        calm(), key="concurrency-8", verdict="http-error",
        why="6.0 % of the requests failed, most as http-error: the answer of the server stands "
            "below: its limits or its log say why",
        outcomes={"ok": 282, "http-error": 18},
        metrics=tuple(metric(name, 300, 1.7, name != "itl") for name in METRICS),
        requests_per_s=spread(11.2, 0.3), good=None, remarks=(),
        saturation=Saturation(saturated=False, slope=None, in_flight=None, delivered=None,
                              why="a closed loop cannot: each user waits for an answer"),
        client=ClientCheck(bound=False, headroom=46.0, late_share=None,
                           why="it reaches 46 times the rate of the load"),
        counting=Counting(source="events", faults=(), input_tokens=None, output_tokens=61.0,
                          short=12),
    )  # fmt: skip


def unanswered() -> LoadResult:
    """Return a load that nobody answered."""
    return dataclasses.replace(
        calm(), key=LOADS[2].key, verdict="unmeasured", sessions=1, outcomes={"unfinished": 100},
        why="no request was answered in the time given: give more --budget, or ask for less load",
        metrics=tuple(Metric(name=name, count=0, median_s=None, mean_s=None,
                             percentiles=calm().metrics[2].percentiles) for name in METRICS),
        requests_per_s=None, output_tokens_per_s=None, concurrency=None, good=None,
        saturation=Saturation(saturated=False, slope=None, in_flight=None, delivered=None,
                              why="too few answers, or a load too short beside its latency, to "
                                  "tell"),
        client=ClientCheck(bound=False, headroom=None, late_share=None, why="nothing was answered"),
        counting=Counting(source="events", faults=("nothing adds up",), input_tokens=None,
                          output_tokens=None, short=0),
        remarks=("100 requests never sent: in no percentile and no share",),
    )  # fmt: skip


def run() -> ServingRun:
    plan = ServePlan(endpoint="http://127.0.0.1:8000/v1", model="qwen3-0.6b", api="chat",
                     loads=LOADS, limits=Limits(ttft_s=0.2, tpot_s=0.05))  # fmt: skip
    endpoint = Endpoint(address=plan.endpoint, model=plan.model, notes=("it ignores `ignore_eos`",),
                        facts={"server": "uvicorn", "version": "0.11"})  # fmt: skip
    sessions = tuple(ServeSession(index=i, load=1, restarted=False, requests=REQUESTS,
                                  null_per_s=900.0, spent_s=3.0) for i in range(3))  # fmt: skip
    result = ServingResult(
        plan=plan, endpoint=endpoint, verdict="unmeasured", sessions=sessions,
        loads=(calm(), failing(), unanswered()),
        lost=(LostSession(index=3, reason="crashed", detail="the server ended with code 1"),),
        notes=("server and client share the cores of this machine",), spent_s=130.0,
    )  # fmt: skip
    return ServingRun(result=result, record="out/my run/r.json", folder="out/my run", taken_up=2)


def text(for_screen: bool) -> str:
    return shown(serving_document(run()), terminal=for_screen, width=100)


@pytest.mark.parametrize("name", FILES)
def test_it_reads_as_it_did(name):
    assert text(FILES[name]) == (HERE / name).read_text(encoding="utf-8")


def test_it_fits_a_screen_of_100_columns():
    assert max(map(len, text(True).splitlines())) <= 100


if __name__ == "__main__":
    for name, for_screen in FILES.items():
        (HERE / name).write_text(text(for_screen), encoding="utf-8")
