"""SARIF, Markdown for a pull request, SVG: structure, limits, and names that mean nothing there."""

from __future__ import annotations

import dataclasses
import json
import re
from xml.etree import ElementTree

import pytest

from crossgrade import api
from crossgrade.report import pull_request
from crossgrade.report.charts import (
    BandRow,
    ClaimRow,
    Point,
    Roof,
    StackRow,
    bands_chart,
    claims_chart,
    roofline_chart,
    stacks_chart,
)
from crossgrade.report.markdown import inert_markdown
from crossgrade.report.svg import decades, from_zero
from crossgrade.report.verdict import verdict_parts
from crossgrade.units import seconds
from crossgrade.values.change import Changes


@pytest.fixture(scope="module")
def answer(moe_config):
    return api.assess(str(moe_config), api.AssessOptions(on=("ascend-910b2", "gaudi3"), tokens=64))


def test_sarif_has_every_finding_with_rule_place_and_level(answer):
    log = json.loads(api.sarif_report(answer))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in rules)
    found = {f.id for c in answer.chips for p in c.phases for f in p.findings}
    assert {r["ruleId"] for r in run["results"]} == found == {rule["id"] for rule in rules}
    assert len(run["results"]) > 3
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["locations"][0]["logicalLocations"]
        assert set(result["properties"]["chips"]) <= {c.chip for c in answer.chips}
    prints = [r["partialFingerprints"]["finding/v1"] for r in run["results"]]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize(
    ("passed", "kind", "file"),
    [
        ("qwen3-8b", "preset", None),
        ("./a b/config.json", "config", "a%20b/config.json"),
        ("/elsewhere/config.json", "config", None),
        ("my.model:make", "factory", "my/model.py"),
    ],
)
def test_sarif_names_files_of_the_repository_alone(answer, passed, kind, file):
    model = dataclasses.replace(answer.model, passed=passed, kind=kind)
    log = json.loads(api.sarif_report(dataclasses.replace(answer, model=model)))
    for result in log["runs"][0]["results"]:
        physical = result["locations"][0].get("physicalLocation")
        assert (physical and physical["artifactLocation"]["uri"]) == file


def test_a_comment_says_verdict_first_and_folds_the_rest(answer):
    text = api.markdown_report(answer, command="crossgrade assess model --on gaudi3")
    assert text.startswith("## ")
    assert text.index("| chip | verdict |") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>") == 2
    assert "crossgrade assess model --on gaudi3" in text


def test_a_comment_keeps_to_the_limit_and_says_what_is_missing(answer, monkeypatch):
    monkeypatch.setattr(pull_request, "LARGEST", 4000)
    text = api.markdown_report(answer, command="crossgrade")
    assert len(text) < 4500
    assert "left out" in text


@pytest.mark.parametrize(
    "name",
    [
        "![x](https://a.b/c)",
        "[x](https://a.b)",
        "@everyone",
        "<img src=x>",
        "a|b",
        "\x1b[31m",
        "a\nb",
    ],
)
def test_names_mean_nothing_in_markdown(name):
    text = inert_markdown(name)
    assert "](" not in text
    assert not re.search(r"(?<![\\])\|", text)
    assert not set(text) & set("<\x1b\n")
    assert not text.startswith("@")


def test_the_verdict_names_every_chip_once(answer):
    said = " ".join(words for _, words in verdict_parts(answer))
    assert [said.count(c.chip) for c in answer.chips] == [1, 1]


def drawn(svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


HOSTILE = "<script>\"&' "


def test_drawings_are_well_formed_and_announced():
    drawings = [
        bands_chart("a", HOSTILE, [BandRow(name=HOSTILE, low=1e-3, high=2.0)]),
        claims_chart("b", HOSTILE, [ClaimRow(name=HOSTILE, value=0.1, low=None, high=None)]),
        stacks_chart("c", HOSTILE, [StackRow(name=HOSTILE, parts={"x": 0.0})], ["x"], share=False),
        stacks_chart("d", HOSTILE, [StackRow(name="e", parts={"x": 0.25, "y": 0.75})], ["x", "y"],
                     share=True),
        roofline_chart("e", HOSTILE, 1e12, [Roof(name=HOSTILE, flop_per_s=1e15)],
                       [Point(name=HOSTILE, intensity=0.1, flop_per_s=1e9, share=1, matrix=True)]),
    ]  # fmt: skip
    for svg in drawings:
        tree = drawn(svg)
        assert tree.get("role") == "img"
        ids = {e.get("id") for e in tree.iter()}
        assert set(tree.get("aria-labelledby").split()) <= ids
        assert tree[0].text == (HOSTILE if tree[0].text else None)


def test_a_band_reaches_from_end_to_end():
    svg = drawn(bands_chart("a", "t", [BandRow(name="x", low=1e-3, high=1.0),
                                       BandRow(name="y", low=1e-2, high=1e-1)]))  # fmt: skip
    bars = [e for e in svg.iter() if e.tag == "rect"]
    first, second = ((float(b.get("x")), float(b.get("width"))) for b in bars)
    assert first[1] == pytest.approx(3 * second[1], rel=0.01)
    assert second[0] == pytest.approx(first[0] + first[1] / 3, rel=0.01)


def test_scales_hold_their_values():
    scale = decades([0.0, 3e-3, 40.0], 0, 100)
    assert scale.ticks()[0] == pytest.approx(1e-3)
    assert scale.at(1e-3) == 0
    assert scale.at(100) == 100
    assert scale.at(1e9) == 100
    linear = from_zero(850.0, 0, 100)
    assert linear.at(0) == 0
    assert all(0 <= t <= 850 * 1.02 for t in linear.ticks())
    assert from_zero(0.0, 0, 100).at(0) == 0


def test_the_first_table_has_the_time_of_a_stack_where_one_is_known(answer):
    ascend = answer.chips[0].phases[0]
    assert ascend.stack is not None
    bare = dataclasses.replace(ascend, stack=None)
    unknown = dataclasses.replace(ascend, stack=dataclasses.replace(ascend.stack, network_s=None))

    def first_row(phase):
        chip = dataclasses.replace(answer.chips[0], phases=(phase,))
        text = pull_request.render_pull_request(
            dataclasses.replace(answer, chips=(chip,)), command="crossgrade"
        )
        return next(line for line in text.splitlines() if line.startswith("| ascend-910b2 "))

    p50, band = seconds(ascend.stack.mid_s), seconds(ascend.stack.low_s)
    assert f"{p50} (P10 to P90: {band} to " in first_row(ascend)
    assert "; vllm-ascend)" in first_row(ascend)
    assert "without collectives" in first_row(unknown)
    assert "P10" not in first_row(bare)
    assert f"{seconds(ascend.speed.time_s.low)} to " in first_row(bare)


def test_a_record_cannot_write_into_a_comment(answer):
    evil = "2026</summary></details><img src=https://evil/x.png> [click](https://evil) @team"
    changes = Changes(since=evil, record="0", entries=(), remarks=())
    text = pull_request.render_pull_request(answer, command="crossgrade", changes=changes)
    assert "<img" not in text
    assert "](https://evil" not in text
    assert text.count("</details>") == 3
