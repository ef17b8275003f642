"""A server that answers at once, in a process of its own: what the client itself can do.

    python -I -S null_server.py FD

FD is a listening socket that the parent made; standard input is a pipe whose end ends the process,
so that it outlives no parent. It answers a POST with the stream that its `max_tokens` asks for, an
event per token, one after another. Must import the standard library only, and nothing that is slow
to import: it starts for every load.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import sys

_TOKENS = re.compile(rb'"max_tokens": ?(\d+)')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: null\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_COMMON = b'"id":"cmpl-0000000000000000","created":1700000000,"model":"null-model-of-crossgrade",'
_CHAT = (
    b'{"object":"chat.completion.chunk",' + _COMMON
    + b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}'
)  # fmt: skip
_TEXT = (
    b'{"object":"text_completion",' + _COMMON
    + b'"choices":[{"index":0,"text":" word","logprobs":null,"finish_reason":null}]}'
)  # fmt: skip


def event(data: bytes) -> bytes:
    """Return an event as one chunk of an HTTP body."""
    line = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


@functools.lru_cache(maxsize=64)
def end_of_answer(tokens: int) -> bytes:
    """Return what follows the events with text: numbers of tokens, the end of stream and body."""
    usage = b'{%s"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d}}'
    return event(usage % (_COMMON, tokens)) + event(b"[DONE]") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection, one request after another."""

    events = (event(_TEXT), event(_CHAT))

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.held = bytearray()
        self.wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        # asyncio sets it on sockets of the protocol TCP alone; those of `create_server` say 0.
        link = transport.get_extra_info("socket")
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer as soon as a request is complete."""
        self.held += data
        while len(self.held) >= self.wanted:
            end = self.held.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self.held, 0, end)
            self.wanted = end + 4 + int(length[1] if length else 0)
            if len(self.held) < self.wanted:
                return
            self.answer(bytes(self.held[: self.wanted]))
            del self.held[: self.wanted]
            self.wanted = 1

    def answer(self, request: bytes) -> None:
        """Write the stream, an event at a time, as a server does that has one token at a time."""
        assert self.transport is not None
        found = _TOKENS.search(request)
        tokens = int(found[1]) if found else 1
        one = self.events[b"/chat/" in request[:200]]
        self.transport.write(_HEAD + one)
        for _ in range(tokens - 1):
            self.transport.write(one)
        self.transport.write(end_of_answer(tokens))


async def serve(listening: socket.socket) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    server = await loop.create_server(Connection, sock=listening)
    await over.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))
