"""`layout search` and `assess --tp`: as a user types them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
LENGTHS = ("--prompt", "512", "--output", "64")


def test_a_search_says_what_serves_and_why_the_rest_does_not(cg, moe_config):
    code, out, err = cg("layout", "search", moe_config, "--on", "h100", "--chips", "4", *LENGTHS,
                        "--tpot", "20ms", "--ttft", "1s", "--price", "2")  # fmt: skip
    assert code == 0, err
    assert "no other one is better in both" in out
    assert "tokens per price unit" in out
    assert "P10 to P90" in out
    assert "all predicted" in out


def test_json_has_every_point_with_its_band(cg, moe_config):
    code, out, _ = cg("layout", "search", moe_config, "--on", "ascend-910b2", "--chips", "2",
                      *LENGTHS, "--quant", "w8a8", "--json")  # fmt: skip
    document = json.loads(out)
    assert (code, document["command"], document["verdict"]) == (0, "layout search", "found")
    data = document["data"]
    assert data["weights"].startswith("int8 weights")
    for point in (*data["front"], *data["best"]):
        assert point["tpot_s"]["low"] <= point["tpot_mid_s"] <= point["tpot_s"]["high"]
        assert point["rank_bytes"] <= data["usable_bytes"]
        assert point["layout"]["chips"] * point["instances"] == 2
    times = [point["tpot_mid_s"] for point in data["front"]]
    assert times == sorted(times)


def best(cg, path, *more: str) -> tuple[float, float]:
    """Return TPOT and TTFT of one chip at the smallest batch."""
    code, out, err = cg("layout", "search", path, "--on", "h100", "--chips", "1",
                        "--prompt", "1024", "--output", "64", "--json", *more)  # fmt: skip
    assert code == 0, err
    first = json.loads(out)["data"]["front"][0]
    return first["tpot_mid_s"], first["ttft_mid_s"]


def test_right_drafts_and_cached_prompts_save_time(cg, dense_config):
    plain = best(cg, dense_config)
    wrong = best(cg, dense_config, "--drafts", "2", "--accepted", "0")
    right = best(cg, dense_config, "--drafts", "2", "--accepted", "2")
    assert wrong[0] > plain[0]
    assert right[0] == pytest.approx(wrong[0] / 3)
    assert best(cg, dense_config, "--cached", "0.75")[1] < plain[1]


def test_aims_that_nothing_meets_are_an_answer(cg, dense_config):
    code, out, _ = cg("layout", "search", dense_config, "--on", "h100", "--chips", "2", *LENGTHS,
                      "--tpot", "1us", "--all")  # fmt: skip
    assert code == 1
    assert "no layout meets the aims" in out
    assert "TPOT" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chips", "0"), "--chips 0"),
        (("--chips", "2", "--tpot", "20mx"), "--tpot 20mx"),
        (("--chips", "2", "--ttft", "-1s"), "--ttft -1s"),
        (("--chips", "2", "--quant", "w3a3"), "--quant w3a3"),
        (("--chips", "2", "--quant", "fp8", "--dtype", "bf16"), "give one"),
        (("--chips", "2", "--stack", "eager"), "no serving stack"),
        (("--chips", "2", "--cached", "1"), "--cached 1"),
        (("--chips", "2", "--drafts", "3"), "go together"),
        (("--chips", "2", "--drafts", "3", "--accepted", "4"), "--accepted 4"),
        (("--chips", "2", "--prompt", "9999999"), "--prompt 9999999"),
    ],
)
def test_wrong_input_is_one_line(cg, dense_config, arguments, words):
    code, out, err = cg("layout", "search", dense_config, "--on", "h100", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "hint:" in err


def test_what_no_link_joins_is_said(cg, dense_config):
    code, out, _ = cg("layout", "search", dense_config, "--on", "ascend-910b1", "--chips", "2",
                      *LENGTHS, "--all")  # fmt: skip
    assert code == 0  # two instances of one chip
    assert "no described link joins so many chips" in out
    code, _, err = cg("layout", "search", dense_config, "--on", "mi308x", "--chips", "1")
    assert code == 2
    assert "memory bandwidth is not published" in err


def test_a_chip_without_a_serving_stack_is_refused(cg, dense_config):
    code, _, err = cg("layout", "search", dense_config, "--on", "tpu-v5p", "--chips", "2")
    assert code == 2
    assert "no serving stack is known for tpu-v5p" in err


class TestAssess:
    def test_a_layout_has_a_rank_and_collectives(self, cg, moe_config):
        code, out, err = cg("assess", moe_config, "--on", "h100", "--tp", "2", "--ep", "4",
                            "--chips", "4", "--batch", "8", "--phase", "decode", "--json",
                            "--no-record")  # fmt: skip
        assert code == 0, err
        [phase] = json.loads(out)["data"]["chips"][0]["phases"]
        layout, rank = phase["layout"], phase["rank"]
        assert [layout[name] for name in ("kind", "tp", "dp", "ep")] == ["sharded", 2, 2, 4]
        assert rank["peak"] == pytest.approx(rank["weights"] + rank["cache"] + rank["activations"])
        assert phase["memory"]["peak_per_chip"] == rank["peak"]
        kinds = {part["op"] for part in phase["stack"]["parts"] if part["family"] == "collective"}
        assert kinds == {"all_reduce", "all_to_all", "all_gather"}

    def test_degrees_that_do_not_divide_block(self, cg, dense_config):
        code, out, _ = cg("assess", dense_config, "--on", "h100", "--tp", "3", "--no-record")
        assert code == 1
        assert "CG-F207" in out

    def test_a_rank_without_room_blocks(self, cg, moe_config, tmp_path):
        code, out, _ = cg("assess", moe_config, "--on", "h100", "--tp", "1", "--batch", "20000",
                          "--phase", "decode", "--no-record")  # fmt: skip
        assert code == 1
        assert "CG-F206" in out

    def test_chips_without_a_link_have_a_time_without_collectives(self, cg, dense_config):
        code, out, err = cg("assess", dense_config, "--on", "ascend-910b1", "--tp", "2",
                            "--phase", "decode", "--json", "--no-record")  # fmt: skip
        assert code == 0, err
        [phase] = json.loads(out)["data"]["chips"][0]["phases"]
        assert phase["stack"]["network_s"] is None
        assert 0 < phase["stack"]["low_s"] <= phase["stack"]["mid_s"] <= phase["stack"]["high_s"]
        assert not [p for p in phase["stack"]["parts"] if p["family"] == "collective"]

    def test_the_command_that_is_told_asks_the_same(self):
        from crossgrade import api

        options = api.AssessOptions(on=("h200",), chips=32, tp=4, dp=8, ep=32, quant="w8a8")
        line = api.command_line("deepseek-v3", options)
        for word in ("--chips 32", "--tp 4", "--dp 8", "--ep 32", "--quant w8a8"):
            assert word in line

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--tp", "-2", "--explain"), "--tp -2"),
            (("--tp", "2", "--on", "mi300x", "--stack", "vllm"), "does not run on mi300x"),
            (("--tp", "4", "--chips", "6"), "are 4"),
            (("--tp", "4", "--ep", "3"), "does not divide"),
            (("--tp", "0"), "--tp 0"),
            (("--ep", "2", "--phase", "train"), "belongs to inference"),
            (("--tp", "2", "--stack", "eager"), "does not serve"),
            (("--tp", "2", "--trace", "out.json"), "no layout"),
            (("--quant", "w8a8", "--dtype", "bf16"), "give one"),
            (("--tp", "2", "--redundant", "4"), "--redundant 4 without --ep"),
            (("--skew", "-1"), "an exponent from 0"),
            (("--two-batch-overlap",), "without a layout"),
            (("--tp", "2", "--cp", "2", "--chips", "2"), "tp 2 x dp 1 x cp 2 x pp 1 are 4"),
            (("--cp", "2", "--phase", "train"), "--cp belongs to inference"),
        ],
    )
    def test_wrong_degrees_are_one_line(self, cg, dense_config, arguments, words):
        code, out, err = cg("assess", dense_config, "--on", "h100", *arguments, "--no-record")
        assert (code, out) == (2, "")
        assert words in err
