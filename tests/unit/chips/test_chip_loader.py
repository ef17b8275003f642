"""Every shipped description loads, and says what is known of it."""

import dataclasses
from pathlib import Path

import pytest

from crossgrade.chips import loader
from crossgrade.chips.loader import chip_from_toml, chip_names, load_chip, resolve_name
from crossgrade.chips.validate import SELECTORS, constants
from crossgrade.errors import BadChipFile, UnknownChip

SHIPPED = (
    "a100", "a100-pcie", "a30", "a40", "a800", "arc-b60", "ascend-310p", "ascend-910b1",
    "ascend-910b2", "ascend-910b3", "ascend-910b4", "ascend-910c", "ascend-910c-die",
    "ascend-950dt", "ascend-950pr", "b200", "b300", "gaudi2", "gaudi3", "gb200", "gb300", "gh200",
    "h100", "h100-pcie", "h20", "h200", "h800", "l4", "l40s", "max-1550", "max-1550-stack",
    "metax-c500", "mi210", "mi250", "mi250-die", "mi250x", "mi300x", "mi308x", "mi325x", "mi355x",
    "mlu370", "mtt-s4000", "mtt-s5000", "rtx-4090", "rtx-pro-6000", "tpu-v5e", "tpu-v5p",
    "tpu-v6e", "tpu-v7", "trainium2", "v100",
)  # fmt: skip

# What nobody published, beside power, clock and availability.
GAPS = {
    "ascend-310p": {"matrix/bf16", "scale-up"},
    "ascend-910b1": {"scale-up"},
    "max-1550": {"scale-up"},
    "max-1550-stack": {"scale-up"},
    "metax-c500": {"cores", "scale-up"},
    "mi308x": {"bandwidth", "matrix/bf16", "vector/fp32", "scale-up"},
    "mlu370": {"cores", "vector/fp32"},
    "mtt-s4000": {"cores"},
    "mtt-s5000": {"matrix/bf16", "vector/fp32"},
    "tpu-v5e": {"vector/fp32"},
    "tpu-v5p": {"vector/fp32"},
    "tpu-v6e": {"vector/fp32"},
    "tpu-v7": {"vector/fp32"},
    "v100": {"matrix/bf16"},
}

PAGE = Path(__file__).parents[3] / "docs/reference/chips.md"

# FLOP per cycle and core of the matrix engine in bf16, dense.
FLOP_PER_CYCLE = {
    "ada": 1024,
    "ada-geforce": 512,
    "ampere-ga10x": 1024,
    "ascend-220x": 8192,
    "ascend-351x": 8192,
    "ampere": 2048,
    "hopper": 4096,
    "blackwell": 8192,
    "blackwell-rtx": 1024,
    "blackwell-ultra": 8192,
    "cdna2": 1024,
    "cdna3": 2048,
    "cdna4": 4096,
    "xe2": 2048,
    "xe-hpc": 4096,
    "gaudi2": 131072,
    "gaudi3": 131072,
    "tpu-v5e": 131072,
    "tpu-v5p": 131072,
}


def rate(name: str, engine: str, precision: str) -> float:
    peak = load_chip(name).peak(engine, precision)
    assert peak is not None, f"{name} has no {engine} {precision} peak"
    return peak.rate.value


def test_the_shipped_names_are_these():
    assert chip_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
