"""Answers in the JSON of OpenAI's protocol; pure functions. Must not know the model or HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crossgrade.serving.server.asking import Refused
from crossgrade.values.serving import Api

DONE: Final = b"data: [DONE]\n\n"
"""The last event of a stream."""
_KINDS: Final = {404: "not_found_error", 500: "server_error", 503: "server_error"}


def event(body: Mapping[str, Any]) -> bytes:
    """Return one event of a stream."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def error_of(refused: Refused) -> dict[str, Any]:
    """Return the body of an error."""
    kind = _KINDS.get(refused.status, "invalid_request_error")
    return {
        "error": {
            "message": refused.message, "type": kind, "param": refused.param,
            "code": refused.code,
        }
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request."""

    prompt: int
    """Of the prompt."""
    output: int
    """Of the answer, one that ends it included."""

    def as_json(self) -> dict[str, int]:
        """Return it as the protocol has it."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.output,
            "total_tokens": self.prompt + self.output,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is the same in all parts of one answer."""

    api: Api
    """Interface."""
    id: str
    """Name of the answer."""
    model: str
    """Name of the model."""
    created: int
    """When it began, s since 1970."""
    usage: bool
    """Whether a stream tells numbers of tokens."""

    def opening(self) -> bytes:
        """Return the event that says who speaks; it has no text, and only a chat has it."""
        if self.api == "completions":
            return b""
        return self._part({"delta": {"role": "assistant", "content": ""}}, "")

    def piece(self, text: str, finish: str) -> bytes:
        """Return the event of one token; `finish` is empty before the last."""
        chat = self.api == "chat"
        return self._part({"delta": {"content": text}} if chat else {"text": text}, finish)

    def counts(self, usage: Usage) -> bytes:
        """Return the event with numbers of tokens."""
        return event(self._frame(stream=True) | {"choices": [], "usage": usage.as_json()})

    def whole(self, text: str, finish: str, usage: Usage) -> dict[str, Any]:
        """Return an answer in one piece."""
        spoken: dict[str, Any] = {"text": text}
        if self.api == "chat":
            spoken = {"message": {"role": "assistant", "content": text}}
        return self._frame(stream=False) | {
            "choices": [{"index": 0, **spoken, "logprobs": None, "finish_reason": finish}],
            "usage": usage.as_json(),
        }

    def _part(self, spoken: Mapping[str, Any], finish: str) -> bytes:
        choice = {"index": 0, **spoken, "logprobs": None, "finish_reason": finish or None}
        body = self._frame(stream=True) | {"choices": [choice]}
        return event(body | ({"usage": None} if self.usage else {}))

    def _frame(self, *, stream: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.api == "chat":
            kind = "chat.completion.chunk" if stream else "chat.completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}
