"""Load on a served model, shown: hostile text stays inert, nothing missing breaks it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serving.made import CLOSED, OPEN, failing, plan, result, steady, unsent

from crossgrade.report.serving import TONES, serving_document
from crossgrade.report.serving_load import pair
from crossgrade.report.shown import shown
from crossgrade.values.serving import SERVING_VERDICTS, Endpoint, Limits, Load, ServingRun


def texts(found, **changes):
    document = serving_document(ServingRun(**({"result": found, "record": "", "folder": ""}
                                              | changes)))  # fmt: skip
    return [shown(document, terminal=terminal, width=100) for terminal in (True, False)]


@pytest.mark.parametrize(("first", "second", "wanted"), [
    (0.118, 0.24, "118/240 ms"), (0.0005, 1.5, "0.000500/1.50 s"), (None, 0.2, "none/200 ms"),
    (0.2, None, "200 ms/none"), (None, None, "none/none"), (2e-9, 3e-9, "2.00/3.00 ns"),
    (0.0, 0.0, "0.00/0 ns"),
])  # fmt: skip
def test_two_times_share_a_unit(first, second, wanted):
    assert pair(first, second, "/") == wanted


def test_the_first_line_has_the_verdict_and_what_is_wrong_comes_before_the_numbers():
    broken = result(*(failing(steady(i), range(50, 60), "timed-out") for i in range(3)))
    for text in texts(broken):
        assert text.splitlines()[0].endswith(": timed-out")
        assert text.index("of the requests failed") < text.index("p50/p99")


def test_what_failed_requests_said_is_shown_once_with_its_number():
    broken = result(*(failing(steady(i), range(50, 60)) for i in range(3)))
    for text in texts(broken):
        assert text.count("it said no") == 1
        assert "30 times http-error: it said no" in text


def test_of_warm_ups_nothing_is_told():
    assert "it said no" not in texts(result(failing(steady(), range(8))))[0]


def test_where_only_warm_ups_were_sent_it_is():
    hung = unsent(failing(steady(), range(8), "timed-out"), range(8, 108))
    assert "8 times timed-out: it said no" in texts(result(hung))[0]


def test_an_endpoint_cannot_drive_the_screen_or_the_page():
    nasty = "\x1b[31m<script>|](x)\r\n@all"
    endpoint = Endpoint(address="http://a/v1", model=nasty, facts={nasty: nasty}, notes=(nasty,))
    made = failing(steady(), range(50, 60))
    made = dataclasses.replace(made, details=(nasty,) * 108)
    for_screen, for_page = texts(result(made, endpoint=endpoint), record=nasty)
    assert "\x1b" not in for_screen + for_page
    assert "<script>" not in for_page
    assert "@all" not in for_page.replace("&#64;all", "")


def test_every_verdict_has_a_tone():
    assert set(TONES) <= set(SERVING_VERDICTS)


def test_the_record_and_what_was_taken_up_are_named():
    text, _ = texts(result(steady()), record="a b.json", taken_up=2)
    assert "record: 'a b.json'" in text
    assert "crossgrade records verify 'a b.json'" in text
    assert "2 loads of an earlier run" in text


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 107), max_size=108),
    st.lists(st.integers(0, 107), max_size=20),
    st.sampled_from([OPEN, CLOSED, Load(kind="trace", trace="a" * 60, concurrency=2)]),
    st.integers(0, 3),
    st.sampled_from([Limits(), Limits(ttft_s=0.1, tpot_s=0.2, e2e_s=0.3)]),
)
def test_any_result_is_shown_in_100_columns(gone, left, load, sessions, limits):
    made = unsent(failing(steady(), gone, "malformed"), left)
    found = result(*([made] * sessions), load=load, limits=limits)
    for_screen, for_page = texts(found)
    assert max(map(len, for_screen.splitlines())) <= 100
    assert f"{load.key}: {found.verdict}" in for_page


def test_a_run_without_any_session_is_shown():
    assert "0 sessions" in texts(result(load=plan().loads[0]))[0]
