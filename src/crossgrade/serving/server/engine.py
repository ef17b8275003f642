"""Requests that join and leave a running batch: transformers' continuous batching, held to sizes.

A thread of the library owns the model. Between two executions it takes up new requests and lets
cancelled ones go; prompts are read in pieces beside the tokens of others. Prompts share no cache,
so equal prompts cost alike. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from transformers import ContinuousBatchingConfig, GenerationConfig

from crossgrade.serving.server.asking import Asked
from crossgrade.serving.server.drawing import processors
from crossgrade.serving.server.model import LoadedModel

_PAGE: Final = 64
_NO_END: Final = -1
_STOP_S: Final = 3.0


class EngineGone(Exception):
    """The thread that owns the model has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What the engine holds."""

    slots: int
    """Requests that run at once; others wait in order of arrival."""
    most_tokens: int
    """Longest prompt with its answer; there is room for as many in every slot."""
    chunk: int
    """Most tokens of one execution; longer prompts are read in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One token of an answer."""

    token: int
    """Its id."""
    finish: Literal["", "length", "stop"]
    """Why it is the last; empty: more will come. The token of `stop` ends the answer."""
    step: int
    """Executions of the model so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """No more tokens will come."""

    why: str
    """What failed; empty: the client went away."""


class Answer:
    """Tokens of one request as they come; of one event loop."""

    def __init__(self, engine: Engine, name: str, asked: Asked) -> None:
        self._engine = engine
        self._name = name
        self._asked = asked
        self._seen = 0
        self._events: asyncio.Queue[Given | Over] = asyncio.Queue()

    async def next(self) -> Given | Over:
        """Return the next token, or why there is none."""
        return await self._events.get()

    def gone(self) -> None:
        """Take note that the client went away."""
        self._events.put_nowait(Over(why=""))

    def close(self) -> None:
        """Let go of it: its slot is free before the next execution."""
        self._engine.forget(self._name)

    def arrived(self, output: Any) -> None:
        """Take the tokens of an output of the library; called in the event loop."""
        if output.error is not None:
            self._events.put_nowait(Over(why=str(output.error)[:500]))
            return
        tokens = output.generated_tokens
        done = output.is_finished()
        for place in range(self._seen, len(tokens)):
            last = done and place == len(tokens) - 1
            self._events.put_nowait(
                Given(
                    token=tokens[place],
                    finish=self._finish(tokens[place]) if last else "",
                    step=self._engine.steps,
                )
            )
        self._seen = len(tokens)

    def _finish(self, token: int) -> Literal["length", "stop"]:
        ended = token in self._engine.model.ends and not self._asked.ignore_eos
        return "stop" if ended else "length"


class Engine:
    """The running batch."""

    def __init__(self, model: LoadedModel, sizes: Sizes) -> None:
        self.model = model
        self.steps = 0
        self._names = map(str, itertools.count())
        model.module.register_forward_pre_hook(self._count)
        self._manager = model.module.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=_NO_END),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=sizes.slots * math.ceil((sizes.most_tokens + 1) / _PAGE),
                max_requests_per_batch=sizes.slots,
                max_batch_tokens=max(sizes.chunk, sizes.slots),
                allow_block_sharing=False,
                safety_margin=0.0,  # there is room for every slot
                use_async_batching=False,
                use_cuda_graph=False,
                auto_switch_to_flash=False,  # it may fetch kernels from the network
            ),
        )
        self._manager.logit_processor = processors()

    @property
    def facts(self) -> Mapping[str, str]:
        """Return how it runs, in words."""
        attention = self.model.module.config._attn_implementation
        return {
            "engine": "continuous batching of transformers",
            "attention": f"{attention}, requests packed, paged cache",
            "prefix cache": "off",
            "page": f"{_PAGE} tokens",
        }

    def start(self) -> None:
        """Start the thread that owns the model."""
        self._manager.start()

    def stop(self) -> None:
        """End the thread after its execution; requests that still run fail."""
        self._manager.stop(block=True, timeout=_STOP_S, hard_stop=True)

    @property
    def alive(self) -> bool:
        """Return whether requests are taken."""
        gone = self._manager.background_thread_status.can_accept_new_requests()
        return self._manager.is_running() and gone is None

    def submit(self, asked: Asked) -> Answer:
        """Return the answer to come; called in the event loop.

        Raises:
            EngineGone: the model's thread has ended.
        """
        name = next(self._names)
        answer = Answer(self, name, asked)
        self._manager.register_result_handler(name, answer.arrived)
        if not self.alive or self._add(name, asked) is None:
            self.forget(name)
            raise EngineGone
        return answer

    def together(self, requests: Sequence[Asked], timeout_s: float) -> list[list[int]]:
        """Return all tokens of requests that run at once; only while nothing is submitted.

        Raises:
            EngineGone: the model failed; its text is the library's.
            MemoryError: there is no room for the cache.
        """
        names = [next(self._names) for _ in requests]
        for name, asked in zip(names, requests, strict=True):
            self._add(name, asked, streaming=False)
        found: dict[str, list[int]] = {}
        while len(found) < len(names):
            output = self._manager.get_result(timeout=timeout_s)
            if output is None or output.error is not None:
                self.stop()  # the cause is known for sure only after its end
                cause = self._manager.background_thread_status.fatal_error
                if isinstance(cause, MemoryError):
                    raise cause
                why = output.error if output else cause
                raise EngineGone(why or f"no answer within {timeout_s:g} s")
            found[output.request_id] = output.generated_tokens
        return [found[name] for name in names]

    def forget(self, name: str) -> None:
        """Cancel a request, or do nothing where it has ended."""
        # The library drops a handler with the last output, and a cancelled request has none.
        if self._manager.output_router.result_handlers.pop(name, None) is not None:
            self._manager.cancel_request(name)

    def _add(self, name: str, asked: Asked, *, streaming: bool = True) -> str | None:
        drawn: dict[str, Any] = {}
        if asked.temperature:
            seed = int.from_bytes(os.urandom(8), "little") if asked.seed is None else asked.seed
            drawn = {"temperature": asked.temperature, "draw": seed}
        added: str | None = self._manager.add_request(
            list(asked.prompt),
            request_id=name,
            max_new_tokens=asked.most,
            streaming=streaming,
            eos_token_id=_NO_END if asked.ignore_eos else list(self.model.ends),
            **drawn,
        )
        return added

    def _count(self, *_: Any) -> None:
        self.steps += 1
