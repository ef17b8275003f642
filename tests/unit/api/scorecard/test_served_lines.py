"""Lines of services from a small model, and the written page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import small_config

from crossgrade.api.scorecard import desk, served
from crossgrade.api.scorecard.page import page
from crossgrade.api.steps import model_steps
from crossgrade.predict.scorecard.page import reached
from crossgrade.predict.scorecard.store import load
from crossgrade.predict.sources.served import ServedRow
from crossgrade.values.layout import Layout

DOCS = Path(__file__).parents[4] / "docs"


def row(**changes) -> ServedRow:
    plain = ServedRow(
        model="org/Small", precision="", chip="h100", stack="vllm", version="0.1",
        layout=Layout(chips=1, kind="sharded"), users=4, prompt=300, output=20, ranged=True,
        ttft_s=0.01, tpot_s=0.001,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def found(dense_config, monkeypatch):
    """Outcomes of a few loads on a model of two layers."""
    assert small_config("qwen3-0.6b")
    monkeypatch.setattr(served, "PRESETS", {"Small": str(dense_config)})
    monkeypatch.setattr(desk, "CONTEXTS", (256, 512))
    rows = [row(), row(users=32), row(layout=Layout(chips=2, kind="sharded", tp=2)),
            row(prompt=10_000_000)]  # fmt: skip
    return served.outcomes(rows[:3]), rows


def test_a_band_holds_its_middle_and_more_users_wait_longer(found):
    outcomes, rows = found
    assert [o.row for o in outcomes] == rows[:3]
    for one in outcomes:
        for at in (0, 1):
            low, mid, high = (one.predicted[end][at] for end in ("low", "mid", "high"))
            assert 0 < low < mid < high
    assert outcomes[1].predicted["mid"][0] > outcomes[0].predicted["mid"][0]
    assert outcomes[1].predicted["mid"][1] > outcomes[0].predicted["mid"][1]


def test_what_has_no_room_is_not_covered():
    nothing = dict.fromkeys(("low", "mid", "high"), (np.nan, np.nan))
    some = dict.fromkeys(("low", "mid", "high"), (0.001, 0.02))
    outcomes = [served.Outcome(row=row(), tier="T2", predicted=p) for p in (nothing, some)]
    lines = list(served._lines("all services", "all", outcomes, served.GOALS))
    assert [line.score.covered for line in lines] == [0.5, 0.5]
    assert [line.score.mape for line in lines] == pytest.approx([0.0, 1.0])
    [tpot, ttft] = lines
    assert [reached(tpot.score, goal) for goal in tpot.goals] == [True, True, False]
    assert not reached(ttft.score, ttft.goals[0])


def test_formats_of_rows_are_formats_of_checkpoints():
    cases = {("Qwen3-32B", ""): None, ("Qwen3-32B", "fp8"): "fp8", ("MiniMax-M2.5", "fp8"): None,
             ("MiniMax-M2.5", "fp4"): "nvfp4", ("gpt-oss-120b", "fp4"): None}  # fmt: skip
    for (model, precision), quant in cases.items():
        assert served._model(row(model=f"org/{model}", precision=precision))[1] == quant


def test_steps_of_a_model_without_a_cache_are_refused():
    from crossgrade.errors import BadOption

    with pytest.raises(BadOption, match="no decode step"):
        model_steps("resnet-50")


class TestWrittenPage:
    @pytest.fixture(scope="class")
    @classmethod
    def lines(cls):
        return load(DOCS / "scorecard-services.json")

    def test_it_follows_from_its_figures(self, lines):
        text = (DOCS / "scorecard-services.md").read_text(encoding="utf-8")
        assert text == page(lines)

    def test_a_missed_goal_is_not_hidden(self, lines):
        missed = [x for x in lines for goal in x.goals if not reached(x.score, goal)]
        assert page(lines).count("**missed**") == len(missed)

    def test_no_chip_that_is_judged_unseen_has_a_line(self, lines):
        assert not {"h200", "gb300"} & {line.chip for line in lines}
