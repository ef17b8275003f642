"""Speaks HTTP with a server over a real socket, and reads its streams event by event."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict
    body: bytes

    @property
    def said(self):
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        return self.said["error"]

    @property
    def events(self) -> list:
        """Return the events of a stream; `[DONE]` is the text itself."""
        found = []
        for block in self.body.decode().split("\n\n"):
            if block:
                data = block.removeprefix("data: ")
                found.append(data if data == "[DONE]" else json.loads(data))
        return found

    @property
    def pieces(self) -> list[str]:
        """Return the texts of a stream, in order; opening and counts have none."""
        choices = [e["choices"][0] for e in self.events if e != "[DONE]" and e["choices"]]
        texts = [c.get("text", c.get("delta", {}).get("content")) for c in choices]
        return [text for text in texts if text]


def connection(server) -> http.client.HTTPConnection:
    host = server.address.removeprefix("http://").partition("/")[0]
    return http.client.HTTPConnection(host, timeout=60)


def call(server, method: str, path: str, body=None, **headers) -> Reply:
    """Return the answer to one request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    there = connection(server)
    try:
        there.request(method, path, data, headers)
        answer = there.getresponse()
        return Reply(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
    finally:
        there.close()


def ask(server, path: str = COMPLETIONS, *, name: str = "", **fields) -> Reply:
    """Return the answer to a greedy request of 8 tokens that does not end early."""
    usual = {"max_tokens": 8, "temperature": 0, "ignore_eos": True}
    usual |= {"messages": [{"role": "user", "content": "a b"}]} if path == CHAT else {"prompt": "a"}
    return call(server, "POST", path, usual | fields, **({"x-request-id": name} if name else {}))


def at_once(server, asked: list[dict]) -> list[Reply]:
    """Return the answers to requests that are all sent at the same time."""
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda fields: ask(server, **fields), asked))


def eventually(holds: Callable[[], bool], limit_s: float = 30) -> bool:
    """Return whether something comes to hold within the limit."""
    end = time.monotonic() + limit_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def prompts(count: int) -> Iterator[list[int]]:
    """Yield prompts of token ids, each of another length."""
    for index in range(count):
        yield [(7 * index + 31 * place + 3) % 256 for place in range(3 + 5 * index)]
