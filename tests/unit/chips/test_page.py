"""A page says every constant with its source, what disagrees, and what is unknown."""

import pytest

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.page import chip_page
from crossgrade.chips.validate import constants


def page(name: str):
    return chip_page(load_chip(name), passed=name, via_alias=None, file="somewhere.toml")


@pytest.mark.parametrize("name", chip_names())
class TestEveryChip:
    def test_each_constant_can_be_traced(self, name):
        rows = page(name).constants
        assert [row.constant for row in rows] == [key for key, _ in constants(load_chip(name))]
        for row in rows:
            assert row.source.url.startswith("https://")
            assert row.source.title
            assert row.source.date
            assert row.scope == load_chip(name).scope
            assert row.kind == "claimed"

    def test_each_disagreement_is_about_a_constant_and_is_one(self, name):
        used = dict(constants(load_chip(name)))
        for row in page(name).disagreements:
            assert row.used == used[row.constant].value
            assert row.percent == pytest.approx(100 * (row.other - row.used) / row.used)
            assert row.percent != 0

    def test_what_is_there_is_not_called_unknown(self, name):
        chip = load_chip(name)
        unknown = page(name).unknown
        assert ("power" in unknown) == (chip.power is None)
        assert ("memory bandwidth" in unknown) == (chip.memory_bandwidth is None)
        assert ("matrix rate in bf16" in unknown) == (chip.peak("matrix", "bf16") is None)


def test_percent_of_a_known_disagreement():
    [row] = [r for r in page("mi355x").disagreements if r.constant == "peaks[matrix/fp8]"]
    assert row.percent == pytest.approx(-8.6, abs=0.05)


def test_many_sources_differ():
    assert sum(len(page(name).disagreements) for name in chip_names()) > 80


def test_a_link_says_how_many_chips_it_joins():
    rows = {row.constant: row.note for row in page("gb200").constants}
    assert rows["links[scale-up: NVLink 5]"].startswith("joins 72; ")
