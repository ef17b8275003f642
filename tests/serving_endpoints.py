"""Endpoints that do as a script says, over real sockets of loopback, in a thread of the test.

    with scripted(Script(first_s=0.01, gap_s=0.001)) as endpoint:
        look(endpoint.address, ...)
        endpoint.seen[0].first_ns

What an endpoint received, and when it wrote, stands in `seen`, by the clock `time.monotonic_ns`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Way = Literal[
    "healthy",
    "silent",  # takes the request and says nothing
    "cut-off",  # ends the connection after `after` events
    "closing",  # ends the connection before any byte of an answer
    "status",  # answers `status` with `body`
    "error-event",  # an error object in the stream after `after` events
    "garbage",  # an event that is no JSON after `after` events
    "endless",  # does not stop
    "stuck",  # no byte more after `after` events, the connection stays
    "keep-alives",  # comments only
    "long-line",  # a line of 2 MiB
    "html",  # a page with status 200
    "not-http",  # bytes of another protocol
    "cut-at-end",  # ends the connection after the event with finish_reason
    "held-open",  # says [DONE], and keeps the body and the connection open
    "no-end",  # neither finish_reason nor [DONE], and ends the connection
]


@dataclass(frozen=True, kw_only=True)
class Script:
    """How an endpoint answers; as it is made, it is healthy and at once."""

    way: Way = "healthy"
    """What it does with a POST."""
    models: tuple[str, ...] = ("scripted",)
    """What it lists."""
    models_status: int = 200
    """Status of the list; 0: no answer to it."""
    max_model_len: int | None = None
    """What it says of its longest context."""
    first_s: float = 0.0
    """Time before the first event with text."""
    gap_s: float = 0.0
    """Time between events."""
    slots: int | None = None
    """Requests that it works on at once; others wait."""
    tokens: int | None = None
    """Events with text; None: as many as `max_tokens` asks for."""
    per_event: int = 1
    """Tokens in an event, as it reports them."""
    packed: int = 1
    """Events in one write."""
    split: int = 0
    """Bytes in one write, each flushed; 0: whole events."""
    after: int = 3
    """Events before something happens."""
    status: int = 500
    """Status of the way `status`."""
    body: str = '{"error":{"message":"out of order"}}'
    """Body of the way `status`."""
    usage: bool = True
    """Whether it reports tokens when asked."""
    output_reported: int | None = None
    """Tokens that it says it gave; None: those that it gave."""
    prompt_fixed: int = 3
    """Tokens of a prompt beyond its words."""
    prompt_per_word: float = 1.25
    """Tokens per word."""
    refuses: tuple[str, ...] = ()
    """Fields of a request that it answers with 400."""
    newline: str = "\n"
    """Line end of its events."""
    done: bool = True
    """Whether it writes [DONE]."""
    finish: bool = True
    """Whether the last event with text has a finish_reason."""
    reasoning: bool = False
    """Whether the text of a chat is reasoning."""
    needs_key: str = ""
    """Key without which it answers 401."""
    fails_first: int = 0
    """So many POSTs get the way `status` before the others are answered as the script says."""
    fails_after: int | None = None
    """POSTs after so many get the way `status`; None: never."""
    keep_alive_requests: int | None = None
    """Ends the connection without a word when a request after so many comes on it."""


@dataclass(kw_only=True)
class Seen:
    """One request that came."""

    path: str
    """Its path with the query."""
    headers: dict[str, str]
    """Its headers, names in lower case."""
    body: Any = None
    """Its JSON."""
    received_ns: int = 0
    """When it was complete."""
    text_ns: list[int] = field(default_factory=list)
    """When each event with text was about to be written."""
    ended_ns: int | None = None
    """When all was written; None: it was not."""
    closed_early: bool = False
    """Whether the client went away before the end."""

    @property
    def id(self) -> str:
        """Return the client's id of it."""
        return self.headers.get("x-request-id", "")


