"""Chips that are known and not described are refused with the reason, not as unknown."""

import pytest

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.undescribed import undescribed_chips
from crossgrade.errors import UndescribedChip, UnknownChip


def test_the_list_is_this():
    assert [c.name for c in undescribed_chips()] == ["hygon-k100", "kunlun-p800", "mlu590"]


@pytest.mark.parametrize("typed", ["mlu590", "MLU590", "P800", "Hygon K100", "k100_ai"])
def test_names_and_aliases_are_refused_with_the_reason(typed):
    with pytest.raises(UndescribedChip) as caught:
        load_chip(typed)
    error = caught.value
    assert error.code == "CG-E104"
    assert isinstance(error, UnknownChip)
    assert "known and not described" in error.message
    assert "--chip-file" in error.hint


def test_no_name_is_also_described():
    described = set(chip_names()) | {a for n in chip_names() for a in load_chip(n).aliases}
    for chip in undescribed_chips():
        assert not {chip.name, *chip.aliases} & described
