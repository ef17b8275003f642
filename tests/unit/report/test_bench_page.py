"""The page of a measurement: what stands in its cells, its warnings, its gaps, its size."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from tests.bench_pages import CREATED, TARGETS, bench_run, result, titled, troubled

from crossgrade import api
from crossgrade.api.bench_pages import MARGIN
from crossgrade.errors import BadRecord
from crossgrade.measure.compare import compare_variants, judged_variants
from crossgrade.measure.strips import strips_of
from crossgrade.report.bench_charts import RatioRow, clipped, ratios_chart, strip_chart
from crossgrade.report.bench_gaps import gaps_of
from crossgrade.report.bench_matrix import baselines_of, matrix_rows, tallies, targets_of
from crossgrade.report.bench_page import BenchPage, CaseEntry, RecordFile
from crossgrade.report.bench_parts import words
from crossgrade.report.bench_summary import bench_summary
from crossgrade.report.bench_warnings import warnings_of
from crossgrade.report.measuring_words import word
from crossgrade.report.packed import unpack
from crossgrade.values.bench import BenchRun, CensorReason, Interval, LostReason
from crossgrade.values.beside import BesideReason, Place
from crossgrade.values.comparison import Difference
from crossgrade.values.observation import EnergyReason, MemoryReason
from crossgrade.values.operator_case import AbsentReason


def page_of(run: BenchRun, **more) -> BenchPage:
    judged = judged_variants([row.result for row in run.rows], margin=MARGIN)
    cases = tuple(
        CaseEntry(row=row, judged=differs, strips=strips_of(row.result), file=None)
        for row, differs in zip(run.rows, judged, strict=True)
    )
    return BenchPage(**{"run": run, "cases": cases, "margin": MARGIN, "command": "crossgrade x",
                        "created": CREATED, "version": "1", **more})  # fmt: skip


# the matrix ----------------------------------------------------------------------------------
def test_a_cell_says_ratio_word_time_and_sessions():
    (row,) = matrix_rows(page_of(bench_run(result(0.5, 1.3))))
    base, half, more = row.cells
    assert (base.kind, half.kind, more.kind) == ("baseline", "faster", "slower")
    assert re.fullmatch(r"0\.\d+× \[0\.\d+, 0\.\d+\]", half.head)
    assert half.more.endswith(", 8 sessions")
    assert half.order < 1 < more.order
    assert row.words == "baseline faster slower"


def test_the_words_are_those_of_compare():
    found = result(1.004, 1.3)
    judged = {c.after: c.verdict for c in compare_variants(found, margin=MARGIN).cases}
    (mine,) = judged_variants([found], margin=MARGIN)
    assert [c.verdict for c in mine.values()] == list(judged.values())


def test_a_case_without_a_number_says_its_reason():
    page = page_of(bench_run(result(0.5, fail="unsupported-operator")))
    (row,) = matrix_rows(page)
    assert (row.cells[2].kind, row.cells[2].head) == ("absent", "unsupported-operator")
    assert math.isinf(row.cells[2].order)
    assert tallies(page) == [("compile:cpu", [("faster", 1)])]


def test_runs_that_are_put_together_have_the_columns_of_both():
    alone = result()
    other = replace(alone.plan.variants[0], name="npu:0")
    renamed = replace(alone, plan=replace(alone.plan, variants=(other,)),
                      variants=(replace(alone.variants[0], name="npu:0"), alone.variants[1]),
                      )  # fmt: skip
    page = page_of(bench_run(result(0.5, 1.3), renamed))
    assert targets_of(page) == (*TARGETS, "npu:0")
    assert baselines_of(page) == ("cpu", "npu:0")
    assert [c.kind for c in matrix_rows(page)[1].cells] == ["not-measured"] * 3 + ["baseline"]


# warnings and gaps ---------------------------------------------------------------------------
def test_every_trouble_is_a_warning_and_the_worst_comes_first():
    told = warnings_of(page_of(troubled()))
    said = [w.text for w in told]
    for words_ in ("1 output further from the trusted run", "1 number missing", "1 session lost",
                   "7 samples left out", "noisy: 1 case", "samples speak against", "the calibration"
                   " of cpu of 2026-01-02", "openvino: fp16", "3 cases left out"):  # fmt: skip
        assert any(text.startswith(words_) for text in said), words_
    order = [w.severity for w in told]
    assert order == sorted(order, key=("blocker", "warning", "note").index)


def test_a_quiet_run_has_no_warning():
    quiet = replace(result(0.5, 1.3), remarks=())
    assert {w.severity for w in warnings_of(page_of(bench_run(quiet)))} == {"note"}


def test_records_of_several_environments_are_warned_of():
    page = page_of(bench_run(replace(result(), remarks=())),
                   differences=(Difference(key="torch", before="2.12", after="2.13"),))  # fmt: skip
    (warned,) = [w for w in warnings_of(page) if w.severity == "warning"]
    assert warned.details == ("torch: 2.12 -> 2.13",)


def test_gaps_have_reasons_and_what_would_help():
    gaps = gaps_of(page_of(troubled()))
    found = {(g.what, g.word.name): g for g in gaps}
    for key in (
        ("time", "crashed"),
        ("a session", "timed-out"),
        ("samples left out", "throttled"),
        ("energy", "no-sensor"),
        ("share of the measured ceiling", "stale-ceilings"),
    ):
        assert found[key].word.meaning
        assert found[key].word.helps
    assert found["energy", "no-sensor"].on == ("cpu", "openvino")
    assert gaps[0].what == "time"


REASONS = (AbsentReason, BesideReason, MemoryReason, EnergyReason, LostReason, CensorReason, Place)


@pytest.mark.parametrize("name", sorted({w for kind in REASONS for w in get_args(kind)}))
def test_every_reason_means_something(name):
    found = word(name)
    assert found.meaning != name
    assert "](" not in found.meaning + found.helps


# the page ------------------------------------------------------------------------------------
def text_of(run: BenchRun, **more) -> str:
    return api.bench_html(run, created=CREATED, **more)


def test_the_data_in_the_page_is_the_summary():
    page = page_of(troubled(), command="")
    text = api.bench_html(page.run, created=CREATED)
    embedded = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text)[1])
    rows = unpack(embedded)["data"]["rows"]
    wanted = bench_summary(page)["data"]["rows"]
    assert [(r["on"], r["reason"], r["judged"]) for r in rows] == [
        (r["on"], r["reason"], r["judged"]) for r in wanted
    ]
    assert rows[0]["time_s"] == pytest.approx(wanted[0]["time_s"], rel=1e-5)


def test_an_endless_interval_is_told_as_such():
    found = result()
    endless = replace(found.variants[0].time_s, low=0.0, high=math.inf)
    found = replace(found, variants=(replace(found.variants[0], time_s=endless),
                                     found.variants[1]))  # fmt: skip
    text = text_of(bench_run(found))
    assert "one session: no interval" in text
    assert "Infinity" not in text


def test_every_word_that_is_linked_is_explained():
    page = page_of(troubled())
    text = text_of(page.run)
    linked = set(re.findall(r'href="#word-([^"]+)"', text))
    assert {"crashed", "FASTER", "noisy", "incomplete"} - linked == {"incomplete"}
    assert linked <= {w.name for w in words(page)}


def test_two_hundred_cases_of_three_targets_are_less_than_three_megabytes():
    found = result(0.5, 1.3, least=12)
    assert len(found.sessions) == 12
    run = bench_run(*(titled(found, m=m, k=4096, n=4096, bias=True) for m in range(200)))
    text = text_of(run)
    assert len(text.encode()) < 3e6
    assert text.count("<svg") >= 200


def test_times_of_day_and_records_stand_on_the_page():
    page = page_of(bench_run(result()))
    file = RecordFile(name="a.json", digest="d" * 64, created="2025-12-24T01:02:03+00:00")
    later = replace(file, created="2025-12-26T01:02:03+00:00")
    cases = tuple(replace(page.cases[0], file=f) for f in (file, later))
    assert replace(page, cases=cases).measured == "2025-12-24 to 2025-12-26"
    assert page.measured == "2026-01-02"


def test_a_run_without_a_case_has_no_page():
    with pytest.raises(BadRecord):
        text_of(bench_run())


# drawings ------------------------------------------------------------------------------------
def test_a_strip_has_a_mark_per_session_and_says_the_same_in_words():
    found = result(0.5, 1.3)
    times = {v.name: v.time_s for v in found.variants if v.time_s}
    svg = strip_chart("k", "t", strips_of(found), times)
    dots = re.findall(r'd="([^"]*)" class="dots"', svg)
    assert [d.count("h0") for d in dots] == [8, 8, 8]
    told = html.unescape(re.search(r"<desc[^>]*>(.*?)</desc>", svg)[1])
    assert all(f"{name}: " in told for name in TARGETS)


@pytest.mark.parametrize("scale", [1.0001, 1.5, 30.0, 1e5])
def test_an_axis_has_two_ticks_that_differ_at_any_scale(scale):
    (first, *_) = strips_of(result(0.5, 1.3))
    other = replace(first, sessions_s=tuple(s * scale for s in first.sessions_s),
                    batch_s=tuple(s * scale for s in first.batch_s))  # fmt: skip
    svg = strip_chart("k", "t", (first, other), {})
    ticks = re.findall(r'class="quiet">([^<]+)</text>', svg)
    assert len(ticks) >= 2
    assert len(set(ticks)) == len(ticks)
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*class="quiet"', svg)]
    assert min(b - a for a, b in pairwise(places)) > 25


@pytest.mark.parametrize("most", [1.03, 1.6, 12.0, 1e4])
def test_ratios_stand_around_one_with_room_for_labels(most):
    rows = [RatioRow(name="a", ratio=Interval(value=v, low=v / 1.01, high=v * 1.01), word="same")
            for v in (1 / most, 1.0, most)]  # fmt: skip
    svg = ratios_chart("k", "t", rows, 0.02)
    assert ">1×</text>" in svg
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*class="quiet"', svg)]
    assert all(b - a > 25 for a, b in pairwise(places))


def test_an_endless_ratio_is_drawn_to_the_edge():
    endless = RatioRow(name="a", ratio=Interval(value=1.2, low=0.0, high=math.inf), word="same")
    assert "nan" not in ratios_chart("k", "t", [endless], 0.02)


def test_a_long_name_is_clipped_in_a_drawing_alone():
    assert clipped("x" * 50, 10) == "x" * 9 + "…"
    assert clipped("a\nb\u202ec", 10) == "a b?c"
