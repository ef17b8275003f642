"""Numbers of tokens: what no honest server reports is found, what one may report is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.unit.serving.made import ENDPOINT, failing, requests, result

DUE = np.arange(108) * 0.1
STOPS = dataclasses.replace(ENDPOINT, ignores_eos=False)
TEMPLATE = dataclasses.replace(ENDPOINT, input_fixed=900.0)


def made(**columns):
    return requests(DUE, 0.1, 0.5, tokens=64, **{name: (v,) * 108 for name, v in columns.items()})


def counted(endpoint=ENDPOINT, **columns):
    found = result(made(**columns), endpoint=endpoint).loads[0]
    assert (found.verdict == "miscounting") == bool(found.counting.faults)
    return found.counting


@pytest.mark.parametrize(("columns", "endpoint", "word"), [
    ({"output_reported": 32}, ENDPOINT, "more events than the tokens"),
    ({"output_reported": 0}, ENDPOINT, "more events than the tokens"),
    ({"output_reported": 128}, ENDPOINT, "than were asked for"),
    ({"text_bytes": 20, "chunks": 10}, STOPS, "bytes of text"),
    ({"input_reported": 2}, ENDPOINT, "less than a tenth"),
    ({"input_reported": 4000}, ENDPOINT, "more than 4 times"),
    ({}, dataclasses.replace(ENDPOINT, input_per_word=0.0), "tokens per word"),
    ({}, dataclasses.replace(ENDPOINT, input_per_word=900.0), "tokens per word"),
])  # fmt: skip
def test_what_cannot_be_right_is_a_fault(columns, endpoint, word):
    [fault] = counted(endpoint, **columns).faults
    assert word in fault
    assert "100 %" in fault or "tokens per word" in word


@pytest.mark.parametrize(("columns", "endpoint"), [
    ({"chunks": 1}, ENDPOINT),  # all tokens in one event
    ({"chunks": 17}, ENDPOINT),  # several accepted at once by speculative decoding
    ({"text_bytes": 64}, STOPS),  # a tokenizer of bytes
    ({"text_bytes": 60}, STOPS),  # a few tokens that do not show
    ({"text_bytes": 3, "chunks": 1}, ENDPOINT),  # kept from ending, it gives tokens without text
    ({"output_reported": 65}, STOPS),  # the token that ends it is counted on top
    ({"output_reported": 12, "chunks": 12, "text_bytes": 50}, STOPS),  # it ended early
    ({"chunks": 66}, ENDPOINT),  # thoughts taken apart from what follows
    ({"input_reported": 1000}, TEMPLATE),  # a long template
    ({"input_reported": 128 * 3}, ENDPOINT),  # long words
    ({"output_reported": -1, "input_reported": -1}, ENDPOINT),  # it reports nothing
    ({}, dataclasses.replace(ENDPOINT, input_per_word=8.0)),  # a tokenizer of bytes
])  # fmt: skip
def test_what_an_honest_server_reports_is_none(columns, endpoint):
    assert counted(endpoint, **columns).faults == ()


def test_one_wrong_answer_in_a_hundred_is_not_enough():
    right = made()
    for wrong, faults in ((1, 0), (2, 1)):
        reported = [64] * 108
        for place in range(wrong):
            reported[50 + place] = 9
        found = result(dataclasses.replace(right, output_reported=tuple(reported))).loads[0]
        assert len(found.counting.faults) == faults


def test_failures_and_warm_ups_are_not_counted():
    reported = (1,) * 8 + (64,) * 100
    broken = failing(dataclasses.replace(made(), output_reported=reported), [20])
    assert result(broken).loads[0].counting.faults == ()


def test_means_and_source():
    found = counted(output_reported=60, chunks=60)
    assert (found.source, found.output_tokens, found.input_tokens) == ("reported", 60.0, 130.0)
    assert found.short == 100
    silent = counted(output_reported=-1, input_reported=-1, chunks=64)
    assert (silent.source, silent.output_tokens, silent.input_tokens) == ("events", 64.0, None)
    assert silent.short == 0


def test_tokens_that_do_not_show_are_told_where_a_model_is_kept_from_ending():
    found = result(made(text_bytes=3, chunks=1)).loads[0]
    assert any("more tokens than bytes" in remark for remark in found.remarks)
