"""Cases of msmodeling: what their words say."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossgrade.api.scorecard.ascend import device, published, step_of, step_of_point
from crossgrade.predict.sources.msmodeling import FILE, ascend_cases

HEAD = "case,description,device,world_size,tensorcast_pred_s,reference_s,tol\n"
DIE = "ATLAS_800_A3_560T_128G_DIE"


def read(folder: Path, *rows: str):
    path = folder / FILE
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return list(ascend_cases(folder))


def test_words_become_sizes(tmp_path):
    decode, prefill, film = read(
        tmp_path,
        f'a,"Kimi-K2.5 16K decode, 20 queries, qlen=4, ctx=8500, DP=4, TP=4, EP=16, W4A8, MTP=3",{DIE},16,0.06,0.064,0.2',  # noqa: E501
        'b,"Qwen3-8B prefill, 8 queries, qlen=1024, TP=2, compile",ATLAS_800_A2_376T_64G,2,0.4,0.5,0.2',  # noqa: E501
        'c,"Wan2.2-T2V-A14B ulysses=8, batch=1",ATLAS_800_A2_376T_64G,8,7.4,6.8,0.2',
    )
    assert (decode.model, decode.queries, decode.tokens, decode.context) == (
        "Kimi-K2.5",
        20,
        4,
        8500,
    )
    assert (decode.layout.tp, decode.layout.dp, decode.layout.ep, decode.drafts) == (4, 4, 16, 3)
    assert (decode.weights, decode.decodes, decode.reference_s) == ("W4A8", True, 0.064)
    assert (prefill.tokens, prefill.layout.chips, prefill.decodes) == (1024, 2, False)
    assert film.pictures
    assert step_of(film) is None
    step = step_of(decode)
    assert step is not None
    assert (step.model, step.quant, step.batch) == ("kimi-k2.5", "w4a8", 20)


def test_a_slower_device_is_a_die_with_fewer_cores():
    full, part = device("ATLAS_800_A3_752T_128G_DIE"), device(DIE)
    assert full.name == part.name == "ascend-910c-die"
    assert (full.cores.value, part.cores.value) == (24, 18)
    assert part.peak("matrix", "bf16").rate.value == pytest.approx(
        full.peak("matrix", "bf16").rate.value * 560 / 752
    )
    with pytest.raises(ValueError, match="no chip"):
        device("ATLAS_900_A5")


def test_published_points_are_whole():
    found = published()
    known = {source["id"] for source in found["sources"]}
    for point in found["points"]:
        step = step_of_point(point)
        assert point["source"] in known
        assert step.layout.chips >= 16
        assert ("tpot_s" in point) == step.decodes
        assert 0 <= point.get("accepted", 0) <= step.drafts
