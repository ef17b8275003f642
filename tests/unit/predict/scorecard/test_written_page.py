"""The page in docs/ is the one that its figures give."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgrade.predict.scorecard.page import page, picture_name, reached
from crossgrade.predict.scorecard.store import load

DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture(scope="module")
def lines():
    return load(DOCS / "scorecard.json")


def test_it_follows_from_its_figures(lines) -> None:
    assert (DOCS / "scorecard.md").read_text(encoding="utf-8") == page(lines)


def test_every_family_has_its_picture(lines) -> None:
    for family in {line.family for line in lines}:
        assert (DOCS / picture_name(family)).is_file()


def test_no_chip_that_is_judged_unseen_has_a_line(lines) -> None:
    judged = {"h200", "gb300", "arc-b60", "mi308x", "h20", "tpu-v6e", "gaudi2", "mi250", "max-1550"}
    assert not judged & {line.chip for line in lines}


def test_a_missed_goal_is_not_hidden(lines) -> None:
    missed = [line for line in lines for goal in line.goals if not reached(line.score, goal)]
    assert page(lines).count("**missed**") == len(missed)
