"""The command that measures again, from options and from what a record keeps."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from crossgrade import api
from crossgrade.cli import bench_model, bench_op

OP = api.BenchOptions(op="gemm", arguments={"m": 64, "bias": True}, dtypes=("bf16", "fp32"),
                      on=("cpu", "compile:cpu"), budget_s=5.0, cache="cold", seed=3,
                      start="fresh", memory_bytes=2e9)  # fmt: skip
SUITE = api.BenchOptions(suite=Path("/home/somebody/s.json"), only=("gemm", "softmax"), most=4)
MODEL = api.ModelOptions(model="qwen3-0.6b", phases=("decode",), sizes={"image": 224}, batch=2,
                         layers=1, weights=Path("/data/w"), optimizer="sgd")  # fmt: skip


def test_an_operator():
    assert shlex.split(api.measuring_command(OP)) == [
        "crossgrade", "bench", "op", "gemm", "--shapes", '{"m":64,"bias":true}', "--on", "cpu",
        "--on", "compile:cpu", "--dtype", "bf16", "--dtype", "fp32", "--budget", "5",
        "--half-width", "0.01", "--sessions", "8", "--cache", "cold", "--seed", "3", "--fresh",
        "--memory", "2",
    ]  # fmt: skip


def test_paths_are_told_by_name():
    assert "--suite s.json --only gemm --only softmax --most 4" in api.measuring_command(SUITE)
    assert "--weights w" in api.measuring_command(MODEL)


def test_a_model():
    told = api.measuring_command(MODEL)
    assert told.startswith("crossgrade bench model qwen3-0.6b --size image=224 --on cpu "
                           "--phase decode --batch 2")  # fmt: skip
    assert "--optimizer sgd" in told


@pytest.mark.parametrize(("options", "command"), [
    (OP, bench_op.command), (SUITE, bench_op.command), (MODEL, bench_model.command),
])  # fmt: skip
def test_the_command_line_is_one_that_is_understood(options, command, monkeypatch, tmp_path):
    """Give it back to click: what it asks for is what was asked for."""
    monkeypatch.chdir(tmp_path)
    for name in ("w",):
        Path(name).mkdir()
    asked = []

    class Asked(Exception):
        pass

    def keep(options, **more):
        asked.append(options)
        raise Asked

    monkeypatch.setattr(api, "bench", keep)
    monkeypatch.setattr(api, "bench_model", keep)
    words = shlex.split(api.measuring_command(options))[3:]
    CliRunner().invoke(command, words)
    assert api.measuring_command(asked[0]) == api.measuring_command(options)


def test_what_a_record_keeps_of_a_reproduction():
    assert api.bench_command({"reproduce": "a.json", "on": "cpu"}) == (
        "crossgrade reproduce a.json --on cpu"
    )
    assert api.bench_command({"target": "cpu"}) == ""
