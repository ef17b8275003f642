"""What an answer says, event by event: text, its end, numbers of tokens, an error.

Holds OpenAI's two streamed forms, completions and chat completions, to their types, so that a
wrong one is told and never counted. Must not know the clock nor the connection.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

DONE: Final = b"[DONE]"
_TEXTS: Final = ("content", "reasoning_content", "reasoning")
"""Keys of a chat delta whose text a user waits for; servers name the reasoning in two ways."""


class NotTheProtocol(Exception):
    """An event is not what the protocol says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of an answer."""

    text: str = ""
    """Text that came with it; empty for a role, an end or numbers of tokens."""
    finished: bool = False
    """Whether it says why the answer ends."""
    input_tokens: int | None = None
    """Tokens of the prompt, where it reports them."""
    output_tokens: int | None = None
    """Tokens of the answer so far, where it reports them."""
    error: str = ""
    """Message of an error in the stream."""


def read_event(data: bytes) -> Event:
    """Return what an event says.

    Raises:
        NotTheProtocol: it is not JSON, or a field has a wrong type.
    """
    try:
        said = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise NotTheProtocol(f"an event is not JSON: {_start(data)}") from None
    if not isinstance(said, dict):
        raise NotTheProtocol(f"an event is no object: {_start(data)}")
    if said.get("error"):
        return Event(error=_error_text(said["error"]))
    choices = said.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices[:1]):
        raise NotTheProtocol(f"`choices` is no list of objects: {_start(data)}")
    prompt, answer = _usage(said.get("usage"), data)
    if not choices:
        return Event(input_tokens=prompt, output_tokens=answer)
    reason = choices[0].get("finish_reason")
    if reason is not None and not isinstance(reason, str):
        raise NotTheProtocol(f"`finish_reason` is no text: {_start(data)}")
    text = _text(choices[0], data)
    return Event(text=text, finished=bool(reason), input_tokens=prompt, output_tokens=answer)


def _text(choice: dict[str, Any], data: bytes) -> str:
    delta = choice.get("delta")
    if delta is None:
        parts = [choice.get("text")]
    elif isinstance(delta, dict):
        parts = [delta.get(key) for key in _TEXTS]
        if parts[1] == parts[2]:  # some servers send the reasoning under both names
            parts.pop()
    else:
        raise NotTheProtocol(f"`delta` is no object: {_start(data)}")
    if not all(part is None or isinstance(part, str) for part in parts):
        raise NotTheProtocol(f"the text of an event is no text: {_start(data)}")
    return "".join(part for part in parts if part)


def _usage(usage: object, data: bytes) -> tuple[int | None, int | None]:
    if usage is None:
        return None, None
    if not isinstance(usage, dict):
        raise NotTheProtocol(f"`usage` is no object: {_start(data)}")
    found = []
    for key in ("prompt_tokens", "completion_tokens"):
        count = usage.get(key)
        if count is not None and (type(count) is not int or count < 0):
            raise NotTheProtocol(f"`{key}` is no number of tokens: {_start(data)}")
        found.append(count)
    return found[0], found[1]


def _error_text(error: object) -> str:
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or error)


def _start(data: bytes) -> str:
    return data[:120].decode(errors="replace")