class TestEveryChip:
    def test_is_named_after_its_file(self, name):
        assert load_chip(name).name == name

    def test_every_constant_has_a_source_that_exists(self, name):
        chip = load_chip(name)
        found = list(constants(chip))
        assert len(found) >= (10 if name not in GAPS else 3)
        for _, constant in found:
            assert chip.source(constant.source).url.startswith("https://")
        for note in chip.numerics:
            chip.source(note.source)

    def test_every_source_is_used(self, name):
        chip = load_chip(name)
        used = {c.source for _, c in constants(chip)} | {n.source for n in chip.numerics}
        used |= {d.other.source for d in chip.disagreements}
        assert {s.id for s in chip.sources} <= used | {chip.available_source}

    def test_every_constant_counts_for_the_chip(self, name):
        chip = load_chip(name)
        assert {c.scope for _, c in constants(chip)} == {chip.scope}

    def test_has_what_a_prediction_needs(self, name):
        chip = load_chip(name)
        assert chip.memory_capacity is not None
        found = {
            "bandwidth": chip.memory_bandwidth,
            "cores": chip.cores,
            "matrix/bf16": chip.peak("matrix", "bf16"),
            "vector/fp32": chip.peak("vector", "fp32"),
            "scale-up": chip.link("scale-up"),
        }
        assert {what for what, value in found.items() if value is None} == GAPS.get(name, set())

    def test_says_what_is_unknown(self, name):
        chip = load_chip(name)
        text = " ".join(chip.notes)
        if chip.power is None:
            assert "Power" in text
        if chip.available is None:
            assert "availability" in text
        if chip.clock is None:
            assert "lock is therefore unknown" in text

    def test_bf16_matrix_peak_follows_from_cores_and_clock(self, name):
        chip = load_chip(name)
        if chip.clock is None or GAPS.get(name, set()) & {"cores", "matrix/bf16"}:
            pytest.skip("no clock, cores or rate published")
        derived = chip.cores.value * chip.clock.value * FLOP_PER_CYCLE[chip.architecture]
        assert derived == pytest.approx(rate(name, "matrix", "bf16"), rel=2e-3)

    def test_narrower_formats_are_not_slower(self, name):
        chip = load_chip(name)
        wide = chip.peak("matrix", "bf16") or chip.peak("matrix", "fp16")
        for precision in ("fp8", "mxfp8", "hif8", "int8", "int4", "fp4", "mxfp4", "nvfp4"):
            peak = chip.peak("matrix", precision)
            if peak is None or (chip.architecture, precision) == ("blackwell-ultra", "int8"):
                continue  # int8 was cut on that generation
            assert wide is None or peak.rate.value >= wide.rate.value

    def test_numerics_selectors_are_of_the_closed_list(self, name):
        assert {note.applies_to for note in load_chip(name).numerics} <= set(SELECTORS)


