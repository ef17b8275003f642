"""One load in one session: prompts, the client's own limit, the requests, what came of them.

Must not know percentiles nor verdicts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from crossgrade.serving.address import Address, read_address
from crossgrade.serving.loads import Schedule, schedule_of
from crossgrade.serving.null_check import null_rate
from crossgrade.serving.prompts import Prompts, words_for
from crossgrade.serving.running import Run, no_collection
from crossgrade.serving.sending import Sender, Sent, body_of, open_session
from crossgrade.serving.traces import Trace
from crossgrade.serving.waiting import finished
from crossgrade.values.serving import Api, Endpoint, Load, Requests, ServePlan, ServeSession

NULL_PROMPTS = 64
"""So many requests of the load, from its first, are sent to the server that answers at once."""


def play(
    plan: ServePlan,
    place: int,
    endpoint: Endpoint,
    *,
    address: str,
    key: str | None,
    index: int,
    restarted: bool,
    limit_s: float,
    clock: Callable[[], int] = time.monotonic_ns,
    trace: Trace | None = None,
) -> ServeSession:
    """Put one load on an endpoint and return every request of it.

    It first measures for about a second what the client itself can do, then sends warm-ups and the
    requests that count in one go, and ends when all are answered or the time is over. An endpoint
    that is not there, or fails, is a result. A trace is replayed always from its beginning, with
    the requests that the model can take. Each request carries the header `x-request-id`
    "INDEX-PLACE-NUMBER".

    Args:
        plan: what is measured.
        place: which of `plan.loads`.
        endpoint: what `look` found.
        address: the endpoint's address as the user gave it.
        key: key for the Authorization header.
        index: number of the session.
        restarted: whether the server was started afresh for it.
        limit_s: time for sending, s; no request is sent after it, and those that run then have the
            plan's `timeout_s` to end, else they are `unfinished`.
        clock: monotonic ns.
        trace: what the load's `trace` names; None: it is read.

    Raises:
        BadOption: the address, the key or the load makes no sense.
        BadTrace: the load's trace cannot be read.
        KeyboardInterrupt: passed on, with all connections closed.
    """
    where = read_address(address, key)
    load, salt = plan.loads[place], clock() % (1 << 32)
    schedule = schedule_of(
        load, seed=plan.seed, index=index, place=place, trace=trace,
        longest_tokens=longest_tokens(endpoint),
    )  # fmt: skip
    prompts = Prompts(seed=plan.seed, index=index, place=place, salt=salt)
    bodies = _bodies(schedule, endpoint, plan.api, prompts)
    asked = list(zip(schedule.input_tokens.tolist(), schedule.output_tokens.tolist(), strict=True))
    requests = [
        Sent(number=number, input_asked=prompt, output_asked=answer)
        for number, (prompt, answer) in enumerate(asked)
    ]
    playing = _Playing(plan, load, where, schedule, bodies, requests, clock)
    null_per_s, spent_s = finished(lambda: playing.played(f"{index}-{place}", limit_s))
    return ServeSession(
        index=index,
        load=place,
        restarted=restarted,
        salt=salt,
        requests=_columns(requests, schedule.warmups),
        null_per_s=null_per_s,
        spent_s=spent_s,
    )


def longest_tokens(endpoint: Endpoint) -> int | None:
    """Return the most tokens of prompt and answer that the model takes; None: it does not say."""
    said = endpoint.facts.get("max_model_len", "")
    return int(said) if said.isascii() and said.isdigit() else None


class _Playing:
    """What a load needs while it is played."""

    def __init__(self, plan: ServePlan, load: Load, where: Address, schedule: Schedule,
                 bodies: Sequence[bytes], requests: Sequence[Sent],
                 clock: Callable[[], int]) -> None:  # fmt: skip
        self._plan, self._load, self._where = plan, load, where
        self._schedule, self._bodies, self._requests = schedule, bodies, requests
        self._clock = clock

    async def played(self, name: str, limit_s: float) -> tuple[float | None, float]:
        null_per_s = await null_rate(
            self._bodies[:NULL_PROMPTS],
            self._schedule.output_tokens[:NULL_PROMPTS].tolist(),
            api=self._plan.api,
            clock=self._clock,
        )
        with no_collection(), _many_connections():
            begin = self._clock()
            why = await self._sent(name, limit_s)
            end = self._clock()
        for one in self._requests:
            if one.sent_ns is None:
                one.due_ns = one.due_ns or float(end)
                one.detail = why or "not sent: the time of the load was over"
            elif one.outcome == "unfinished":
                one.detail = one.detail or "the time of the load was over"
        return null_per_s, (end - begin) / 1e9

    async def _sent(self, name: str, limit_s: float) -> str:
        async with open_session(self._where) as session:
            sender = Sender(session, self._where, self._plan.api,
                            timeout_s=self._plan.timeout_s, clock=self._clock)  # fmt: skip
            run = Run(sender, self._requests, self._bodies, name=name, clock=self._clock)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s + self._plan.timeout_s):
                    asyncio.get_running_loop().call_later(limit_s, run.stop)
                    if self._schedule.offsets_s is None:
                        await run.by_users(self._load.concurrency or 1)
                    else:
                        await run.by_time(self._schedule.offsets_s, self._load.concurrency)
            return run.why_stopped


def _bodies(schedule: Schedule, endpoint: Endpoint, api: Api, prompts: Prompts) -> list[bytes]:
    found = []
    for number, (prompt, answer) in enumerate(
        zip(schedule.input_tokens.tolist(), schedule.output_tokens.tolist(), strict=True)
    ):
        words = words_for(prompt, fixed=endpoint.input_fixed, per_word=endpoint.input_per_word)
        found.append(body_of(endpoint, api, prompts.text(number, words), answer))
    return found


@contextlib.contextmanager
def _many_connections() -> Iterator[None]:
    """Let this process have as many connections as the system allows it, for a while."""
    try:
        import resource  # not on Windows
    except ImportError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _columns(requests: Sequence[Sent], warmups: int) -> Requests:
    return Requests(
        due_ns=tuple(one.due_ns for one in requests),
        sent_ns=tuple(one.sent_ns for one in requests),
        first_ns=tuple(one.first_ns for one in requests),
        last_ns=tuple(one.last_ns for one in requests),
        ended_ns=tuple(one.ended_ns for one in requests),
        outcomes=tuple(one.outcome for one in requests),
        details=tuple(one.detail for one in requests),
        input_asked=tuple(one.input_asked for one in requests),
        input_reported=tuple(one.input_reported for one in requests),
        output_asked=tuple(one.output_asked for one in requests),
        output_reported=tuple(one.output_reported for one in requests),
        chunks=tuple(one.chunks for one in requests),
        text_bytes=tuple(one.text_bytes for one in requests),
        gaps_ns=tuple(tuple(one.gaps_ns) for one in requests),
        warmups=warmups,
    )
