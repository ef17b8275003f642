"""A server of our own: it starts, or says why not, and is gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tests.tiny_models import tiny_config

from crossgrade.errors import (
    BadModelFile,
    BadOption,
    TargetBroken,
    UnknownModel,
)
from crossgrade.jobs.process import search_path
from crossgrade.serving.local import LocalOptions, LocalServer
from crossgrade.serving.server_log import read_log

pytest.importorskip("transformers")
pytest.importorskip("uvicorn")


@pytest.fixture
def small(tmp_path) -> str:
    """Return the configuration of a small model."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tiny_config()))
    return str(file)


def _gone(pid: int, limit_s: float = 20) -> bool:
    """Return whether a process ends within the limit; one that nobody waited for is gone too."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_it_serves_while_the_block_lasts_and_is_gone_afterwards(small, tmp_path):
    log = tmp_path / "log.jsonl"
    with LocalServer(LocalOptions(model=small, dtype="fp32", threads=1), log=log) as server:
        body = json.dumps({"prompt": "a", "max_tokens": 2}).encode()
        with urllib.request.urlopen(f"{server.address}/completions", body, timeout=60) as answer:
            assert json.loads(answer.read())["usage"]["completion_tokens"] == 2
        assert server.facts["threads"] == "1"
        assert server.facts["dtype"] == "float32"
        assert server.facts["device"] == "cpu"
        assert server.facts["tokenizer"].startswith("stand-in")
        assert server.facts["most tokens"] == "512"
        assert server.died() == ""
        # An answer that runs is ended in order, and its line is written.
        asked = urllib.request.Request(
            f"{server.address}/completions",
            json.dumps({"prompt": "a", "max_tokens": 500, "stream": True}).encode(),
            {"x-request-id": "running"},
        )  # fmt: skip
        running = urllib.request.urlopen(asked, timeout=60)
        running.read1(10)
    running.close()
    assert _gone(server.pid)
    assert read_log(log)[-1].id == "running"


def test_a_checkpoint_is_served_with_its_tokenizer(small, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    from crossgrade.serving.server.model import ModelSpec, loaded

    config = tiny_config(tie_word_embeddings=False)
    spec = ModelSpec(name="small", config=config, weights="", seed=5, dtype="fp32", device="cpu",
                     threads=None)  # fmt: skip
    loaded(spec).module.save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"[?]": 0, "a": 1, "chip": 2}, unk_token="[?]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))

    options = LocalOptions(model=small, weights=str(tmp_path), dtype="fp32")
    with LocalServer(options, log=tmp_path / "log") as server:
        assert server.facts["tokenizer"].startswith("tokenizer.json")
        assert server.facts["weights"] == str(tmp_path)
        body = json.dumps({"prompt": "a chip", "max_tokens": 9, "ignore_eos": True}).encode()
        with urllib.request.urlopen(f"{server.address}/completions", body, timeout=60) as answer:
            usage = json.loads(answer.read())["usage"]
    assert usage == {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_parent_leaves_no_server(small, tmp_path):
    script = f"""
import sys; sys.path[:] = {search_path()!r}
from pathlib import Path
from crossgrade.serving.local import LocalOptions, LocalServer
with LocalServer(LocalOptions(model={small!r}), log=Path({str(tmp_path / "log")!r})) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate()
    assert _gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="kills by signal")
def test_a_server_that_dies_says_how(small, tmp_path):
    with LocalServer(LocalOptions(model=small), log=tmp_path / "log") as server:
        os.kill(server.pid, signal.SIGKILL)
        assert "SIGKILL" in server.died(limit_s=20)


def test_a_model_that_cannot_be_built_is_told(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(tiny_config(hidden_size="many")))
    with pytest.raises(BadModelFile, match="refuses the configuration"):
        LocalServer(LocalOptions(model=str(file)), log=tmp_path / "log").__enter__()


def test_a_server_that_takes_too_long_is_told_and_killed(small, tmp_path):
    options = LocalOptions(model=small, start_limit_s=0.05)
    server = LocalServer(options, log=tmp_path / "log")
    with pytest.raises(TargetBroken, match="did not start: no message for"):
        server.__enter__()
    assert _gone(server.pid)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "no-such-model"}, UnknownModel),
        ({"model": "a.module:factory"}, BadOption),
        ({"model": "dit-xl-2"}, BadOption),
        ({"model": "qwen3-0.6b", "dtype": "int4"}, BadOption),
        ({"model": "qwen3-0.6b", "most_at_once": 0}, BadOption),
        ({"model": "qwen3-0.6b", "threads": -1}, BadOption),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_starts(tmp_path, options, error):
    with pytest.raises(error):
        LocalServer(LocalOptions(**options), log=tmp_path / "log")
