"""Sparse rates, customary units and mixed dies are noticed; no described chip is suspected."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.loader import chip_names, load_chip
from crossgrade.chips.plausible import check_plausible
from crossgrade.errors import BadChipFile
from crossgrade.values.chip import Chip

SHIPPED = {name: load_chip(name) for name in chip_names()}


def times(constant, factor: float, **changes):
    return dataclasses.replace(constant, value=constant.value * factor, **changes)


def with_rates(chip: Chip, factor: float, *precisions: str, vector: bool = False) -> Chip:
    """Return the chip with its matrix rates (of these precisions, or all) times `factor`."""
    peaks = tuple(
        dataclasses.replace(p, rate=times(p.rate, factor))
        if (vector or p.engine == "matrix") and (not precisions or p.precision in precisions)
        else p
        for p in chip.peaks
    )
    return dataclasses.replace(chip, peaks=peaks)


def without(chip: Chip, *fields: str) -> Chip:
    return dataclasses.replace(chip, **dict.fromkeys(fields))


def check(chip: Chip, *, besides: str = "") -> None:
    others = [other for name, other in SHIPPED.items() if name != besides]
    check_plausible(chip, "my.toml", others)


def refused(chip: Chip, **kwargs) -> BadChipFile:
    with pytest.raises(BadChipFile) as caught:
        check(chip, **kwargs)
    assert caught.value.code == "CG-E204"
    assert caught.value.where.startswith("my.toml: ")
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", SHIPPED)
def test_no_described_chip_is_suspected(name):
    check(SHIPPED[name], besides=name)


@pytest.mark.parametrize("name", ["a100", "h100", "ascend-910b2", "mi300x", "l40s", "gb200"])
def test_an_exact_copy_is_not_suspected(name):
    check(SHIPPED[name])


def with_note(chip: Chip, precision: str, note: str) -> Chip:
    peaks = tuple(
        dataclasses.replace(p, rate=dataclasses.replace(p.rate, note=note))
        if (p.engine, p.precision) == ("matrix", precision)
        else p
        for p in chip.peaks
    )
    return dataclasses.replace(chip, peaks=peaks)


class TestSparse:
    def test_a_rate_with_wide_sums_may_be_a_quarter_of_int8_and_any_other_may_not(self):
        chip = SHIPPED["rtx-4090"]
        check(chip, besides="rtx-4090")
        unsaid = with_note(with_note(chip, "bf16", ""), "fp16", "")
        assert "4 times the 16-bit rate" in refused(unsaid, besides="rtx-4090").message

    def test_fp64_may_be_cut_alone_and_another_format_may_not(self):
        chip = SHIPPED["h800"]
        check(chip, besides="h800")
        assert (
            chip.peak("vector", "fp64").rate.value < 0.05 * chip.peak("vector", "fp32").rate.value
        )
        cut = with_rates(chip, 0.1, "fp8")
        assert "operations per core and cycle" in refused(cut, besides="h800").message

    @pytest.mark.parametrize("name", ["a100", "h100", "mi300x", "ascend-910b3", "l40s", "arc-b60"])
    def test_all_rates_doubled(self, name):
        error = refused(with_rates(SHIPPED[name], 2))
        assert "pars" in error.hint + error.message
        assert "dense" in error.hint

    @pytest.mark.parametrize("name", ["a100", "gb200", "h800", "mlu370"])
    def test_all_rates_doubled_without_cores_and_clock(self, name):
        error = refused(without(with_rates(SHIPPED[name], 2), "cores", "clock"))
        assert "twice those of" in error.message
        assert f"{SHIPPED[name].peaks[0].rate.value:.6g}" in error.hint

    @pytest.mark.parametrize(
        ("name", "precision"),
        [("h100", "fp8"), ("h100", "int8"), ("a100", "int8"), ("mi355x", "mxfp4"), ("b200", "bf16"),
         ("mtt-s4000", "bf16"), ("trainium2", "fp8"), ("tpu-v5e", "int8"), ("l40s", "tf32")],
    )  # fmt: skip
    def test_one_rate_doubled_on_a_chip_of_its_own_family(self, name, precision):
        """Caught by the ratio of precisions where that is unusual, else by its relatives."""
        alone = dataclasses.replace(SHIPPED[name], architecture="nobody-else")
        doubled = with_rates(alone, 2, precision)
        if precision == "tf32":
            check(doubled)  # as fast as bf16: others are, so it cannot be told
            return
        error = refused(doubled)
        assert "times the 16-bit rate" in error.message
        assert "peaks[matrix/" in error.where

    @pytest.mark.parametrize("note", ["with sparsity", "2:4 sparse", "Sparsity on"])
    def test_a_note_that_says_so(self, note):
        chip = dataclasses.replace(SHIPPED["a100"], architecture="nobody-else")
        first = dataclasses.replace(chip.peaks[0], rate=times(chip.peaks[0].rate, 1, note=note))
        error = refused(dataclasses.replace(chip, peaks=(first, *chip.peaks[1:])))
        assert note in error.message

    def test_a_note_that_says_what_is_not_used_is_fine(self):
        chip = SHIPPED["h100"]
        assert any("sparse" in peak.rate.note for peak in chip.peaks)
        check(chip)

    @pytest.mark.parametrize("name", ["h100", "b200", "a100", "mi355x", "metax-c500"])
    def test_another_name_of_the_architecture_does_not_hide_the_product(self, name):
        chip = dataclasses.replace(SHIPPED[name], architecture="sm-something")
        error = refused(with_rates(chip, 2))
        assert f"twice those of {name}" in error.message or "its note says" in error.message
        said = tuple(
            dataclasses.replace(p, rate=times(p.rate, 1, note="dense")) for p in chip.peaks
        )
        check(with_rates(dataclasses.replace(chip, peaks=said), 2))

    def test_a_family_of_its_own_with_all_rates_doubled_fits_itself(self):
        """The limit of what can be noticed; the how-to says so."""
        chip = dataclasses.replace(SHIPPED["a100"], architecture="nobody-else")
        check(with_rates(without(chip, "memory_bandwidth"), 2))


class TestDies:
    def test_rates_of_the_package_with_the_cores_of_a_die(self):
        die = SHIPPED["ascend-910c-die"]
        error = refused(with_rates(die, 2))
        assert "operations per core and cycle" in error.message
        assert "one die" in error.hint

    def test_rates_of_a_die_with_the_cores_of_the_package(self):
        error = refused(with_rates(SHIPPED["ascend-910c"], 0.5))
        assert "0.5 times" in error.message
        assert "cores of a package" in error.hint

    def test_rates_and_cores_of_the_package_with_the_memory_of_a_die(self):
        die = SHIPPED["ascend-910c-die"]
        mixed = dataclasses.replace(with_rates(die, 2, vector=True), cores=times(die.cores, 2))
        error = refused(mixed)
        assert "dies and packages are mixed" in error.message
        assert error.where == "my.toml: scope"

    def test_rates_and_cores_of_a_die_with_the_memory_of_the_package(self):
        whole = SHIPPED["ascend-910c"]
        rates = with_rates(whole, 0.5, vector=True)
        error = refused(dataclasses.replace(rates, cores=times(whole.cores, 0.5)))
        assert "half those of ascend-910c" in error.message

    def test_the_numbers_of_the_package_under_the_scope_of_a_die(self):
        error = refused(dataclasses.replace(SHIPPED["ascend-910c"], scope="die"))
        assert error.where.endswith("scope")
        assert "ascend-910c," in error.message
        assert "ascend-910c-die" in error.hint

    def test_a_whole_package_beside_its_die_is_fine(self):
        check(SHIPPED["ascend-910c"], besides="ascend-910c")

    def test_another_memory_on_the_same_die_is_fine(self):
        chip = SHIPPED["ascend-910b4"]
        check(
            dataclasses.replace(
                chip,
                memory_capacity=times(chip.memory_capacity, 2),
                memory_bandwidth=times(chip.memory_bandwidth, 2),
            )
        )


class TestUnits:
    @pytest.mark.parametrize(
        ("field", "factor"),
        [("memory_capacity", 1e-9), ("memory_bandwidth", 1e-9), ("clock", 1e-9), ("clock", 1e-6)],
    )
    def test_a_customary_value_under_the_base_unit(self, field, factor):
        chip = SHIPPED["h100"]
        error = refused(dataclasses.replace(chip, **{field: times(getattr(chip, field), factor)}))
        assert field in error.where
        assert "base units" in error.hint

    def test_a_rate_in_tflops(self):
        error = refused(with_rates(SHIPPED["h100"], 1e-12))
        assert "989e12" in error.hint


@given(
    name=st.sampled_from([n for n, c in SHIPPED.items() if c.cores and c.clock and c.peaks]),
    clock=st.floats(min_value=0.8, max_value=1.2),
    cores=st.floats(min_value=0.7, max_value=1.3),
)
def test_honest_bins_of_a_family_are_never_suspected(name, clock, cores):
    """Other cores and another clock scale the rates: a bin, not a mistake.

    Its rates say that they are dense, beside all that their notes say (the width of the sums, on
    parts whose products are halved): a bin may happen to have twice those of another product.
    """
    chip = SHIPPED[name]

    def binned(peak):
        note = f"{peak.rate.note}; dense"
        rate = dataclasses.replace(times(peak.rate, clock * cores), note=note)
        return dataclasses.replace(peak, rate=rate)

    scaled = dataclasses.replace(
        chip,
        peaks=tuple(binned(p) for p in chip.peaks),
        cores=times(chip.cores, cores),
        clock=times(chip.clock, clock),
    )
    check(scaled)


class TestFarAbove:
    def test_bits_for_bytes(self):
        chip = SHIPPED["h100"]
        fast = dataclasses.replace(chip, memory_bandwidth=times(chip.memory_bandwidth, 8))
        assert refused(fast).where.endswith("memory_bandwidth")

    def test_sparse_rates_of_two_chips(self):
        chip = SHIPPED["gb200"]
        assert refused(with_rates(chip, 4, "bf16", "fp16")).where.endswith("]")

    def test_a_link_in_both_directions(self):
        chip = SHIPPED["h100"]
        first = chip.link("scale-up")
        both = dataclasses.replace(first, bandwidth=times(first.bandwidth, 2))
        others = [link for link in chip.links if link is not first]
        error = refused(dataclasses.replace(chip, links=(both, *others)))
        assert "one direction" in error.hint
        assert error.where.endswith(f"links[scale-up: {first.name}]")