class TestKnownAnswers:
    @pytest.mark.parametrize(
        ("name", "cores", "clock"),
        [
            ("ascend-910b2", 24, 1.8e9),
            ("ascend-910b3", 20, 1.8e9),
            ("ascend-910b1", 24, 1.85e9),
            ("ascend-910b4", 20, 1.5e9),
            ("ascend-910c-die", 24, 1.8e9),
            ("ascend-950dt", 32, 1.65e9),
            ("ascend-950pr", 32, 1.65e9),
        ],
    )
    def test_ascend_peaks_are_cores_times_clock_times_8192(self, name, cores, clock):
        peak = cores * clock * 8192
        assert rate(name, "matrix", "bf16") == pytest.approx(peak, rel=1e-12)
        assert rate(name, "matrix", "fp16") == pytest.approx(peak, rel=1e-12)
        assert rate(name, "matrix", "int8") == pytest.approx(2 * peak, rel=1e-12)

    def test_vector_rate_of_910b2_is_22_tflops(self):
        assert rate("ascend-910b2", "vector", "fp16") == pytest.approx(48 * 128 * 2 * 1.8e9)
        assert load_chip("ascend-910b2").peak("vector", "bf16") is None

    def test_vector_rate_of_950dt_is_54_tflops(self):
        assert rate("ascend-950dt", "vector", "fp16") == pytest.approx(54.07e12, rel=1e-3)

    def test_950_formats_of_eight_and_four_bits(self):
        for precision in ("fp8", "mxfp8", "hif8", "int8"):
            assert rate("ascend-950dt", "matrix", precision) == pytest.approx(865.1e12, rel=1e-3)
        assert rate("ascend-950dt", "matrix", "mxfp4") == pytest.approx(1730e12, rel=1e-3)
        assert load_chip("ascend-950dt").peak("matrix", "int4") is None

    @pytest.mark.parametrize("name", ["ascend-910b2", "ascend-910b3", "ascend-910c", "a100"])
    def test_older_chips_have_no_fp8_and_say_so(self, name):
        chip = load_chip(name)
        assert chip.peak("matrix", "fp8") is None
        assert any(note.applies_to == "fp8" for note in chip.numerics)

    @pytest.mark.parametrize(
        ("package", "part", "links"),
        [
            ("ascend-910c", "ascend-910c-die", ("scale-up", "scale-out")),
            ("mi250", "mi250-die", ("scale-up",)),
            ("max-1550", "max-1550-stack", ()),
        ],
    )
    def test_a_package_is_exactly_two_of_its_parts(self, package, part, links):
        whole, die = load_chip(package), load_chip(part)
        assert (whole.scope, die.scope) == ("package", "die")
        assert [(p.engine, p.precision) for p in whole.peaks] == [
            (p.engine, p.precision) for p in die.peaks
        ]
        for two, one in zip(whole.peaks, die.peaks, strict=True):
            assert two.rate.value == pytest.approx(2 * one.rate.value, rel=1e-12)
        for field in ("memory_capacity", "memory_bandwidth", "cores"):
            assert getattr(whole, field).value == 2 * getattr(die, field).value
        for level in links:
            assert whole.link(level).bandwidth.value == 2 * die.link(level).bandwidth.value
        if "scale-up" in links:
            assert 2 * whole.link("scale-up").domain == die.link("scale-up").domain

    @pytest.mark.parametrize(
        ("name", "precision", "expected"),
        [
            ("a100", "bf16", 312e12),
            ("h100", "bf16", 989.4e12),
            ("h100", "fp8", 1978.9e12),
            ("h20", "bf16", 148e12),
            ("b200", "nvfp4", 9000e12),
            ("mi300x", "fp8", 2614.9e12),
            ("gaudi3", "bf16", 1678e12),
            ("gb200", "nvfp4", 10000e12),
            ("gb300", "nvfp4", 15000e12),
            ("b300", "int8", 157.5e12),
            ("l40s", "bf16", 362.05e12),
            ("mi355x", "fp8", 5033.2e12),
            ("tpu-v6e", "bf16", 918e12),
            ("trainium2", "bf16", 667e12),
            ("metax-c500", "bf16", 280e12),
            ("mlu370", "fp16", 96e12),
            ("gaudi2", "bf16", 432e12),
            ("gaudi2", "fp8", 865e12),
            ("mi250", "bf16", 362.1e12),
            ("mi250x", "bf16", 383e12),
            ("mi210", "fp16", 181e12),
            ("max-1550", "bf16", 838.8608e12),
            ("gh200", "bf16", 989.5e12),
            ("rtx-pro-6000", "nvfp4", 1871.2e12),
            ("a40", "bf16", 149.7e12),
            ("a30", "bf16", 165e12),
            ("l4", "fp8", 242e12),
            ("rtx-4090", "bf16", 165.2e12),
            ("v100", "fp16", 125e12),
            ("h100-pcie", "bf16", 756e12),
        ],
    )
    def test_dense_matrix_peaks_of_data_sheets(self, name, precision, expected):
        assert rate(name, "matrix", precision) == expected

    @pytest.mark.parametrize(
        ("name", "precision", "expected"),
        [
            ("a100", "fp32", 19.5e12),
            ("a100", "fp16", 78e12),
            ("a100", "bf16", 39e12),
            ("h100", "fp32", 66.9e12),
            ("h100", "fp16", 133.8e12),
            ("mi300x", "fp32", 163.4e12),
            ("gaudi3", "bf16", 28.7e12),
        ],
    )
    def test_vector_peaks_of_data_sheets(self, name, precision, expected):
        assert rate(name, "vector", precision) == expected

    @pytest.mark.parametrize(
        ("name", "mebibytes"),
        [
            ("a100", 40), ("a30", 24), ("a40", 6), ("v100", 6), ("l4", 48), ("l40s", 96),
            ("rtx-4090", 72), ("rtx-pro-6000", 128), ("h100", 50), ("h800", 50), ("h20", 60),
            ("gb200", 129.25), ("b300", 129.25), ("gb300", 129.25), ("mi210", 8), ("mi250", 16),
            ("mi300x", 256), ("mi355x", 256), ("max-1550", 408), ("arc-b60", 18), ("gaudi2", 48),
            ("gaudi3", 96), ("tpu-v5e", 128), ("tpu-v6e", 128), ("ascend-910b2", 192),
        ],
    )  # fmt: skip
    def test_largest_memory_that_the_cores_share(self, name, mebibytes):
        shared = [b.capacity.value for b in load_chip(name).buffers if b.per == "chip"]
        assert max(shared) == mebibytes * 2**20

    def test_h200_computes_as_h100(self):
        for peak in load_chip("h100").peaks:
            assert rate("h200", peak.engine, peak.precision) == peak.rate.value

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("a100", 4992), ("h20", 2368), ("h100", 15831), ("b200", 36000), ("ascend-910b2", 5662)],
    )
    def test_total_processing_performance(self, name, expected):
        tpp = load_chip(name).total_processing_performance
        assert tpp == pytest.approx(expected, rel=1e-3)

    def test_flush_of_subnormals_is_on_351x_only(self):
        for name in SHIPPED:
            chip = load_chip(name)
            ids = [note.id for note in chip.numerics]
            assert ("subnormals-flushed" in ids) == (chip.architecture == "ascend-351x")

    def test_chips_of_one_architecture_share_their_notes(self):
        for architecture in {load_chip(name).architecture for name in SHIPPED}:
            chips = [c for c in map(load_chip, SHIPPED) if c.architecture == architecture]
            assert len({tuple(map(str, chip.numerics)) for chip in chips}) == 1


