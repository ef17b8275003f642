import dataclasses

import numpy as np
import pytest

from crossgrade.predict.scorecard.__main__ import main, write
from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.scorecard.page import page, reached
from crossgrade.predict.scorecard.store import dump, load
from crossgrade.predict.silicon.score import score


def line(**changed) -> Line:
    measured = np.array([1.0, 2.0, 4.0, 8.0])
    found = score(measured * [1.1, 0.9, 1.3, 1.0], measured, measured * 0.5, measured * 2)
    given = {
        "family": "matmul",
        "rows_of": "matmul bf16, vllm",
        "chip": "h100",
        "tier": "T2",
        "split": "30 points, other (n, k) scored",
        "score": found,
        "fitted_rows": 30,
        "goals": (Goal(measure="mape", most=0.13), Goal(measure="p90", most=0.1)),
        "anchors": (
            Anchor(who="spec roofline", figure="", source="run here", score=found),
            Anchor(who="aiconfigurator", figure="median 3.63 %", source="its own folds"),
        ),
        "card": "matmul",
    }
    return Line(**{**given, **changed})


def test_a_score_counts_what_has_no_prediction():
    measured = np.array([1.0, 2.0, 4.0, 8.0])
    found = score(np.array([1.1, 1.8, np.nan, 8.0]), measured)
    assert found.rows == 4
    assert found.covered == 0.75
    assert found.mape == pytest.approx(0.2 / 3)
    assert np.isnan(found.inside)


def test_a_score_says_which_way_it_is_off():
    measured = np.array([1.0, 1.0, 1.0])
    assert score(measured * 0.5, measured).bias == -0.5
    assert score(measured * 2, measured, measured, measured * 4).inside == 1.0


def test_nothing_predicted_is_an_error():
    with pytest.raises(ValueError, match="no row"):
        score(np.array([np.nan]), np.array([1.0]))


def test_the_page_tells_met_and_missed():
    text = page([line()])
    assert "Goals: 1 of 2 met" in text
    assert "**missed**" in text
    assert "*spec roofline*" in text
    assert "median 3.63 % (its own folds)" in text


def test_a_goal_is_not_rounded_in_our_favour():
    found = dataclasses.replace(line().score, mape=0.1100001)
    assert not reached(found, Goal(measure="mape", most=0.11))


def test_lines_come_back_as_they_were_written(tmp_path):
    uncovered = line(score=dataclasses.replace(line().score, inside=float("nan"), mape=0.125))
    dump([line(), uncovered], tmp_path / "scorecard.json")
    first, second = load(tmp_path / "scorecard.json")
    assert first.goals == line().goals
    assert first.score.mape == pytest.approx(line().score.mape, rel=1e-5)
    assert np.isnan(second.score.inside)
    assert page([first]) == page([line()])


def test_a_card_that_was_not_scored_keeps_its_lines(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    write([line()], tmp_path)
    write([line(family="vector", rows_of="norms", card="vector")], tmp_path)
    assert [x.card for x in load(tmp_path / "scorecard.json")] == ["matmul", "vector"]
    assert "<svg" in (tmp_path / "images" / "scorecard-matmul.svg").read_text()
    text = (tmp_path / "scorecard.md").read_text()
    assert text.index("Matrix products") < text.index("Vector kernels")


def test_no_data_is_a_clear_error(capsys, tmp_path):
    assert main(["--data", str(tmp_path / "none")]) == 2
    assert "CROSSGRADE_DATA" in capsys.readouterr().err


def test_the_page_sums_up_bands_by_tier():
    shares = (0.7, 0.78, 0.85, 1.0, float("nan"))
    scores = [dataclasses.replace(line().score, inside=share, rows=100) for share in shares]
    lines = [line(score=score) for score in scores]
    assert "| T2 | 83.2 % | met | 4 | 82 % | 83 % | 70 % | 100 % | 2 |" in page(lines)
    lines[3] = line(score=dataclasses.replace(scores[3], rows=700))
    assert "| T2 | 93.3 % | **missed** | 4 |" in page(lines)
