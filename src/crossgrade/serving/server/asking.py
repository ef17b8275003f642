"""The body of a request -> what is asked of the model, or why it is refused.

Everything is checked, types too. An option that would change the answer and that this server does
not know is refused; fields that nobody knows are passed over, as other servers do. Must not know
HTTP beyond a status, nor the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from crossgrade.serving.server.text import Text, chat_text
from crossgrade.values.serving import Api

_USUAL_TOKENS: Final = 16
"""Tokens of a completion where nobody says, as in OpenAI's interface; a chat goes on to the limit.
"""
_COLD: Final = 1e-4
"""Below it scores over temperature leave float32; the likeliest token is taken."""
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,), "best_of": (1,), "stop": ([], ""), "stop_token_ids": ([],), "min_tokens": (0,),
    "echo": (False,), "suffix": ("",), "logprobs": (False,), "top_logprobs": (0,),
    "top_p": (1,), "top_k": (0, -1), "min_p": (0,), "presence_penalty": (0,),
    "frequency_penalty": (0,), "repetition_penalty": (1,), "logit_bias": ({},), "tools": ([],),
    "functions": ([],), "response_format": ({"type": "text"},),
}  # fmt: skip
"""Options that are not done -> values that change nothing; null is one of them always."""

_WORDS: Final[Mapping[type, str]] = {
    str: "a string", bool: "true or false", int: "a whole number", dict: "an object",
    list: "a list",
}  # fmt: skip


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request asks for."""

    prompt: tuple[int, ...]
    """Token ids of the prompt."""
    most: int
    """Tokens that are given at most."""
    temperature: float
    """0 takes the likeliest token."""
    seed: int | None
    """Seed of the draws; None: any."""
    ignore_eos: bool
    """Whether an answer goes on where the model would end it."""
    stream: bool
    """Whether tokens are sent as they come."""
    usage: bool
    """Whether a stream ends with numbers of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What requests are checked against."""

    model: str
    """Name of the model."""
    vocabulary: int
    """Number of token ids."""
    most_tokens: int
    """Longest prompt with its answer, tokens."""
    text: Text
    """Tokenizer."""


def asked_of(data: bytes, api: Api, served: Served) -> Asked:
    """Return what a body asks for.

    Raises:
        Refused: it cannot be done as it is asked.
    """
    fields = _Fields(_parsed(data))
    if (name := fields.get("model", str, served.model)) != served.model:
        raise Refused(
            404, f"the model '{str(name)[:80]}' is not here; '{served.model}' is",
            code="model_not_found", param="model",
        )  # fmt: skip
    fields.check_neutral()
    prompt = _chat(fields, served) if api == "chat" else _prompt(fields, served)
    stream = fields.get("stream", bool, False)
    options = fields.get("stream_options", dict, None)
    if options is not None and not stream:
        _bad("stream_options is for streams", "stream_options")
    return Asked(
        prompt=prompt,
        most=_most(fields, api, len(prompt), served.most_tokens),
        temperature=_temperature(fields),
        seed=fields.get("seed", int, None),
        ignore_eos=fields.get("ignore_eos", bool, False),
        stream=stream,
        usage=_Fields(options or {}).get("include_usage", bool, False),
    )


def _bad(message: str, param: str | None = None, code: str = "invalid_value") -> NoReturn:
    raise Refused(400, message, code=code, param=param)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        _bad(f"the body is not JSON: {str(error)[:120]}", code="invalid_json")
    if not isinstance(parsed, dict):
        _bad("the body is not a JSON object", code="invalid_json")
    return parsed


@dataclass(frozen=True, slots=True)
class _Fields:
    """Fields of a body; null counts as left out."""

    body: dict[str, Any]

    def get(self, name: str, kind: type, usual: Any) -> Any:
        """Return a field of a type; `usual` where it is left out."""
        value = self.body.get(name)
        if value is None:
            return usual
        # To Python true is a number.
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong:
            _bad(f"{name} must be {_WORDS[kind]}", name, "invalid_type")
        return value

    def check_neutral(self) -> None:
        """Refuse options that would change the answer and that are not done."""
        for name, neutral in _NEUTRAL.items():
            value = self.body.get(name)
            if value is not None and value not in neutral:
                _bad(f"{name} is not done by this server", name, "unsupported_value")


def _most(fields: _Fields, api: Api, prompt: int, limit: int) -> int:
    usual = max(limit - prompt, 1) if api == "chat" else _USUAL_TOKENS
    name = "max_tokens" if fields.body.get("max_completion_tokens") is None else (
        "max_completion_tokens")  # fmt: skip
    most: int = fields.get(name, int, usual)
    if most < 1:
        _bad(f"{name} must be 1 or more", name)
    if prompt + most > limit:
        _bad(
            f"{prompt} tokens of prompt and {most} of answer are more than the {limit} that are "
            "served", name, "context_length_exceeded",
        )  # fmt: skip
    return most


def _temperature(fields: _Fields) -> float:
    value = fields.body.get("temperature")
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _bad("temperature must be a number", "temperature", "invalid_type")
    if not 0 <= value <= 100:  # false of NaN too
        _bad("temperature must be from 0 to 100", "temperature")
    return float(value) if value >= _COLD else 0.0


def _prompt(fields: _Fields, served: Served) -> tuple[int, ...]:
    prompt = fields.body.get("prompt")
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], (str, list)):
        if len(prompt) > 1:
            _bad("one prompt per request", "prompt", "unsupported_value")
        prompt = prompt[0]
    if isinstance(prompt, str):
        ids = served.text.encode(prompt)
    elif isinstance(prompt, list):
        ids = prompt
    else:
        _bad("prompt must be a string or a list of token ids", "prompt", "invalid_type")
    return _checked(ids, served, "prompt")


def _chat(fields: _Fields, served: Served) -> tuple[int, ...]:
    messages = fields.get("messages", list, [])
    if not messages:
        _bad("messages must hold a message", "messages")
    return _checked(served.text.encode(chat_text([_message(m) for m in messages])), served,
                    "messages")  # fmt: skip


def _message(message: Any) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        _bad("a message is an object with role and content", "messages", "invalid_type")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    if not isinstance(content, str):
        _bad("content must be a string or a list of texts", "messages", "invalid_type")
    return message["role"], content


def _part(part: Any) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        _bad("only parts of type text are taken", "messages", "invalid_type")
    text: str = part["text"]
    return text


def _checked(ids: list[Any], served: Served, param: str) -> tuple[int, ...]:
    """Return token ids that the model has; the length is checked with that of the answer."""
    if not ids:
        _bad(f"{param} holds no token", param)
    for token in ids:
        if not isinstance(token, int) or isinstance(token, bool):
            _bad(f"{param} must be a string or a list of token ids", param, "invalid_type")
        if not 0 <= token < served.vocabulary:
            _bad(f"token id {str(token)[:20]} is not one of 0 to {served.vocabulary - 1}", param)
    return tuple(ids)
