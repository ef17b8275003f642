"""The engine in this process: what the model gives alone, draws, and a model that fails."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
uvicorn = pytest.importorskip("uvicorn")

from talk import COMPLETIONS, ask, call, eventually  # noqa: E402
from tests.tiny_models import tiny_config  # noqa: E402

from crossgrade.errors import BadModelFile, BadOption, TargetAbsent, TargetBroken  # noqa: E402
from crossgrade.serving.server.asking import Asked  # noqa: E402
from crossgrade.serving.server.drawing import SeededDraw  # noqa: E402
from crossgrade.serving.server.engine import Engine, Sizes  # noqa: E402
from crossgrade.serving.server.job import listener, serve  # noqa: E402
from crossgrade.serving.server.model import ModelSpec, loaded  # noqa: E402
from crossgrade.serving.server.starting import started  # noqa: E402
from crossgrade.serving.server.trial import try_out  # noqa: E402
from crossgrade.workloads.resolve import find_model  # noqa: E402

SIZES = {"slots": 4, "most_tokens": 128, "chunk": 32}


@pytest.fixture(autouse=True)
def _no_accelerator(monkeypatch):
    """Another test of this process may have given torch a device module without a name."""
    monkeypatch.setattr(torch, "get_device_module", lambda device=None: torch.cpu)


def _spec(preset: str = "qwen3-0.6b", **changes) -> dict:
    config = tiny_config(preset, tie_word_embeddings=False) | changes
    return {"name": preset, "config": config, "weights": "", "seed": 0, "dtype": "fp32",
            "device": "cpu", "threads": None}  # fmt: skip


def _asked(prompt, most=12) -> Asked:
    return Asked(prompt=tuple(prompt), most=most, temperature=0.0, seed=None, ignore_eos=True,
                 stream=False, usage=False)  # fmt: skip


def _alone(module, prompt, most=12) -> list[int]:
    """Return the likeliest tokens, each found by a whole forward pass over all before it."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(most):
            logits = module(input_ids=torch.tensor([ids]), use_cache=False).logits
            ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("qwen3-0.6b", {}),  # grouped queries
        ("qwen3-30b-a3b", {"num_experts": 8, "moe_intermediate_size": 32}),
        ("mixtral-8x7b-v0.1", {"num_local_experts": 4}),
        ("meta-llama-3.1-8b", {}),
        ("gpt-oss-20b", {"num_local_experts": 4, "sliding_window": 16, "pad_token_id": None,
                         "layer_types": ["sliding_attention", "full_attention"]}),
    ],
)  # fmt: skip
def test_answers_are_those_of_the_model_alone(preset, changes):
    """More requests than slots, prompts longer than a piece, longer than a sliding window."""
    model = loaded(ModelSpec(**_spec(preset, **changes)))
    prompts = [[(7 * i + 31 * j + 3) % 256 for j in range(4 + 9 * i)] for i in range(6)]
    want = [_alone(model.module, prompt) for prompt in prompts]
    engine = Engine(model, Sizes(**SIZES))
    engine.start()
    try:
        assert engine.together([_asked(prompt) for prompt in prompts], 60) == want
    finally:
        engine.stop()


@pytest.mark.parametrize(
    ("preset", "why"),
    [("bert-base-uncased", "no language head"), ("qwen3.5-27b", "layers of the kind linear")],
)
def test_what_is_no_model_with_a_plain_cache_is_refused(preset, why):
    config = find_model(preset).config
    with pytest.raises(BadOption, match=why):
        loaded(ModelSpec(**{**_spec(), "name": preset, "config": config}))


@pytest.mark.parametrize(
    ("changed", "sizes", "error", "text"),
    [
        ({"weights": "."}, {}, BadModelFile, "no \\*.safetensors"),
        ({"device": "warp:9"}, {}, BadOption, "no device of torch"),
        ({"device": "cuda:99"}, {}, TargetAbsent, "not here"),
        ({}, {"most_tokens": 100_000}, BadOption, "512 positions"),
        ({}, {"slots": 1 << 20, "most_tokens": 512}, BadOption, "no room for the cache"),
    ],
)
def test_what_cannot_be_served_is_told(changed, sizes, error, text):
    with pytest.raises(error, match=text):
        started({**_spec(), **changed}, {**SIZES, **sizes}, "", 60, lambda line: None)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    job = serve(
        model=_spec(), sizes=SIZES, tokenizer="", log=str(tmp_path / "no" / "log"), trial_s=60
    )
    (said,) = job
    assert said["refused"]["class"] == "CannotWrite"


def test_what_is_sent_does_not_wait_for_an_acknowledgement():
    """Asked of a connection as asyncio hands it to a server."""

    async def connected() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def client(_, writer) -> None:
            there = writer.get_extra_info("socket")
            found.set_result(there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listener() as listening:
            there = await asyncio.start_server(client, sock=listening)
            _, writer = await asyncio.open_connection(*listening.getsockname())
            set_there = await found
            writer.close()
            there.close()
        return set_there

    assert asyncio.run(connected())


class _Wrong(Engine):
    def together(self, requests, timeout_s):
        return [[(t + 1) % 256 for t in a] for a in super().together(requests, timeout_s)]


def test_an_engine_that_gives_other_tokens_than_the_model_is_refused():
    for kind, refused in ((Engine, False), (_Wrong, True)):
        engine = kind(loaded(ModelSpec(**_spec())), Sizes(**SIZES))
        engine.start()
        try:
            if refused:
                with pytest.raises(TargetBroken, match="other tokens than"):
                    try_out(engine, "small", 60)
            else:
                try_out(engine, "small", 60)
        finally:
            engine.stop()


def test_draws_are_of_the_softmax():
    scores = torch.tensor([2.0, 1.0, 0.0])
    count = 3000
    rows = scores.repeat(count, 1)
    drawn = SeededDraw()(rows, torch.arange(1, count + 1, dtype=torch.int32)).argmax(-1)
    shares = torch.bincount(drawn, minlength=3) / count
    assert torch.allclose(shares, scores.softmax(-1), atol=0.03)
    none = torch.zeros(count, dtype=torch.int32)
    assert SeededDraw()(rows, none) is rows


class _Running:
    """The endpoints behind uvicorn in a thread."""

    def __init__(self, endpoints) -> None:
        config = uvicorn.Config(endpoints.app(), port=0, lifespan="off", log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/v1"

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


def test_a_model_that_fails_is_an_error_in_the_stream_and_then_of_health():
    lines: list[dict] = []
    endpoints = started(_spec(), SIZES, "", 60, lambda line: lines.append(json.loads(line)))
    module, engine = endpoints.engine.model.module, endpoints.engine
    running = _Running(endpoints)
    try:
        assert ask(running).status == 200
        last = engine.steps + 5

        def breaks(*_) -> None:
            if engine.steps > last:
                raise RuntimeError("the chip caught fire")

        module.register_forward_pre_hook(breaks)
        events = ask(running, stream=True, max_tokens=50).events
        assert events[-1] == "[DONE]"
        assert events[-2]["error"]["message"] == "the chip caught fire"
        # The server writes the line once the last byte is sent.
        assert eventually(lambda: lines[-1]["finish"] == "error")
        assert 0 < lines[-1]["output_tokens"] < 50
        assert call(running, "GET", "/health").status == 503
        refused = call(running, "POST", COMPLETIONS, {"prompt": "a"})
        assert (refused.status, refused.error["code"]) == (503, "model_failed")
    finally:
        running.end()
        engine.stop()
