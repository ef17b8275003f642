"""One request: sent, read as it arrives, timed, and how it ended.

A time is that of the read that brought the bytes; several events of one read share it. Must not
know when requests are due, nor what a load is.
"""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from yarl import URL

from crossgrade.serving.address import Address
from crossgrade.serving.answers import DONE, Event, NotTheProtocol, read_event
from crossgrade.serving.events import EventReader, NotAStream
from crossgrade.values.serving import OWN_LIMIT, Api, Endpoint, Outcome

PATHS: Final[dict[Api, str]] = {"completions": "/completions", "chat": "/chat/completions"}
KEPT_ALIVE_S: Final = 4.0
"""An idle connection is not used again after that long; common servers close theirs after 5 s."""
DRAIN_S: Final = 1.0
"""After the last event the body may take that long to end; its connection is used again only
then."""
_ERROR_BODY_BYTES: Final = 4096
_OWN_LIMITS: Final = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
"""Why a connection is not made that are limits of the client's machine."""


@dataclass(slots=True, kw_only=True)
class Sent:
    """What is known of one request; filled while it runs, times in ns of the client's clock."""

    number: int
    """Its place in the load."""
    due_ns: float = 0.0
    """When it was due."""
    input_asked: int
    """Tokens that its prompt was made to have."""
    output_asked: int
    """Tokens that are asked for."""
    sent_ns: float | None = None
    """When the client began to send it."""
    first_ns: float | None = None
    """When the first text arrived."""
    last_ns: float | None = None
    """When the last text arrived."""
    ended_ns: float | None = None
    """When it ended."""
    outcome: Outcome = "unfinished"
    """How it ended."""
    detail: str = ""
    """What happened."""
    input_reported: int = -1
    """Tokens of the prompt as reported."""
    output_reported: int = -1
    """Tokens of the answer as reported."""
    chunks: int = 0
    """Events with text."""
    text_bytes: int = 0
    """Bytes of the text."""
    gaps_ns: list[float] = field(default_factory=list)
    """Gaps between events with text."""
    finished: bool = False
    """Whether the answer said why it ends."""
    status: int = 0
    """HTTP status of the answer; 0 without one."""
    complaint: str = ""
    """Body of an answer with an error status, its first part, as it came."""

    def take(self, event: Event, now_ns: float) -> None:
        """Count an event that arrived at a time."""
        if event.text:
            if self.last_ns is None:
                self.first_ns = now_ns
            else:
                self.gaps_ns.append(now_ns - self.last_ns)
            self.last_ns = now_ns
            self.chunks += 1
            self.text_bytes += len(event.text.encode("utf-8", "surrogatepass"))
        self.finished = self.finished or event.finished
        if event.input_tokens is not None:
            self.input_reported = event.input_tokens
        if event.output_tokens is not None:
            self.output_reported = event.output_tokens


