"""What a person reads of a comparison: what got slower first, and the same to the letter."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from crossgrade.report.comparison import (
    comparison_document,
    comparison_pull_request,
    ratio_text,
    summary,
)
from crossgrade.report.markdown import render_markdown
from crossgrade.report.terminal import render_terminal
from crossgrade.values.bench import Interval
from crossgrade.values.comparison import CaseComparison, Comparison, Difference


def around(value: float, share: float) -> Interval:
    return Interval(value=value, low=value * (1 - share), high=value * (1 + share))


def case(title: str, verdict, by: float, share=0.005, **more) -> CaseComparison:
    fields = {
        "title": title, "before": "main on cpu", "after": "main on cpu", "verdict": verdict,
        "basis": "over-anchor", "device": "same", "ratio": around(by, share),
        "absolute": around(by, share), "before_s": around(1e-4, share),
        "after_s": around(1.1e-4 * by, share), "p_value": 0.001, "sessions": (8, 8),
        "sessions_needed": None,
    }  # fmt: skip
    return CaseComparison(**(fields | more))


COMPARISON = Comparison(
    margin=0.02,
    false_discovery=0.05,
    environment=(
        Difference(key="torch", before="2.9", after="2.10"),
        Difference(key="driver", before="", after="25.1"),
    ),
    cases=(
        case("gemm float32 m=64", "SAME", 1.001),
        case("softmax float32 n=8", "FASTER", 0.9),
        case("gelu float32 n=8", "INCONCLUSIVE", 1.02, 0.03, sessions_needed=12),
        case("relu float32 n=8", "SLOWER", 1.031, absolute=around(1.1, 0.01),
             remarks=("the machine ran 2 % slower",)),
        case("conv float32 n=8", "INCONCLUSIVE", 1, ratio=None, absolute=None, after_s=None,
             p_value=None, basis=None, remarks=("the second has no number: crashed: signal 11",)),
        case("topk float32 n=8", "SLOWER", 1.2, after="new on cpu"),
    ),
    remarks=("variant old: in the first only",),
)  # fmt: skip

MARKDOWN = """\
# comparison of measurements

2 slower, 2 inconclusive, 1 faster, 1 same (margin ±2.0 %)

**what else is not the same**

| fact | first | second |
|---|---|---|
| torch | 2.9 | 2.10 |
| driver | (none) | 25.1 |

| verdict | case | variant | first | second | ratio | ratio of |
|---|---|---|---:|---:|---:|---|
| SLOWER | topk float32 n=8 | main on cpu -> new on cpu | 100 µs | 132 µs | 1.200× [1.194, 1.206] | over-anchor |
| SLOWER | relu float32 n=8 | main on cpu | 100 µs | 113 µs | 1.031× [1.026, 1.036] | over-anchor |
| INCONCLUSIVE | gelu float32 n=8 | main on cpu | 100 µs | 112 µs | 1.020× [0.989, 1.051] | over-anchor |
| INCONCLUSIVE | conv float32 n=8 | main on cpu | 100 µs | unknown | unknown |  |
| FASTER | softmax float32 n=8 | main on cpu | 100 µs | 99.0 µs | 0.900× [0.895, 0.904] | over-anchor |
| SAME | gemm float32 m=64 | main on cpu | 100 µs | 110 µs | 1.001× [0.996, 1.006] | over-anchor |

- **SLOWER relu float32 n=8**
  - the machine ran 2 % slower
  - times as they are: 1.100× [1.089, 1.111]

- **INCONCLUSIVE gelu float32 n=8**
  - about 12 more sessions of each would probably settle it

- **INCONCLUSIVE conv float32 n=8**
  - the second has no number: crashed: signal 11

mind: variant old: in the first only

Ratios are second over first with 95 % intervals. Of what is called FASTER or SLOWER over 5 cases, \
at most 5.0 % is expected to be no difference at all (Benjamini-Hochberg). SAME: the whole \
interval lies inside the margin.
"""  # noqa: E501

PULL_REQUEST_START = """\
## 2 slower, 2 inconclusive, 1 faster, 1 same (margin ±2.0 %)

Not the same environment: torch: 2.9 -> 2.10; driver: (none) -> 25.1.

| verdict | case | variant | first | second | ratio | ratio of |
|---|---|---|---:|---:|---:|---|
| SLOWER | topk float32 n=8 |"""


def test_the_document_to_the_letter():
    assert render_markdown(comparison_document(COMPARISON)) == MARKDOWN


def test_a_screen_shows_every_verdict_and_breaks_no_ratio():
    text = render_terminal(comparison_document(COMPARISON), width=100)
    assert "1.031× [1.026, 1.036]" in text
    assert "about 12 more sessions of each" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_pull_request_says_the_outcome_first_and_folds_what_did_not_change():
    text = comparison_pull_request(COMPARISON, command="crossgrade compare a b")
    assert text.startswith(PULL_REQUEST_START)
    head, folded = text.split("<details>")
    assert "gemm" not in head
    assert "<summary>1 unchanged case</summary>" in folded
    assert "gemm float32 m=64" in folded
    assert "- variant old: in the first only" in head
    assert "Again: `crossgrade compare a b`" in folded


def test_a_pull_request_without_changes_is_short():
    text = comparison_pull_request(replace(COMPARISON, cases=COMPARISON.cases[:1], environment=(),
                                           remarks=()))  # fmt: skip
    assert text.startswith("## 1 same (margin ±2.0 %)\n")
    assert "Not the same environment" not in text
    assert text.count("| SAME |") == 1


def test_a_pull_request_fits_in_a_comment_and_says_what_it_leaves_out():
    rows = tuple(case(f"gemm float32 m={i} {'n' * 40}", verdict, 1.1, remarks=("mind " * 20,))
                 for i in range(600) for verdict in ("SLOWER", "SAME"))  # fmt: skip
    facts = tuple(Difference(key=f"k{i}", before="a" * 99, after="b") for i in range(999))
    many = replace(COMPARISON, cases=rows, environment=facts)
    text = comparison_pull_request(many)
    assert len(text) < 65_536
    assert text.count("cases left out: the table is too long") == 2
    assert "remarks left out" in text
    assert "and 994 more facts" in text


def test_names_have_no_meaning_in_markdown():
    hostile = replace(COMPARISON, cases=(case("<b>|@all](x)", "SLOWER", 1.2),),
                      environment=(Difference(key="<i>", before="", after="@all"),))  # fmt: skip
    text = comparison_pull_request(hostile)
    assert "<b>" not in text
    assert "<i>" not in text
    assert "@all" not in text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Interval(value=1.031, low=1.022, high=1.04), "1.031× [1.022, 1.040]"),
        (Interval(value=1.031, low=0.0, high=math.inf), "1.031× [unknown]"),
        (Interval(value=0.0123, low=0.0122, high=0.0124), "0.01230× [0.01220, 0.01240]"),
        (None, "unknown"),
    ],
)
def test_a_ratio_with_its_interval(ratio, text):
    assert ratio_text(ratio) == text


def test_nothing_to_compare_says_so():
    nothing = replace(COMPARISON, cases=())
    assert summary(nothing) == "nothing to compare (margin ±2.0 %)"
    assert "nothing to compare" in render_markdown(comparison_document(nothing))
    assert nothing.exit_code == 3
