"""`assess --phase train` on a layout, as a user runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
LAYOUT = ("--tp", "2", "--pp", "2", "--dp", "2", "--batch", "16", "--tokens", "512")


def test_a_step_on_a_layout_is_told_by_part_and_rank(cg: Run, tmp_path: Path) -> None:
    page, record = tmp_path / "page.html", tmp_path / "records"
    ended, out, err = cg(
        "assess", "qwen3-0.6b", "--on", "h100", "--on", "ascend-910b2", "--phase", "train",
        *LAYOUT, "--shard", "optimizer", "--recompute", "full", "--html", page, "--out", record,
    )  # fmt: skip

    assert ended == 0, err
    assert "train: batch 16, 512 tokens per sequence" in out
    assert "batch 16 in 8 micro-batches of 1, recompute full" in out
    for part in ("forward", "recompute", "pipeline bubble", "gradients reduced", "MFU"):
        assert part in out
    assert "memory of the fullest rank" in out
    assert "bounds of any software" not in out
    html = page.read_text("utf-8")
    assert "Memory of the fullest rank" in html
    assert "--recompute full" in html
    saved = json.loads(next(record.iterdir()).read_text("utf-8"))
    steps = [chip["phases"][0]["step"] for chip in saved["data"]["chips"]]
    assert [step["plan"]["batch"] for step in steps] == [16, 16]
    for chip, step in zip(saved["data"]["chips"], steps, strict=True):
        total = sum(part["seconds"] for part in step["parts"])
        assert total == pytest.approx(chip["phases"][0]["stack"]["mid_s"])
        assert 0 < step["mfu"] < step["hfu"] < 1


def test_one_chip_has_the_time_of_a_stack_beside_the_bounds(cg: Run) -> None:
    _, out, _ = cg("assess", "qwen3-0.6b", "--on", "h100", "--phase", "train", "--tokens", "512",
                   "--json", "--no-record")  # fmt: skip
    phase = json.loads(out)["data"]["chips"][0]["phases"][0]
    assert phase["speed"] is not None
    assert phase["rank"] is None
    assert phase["stack"]["stack"] == "compile"
    assert {part["name"] for part in phase["step"]["parts"]} == {
        "forward", "backward", "optimizer"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dp", "2", "--batch", "3"), "--batch 3 does not divide into 2 replicas"),
        (("--pp", "2", "--interleave", "2", "--batch", "3"), "3 micro-batches do not divide"),
        (("--dp", "1", "--interleave", "2"), "--interleave 2 without stages"),
        (("--ep", "2", "--dp", "2"), "--ep belongs to inference"),
        (("--recompute", "full"), "--recompute needs a layout"),
        (("--dp", "2", "--phase", "decode"), "--phase train on a layout stands alone"),
        (("--stack", "vllm"), "--stack vllm serves and does not train"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    cg: Run, options: tuple[str, ...], said: str
) -> None:
    ended, _, err = cg("assess", "qwen3-0.6b", "--on", "h100", "--phase", "train", *options)
    assert ended == 2
    assert re.search(rf"error\[CG-E103\].*{re.escape(said)}", err)
    assert "building" not in err


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--tp", "3"), "CG-F207"), (("--tp", "2", "--stack", "eager"), "CG-F207"),
     (("--dp", "1", "--micro-batch", "512"), "CG-F206")],
)  # fmt: skip
def test_a_layout_that_cannot_run_is_blocked_with_a_reason(
    cg: Run, options: tuple[str, ...], code: str
) -> None:
    ended, out, _ = cg("assess", "qwen3-0.6b", "--on", "h100", "--phase", "train",
                       "--tokens", "512", *options, "--no-record")  # fmt: skip
    assert ended == 1
    assert code in out