class Failure(Exception):
    """How a request ended that is not ok."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome: Outcome = outcome
        self.detail = detail


def open_session(address: Address) -> aiohttp.ClientSession:
    """Return one pool of connections without a limit; the caller closes it.

    It follows no environment: no proxy and no password file stands between client and endpoint.
    Connections have TCP_NODELAY: aiohttp sets it.
    """
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    headers = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
    if address.authorization:
        headers["Authorization"] = address.authorization
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEPT_ALIVE_S, ttl_dns_cache=None,
        ),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trace_configs=[trace],
    )  # fmt: skip


async def _note_reuse(_session: object, context: SimpleNamespace, _params: object) -> None:
    reused = context.trace_request_ctx  # the list that a request brought, None of others
    if reused is not None:
        reused.append(True)


def body_of(endpoint: Endpoint, api: Api, prompt: str, output_tokens: int) -> bytes:
    """Return the body of a request, with the options that the endpoint takes."""
    asked: dict[str, Any] = {"model": endpoint.model, "max_tokens": output_tokens, "stream": True,
                             "temperature": 0}  # fmt: skip
    if endpoint.streams_usage:
        asked["stream_options"] = {"include_usage": True}
    if endpoint.ignores_eos:
        asked["ignore_eos"] = True
    if api == "chat":
        asked["messages"] = [{"role": "user", "content": prompt}]
    else:
        asked["prompt"] = prompt
    return json.dumps(asked).encode()


class Sender:
    """Sends requests of one interface to one endpoint."""

    def __init__(self, session: aiohttp.ClientSession, address: Address, api: Api, *,
                 timeout_s: float, clock: Callable[[], int]) -> None:  # fmt: skip
        """Keep what all requests share.

        Args:
            session: pool of connections.
            address: where to.
            api: interface.
            timeout_s: longest time without text, s: keep-alives do not prolong it.
            clock: monotonic ns.
        """
        self._session = session
        self._address = address
        self._url = URL(address.url(PATHS[api]), encoded=True)
        self._timeout_s = timeout_s
        self._clock = clock

    async def send(self, kept: Sent, body: bytes, request_id: str) -> None:
        """Send a request and fill in what comes; it returns however the request ends.

        Cancelled, it closes the connection and leaves the outcome `unfinished`.
        """
        kept.sent_ns = float(self._clock())
        watch = _Watch(self._timeout_s)
        try:
            async with asyncio.timeout(None) as scope:
                watch.begin(scope)
                await self._answered(kept, body, request_id, watch)
            kept.outcome = "ok"
        except Failure as failure:
            kept.outcome, kept.detail = failure.outcome, self._address.shown(failure.detail)
        except TimeoutError:
            if kept.outcome != "ok":  # the answer is complete, its connection is not
                kept.outcome, kept.detail = "timed-out", watch.why()
        except (aiohttp.ClientError, OSError) as error:
            outcome, detail = ending_of(error)
            if outcome == "cut-off" and kept.finished:  # nothing of the answer is lost
                outcome, detail = "ok", ""
            kept.outcome, kept.detail = outcome, self._address.shown(detail)
        finally:
            watch.end()
            if kept.ended_ns is None:
                kept.ended_ns = float(self._clock())

    async def _answered(self, kept: Sent, body: bytes, request_id: str, watch: _Watch) -> None:
        reused: list[bool] = []
        while True:
            reused.clear()
            try:
                await self._exchange(kept, body, request_id, watch, reused)
                return
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # The server closed an idle connection while the request was on its way to it. HTTP
                # clients send again in that case (RFC 9112, 9.3.1, where nothing was answered);
                # the time runs from the first try. A new connection that ends so is a failure.
                if not reused or watch.bytes_came:
                    raise

    async def _exchange(self, kept: Sent, body: bytes, request_id: str, watch: _Watch,
                        reused: list[bool]) -> None:  # fmt: skip
        # aiohttp warns of bodies above 1 MiB in one piece: they are sent from a file then.
        data: bytes | io.BytesIO = body if len(body) < 1 << 20 else io.BytesIO(body)
        async with self._session.post(
            self._url,
            data=data,
            headers={"Content-Type": "application/json", "x-request-id": request_id},
            allow_redirects=False,
            trace_request_ctx=reused,
        ) as response:
            watch.bytes_came = True
            kept.status = response.status
            if response.status != 200:
                kept.complaint = await _beginning(response.content)
                raise Failure("http-error", f"status {response.status}: {kept.complaint}")
            if response.content_type != "text/event-stream":
                text = await _beginning(response.content)
                what = f"content-type '{response.content_type}' instead of a stream of events"
                raise Failure("malformed", f"{what}: {text}")
            await self._read(response.content, kept, watch)

    async def _read(self, content: aiohttp.StreamReader, kept: Sent, watch: _Watch) -> None:
        reader = EventReader()
        most = 4 * kept.output_asked + 64
        while chunk := await content.readany():
            now_ns = float(self._clock())
            try:
                found = reader.feed(chunk)
            except NotAStream as error:
                raise Failure("malformed", str(error)) from None
            chunks = kept.chunks
            if _taken(found, kept, now_ns):
                kept.ended_ns, kept.outcome = now_ns, "ok"
                await _drain(content)
                return
            if kept.chunks > chunks:
                watch.text_came()
            if kept.chunks > most:
                raise Failure(
                    "malformed",
                    f"it does not stop: more than {most} events with text, and "
                    f"{kept.output_asked} tokens were asked for",
                )
        if DONE not in reader.close() and not kept.finished:
            raise Failure("cut-off", f"the connection ended after {kept.chunks} events with text")


def _taken(found: list[bytes], kept: Sent, now_ns: float) -> bool:
    """Count events; return whether the last one of the stream is among them."""
    for data in found:
        if data == DONE:
            return True
        try:
            event = read_event(data)
        except NotTheProtocol as error:
            raise Failure("malformed", str(error)) from None
        if event.error:
            raise Failure("http-error", f"an error in the stream: {event.error}")
        kept.take(event, now_ns)
    return False


async def _beginning(content: aiohttp.StreamReader) -> str:
    body = b""
    while len(body) < _ERROR_BODY_BYTES and (chunk := await content.read(_ERROR_BODY_BYTES)):
        body += chunk
    return body.decode(errors="replace")


async def _drain(content: aiohttp.StreamReader) -> None:
    # A request whose answer is complete is ok whatever follows: only its connection is not kept.
    if content.at_eof():
        return
    try:
        async with asyncio.timeout(DRAIN_S):
            while await content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        return


class _Watch:
    """Ends a request when no text has come for too long; costs a timer per limit, not per event."""

    def __init__(self, limit_s: float) -> None:
        self.bytes_came = False
        self._text = False
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._touched = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, scope: asyncio.Timeout) -> None:
        self._timer = self._loop.call_at(self._touched + self._limit_s, self._look, scope)

    def text_came(self) -> None:
        self._text = True
        self._touched = self._loop.time()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def why(self) -> str:
        what = "no more text came" if self._text else "no text came"
        what = what if self.bytes_came else "no answer came"
        return f"{what} for {self._limit_s:g} s"

    def _look(self, scope: asyncio.Timeout) -> None:
        due = self._touched + self._limit_s
        if due <= self._loop.time():
            scope.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_at(due, self._look, scope)


def ending_of(error: aiohttp.ClientError | OSError) -> tuple[Outcome, str]:
    """Return how a request ended by an error of the connection, and what happened."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if cause.errno in _OWN_LIMITS:
            return "unfinished", f"{OWN_LIMIT}: {_reason(cause)}"
        return "refused", f"no connection: {_reason(cause)}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "malformed", f"the answer is not HTTP: {error.message}"
    if isinstance(error, aiohttp.ClientPayloadError) and "Not enough data" not in str(error):
        return "malformed", f"the body of the answer is not HTTP: {error.__cause__ or error}"
    if isinstance(error, aiohttp.InvalidURL):
        return "malformed", "the address is no URL"
    return "cut-off", "the connection ended before the answer did"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    # asyncio names the address in its own text; that of the number says the same and is short.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
