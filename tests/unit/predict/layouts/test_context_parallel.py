"""Ranks that share out the tokens of a sequence: work and cache are divided, no pair is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.conftest import capture_of, small_config

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.divided import divided, shares_of
from crossgrade.predict.layouts.faults import layout_faults
from crossgrade.predict.layouts.pieces import pieces_of
from crossgrade.predict.layouts.step import rank_memory, step_times
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.values.layout import Layout


def layout(cp: int, tp: int = 1) -> Layout:
    return Layout(chips=cp * tp, kind="sharded", tp=tp, cp=cp)


@pytest.fixture(scope="module")
def prefill(dense_config):
    """One prompt of 1,024 tokens behind 256 cached ones."""
    return pieces_of(capture_of(dense_config, "prefill", batch=1, tokens=1024, context=256), "vllm")


@pytest.fixture(scope="module")
def decode(dense_config):
    return pieces_of(capture_of(dense_config, "decode", batch=8, tokens=1, context=1023), "vllm")


def on(pieces, family: str, cp: int):
    [piece] = [p for p in pieces.pieces if p.family == family][:1]
    shares = shares_of([layout(cp)], [pieces.batch], pieces.batch, pieces.blocks,
                       reads=pieces.reads)  # fmt: skip
    return {name: float(size[0]) for name, size in divided(piece, shares).items()}


@pytest.mark.parametrize("cp", [2, 4, 8])
def test_ranks_see_all_pairs_of_query_and_key_between_them(prefill, cp):
    def pairs(sizes):
        new, keys = sizes["queries"], sizes["keys"]
        return new * (keys - new) + new * (new + 1) / 2

    whole, part = on(prefill, "attention", 1), on(prefill, "attention", cp)
    assert part["queries"] == 1024 / cp
    assert cp * pairs(part) == pytest.approx(pairs(whole), rel=0.01)


def test_products_of_a_prompt_have_the_rows_of_a_rank_alone(prefill, decode):
    assert on(prefill, "matmul", 4)["m"] == on(prefill, "matmul", 1)["m"] / 4
    # Every rank works on the one token of each decoding sequence.
    assert on(decode, "matmul", 4)["m"] == on(decode, "matmul", 1)["m"]
    assert on(decode, "attention", 4)["keys"] == on(decode, "attention", 1)["keys"] / 4


def test_a_rank_keeps_its_part_of_the_cache_and_all_weights(decode):
    one, four = (rank_memory(decode, [layout(cp)], [8]) for cp in (1, 4))
    assert four.cache[0] == one.cache[0] / 4
    assert four.weights[0] == one.weights[0]


def test_reading_is_divided_and_pays_for_what_ranks_gather(prefill, decode):
    chip, known = load_chip("h100"), shipped()

    def step(pieces, cp):
        return step_times(pieces, chip, [layout(cp)], [pieces.batch], "vllm", known)

    assert float(step(prefill, 4).mid[0]) < float(step(prefill, 1).mid[0])
    for pieces, op in ((prefill, "all_gather"), (decode, "all_reduce")):
        [said] = [one for one, _ in step(pieces, 4).network.said if one.ranks[0] == 4]
        assert said.op == op
        layers = sum(n for p, n in pieces.pieces.items() if p.family == "attention")
        assert said.count[0] == layers
    [gathered] = [one for one, _ in step(prefill, 4).network.said if one.ranks[0] == 4]
    kept = sum(row.bytes for row in prefill.cache)
    assert np.isclose(gathered.bytes[0] * gathered.count[0], kept)


def test_a_state_is_not_shared_out(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(small_config("qwen3.5-27b")))
    pieces = pieces_of(capture_of(tmp_path, "decode", batch=4, tokens=1, context=256), "vllm")
    assert any("from token to token" in one for one in layout_faults(pieces, layout(2)))