class TestNames:
    @pytest.mark.parametrize("typed", ["910B2", "Ascend910B2", "ascend_910b2", "Ascend 910B2"])
    def test_spelling_does_not_matter(self, typed):
        assert load_chip(typed).name == "ascend-910b2"

    def test_says_whether_an_alias_was_used(self):
        assert resolve_name("H100").via_alias is None
        resolved = resolve_name("H100-SXM")
        assert (resolved.passed, resolved.name, resolved.via_alias) == (
            "H100-SXM",
            "h100",
            "h100-sxm",
        )
        assert dataclasses.is_dataclass(resolved)

    def test_every_alias_leads_to_its_chip(self):
        for name in SHIPPED:
            for alias in load_chip(name).aliases:
                assert resolve_name(alias).name == name

    def test_unknown_name_suggests_and_says_how_to_list(self):
        with pytest.raises(UnknownChip) as caught:
            load_chip("ascend-910b9")
        assert "ascend-910b2" in caught.value.hint or "ascend-910b" in caught.value.hint
        assert "crossgrade chips" in caught.value.hint

    def test_name_without_a_near_one_still_says_how_to_list(self):
        with pytest.raises(UnknownChip, match="xyzzy") as caught:
            load_chip("xyzzy")
        assert caught.value.hint == "`crossgrade chips` lists all"


class TestFiles:
    def test_text_path_and_string_path_give_the_same_chip(self):
        path = loader.DATA / "h100.toml"
        chips = [chip_from_toml(path), chip_from_toml(str(path)), chip_from_toml(path.read_text())]
        assert chips == [load_chip("h100")] * 3

    def test_missing_file(self, tmp_path):
        with pytest.raises(BadChipFile, match="cannot read"):
            chip_from_toml(tmp_path / "none.toml")

    def test_no_toml(self, tmp_path):
        path = tmp_path / "bad.toml"
        path.write_text("schema = = 1\n", encoding="utf-8")
        with pytest.raises(BadChipFile, match="not TOML") as caught:
            chip_from_toml(path)
        assert caught.value.where == "bad.toml"

    def test_notice_credits_epoch(self):
        text = (loader.DATA / "NOTICE.md").read_text(encoding="utf-8")
        assert "Epoch AI" in text
        assert "CC BY 4.0" in text

    def test_documentation_names_every_chip_and_selector(self):
        for word in (*SHIPPED, *SELECTORS):
            assert f"`{word}`" in PAGE.read_text(encoding="utf-8")

    def test_table_of_the_documentation_agrees_with_the_files(self):
        lines = PAGE.read_text(encoding="utf-8").splitlines()
        for name in SHIPPED:
            row = next(line for line in lines if line.startswith(f"| `{name}` |"))
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            chip = load_chip(name)
            assert cells[1] == chip.scope
            if chip.peak("matrix", "bf16") is None:
                assert cells[2] == ""
            else:
                expected = rate(name, "matrix", "bf16") / 1e12
                assert float(cells[2]) == pytest.approx(expected, rel=1e-3)
            assert float(cells[7]) == chip.memory_capacity.value / 1e9
            if chip.memory_bandwidth is None:
                assert cells[8] == ""
            else:
                expected = chip.memory_bandwidth.value / 1e12
                assert float(cells[8]) == pytest.approx(expected, rel=1e-3)
