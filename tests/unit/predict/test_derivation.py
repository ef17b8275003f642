"""The arithmetic of a number adds up to the number, and names what it rests on."""

from __future__ import annotations

import pytest

from crossgrade import api
from crossgrade.errors import BadOption
from crossgrade.predict.derivation import NUMBERS


@pytest.fixture(scope="module")
def answer(moe_config):
    options = api.AssessOptions(on=("ascend-950dt", "h200", "cpu"), context=256, chips=2,
                                prices={"h200": 3.0})  # fmt: skip
    return api.assess(str(moe_config), options)


def parts_of(steps, index):
    """Return the steps one deeper than a step, up to the next of its depth."""
    depth = steps[index].depth
    for step in steps[index + 1 :]:
        if step.depth <= depth:
            return
        if step.depth == depth + 1:
            yield step


@pytest.mark.parametrize("number", ["decode.time", "prefill.memory", "prefill.memory_eager"])
def test_steps_add_up(answer, number):
    for derivation in api.derivations(answer, number):
        for index, step in enumerate(derivation.steps):
            parts = list(parts_of(derivation.steps, index))
            if parts and "weights" not in step.text:
                assert sum(p.value for p in parts) == pytest.approx(step.value, rel=1e-6)


def test_the_ends_of_time_are_those_of_the_answer(answer):
    for chip, derivation in zip(answer.chips, api.derivations(answer, "decode.time"), strict=True):
        ends = [s.value for s in derivation.steps if s.depth == 0]
        band = chip.phases[1].speed.time_s
        assert ends == pytest.approx([band.low, band.high])


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_explained_down_to_known_names(answer, name):
    for derivation in api.derivations(answer, f"decode.{name}"):
        chip = next(c for c in answer.chips if c.chip == derivation.chip)
        known = {c.name for c in chip.constants} | {a.name for a in answer.assumptions}
        for step in derivation.steps:
            assert step.rests_on or step.depth == 0
            assert set(step.rests_on) <= known | {"capture", "options"}


def test_a_price_is_explained_where_there_is_one(answer):
    without, with_price, _ = api.derivations(answer, "decode.tokens_per_price")
    assert without.steps == ()
    assert with_price.steps[0].value == answer.chips[1].phases[1].speed.tokens_per_price.high


@pytest.mark.parametrize("number", ["time", "decode.", "decode.speed", "train.time", "", "decode"])
def test_another_number_is_refused_with_the_list(answer, number):
    with pytest.raises(BadOption, match="--explain"):
        api.derivations(answer, number)


def test_what_no_chip_knows_is_refused(answer, moe_config):
    plain = api.assess(str(moe_config), api.AssessOptions(on=("h200",), phases=("decode",)))
    with pytest.raises(BadOption, match="not known"):
        api.derivations(plain, "decode.tokens_per_price")


def test_what_was_measured_here_loses_no_efficiency_at_the_low_end(answer):
    """Bytes over the very bandwidth, and never less than the numbers of the chip allow."""
    chip = answer.chips[2]
    bandwidth = next(c for c in chip.constants if c.name == "memory_bandwidth")
    assert bandwidth.kind == "measured"
    fused = chip.phases[1].speed.fused
    limited = [g for g in fused.groups if g.limit == "memory"]
    if not limited:  # what this machine measures of itself depends on what else it does
        pytest.skip("arithmetic, not memory, limits every group of kernels on this machine now")
    for g in limited:
        assert g.work_s == pytest.approx(g.bytes / bandwidth.value / 2)
