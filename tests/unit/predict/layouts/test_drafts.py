"""A step that drafts runs one more block and the head for each draft."""

from __future__ import annotations

import pytest
from tests.unit.predict.layouts.steps import BATCH, layout, pieces

from crossgrade.chips.loader import load_chip
from crossgrade.predict.layouts.drafts import drafted
from crossgrade.predict.layouts.step import step_times
from crossgrade.predict.silicon.knowledge import shipped


@pytest.mark.parametrize("model", ["qwen3-0.6b", "minimax-m2.5"])
def test_each_draft_is_a_block_an_embedding_and_a_head(model):
    single, verify = pieces(model), pieces(model, tokens=3)
    found = drafted(verify, single, 2)
    more = sum(found.pieces.values()) - sum(verify.pieces.values())
    outside = sum(n for piece, n in single.pieces.items() if not piece.repeated)
    assert more == 2 * (sum(single.last.values()) + outside)
    repeated = sum(n for piece, n in single.pieces.items() if piece.repeated)
    assert repeated - 2 * sum(single.last.values()) in (0, 1)  # the first block has its own norm
    added = sum(found.sums.values()) - sum(verify.sums.values())
    assert added == 2 * (sum(single.last_sums.values()) + 2)
    chip, known = load_chip("h100"), shipped()
    plain, two = (
        step_times(one, chip, [layout(tp=2)], [BATCH], "vllm", known).mid[0]
        for one in (verify, found)
    )
    assert two > plain


def test_steps_that_do_not_belong_together_are_refused():
    single, verify = pieces("qwen3-0.6b"), pieces("qwen3-0.6b", tokens=3)
    with pytest.raises(ValueError, match="3 and 1 tokens for 3 drafts"):
        drafted(verify, single, 3)
