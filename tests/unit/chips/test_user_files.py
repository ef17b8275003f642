"""Chip files of the user: read, checked against the described chips, found by name."""

import re
from pathlib import Path

import pytest

from crossgrade.chips.loader import DATA
from crossgrade.chips.userfiles import find_user_chip, read_user_chips
from crossgrade.errors import BadChipFile

PAGE = Path(__file__).parents[3] / "docs/howto/describe-a-chip.md"
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]


@pytest.fixture
def write(tmp_path):
    def written(text: str, name: str = "my-chip.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refused(path: Path, *others: Path) -> BadChipFile:
    with pytest.raises(BadChipFile) as caught:
        read_user_chips([*others, path])
    assert caught.value.where.startswith(path.name)
    return caught.value


def test_the_example_of_the_how_to_is_valid(write):
    [user] = read_user_chips([write(EXAMPLE)])
    assert user.chip.name == "example-x1"
    assert len(user.chip.disagreements) == 1
    assert user.chip.op_table == "none"


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('176.9e12, unit = "FLOP/s"', '300, unit = "TFLOPS"', "unit is `TFLOPS`", "value = 3e+14"),
        ('64e9, unit = "byte"', '64, unit = "GB"', "unit is `GB`", "value = 64000000000"),
        ('1.6e12, unit = "byte/s"', '1600, unit = "GB/s"', "unit is `GB/s`", "value = 1.6e+12"),
        ('value = 64e9', "value = 64", "too little", "base units"),
        (', source = "sheet", note = "HBM2e"', "", "no source", "[[sources]]"),
        ('source = "sheet", note = "HBM2e"', 'source = "shop"', "`shop` is not", "defined"),
        ('density = "dense"', 'density = "sparse"', "only `dense`", "dense rate"),
        ("value = 353.9e12", "value = 707.8e12", "4 times the 16-bit rate", "half would be 3.53"),
        ("the 354 with sparsity are not used", "with sparsity", "its note says", "dense rate"),
        ('64e9, unit = "byte"', '64e9, unit = "byte", scope = "die"', "for a die", "file of its"),
        ('op_table = "none"', 'op_table = "npv"', "no operator table `npv`", "`none`"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_remedy(write, old, new, message, hint):
    assert old in EXAMPLE
    error = refused(write(EXAMPLE.replace(old, new, 1)))
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("name", ["h100", "cpu", "ascend-910b2"])
def test_the_name_of_a_shipped_chip_is_taken(write, name):
    error = refused(write(EXAMPLE.replace('"example-x1"', f'"{name}"', 1)))
    assert f"`{name}` means" in error.message
    assert error.where.endswith(": name")
    assert f"my-{name}" in error.hint


def test_an_alias_of_a_shipped_chip_is_taken(write):
    error = refused(write(EXAMPLE.replace('aliases = ["x1"]', 'aliases = ["910b2"]', 1)))
    assert "`910b2` means the shipped chip ascend-910b2" in error.message
    assert error.where.endswith(": aliases")


def test_two_files_may_not_share_a_name(write):
    first = write(EXAMPLE)
    second = write(EXAMPLE.replace('"example-x1"', '"x1"').replace('["x1"]', "[]"), "b.toml")
    assert "the chip of my-chip.toml already" in refused(second, first).message


def test_a_chip_that_is_known_and_not_described_may_be_described(write):
    [user] = read_user_chips([write(EXAMPLE.replace('"example-x1"', '"mlu590"', 1))])
    assert user.chip.name == "mlu590"


def test_found_by_name_alias_and_spelling(write):
    own = read_user_chips([write(EXAMPLE)])
    for typed in ("example-x1", "Example X1", "X1", "example_x1"):
        assert find_user_chip(typed, own) is own[0]
    assert find_user_chip("h100", own) is None


def test_a_copy_of_a_shipped_file_under_another_name_is_accepted(write):
    text = (DATA / "h100.toml").read_text(encoding="utf-8").replace('"h100"', '"my-h100"', 1)
    text = re.sub(r"aliases = \[.*\]", "aliases = []", text, count=1)
    assert read_user_chips([write(text)])[0].chip.name == "my-h100"


def test_no_file_reads_nothing():
    assert read_user_chips([]) == ()
