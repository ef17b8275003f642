"""Causal language models of transformers are captured, lowered and priced by their defaults."""

from __future__ import annotations

import re

import pytest
from benchmarks import causal_lm_classes as classes

from crossgrade.jobs.forking import Nursery

FEW = ("llama", "gpt2", "qwen3_moe", "deepseek_v3", "mamba2", "jetmoe", "musicgen", "cpmant",
       "xmod", "openai-gpt", "gemma3_text")  # fmt: skip
"""Dense, sparse, latent, recurrent, routed in a loop, part of a larger one, ids given whole,
layers per language, without a cache, two kinds of attention."""
LEAST = 0.95


@pytest.mark.parametrize("model_type", FEW)
def test_representatives(model_type):
    config = classes.cut(classes.default_config(model_type), 2)
    steps = list(classes.served(config))
    assert [phase for phase, _ in steps] == ["build", "prefill", "decode", "done"]
    known = steps[-1][1]
    assert min(known["calls"]) > 10
    assert (known["state"] == "none") == (model_type in ("openai-gpt", "xmod"))


def test_holes_are_filled_and_values_kept():
    holed = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": None, "n_routed_experts": 4,
             "num_experts_per_tok": None, "is_decoder": False, "num_hidden_layers": 5,
             "layer_types": ["mamba"] * 5, "sub": {"layer_types": None}}  # fmt: skip
    found = classes.filled(holed)
    assert (found["head_dim"], found["n_routed_experts"]) == (16, 4)
    assert found["num_experts_per_tok"] == 2
    assert found["is_decoder"]
    assert found["layer_types"] == ["mamba"] * 3 + ["full_attention", "mamba"]
    full = classes.default_config("llama")
    assert classes.filled(full) == full


def test_cutting_keeps_lists_as_long_as_counts():
    found = classes.cut({"num_hidden_layers": 6, "layer_types": list("abcdef"), "sizes": [1, 2]}, 3)
    assert found == {"num_hidden_layers": 3, "layer_types": list("abc"), "sizes": [1, 2]}


def test_the_page_lists_every_entry_and_adds_up():
    text = classes.PAGE.read_text(encoding="utf-8")
    every = text.split("## Every entry")[1]
    rows = re.findall(r"^\| (\S+) \| \w+.*? \| (default|filled|special) \| (\w+)", every, re.M)
    assert [row[0] for row in rows] == list(classes.entries())
    counted = sum(result == "ok" and how != "special" for _, how, result in rows)
    assert f"{counted} of {len(rows)} entries" in text
    assert counted >= LEAST * len(rows)


@pytest.mark.slow
def test_every_class():
    with Nursery(["torch", "transformers", "crossgrade.capture.run"]) as nursery:
        rows = [classes.row_of(name, 2, 300.0, nursery) for name in classes.entries()]
    failed = [f"{r.model_type} {r.how} {r.phase}: {r.error}" for r in rows if not r.counts]
    assert sum(r.counts for r in rows) >= LEAST * len(rows), "\n".join(failed)
