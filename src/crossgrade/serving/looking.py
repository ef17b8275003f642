"""What an endpoint is, found with a few short requests before a load is put on it.

An endpoint that answers and fails is not refused here: the load gives it its verdict. Must not know
loads nor how a record is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from yarl import URL

from crossgrade.errors import BadOption, EndpointAbsent
from crossgrade.serving.address import Address, read_address
from crossgrade.serving.prompts import Prompts
from crossgrade.serving.sending import Sender, Sent, body_of, ending_of, open_session
from crossgrade.serving.waiting import finished
from crossgrade.values.serving import Api, Endpoint

PROBE_WORDS: Final = (16, 144)
"""Words of the two prompts whose reported tokens give tokens per word."""
PROBE_TOKENS: Final = 2
"""Tokens that a probe asks for."""
_MOST_JSON_BYTES: Final = 1 << 22
_SESSION: Final = 1 << 20
"""Stands in the probes' prompts where sessions have their number, so that no session has theirs."""


def look(
    address: str,
    *,
    model: str,
    api: Api,
    key: str | None,
    timeout_s: float,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Endpoint:
    """Return what an endpoint is: its model, what it takes of a request, tokens per word.

    It asks for the list of models and the version, and sends two short requests. All of it takes
    `timeout_s` at most. What goes wrong with the two requests becomes a note.

    Args:
        address: address below which the interface lies, such as `http://127.0.0.1:8000/v1`; may
            have a user with a password, and a query.
        model: name of the model; empty: the only one that it has.
        api: interface that is spoken.
        key: key for the Authorization header; it goes nowhere else, and no redirect is followed.
        timeout_s: longest time for all of it, s.
        clock: monotonic ns.

    Raises:
        BadOption: the address is no URL, or the key cannot be sent.
        EndpointAbsent: nothing serves that model there, or it must not be used with this key.
    """
    where = read_address(address, key)
    return finished(lambda: _Look(where, api, timeout_s, clock).found(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """A whole answer, or why there is none."""

    status: int = 0
    server: str = ""
    said: Any = None
    why: str = ""


class _Look:
    """One look at an endpoint."""

    def __init__(self, where: Address, api: Api, timeout_s: float,
                 clock: Callable[[], int]) -> None:  # fmt: skip
        self._where, self._api, self._clock = where, api, clock
        self._timeout_s = timeout_s
        self._end_ns = clock() + timeout_s * 1e9
        self._notes: list[str] = []
        self._facts: dict[str, str] = {}

    async def found(self, model: str) -> Endpoint:
        async with open_session(self._where) as session:
            reply = await self._get(session, self._where.url("/models"), self._timeout_s / 4)
            chosen = self._model(reply, model)
            if reply.server:
                self._facts["server"] = self._where.shown(reply.server)
            await self._ask_version(session)
            endpoint = Endpoint(address=self._where.base, model=chosen)
            endpoint = await self._probed(session, endpoint)
        return dataclasses.replace(endpoint, facts=self._facts, notes=tuple(self._notes))

    def _left_s(self) -> float:
        return max(0.0, (self._end_ns - self._clock()) / 1e9)

    async def _get(self, session: aiohttp.ClientSession, url: str, limit_s: float) -> _Reply:
        try:
            async with (
                asyncio.timeout(min(limit_s, self._left_s())),
                session.get(URL(url, encoded=True), allow_redirects=False) as response,
            ):
                body = await _limited(response.content)
                server = response.headers.get("server", "")
                return _Reply(status=response.status, server=server, said=_json(body))
        except aiohttp.InvalidURL:
            raise BadOption("the endpoint's address is no URL", where=self._where.base) from None
        except TimeoutError:
            return _Reply(why=f"no answer within {limit_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            outcome, why = ending_of(error)
            if outcome in ("refused", "unfinished"):
                raise self._absent(why, "is the server up, and is this its address?") from None
            if isinstance(error, aiohttp.ClientResponseError):
                raise self._absent(why, "is this its address and port?") from None
            return _Reply(why=self._where.shown(why))

    def _absent(self, what: str, hint: str) -> EndpointAbsent:
        return EndpointAbsent(self._where.shown(what), where=self._where.base, hint=hint)

    def _model(self, reply: _Reply, wanted: str) -> str:
        """Return the model's name, from the list where there is one."""
        self._refuse_status(reply.status, "/models", wanted)
        models = _models(reply.said) if reply.status == 200 else {}
        if not models:
            why = reply.why or (f"status {reply.status}" if reply.status != 200 else "no list")
            if not wanted:
                raise self._absent(
                    f"its list of models is not to be had ({why})", "name the model with --model"
                )
            self._notes.append(f"/models: {why}")
            return wanted
        names = self._where.shown(", ".join(models), 300)
        if not wanted and len(models) > 1:
            raise self._absent("it has several models", f"name one with --model: {names}")
        if wanted and wanted not in models:
            raise self._absent(f"it has no model '{wanted[:80]}'", f"it has {names}")
        chosen = wanted or next(iter(models))
        self._facts["models"] = names
        if models[chosen]:
            self._facts["max_model_len"] = str(models[chosen])
        return chosen

    def _refuse_status(self, status: int, path: str, wanted: str) -> None:
        if status in (401, 403):
            raise self._absent(
                f"status {status} of {path}: it does not take this key, or wants one",
                "name the environment variable that holds the key with --key-env",
            )
        if status == 404 and not (path == "/models" and wanted):
            raise self._absent(
                f"status 404 of {path}",
                "does the address end as the server's does, such as in /v1?",
            )
        if 300 <= status < 400:
            raise self._absent(
                f"status {status} of {path}: a redirect, which is not followed",
                "give the address that it leads to",
            )

    async def _ask_version(self, session: aiohttp.ClientSession) -> None:
        """Ask for a version beside `/v1`, where vLLM and others have one; it may have none."""
        try:
            reply = await self._get(
                session, self._where.root_url("/version"), min(2.0, self._timeout_s / 8)
            )
        except EndpointAbsent:
            return
        version = reply.said.get("version") if isinstance(reply.said, dict) else None
        if reply.status == 200 and isinstance(version, str | int | float):
            self._facts["version"] = self._where.shown(str(version), 80)

    async def _probed(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint with what it takes of a request, and tokens per word."""
        # By the clock, so that a server has no earlier look's prompts in its cache.
        prompts = Prompts(seed=self._clock(), index=_SESSION, place=0)
        tokens = []
        for number, words in enumerate(PROBE_WORDS):
            text = prompts.text(number, words)
            kept, endpoint = await self._taken(session, endpoint, text, number)
            if kept.outcome != "ok":
                self._notes.append(f"a request to try it ended as {kept.outcome}: {kept.detail}")
                return endpoint
            tokens.append(kept.input_reported)
            if number == 0:
                endpoint = self._with_usage(endpoint, kept)
        return self._with_words(endpoint, tokens)

    async def _taken(self, session: aiohttp.ClientSession, endpoint: Endpoint, text: str,
                     number: int) -> tuple[Sent, Endpoint]:  # fmt: skip
        """Send a request; without an option that the endpoint refuses by name, again."""
        while True:
            kept = Sent(number=number, input_asked=len(text.split()), output_asked=PROBE_TOKENS)
            body = body_of(endpoint, self._api, text, PROBE_TOKENS)
            sender = Sender(session, self._where, self._api, timeout_s=self._left_s(),
                            clock=self._clock)  # fmt: skip
            try:
                async with asyncio.timeout(self._left_s()):
                    await sender.send(kept, body, f"look-{number}")
            except TimeoutError:
                kept.outcome, kept.detail = "timed-out", "no whole answer in the time given"
            self._refuse_status(kept.status, f"a request ({kept.detail})", "")
            if kept.outcome == "refused":
                raise self._absent(kept.detail, "is the server up, and is this its address?")
            refused = kept.complaint if kept.status in (400, 422) else ""
            if "stream_options" in refused and endpoint.streams_usage:
                endpoint = dataclasses.replace(endpoint, streams_usage=False)
                self._notes.append("it does not take `stream_options`: tokens are not reported")
            elif "ignore_eos" in refused and endpoint.ignores_eos:
                endpoint = dataclasses.replace(endpoint, ignores_eos=False)
                self._notes.append("it does not take `ignore_eos`: answers may be short")
            else:
                return kept, endpoint

    def _with_usage(self, endpoint: Endpoint, kept: Sent) -> Endpoint:
        if not endpoint.streams_usage or kept.output_reported >= 0:
            return endpoint
        self._notes.append("it reports no numbers of tokens at the end of a stream")
        return dataclasses.replace(endpoint, streams_usage=False)

    def _with_words(self, endpoint: Endpoint, tokens: list[int]) -> Endpoint:
        """Return it with the straight line through the two prompts."""
        if min(tokens) < 0:
            return endpoint
        few, many = PROBE_WORDS
        per_word = (tokens[1] - tokens[0]) / (many - few)
        fixed = tokens[0] - per_word * few
        if fixed < 0:  # the words of one prompt had a few tokens more by chance
            fixed, per_word = 0.0, tokens[1] / many
        if not 0.2 <= per_word <= 20:
            self._notes.append(
                f"it reports {tokens[0]} and {tokens[1]} tokens for prompts of {few} and {many} "
                "words, which cannot be: prompts are made with a word per token"
            )
            return endpoint
        return dataclasses.replace(endpoint, input_fixed=fixed, input_per_word=per_word)


async def _limited(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while len(body) < _MOST_JSON_BYTES and (chunk := await content.readany()):
        body += chunk
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _models(said: Any) -> dict[str, int | None]:
    """Return the names in a list of models, each with the longest context where it is said."""
    rows = said.get("data") if isinstance(said, dict) else None
    found: dict[str, int | None] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"]:
            longest = row.get("max_model_len")
            found[row["id"]] = longest if type(longest) is int and longest > 0 else None
    return found
