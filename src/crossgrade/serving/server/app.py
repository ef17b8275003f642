"""The endpoints: models, health, version, completions and chat completions.

Must not know how the model is run, nor how the process is started.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crossgrade.serving.server.answers import Form, error_of
from crossgrade.serving.server.asking import Refused, Served, asked_of
from crossgrade.serving.server.engine import Engine
from crossgrade.serving.server.exchange import Exchange, Seen
from crossgrade.values.serving import Api

_MOST_BYTES: Final = 8 << 20
"""Longest body."""
_NAME = re.compile(r"[\x21-\x7e]{1,200}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What answers requests."""

    served: Served
    """What requests are checked against."""
    engine: Engine
    """The running batch."""
    facts: Mapping[str, str]
    """What the server tells of itself."""
    version: str
    """Version of crossgrade."""
    write: Callable[[str], object]
    """Takes a line of the log."""
    clock: Callable[[], int] = time.monotonic_ns
    """Monotonic clock, ns."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970."""

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/version", self._version),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _not_found, Exception: _broken},
        )

    async def _health(self, _: Request) -> Response:
        alive = self.engine.alive
        return JSONResponse({"status": "ok" if alive else "failed"}, 200 if alive else 503)

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": self.version, "server": "crossgrade", **self.facts})

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def _model(self, request: Request) -> Response:
        if request.path_params["name"] == self.served.model:
            return JSONResponse(self._card())
        return _refusal(Refused(404, "no such model", code="model_not_found", param="model"))

    def _card(self) -> dict[str, Any]:
        return {
            "id": self.served.model, "object": "model", "owned_by": "crossgrade", "created": 0,
            "max_model_len": self.served.most_tokens,
        }  # fmt: skip

    async def _completions(self, request: Request) -> Any:
        return await self._answered(request, "completions")

    async def _chat(self, request: Request) -> Any:
        return await self._answered(request, "chat")

    async def _answered(self, request: Request, api: Api) -> Any:
        given = request.headers.get("x-request-id", "")
        seen = Seen(
            id=given if _NAME.match(given) else uuid.uuid4().hex,
            received_ns=self.clock(), clock=self.clock, write=self.write,
        )  # fmt: skip
        try:
            asked = asked_of(await _body(request), api, self.served)
        except Refused as refused:
            seen.ended("error", refused.status)
            return _refusal(refused, seen.id)
        except ClientDisconnect:
            seen.ended("cancelled", 0)
            return Response()
        kind = "chatcmpl" if api == "chat" else "cmpl"
        form = Form(
            api=api, id=f"{kind}-{uuid.uuid4().hex}", model=self.served.model,
            created=int(self.wall()), usage=asked.usage,
        )  # fmt: skip
        return Exchange(
            asked=asked, form=form, engine=self.engine, text=self.served.text, seen=seen
        )


async def _body(request: Request) -> bytes:
    """Return the body.

    Raises:
        Refused: it is too long; the rest is not read.
    """
    length = request.headers.get("content-length", "")
    data = bytearray()
    if not length.isdigit() or int(length) <= _MOST_BYTES:
        async for part in request.stream():
            data += part
            if len(data) > _MOST_BYTES:
                break
        else:
            return bytes(data)
    raise Refused(413, f"a body has at most {_MOST_BYTES} bytes", code="body_too_long")


def _refusal(refused: Refused, name: str = "") -> Response:
    headers = {"x-request-id": name} if name else {}
    return JSONResponse(error_of(refused), refused.status, headers)


async def _not_found(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    words = {404: "there is nothing under this address", 405: "this method is not for it"}
    return _refusal(Refused(status, words.get(status, "it cannot be done"), code="unknown_url"))


async def _broken(_: Request, error: Exception) -> Response:
    return _refusal(Refused(500, f"a fault of the server: {type(error).__name__}", code="fault"))
