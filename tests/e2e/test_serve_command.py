"""`layout serve`, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
BASE = ("layout", "serve", "qwen3-0.6b", "--on", "h100")


@pytest.mark.slow
def test_a_rate_is_told_by_latency_throughput_and_instance(cg: Run) -> None:
    ended, out, err = cg(*BASE, "--instances", "2", "--rate", "20", "--requests", "100",
                         "--prompt", "512", "--output", "64", "--tpot", "50ms")  # fmt: skip
    assert ended == 0, err
    assert "within the aims" in out
    for said in ("TTFT", "TPOT", "end to end", "p99", "tokens/s/chip", "read and decode"):
        assert said in out


def test_prompts_read_apart_move_their_cache(cg: Run) -> None:
    ended, out, _ = cg(*BASE, "--instances", "1", "--prefill-instances", "1", "--rate", "20",
                       "--requests", "50", "--prompt", "512", "--output", "64", "--tpot", "1us",
                       "--scheduler-delay", "1ms", "--json")  # fmt: skip
    found = json.loads(out)
    data = found["data"]
    assert ended == 1
    assert found["verdict"] == "misses-aims"
    assert [pool["role"] for pool in data["pools"]] == ["prefill", "decode"]
    assert data["transfer_s"] > 0
    low, mid, high = (data["outcomes"][end]["latencies"]["tpot"] for end in ("low", "mid", "high"))
    # A step takes the scheduler's delay at least.
    assert 1e-3 < low["mean_s"] < mid["mean_s"] < high["mean_s"]
    assert data["outcomes"]["mid"]["within_aims"] == 0.0


def test_a_request_that_no_cache_holds_is_refused_alone(cg: Run, tmp_path: Path) -> None:
    trace = tmp_path / "mine.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00.0,300,2\n"
        "2026-01-01 00:00:01.0,39000,2\n"
    )
    ended, out, err = cg("layout", "serve", "qwen3-8b", "--on", "l4", "--trace", trace, "--json")
    data = json.loads(out)["data"]
    assert ended == 0, err
    assert data["pools"][0]["cache_tokens"] < 39_002
    assert (data["requests"], data["refused"]) == (2, 1)


def test_limits_of_a_server_and_a_narrow_cache_count(cg: Run, dense_config: Path) -> None:
    """The same load, as the stack has it and as a server was started."""
    load = ("layout", "serve", dense_config, "--on", "h100", "--users", "8", "--requests", "24",
            "--prompt", "512", "--output", "32", "--json")  # fmt: skip
    plain, tight = (
        json.loads(cg(*load, *more)[1])["data"]
        for more in ((), ("--max-running", "2", "--max-tokens", "256", "--memory", "0.5",
                          "--kv", "fp8"))
    )  # fmt: skip
    assert tight["outcomes"]["mid"]["most_running"] == 2
    assert tight["limits"] == "--max-tokens 256, --max-running 2, --memory 0.5"
    assert "keys and values as fp8" in tight["weights"]
    rooms = [data["pools"][0]["cache_tokens"] for data in (plain, tight)]
    # Half of the bytes per token, and a bit more than half of the room.
    assert 1.0 < rooms[1] / rooms[0] < 1.2
    waits = [data["outcomes"]["mid"]["latencies"]["ttft"]["mean_s"] for data in (plain, tight)]
    assert waits[1] > waits[0]


@pytest.mark.slow
def test_a_trace_has_lengths_of_its_own(cg: Run, tmp_path: Path) -> None:
    trace = tmp_path / "mine.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00.0,300,1\n"
        "2026-01-01 00:00:01.0,500,1\n"
    )
    ended, out, _ = cg(*BASE, "--trace", trace)
    assert ended == 0
    assert "2 requests of the trace mine" in out
    assert "TPOT |" not in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no load"),
        (("--rate", "1", "--users", "2"), "--rate and --users"),
        (("--rate", "0"), "--rate 0.0"),
        (("--users", "2", "--prefill-instances", "1"), "--users with --prefill-instances"),
        (("--rate", "1", "--prefill-tp", "2"), "without instances that read them"),
        (("--users", "1", "--instances", "4"), "--users 1 for 4 instances"),
        (("--rate", "1", "--seed", "-1"), "--seed -1"),
        (("--rate", "1", "--ep", "2"), "--ep 2 does not divide"),
        (("--trace", "nosuch"), "no trace or file is called 'nosuch'"),
        (("--trace", "azure-conv", "--prompt", "5"), "--prompt and --output belong to"),
        (("--rate", "1", "--cached", "1"), "--cached 1.0"),
        (("--rate", "1", "--memory", "0"), "--memory 0.0"),
        (("--rate", "1", "--max-running", "0"), "--max-running 0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    cg: Run, options: tuple[str, ...], said: str
) -> None:
    ended, _, err = cg(*BASE, *options)
    assert ended == 2
    assert "error[CG-E103]" in err
    assert said in err
    assert "building" not in err


def test_a_model_without_room_is_refused_with_what_it_needs(cg: Run) -> None:
    ended, _, err = cg("layout", "serve", "qwen3-0.6b", "--on", "h100", "--tp", "3", "--rate", "1")
    assert ended == 2
    assert "16 heads do not divide over tp 3" in err
