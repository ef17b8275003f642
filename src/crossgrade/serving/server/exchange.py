"""One request from its body to its last byte: how the answer is sent, and what the log says of it.

Every token is handed to the socket in an event of its own as soon as it is there. Must not know
how the model is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Receive, Scope, Send

from crossgrade.serving.server.answers import DONE, Form, Usage, error_of, event
from crossgrade.serving.server.asking import Asked, Refused
from crossgrade.serving.server.engine import Answer, Engine, EngineGone, Over
from crossgrade.serving.server.text import Text
from crossgrade.serving.server_log import Finish, LogLine

_STREAM: Final = b"text/event-stream; charset=utf-8"
_JSON: Final = b"application/json"


class ModelFailed(Exception):
    """The model gives no more tokens."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the log will say of a request."""

    id: str
    """Name of the request."""
    received_ns: int
    """When its head had been read."""
    clock: Callable[[], int]
    """Monotonic clock, ns."""
    write: Callable[[str], object]
    """Takes the line."""
    prompt: int = 0
    """Tokens of the prompt."""
    output: int = 0
    """Tokens that came."""
    steps: list[int] = field(default_factory=list)
    """Executions that gave the first and the last."""
    texts_ns: list[int] = field(default_factory=list)
    """When the first and the last text were sent."""

    def took(self, step: int) -> None:
        """Take note of a token."""
        self.output += 1
        self.steps[1:] = [step]

    def sends(self) -> None:
        """Take note that a text is about to be sent."""
        self.texts_ns[1:] = [self.clock()]

    def ended(self, finish: Finish, status: int) -> None:
        """Write the line."""
        line = LogLine(
            id=self.id, received_ns=self.received_ns,
            first_ns=self.texts_ns[0] if self.texts_ns else None,
            last_ns=self.texts_ns[-1] if self.texts_ns else None,
            prompt_tokens=self.prompt, output_tokens=self.output, finish=finish, status=status,
            first_step=self.steps[0] if self.steps else None,
            last_step=self.steps[-1] if self.steps else None,
        )  # fmt: skip
        self.write(line.as_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The answer to one request; called as ASGI calls an application."""

    asked: Asked
    """What is asked for."""
    form: Form
    """What the answer looks like."""
    engine: Engine
    """Gives tokens."""
    text: Text
    """Gives their text."""
    seen: Seen
    """What the log will say."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and write the log's line whatever happens."""
        self.seen.prompt = len(self.asked.prompt)
        wire = _Wire(send, self.seen.id)
        finish: Finish = "cancelled"
        answer: Answer | None = None
        watching: asyncio.Task[None] | None = None
        try:
            answer = self.engine.submit(self.asked)
            watching = asyncio.create_task(_watch(receive, answer))
            finish = await (self._streamed if self.asked.stream else self._whole)(answer, wire)
        except (EngineGone, ModelFailed) as error:
            finish = "error"
            status = 503 if isinstance(error, EngineGone) else 500
            failed = Refused(status, str(error) or "the model has failed", code="model_failed")
            with contextlib.suppress(OSError):
                await wire.fail(failed)
        except (ClientGone, OSError):
            pass
        except Exception:
            finish = "error"
            raise
        finally:
            if watching is not None:
                watching.cancel()
            if answer is not None:
                answer.close()
            self.seen.ended(finish, wire.status)

    async def _streamed(self, answer: Answer, wire: _Wire) -> Finish:
        await wire.start(200, _STREAM)
        decode = self.text.decoder()
        finish = ""
        while not finish:
            token, finish = await self._next(answer)
            if not self.seen.texts_ns and (opening := self.form.opening()):
                await wire.send(opening)
            text = "" if finish == "stop" else decode(token)
            self.seen.sends()
            await wire.send(self.form.piece(text, finish))
        if self.asked.usage:
            await wire.send(self.form.counts(self._usage()))
        await wire.send(DONE, last=True)
        return "stop" if finish == "stop" else "length"

    async def _whole(self, answer: Answer, wire: _Wire) -> Finish:
        decode = self.text.decoder()
        parts: list[str] = []
        finish = ""
        while not finish:
            token, finish = await self._next(answer)
            parts.append("" if finish == "stop" else decode(token))
        body = self.form.whole("".join(parts), finish, self._usage())
        data = json.dumps(body).encode()
        await wire.start(200, _JSON, len(data))
        self.seen.sends()
        await wire.send(data, last=True)
        return "stop" if finish == "stop" else "length"

    async def _next(self, answer: Answer) -> tuple[int, str]:
        given = await answer.next()
        if isinstance(given, Over):
            raise ModelFailed(given.why) if given.why else ClientGone
        self.seen.took(given.step)
        return given.token, given.finish

    def _usage(self) -> Usage:
        return Usage(prompt=self.seen.prompt, output=self.seen.output)


class _Wire:
    """The way to the client."""

    def __init__(self, send: Send, name: str) -> None:
        self._send = send
        self._name = name.encode("ascii")
        self._kind = b""
        self.status = 0

    async def start(self, status: int, kind: bytes, length: int | None = None) -> None:
        self.status, self._kind = status, kind
        sized = [] if length is None else [(b"content-length", str(length).encode())]
        headers = [(b"content-type", kind), (b"cache-control", b"no-cache"),
                   (b"x-request-id", self._name), *sized]  # fmt: skip
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, data: bytes, *, last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def fail(self, refused: Refused) -> None:
        """Send an error: as a body where nothing was sent, else as the last event."""
        body = error_of(refused)
        if not self.status:
            data = json.dumps(body).encode()
            await self.start(refused.status, _JSON, len(data))
            await self.send(data, last=True)
        elif self._kind == _STREAM:
            await self.send(event(body) + DONE, last=True)


async def _watch(receive: Receive, answer: Answer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.gone()
