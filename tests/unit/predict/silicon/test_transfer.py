"""Parameters move to a chip from those that resemble it, and fall back to the starts from afar."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.predict.silicon import transfer
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.model import Parameter
from crossgrade.predict.silicon.transfer import Donor, distance, donors, transferred

CHIPS = {name: load_chip(name) for name in chip_names()}
NAMES = sorted(CHIPS)


def parameter(name: str, start: float, spread: float) -> Parameter:
    return Parameter(
        name=name,
        unit="1",
        start=start,
        low=start / 100,
        high=start * 100,
        spread=spread,
        source="",
    )


@dataclass(frozen=True)
class Model:
    """Three parameters, and no formula: transfer uses none."""

    parameters: tuple[Parameter, ...] = (
        parameter("efficiency", 0.8, 0.2),
        parameter("floor_s", 4e-6, 0.5),
        parameter("cache", 2.0, 1.0),
    )
    name: str = "three"
    family: str = "dense"


STARTS = {p.name: p.start for p in Model().parameters}


def at(weight: float, name: str = "h100") -> Donor:
    return Donor(chip=CHIPS[name], distance=0.0, weight=weight)


class TestDonors:
    def test_the_nearest_of_an_architecture_comes_first(self):
        found = donors(CHIPS["h200"], [CHIPS[n] for n in ("a100", "mi300x", "h800", "h100")])
        assert {d.chip.name for d in found[:2]} == {"h100", "h800"}
        assert found[1].distance < 1 <= found[2].distance
        assert found[0].weight > 0.9

    def test_between_architectures_data_decide(self):
        """A GeForce Ada part is nearer to an L40S than chips with many times the bandwidth."""
        found = donors(CHIPS["rtx-4090"], [CHIPS[n] for n in ("tpu-v7", "b200", "l40s")])
        assert [d.chip.name for d in found] == ["l40s", "tpu-v7", "b200"]

    @pytest.mark.parametrize("name", NAMES)
    def test_same_architecture_first_whatever_the_data(self, name):
        found = donors(CHIPS[name], list(CHIPS.values()))
        same = [d.chip.architecture == CHIPS[name].architecture for d in found]
        assert same == sorted(same, reverse=True)
        assert len(found) == len(CHIPS) - 1
        assert all(0 < d.weight <= 1 for d in found if d.distance < 10)
        weights = [d.weight for d in found]
        assert weights == sorted(weights, reverse=True)

    def test_order_of_what_is_given_does_not_matter(self):
        assert donors(CHIPS["l4"], list(CHIPS.values())) == donors(
            CHIPS["l4"], list(reversed(CHIPS.values()))
        )

    @given(st.sampled_from(NAMES), st.sampled_from(NAMES))
    def test_distance_is_symmetric(self, one, other):
        assert distance(CHIPS[one], CHIPS[other]) == distance(CHIPS[other], CHIPS[one])

    def test_names_and_vendors_do_not_matter(self):
        other = dataclasses.replace(CHIPS["h100"], name="x1", title="X", vendor="Y", origin="DE")
        assert distance(CHIPS["h200"], other) == distance(CHIPS["h200"], CHIPS["h100"])
        assert distance(CHIPS["h100"], other) == 0

    def test_what_is_unknown_counts_as_one_spread(self):
        bare = dataclasses.replace(CHIPS["h100"], name="x1", clock=None)
        # clock, and FLOP per core and cycle with it: two of six features
        apart = math.sqrt(2 / 6)
        assert distance(CHIPS["h100"], bare) == pytest.approx(apart / (1 + apart))

    def test_a_chip_is_no_donor_of_itself(self):
        assert donors(CHIPS["h100"], [CHIPS["h100"]]) == []

    def test_spreads_are_those_of_the_described_chips(self):
        logs = [
            transfer._features(
                replace(facts_of(chip, "bf16"), cores=chip.cores.value if chip.cores else math.nan)
            )
            for chip in CHIPS.values()
        ]
        for key, spread in transfer._SPREADS.items():
            assert np.nanstd([row[key] for row in logs]) == pytest.approx(spread, rel=0.15), key


class TestTransferred:
    def test_without_a_donor_it_is_the_start(self):
        for given_ in ([], donors(CHIPS["h100"], [])):
            none = transferred(Model(), {"a100": {"efficiency": 0.5}}, given_)
            assert none == pytest.approx(STARTS)

    def test_an_equal_chip_passes_its_parameters_on(self):
        fit = {"efficiency": 0.6, "floor_s": 8e-6, "cache": 0.5}
        moved = transferred(Model(), {"h100": fit}, [at(1.0)])
        # The fit's own error of 5 % against a spread of 20, 50 and 100 %.
        assert moved["efficiency"] == pytest.approx(0.6, rel=0.02)
        assert moved["cache"] == pytest.approx(0.5, rel=0.005)

    def test_a_far_chip_says_nothing(self):
        far = transferred(Model(), {"h100": {"cache": 200.0}}, [at(1e-9)])
        assert far == pytest.approx(STARTS)

    def test_a_parameter_that_no_donor_has_keeps_its_start(self):
        moved = transferred(Model(), {"h100": {"cache": 1.0}}, [at(1.0)])
        assert moved["efficiency"] == pytest.approx(0.8)
        assert moved["cache"] == pytest.approx(1.0, rel=0.01)

    def test_known_answer(self):
        """Correlation 1/sqrt(2): the donor is off by one spread more than its fit, as the start."""
        moved = transferred(Model(), {"h100": {"cache": 8.0}}, [at(math.sqrt(0.5))])
        share = 1 / (1 + 1 / (1 + 0.05**2))
        expected = math.exp(share * math.log(2.0) + (1 - share) * math.log(8.0))
        assert moved["cache"] == pytest.approx(expected, rel=1e-9)

    def test_limits_hold(self):
        moved = transferred(Model(), {"h100": {"efficiency": 1e9}}, [at(1.0)])
        assert moved["efficiency"] == Model().parameters[0].high

    @given(
        st.lists(
            st.tuples(st.sampled_from(NAMES), st.floats(0.01, 100), st.floats(1e-3, 1)),
            min_size=1, max_size=6, unique_by=lambda row: row[0],
        )
    )  # fmt: skip
    def test_it_lies_between_donors_and_start(self, rows):
        fitted = {name: {"cache": 2.0 * factor} for name, factor, _ in rows}
        given_ = [at(weight, name) for name, _, weight in rows]
        moved = transferred(Model(), fitted, given_)
        known = [2.0, *(row["cache"] for row in fitted.values())]
        assert min(known) * (1 - 1e-9) <= moved["cache"] <= max(known) * (1 + 1e-9)
        again = transferred(Model(), fitted, list(reversed(given_)))
        assert again["cache"] == pytest.approx(moved["cache"])

    @given(st.floats(1e-3, 0.99), st.floats(1.001, 100))
    def test_a_nearer_donor_moves_more(self, weight, factor):
        fitted = {"h100": {"cache": 2.0 * factor}}
        near = transferred(Model(), fitted, [at(min(1.0, weight * 1.01))])
        far = transferred(Model(), fitted, [at(weight)])
        assert near["cache"] > far["cache"] > 2.0
