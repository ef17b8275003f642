"""Chips by name and by file: who is assessed, in which order, and who is refused."""

import pytest
from tests.unit.chips.test_user_files import EXAMPLE

from crossgrade.api import AssessOptions, chip_list, chip_page
from crossgrade.api.catalog import chosen_chips
from crossgrade.errors import BadOption, UndescribedChip, UnknownChip


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "my-chip.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return str(path)


def names(*on: str, files=()) -> list[tuple[str, str]]:
    return [(passed, chip.name) for passed, chip in chosen_chips(on, files)]


def test_a_file_that_no_name_means_comes_last(example):
    assert names("h100", files=[example]) == [("h100", "h100"), ("example-x1", "example-x1")]
    assert names(files=[example]) == [("example-x1", "example-x1")]


def test_a_file_that_a_name_means_keeps_its_place(example):
    found = names("X1", "h100", "virtual:example-x1", files=[example])
    assert found == [("X1", "example-x1"), ("h100", "h100"), ("virtual:example-x1", "example-x1")]


def test_without_files_names_mean_the_shipped_chips():
    assert names("H100-SXM") == [("H100-SXM", "h100")]
    with pytest.raises(UndescribedChip):
        names("mlu590")
    with pytest.raises(UnknownChip):
        names("example-x1")


def test_a_chip_file_is_enough_to_assess(example):
    AssessOptions(on=(), chip_files=(example,)).check()
    with pytest.raises(BadOption, match="no chip given"):
        AssessOptions(on=()).check()


def test_the_list_has_the_user_s_chips_first(example):
    listed = chip_list([example])
    assert [c.name for c in listed.chips[:2]] == ["example-x1", "a100"]
    assert listed.undescribed


def test_the_probed_cpu_has_a_page_of_measured_constants():
    page = chip_page("cpu")
    assert page.file is None
    assert {row.kind for row in page.constants} == {"measured"}
