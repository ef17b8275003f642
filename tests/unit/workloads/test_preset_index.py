"""The index of presets says what the configurations say."""

from __future__ import annotations

import json

import pytest
from tools.model_index import INDEX, as_text, full_row, plain_row

from crossgrade import api
from crossgrade.errors import UnknownModel
from crossgrade.values.preset import PresetSummary
from crossgrade.workloads.index import matching_presets, preset_table
from crossgrade.workloads.resolve import preset_names

STALE = "run python tools/model_index.py --new"
CHEAP = ("name", "family", "architecture", "kind", "source")


def rows() -> dict[str, PresetSummary]:
    data = json.loads(INDEX.read_text(encoding="utf-8"))
    return {row["name"]: PresetSummary(**row) for row in data}


def test_every_preset_has_a_row_and_no_other():
    assert list(rows()) == list(preset_names()), STALE


@pytest.mark.parametrize("name", preset_names())
def test_a_row_says_what_its_configuration_says(name):
    assert {k: getattr(rows()[name], k) for k in CHEAP} == plain_row(name), STALE


@pytest.mark.parametrize("name", ["qwen3-0.6b", "gpt-oss-20b"])
def test_parameters_and_weights_are_those_of_the_built_model(name):
    assert rows()[name] == full_row(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", preset_names())
def test_every_row_is_that_of_the_built_model(name):
    assert rows()[name] == full_row(name)


def test_the_file_has_one_row_per_line():
    assert as_text(list(rows().values())) == INDEX.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("qwen3-8b", {"qwen3-8b"}), ("QWEN3-8B", {"qwen3-8b"}), ("deepseek_v32", {"deepseek-v3.2"}),
     ("kimi-k2*", {"kimi-k2-instruct", "kimi-k2.5"}), ("GptOss", {"gpt-oss-20b", "gpt-oss-120b"})],
)  # fmt: skip
def test_a_pattern_keeps_what_it_matches(pattern, expected):
    assert {row.name for row in matching_presets(pattern)} == expected


def test_a_kind_is_a_pattern_too():
    assert {r.kind for r in matching_presets("vision-language")} == {"vision-language"}


@pytest.mark.parametrize("pattern", ["zzz", "[", "]", "*.json", "x" * 9999])
def test_a_pattern_that_matches_nothing_is_an_error(pattern):
    with pytest.raises(UnknownModel) as raised:
        matching_presets(pattern)
    assert "`crossgrade models` lists all" in raised.value.hint


def test_a_near_name_is_suggested():
    with pytest.raises(UnknownModel) as raised:
        matching_presets("qwen3-9b")
    assert "qwen3-8b" in raised.value.hint


def test_tsv_has_every_column_exact_and_the_screen_a_short_table():
    lines = api.render_models(preset_table()).splitlines()
    assert lines[0].split("\t") == ["name", "family", "architecture", "kind", "parameters",
                                    "weights", "source"]  # fmt: skip
    assert {len(line.split("\t")) for line in lines} == {7}
    screen = api.render_models(preset_table(), terminal=True, width=80)
    assert max(map(len, screen.splitlines())) <= 80
    assert all(name in screen for name in preset_names())
    assert "8.19 B" in screen
    assert "fp8+fp4+bf16" in screen


def test_an_unknown_number_is_said_to_be_unknown():
    row = PresetSummary(name="new", family="", architecture="", kind="", parameters=None,
                        weights="", source="")  # fmt: skip
    assert api.render_models((row,)).splitlines()[1] == "new" + "\tunknown" * 6