class ScriptedEndpoint:
    """A running endpoint."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        """Every request in the order in which it came, GET and POST."""
        self.connections = 0
        """Connections that were made."""
        self.most_at_once = 0
        """Most POSTs at once."""
        self._at_once = 0
        self._posts = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/v1"
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    @property
    def posts(self) -> list[Seen]:
        """Return the requests to complete something."""
        return [one for one in self.seen if one.body is not None]

    def start(self) -> None:
        """Serve from now on."""
        ready = threading.Event()
        self._ready = ready
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """End all connections and the thread."""
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        self._over = asyncio.Event()
        self._slots = asyncio.Semaphore(self.script.slots or 1_000_000)
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=1 << 24)
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        served = 0
        # asyncio sets it on sockets of the protocol TCP alone; those of `create_server` say 0.
        link = writer.get_extra_info("socket")
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (one := await _request(reader)) is not None:
                if served == self.script.keep_alive_requests:
                    return
                served += 1
                self.seen.append(one)
                try:
                    again = await self._answer(one, writer)
                    await writer.drain()
                except ConnectionError:
                    one.closed_early = True
                    return
                if not again:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(RuntimeError):
                writer.close()

    async def _answer(self, one: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self.script
        if script.way == "not-http":
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
            return False
        if script.needs_key and one.headers.get("authorization") != f"Bearer {script.needs_key}":
            given = one.headers.get("authorization", "")
            return _whole(writer, 401, json.dumps({"error": {"message": f"no such key: {given}"}}))
        if one.body is None:
            return await self._get(one, writer)
        self._posts += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            async with self._slots:
                return await self._post(one, writer)
        finally:
            self._at_once -= 1

    async def _get(self, one: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self.script
        path = one.path.partition("?")[0]
        if path == "/version":
            return _whole(writer, 200, '{"version": "1.2.3"}')
        if path != "/v1/models":
            return _whole(writer, 404, '{"detail":"Not Found"}')
        if script.models_status == 0:
            await asyncio.sleep(3600)
        if script.models_status != 200:
            return _whole(writer, script.models_status, "no list")
        rows = [{"id": name, "object": "model"} for name in script.models]
        if script.max_model_len:
            rows = [row | {"max_model_len": script.max_model_len} for row in rows]
        return _whole(writer, 200, json.dumps({"object": "list", "data": rows}))

    async def _post(self, one: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self.script
        refused = [name for name in script.refuses if name in one.body]
        if refused:
            message = f"unknown field `{refused[0]}`"
            return _whole(writer, 400, json.dumps({"error": {"message": message}}))
        last = script.fails_after
        fails = self._posts <= script.fails_first or (last is not None and self._posts > last)
        if script.way == "status" or fails:
            return _whole(writer, script.status, script.body)
        if script.way == "silent":
            await asyncio.sleep(3600)
        if script.way == "closing":
            return False
        if script.way == "html":
            return _whole(writer, 200, "<!DOCTYPE html><h1>It works</h1>", "text/html")
        return await self._stream(one, writer)

    async def _stream(self, one: Seen, writer: asyncio.StreamWriter) -> bool:
        script = self.script
        writer.write(
            b"HTTP/1.1 200 OK\r\nserver: scripted\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        ends = {"cut-off", "cut-at-end", "no-end"}
        async for data in self._events(one):
            if script.split:
                for start in range(0, len(data), script.split):
                    writer.write(_chunk(data[start : start + script.split]))
                    await asyncio.sleep(0)
            else:
                writer.write(_chunk(data))
            await writer.drain()
            if writer.transport.is_closing():
                one.closed_early = True
                return False
        if script.way == "no-end":
            writer.write(b"0\r\n\r\n")
        if script.way in ends:
            return False
        if script.way == "held-open":
            await asyncio.sleep(3600)
        writer.write(b"0\r\n\r\n")
        one.ended_ns = time.monotonic_ns()
        return True

    async def _events(self, one: Seen) -> AsyncIterator[bytes]:
        script = self.script
        chat = one.path.startswith("/v1/chat/")
        end = script.newline * 2
        total = script.tokens if script.tokens is not None else one.body["max_tokens"]
        if script.way == "keep-alives":
            while True:
                yield f": still here{end}".encode()
                await asyncio.sleep(0.01)
        if script.way == "long-line":
            yield b"data: " + b"x" * (2 << 20)
        if chat:
            yield f"data: {json.dumps(_delta({'role': 'assistant', 'content': ''}))}{end}".encode()
        await asyncio.sleep(script.first_s)
        held = b""
        number = 0
        while number < total or script.way == "endless":
            number += 1
            if script.way != "healthy" and number > script.after:
                special = self._special(end)
                if special is not None:
                    yield special
                    if script.way == "stuck":
                        await asyncio.sleep(3600)
                    return
            last = number == total and script.finish and script.way not in ("no-end", "endless")
            held += self._text(number, chat, "length" if last else None, end)
            one.text_ns.append(time.monotonic_ns())
            if number % script.packed == 0 or number == total:
                yield held
                held = b""
                if number < total:
                    await asyncio.sleep(script.gap_s)
        if script.way in ("no-end", "cut-at-end"):
            return
        yield self._ending(one, number, end)

    def _special(self, end: str) -> bytes | None:
        return {
            "cut-off": b'data: {"choices": [{"te',
            "stuck": b": now it is stuck\n\n",
            "error-event": f'data: {{"error": {{"message": "out of memory"}}}}{end}'.encode(),
            "garbage": f"data: {{not JSON at all{end}".encode(),
        }.get(self.script.way)

    def _text(self, number: int, chat: bool, reason: str | None, end: str) -> bytes:
        text = f" w{number}"
        if chat:
            key = "reasoning_content" if self.script.reasoning else "content"
            said = _delta({key: text}, reason)
        else:
            said = {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}
        return f"data: {json.dumps(said)}{end}".encode()

    def _ending(self, one: Seen, events: int, end: str) -> bytes:
        script = self.script
        data = ""
        if script.usage and one.body.get("stream_options", {}).get("include_usage"):
            given = events * script.per_event
            words = len(prompt_of(one.body).split())
            usage = {
                "prompt_tokens": script.prompt_fixed + round(words * script.prompt_per_word),
                "completion_tokens": given
                if script.output_reported is None
                else script.output_reported,
            }
            data += f"data: {json.dumps({'choices': [], 'usage': usage})}{end}"
        if script.done:
            data += f"data: [DONE]{end}"
        return data.encode()


@contextlib.contextmanager
def scripted(script: Script | None = None) -> Iterator[ScriptedEndpoint]:
    """Give an endpoint that does as the script says until the block ends."""
    endpoint = ScriptedEndpoint(script or Script())
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop()


def nobody() -> str:
    """Return an address of this machine where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def prompt_of(body: dict[str, Any]) -> str:
    """Return the prompt of a request of either interface."""
    return body["messages"][0]["content"] if "messages" in body else body["prompt"]


def _delta(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _whole(
    writer: asyncio.StreamWriter, status: int, text: str, kind: str = "application/json"
) -> bool:
    body = text.encode()
    location = "location: http://127.0.0.1:9/elsewhere\r\n" if 300 <= status < 400 else ""
    head = (
        f"HTTP/1.1 {status} Reason\r\nserver: scripted\r\ncontent-type: {kind}\r\n{location}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return True


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    one = Seen(path=path, headers=headers)
    length = int(headers.get("content-length", "0"))
    body = await reader.readexactly(length)
    if method == "POST":
        one.body = json.loads(body)
    one.received_ns = time.monotonic_ns()
    return one
