"""`crossgrade chips` as a user types it: the list, a name, a file; words that are no chips."""

import json
import sys
import types

import click
import pytest
from tests.unit.chips.test_user_files import EXAMPLE

from crossgrade.chips.loader import DATA, chip_names
from crossgrade.cli import chips as module
from crossgrade.cli.main import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "my-chip.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return str(path)


def test_without_a_word_it_lists(capsys):
    code, out, err = run(capsys, "chips")
    assert (code, err) == (0, "")
    assert all(f"| {name} |" in out for name in chip_names())
    assert "Known and not described" in out


def test_the_list_as_json(capsys):
    code, out, _ = run(capsys, "chips", "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["command"]) == (0, 2, "chips")
    assert document["data"]["probed"] == ["cpu"]
    rows = {row["name"]: row for row in document["data"]["chips"]}
    assert list(rows) == list(chip_names())
    assert rows["h100"]["bf16_flop_per_s"] == 989.4e12
    assert rows["mi308x"]["bf16_flop_per_s"] is None
    assert [c["name"] for c in document["data"]["undescribed"]] == [
        "hygon-k100", "kunlun-p800", "mlu590",
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [("chips", "H100-SXM"), ("chips", "h100 sxm")])
def test_a_name_shows_the_chip_and_says_that_an_alias_was_used(capsys, arguments):
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert out.startswith("# h100: NVIDIA H100 SXM5 80 GB")
    assert "h100-sxm is an alias of h100" in out
    assert str(DATA / "h100.toml") in out


@pytest.mark.parametrize("arguments", [("--json", "h100"), ("h100", "--json")])
def test_options_may_stand_on_either_side_of_the_name(capsys, arguments):
    code, out, _ = run(capsys, "chips", *arguments)
    [page] = json.loads(out)["data"]["pages"]
    assert code == 0
    assert page["chip"]["name"] == "h100"
    assert page["via_alias"] is None
    row = page["constants"][0]
    assert set(row) == {"constant", "value", "unit", "scope", "kind", "source", "note"}
    assert row["source"]["url"].startswith("https://")


def test_a_file_is_checked_and_shown(capsys, example):
    code, out, _ = run(capsys, "chips", "--chip-file", example)
    assert code == 0
    assert out.startswith("# example-x1: Example X1")
    assert f"description: {example}" in out
    assert "+4.0 %" in out


def test_a_file_is_found_by_name_beside_the_shipped_ones(capsys, example):
    code, out, _ = run(capsys, "chips", "x1", "--chip-file", example)
    assert code == 0
    assert "x1 is an alias of example-x1" in out


def test_a_bad_file_ends_with_one_line(capsys, example):
    with open(example, "a", encoding="utf-8") as file:
        file.write('\n[[sources]]\nid = "sheet"\n')
    code, out, err = run(capsys, "chips", "--chip-file", example)
    assert (code, out) == (2, "")
    assert err.startswith("error[CG-E204]")
    assert err.count("\n") == 1


def test_hostile_text_of_a_file_is_inert(capsys, tmp_path):
    path = tmp_path / "evil.toml"
    text = EXAMPLE.replace('"Example X1"', '"Ex\\u001b[31m|<b>\\u0007X1"', 1)
    path.write_text(text.replace("HBM2e", "a\\u009bb<script>"), encoding="utf-8")
    code, out, _ = run(capsys, "chips", "--chip-file", str(path))
    assert code == 0
    assert "Ex?[31m\\|&lt;b>?X1" in out
    assert not {c for c in out if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}


@pytest.mark.parametrize(
    ("word", "code"), [("mlu590", "CG-E104"), ("h1000", "CG-E101"), ("\x1b[31m", "CG-E101")]
)
def test_unknown_words_are_errors(capsys, word, code):
    status, out, err = run(capsys, "chips", word)
    assert (status, out) == (2, "")
    assert err.startswith(f"error[{code}]")
    assert "\x1b" not in err


def test_hostile_text_in_json_is_escaped(capsys, tmp_path):
    path = tmp_path / "evil.toml"
    path.write_text(EXAMPLE.replace("HBM2e", "a\\u009bb\\u001bc"), encoding="utf-8")
    code, out, _ = run(capsys, "chips", "--chip-file", str(path), "--json")
    assert code == 0
    assert out.isascii()
    assert json.loads(out)["data"]["pages"][0]["constants"][0]["note"] == "a\x9bb\x1bc"


def test_a_bad_file_with_hostile_text_is_refused_inertly(capsys, tmp_path):
    path = tmp_path / "evil.toml"
    text = EXAMPLE.replace('"example-x1"', '"\\u001b[31m\\u009bx"', 1)
    path.write_text(text, encoding="utf-8")
    code, out, err = run(capsys, "chips", "--chip-file", str(path))
    assert (code, out) == (2, "")
    assert "`?[31m?x` is not a chip name" in err


def test_a_subcommand_is_imported_only_when_its_word_is_used(capsys, monkeypatch):
    fake = types.ModuleType("fake_chips_ops")
    fake.command = click.Command("ops", callback=lambda: click.echo("operators"))
    monkeypatch.setitem(module.SUBCOMMANDS, "ops", ("fake_chips_ops", "operators"))
    run(capsys, "chips", "h100")
    assert "fake_chips_ops" not in sys.modules
    monkeypatch.setitem(sys.modules, "fake_chips_ops", fake)
    assert run(capsys, "chips", "ops")[:2] == (0, "operators\n")


def test_the_help_names_the_words(capsys):
    code, out, _ = run(capsys, "chips", "--help")
    assert code == 0
    words = out.split("Words")[1]
    assert "NAME" in words
    assert "ops" in words
