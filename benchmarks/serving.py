"""Do clients measure what a server does? Ours, GuideLLM's and AIPerf's on one server in one run.

    python benchmarks/serving.py [--peers BIN] [--rounds 3] [--requests 60] [--concurrency 2]

Starts `crossgrade bench serve --local`'s server of a small model, once, and lets the clients take
turns on it, in another order each round: the same number of requests, users, tokens asked for. The
server writes when each request was received and its first and last text sent; per client the
median of what it says is put beside the median of what the server logged for its requests. BIN is
the `bin` of an environment with `guidellm` and `aiperf`; without it ours runs alone. Prints
Markdown and asserts nothing. Everything runs on one machine, so clients and server share its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossgrade.serving.client import look, play
from crossgrade.serving.local import LocalOptions, LocalServer
from crossgrade.serving.prompts import WORDS
from crossgrade.serving.server_log import read_log
from crossgrade.units import seconds
from crossgrade.values.serving import Load, ServePlan, ServeSession
from crossgrade.workloads.resolve import find_model

INPUT, OUTPUT, WARMUPS = 64, 16, 4
SIZES = {
    "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "head_dim": 64,
    "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 8192, "max_window_layers": 8,
    "layer_types": ["full_attention"] * 8, "max_position_embeddings": 2048,
}  # fmt: skip
"""Qwen3 with these: 25 million parameters, so that a step takes milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client says of a round, s."""

    ttft_s: list[float]
    """Times to the first token."""
    e2e_s: list[float]
    """Times to the last token."""
    null_ratio: float | None = None
    """Requests per s with a server that answers at once over those of the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every client is asked for."""

    address: str
    requests: int
    concurrency: int
    peers: Path
    folder: Path


def ours(asked: Asked, number: int) -> Told:
    load = Load(kind="closed-loop", concurrency=asked.concurrency, requests=asked.requests,
                warmups=WARMUPS, input_tokens=INPUT, output_tokens=OUTPUT)  # fmt: skip
    plan = ServePlan(endpoint=asked.address, model="small", api="completions", loads=(load,))
    endpoint = look(asked.address, model="small", api="completions", key="", timeout_s=60.0)
    session = play(plan, 0, endpoint, address=asked.address, key="", index=number, restarted=False,
                   limit_s=600.0)  # fmt: skip
    return _of_session(session)


def _of_session(session: ServeSession) -> Told:
    rows = session.requests
    counted = range(rows.warmups, len(rows.outcomes))
    assert all(rows.outcomes[n] == "ok" for n in counted)
    sent = [float(rows.sent_ns[n] or 0) for n in counted]
    first = [float(rows.first_ns[n] or 0) for n in counted]
    last = [float(rows.last_ns[n] or 0) for n in counted]
    rate = len(sent) / (max(last) - min(sent)) * 1e9
    return Told(
        ttft_s=[(b - a) / 1e9 for a, b in zip(sent, first, strict=True)],
        e2e_s=[(b - a) / 1e9 for a, b in zip(sent, last, strict=True)],
        null_ratio=session.null_per_s / rate if session.null_per_s else None,
    )


def guidellm(asked: Asked, number: int) -> Told:
    file = _prompts(asked.folder, "prompt", number)
    out = asked.folder / f"guidellm-{number}.json"
    _run([str(asked.peers / "guidellm"), "run", "--backend",
          f"kind=openai_http,target={asked.address.removesuffix('/v1')},model=small",
          "--profile", f"kind=concurrent,streams={asked.concurrency}",
          "--constraint", f"kind=max_requests,count={asked.requests}",
          "--data", f"kind=json_file,path={file}", "--output", f"kind=json,path={out}",
          "--disable-console"], HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")  # fmt: skip
    (benchmark,) = json.loads(out.read_text())["benchmarks"]
    rows = benchmark["requests"]["successful"]
    return Told(ttft_s=[row["time_to_first_token_ms"] / 1e3 for row in rows],
                e2e_s=[row["request_latency"] for row in rows])  # fmt: skip


def aiperf(asked: Asked, number: int) -> Told:
    file = _prompts(asked.folder, "text", number)
    out = asked.folder / f"aiperf-{number}"
    _run([str(asked.peers / "aiperf"), "profile", "--model", "small", "--url",
          asked.address.removesuffix("/v1"), "--endpoint-type", "completions", "--streaming",
          "--concurrency", str(asked.concurrency), "--request-count", str(asked.requests),
          "--warmup-request-count", str(WARMUPS), "--input-file", str(file),
          "--custom-dataset-type", "single_turn", "--extra-inputs", f"max_tokens:{OUTPUT}",
          "--extra-inputs", "ignore_eos:true", "--use-server-token-count", "--tokenizer",
          str(_tokenizer(asked)), "--ui", "none", "--artifact-dir", str(out)])  # fmt: skip
    rows = [json.loads(line) for line in (out / "profile_export.jsonl").read_text().splitlines()]
    metrics = [row["metrics"] for row in rows if row["metadata"]["benchmark_phase"] == "profiling"]
    return Told(ttft_s=[one["time_to_first_token"]["value"] / 1e3 for one in metrics],
                e2e_s=[one["request_latency"]["value"] / 1e3 for one in metrics])  # fmt: skip


def _tokenizer(asked: Asked) -> Path:
    """Return a folder with a tokenizer of our words: AIPerf wants one, and hubs are not asked."""
    folder = asked.folder / "tokenizer"
    if not folder.exists():
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        words = ["<unk>", "<s>", "</s>", *dict.fromkeys(WORDS)]
        vocabulary = {word: i for i, word in enumerate(words)}
        made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>",
                                eos_token="</s>").save_pretrained(folder)  # fmt: skip
    return folder


def _prompts(folder: Path, field: str, number: int) -> Path:
    drawn = random.Random(number)
    file = folder / f"{field}-{number}.jsonl"
    rows = [{field: " ".join(drawn.choice(WORDS) for _ in range(INPUT)),
             "output_tokens_count": OUTPUT} for _ in range(2000)]  # fmt: skip
    if field == "text":
        rows = [{field: row[field]} for row in rows]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def _run(command: Sequence[str], **more: str) -> None:
    done = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")


CLIENTS: dict[str, Callable[[Asked, int], Told]] = {
    "crossgrade": ours, "guidellm": guidellm, "aiperf": aiperf,
}  # fmt: skip


def logged(log: Path, before: int, requests: int) -> Told:
    """Return what the server wrote of the last requests of a client: those that count."""
    time.sleep(0.5)  # a line is written after the last byte has been sent
    rows = [row for row in read_log(log)[before:] if row.output_tokens == OUTPUT][-requests:]
    return Told(
        ttft_s=[(row.first_ns - row.received_ns) / 1e9 for row in rows if row.first_ns],
        e2e_s=[(row.last_ns - row.received_ns) / 1e9 for row in rows if row.last_ns],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=2)
    given = parser.parse_args()
    names = [n for n in CLIENTS if n == "crossgrade" or
             (given.peers and (given.peers / n).exists())]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "small"
        model.mkdir()
        config = find_model("qwen3-0.6b").config or {}
        (model / "config.json").write_text(json.dumps({**config, **SIZES}))
        log = folder / "server.jsonl"
        with LocalServer(LocalOptions(model=str(model), dtype="fp32"), log=log) as server:
            asked = Asked(
                address=server.address, requests=given.requests, concurrency=given.concurrency,
                peers=given.peers, folder=folder,
            )  # fmt: skip
            _print_rounds(asked, names, given.rounds, log)


def _print_rounds(asked: Asked, names: list[str], rounds: int, log: Path) -> None:
    print(f"{asked.requests} requests of {INPUT} tokens in and {OUTPUT} out, "
          f"{asked.concurrency} users; medians, measured\n")  # fmt: skip
    print("| round | client | TTFT, client | server log | off | e2e, client | server log | off | "
          "null server over load |")  # fmt: skip
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    off: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        random.Random(number).shuffle(names)
        for name in names:
            before = len(read_log(log)) if log.exists() else 0
            told = CLIENTS[name](asked, number)
            truth = logged(log, before, asked.requests)
            cells, e2e_off = _cells(told, truth)
            off[name].append(e2e_off)
            ratio = f"{told.null_ratio:.1f}" if told.null_ratio else "-"
            print(f"| {number + 1} | {name} | {' | '.join(cells)} | {ratio} |")
            sys.stdout.flush()
    middles = ", ".join(f"{n} {statistics.median(v):+.2%}" for n, v in sorted(off.items()))
    print(f"\nend-to-end median, client over server log, median of rounds: {middles}")


def _cells(told: Told, truth: Told) -> tuple[list[str], float]:
    cells: list[str] = []
    e2e_off = 0.0
    for mine, logs in ((told.ttft_s, truth.ttft_s), (told.e2e_s, truth.e2e_s)):
        a, b = statistics.median(mine), statistics.median(logs)
        e2e_off = a / b - 1
        cells += [seconds(a), seconds(b), f"{e2e_off:+.2%}"]
    return cells, e2e_off


if __name__ == "__main__":
    main()
