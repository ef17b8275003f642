"""Lines of whole batches: rows as their table has them, a small model in place of large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import small_config

from crossgrade.api.scorecard import argonne
from crossgrade.predict.sources.argonne import FILE, batch_rows

HEAD = (
    "Hardware,Num of Hardware,Framework,Model,Input Output Length,Batch Size,Latency,Throughput\n"
)
ROWS = (
    ("Nvidia A100 GPU", 2, "vLLM", "org/A", 128, 16, 0.5),
    ("Nvidia A100 GPU", 1, "llama.cpp", "org/A", 128, 32, 0.5),
    ("Nvidia A100 GPU", 2, "vLLM", "org/B", 128, 32, 0.5),
    ("Nvidia A100 GPU", 1, "vLLM", "org/B", 128, 16, 1e-9),
    ("Nvidia A100 GPU", 1, "vLLM", "org/Unknown", 128, 64, 0.5),
    ("Nvidia A100 GPU", 1, "vLLM", "org/A", 128, 1, 0.5),
    ("SambaNova SN40L", 8, "sambaflow", "org/A", 128, 16, 0.5),
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch) -> Path:
    """The folder of a table of two small models, one of them a mixture by its name alone."""
    small = small_config("qwen3-0.6b", max_window_layers=2, layer_types=["full_attention"] * 2)
    monkeypatch.setattr(argonne, "MODELS", {"A": small, "B": small})
    monkeypatch.setattr(argonne, "CHOSEN", {})
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    lines = (",".join(map(str, (*row, 1.0))) for row in ROWS)
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_the_batch_of_llama_cpp_is_a_part_of_one_prompt(data: Path) -> None:
    rows = list(batch_rows(data))
    assert [(r.sequences, r.part, r.batch) for r in rows[:3]] == [
        (16, None, 16), (1, 32, 32), (32, None, 32),
    ]  # fmt: skip
    assert [(layout.tp, layout.pp) for layout in map(argonne.layout_of, rows[:2])] == [
        (2, 1), (1, 1),
    ]  # fmt: skip


def test_what_is_covered_what_is_cut_short_and_what_is_left_out(data: Path) -> None:
    lines = list(argonne.lines(data))
    whole = lines[0]
    assert whole.rows_of.endswith("all but 1 cut short")
    # llama.cpp has one model alone, so no other one to take a scalar from; org/Unknown is unknown.
    assert whole.score.rows == 4
    assert whole.score.covered == pytest.approx(0.5)
    plain = whole.anchors[0].score
    assert plain is not None
    assert plain.covered == pytest.approx(0.75)
    assert [(line.chip, line.rows_of.split(", ")[1]) for line in lines[1:]] == [("a100", "vLLM")]


def test_a_scalar_comes_from_other_models_alone(data: Path) -> None:
    rows = [row for row in batch_rows(data) if row.batch > 1 and row.model in ("org/A", "org/B")]
    plain = [argonne.Outcome(row=row, predicted=(0.1, 0.2, 0.4), least_s=0.0) for row in rows]
    by = {one.row.model: one.predicted for one in argonne.rescaled(plain)
          if one.row.framework == "vLLM"}  # fmt: skip
    ratios = [row.measured_s / 0.2 for row in rows if row.model == "org/B"]
    assert by["org/A"] == pytest.approx(np.array([0.1, 0.2, 0.4]) * np.median(ratios))
    assert by["org/B"] == pytest.approx(np.array([0.1, 0.2, 0.4]) * 0.5 / 0.2)


def test_more_sequences_take_longer_and_parts_of_a_prompt_add_steps(data: Path) -> None:
    rows = [row for row in batch_rows(data) if row.device == "Nvidia A100 GPU"]
    one, parts, many = argonne.outcomes(rows[:3])
    for outcome in (one, parts, many):
        low, mid, high = outcome.predicted
        assert outcome.least_s < low < mid < high
    assert many.predicted[1] > one.predicted[1]


def test_a_mixture_that_is_asked_alike_reads_the_experts_of_one_token() -> None:
    sizes = argonne._read_per_token(
        argonne._steps(argonne.CHOSEN["Mixtral-8x7B-v0.1"], "Mixtral-8x7B-v0.1")
    )
    # 12.9 billion active parameters (Jiang et al., 2024, arXiv 2401.04088) without the table.
    assert sizes == pytest.approx(2 * (12.9e9 - 32000 * 4096), rel=0.01)
