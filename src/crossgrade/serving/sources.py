"""Where an endpoint comes from: an address, or a server that is started for each session.

Must not know what is made of the requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crossgrade.errors import TargetBroken
from crossgrade.serving.client import look, play
from crossgrade.serving.local import LocalOptions, LocalServer
from crossgrade.serving.traces import Trace
from crossgrade.values.serving import Endpoint, ServePlan, ServeSession


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """An endpoint during one session."""

    address: str
    key: str
    restarted: bool
    traces: Mapping[str, Trace]

    def play(
        self, plan: ServePlan, place: int, endpoint: Endpoint, *, index: int, limit_s: float
    ) -> ServeSession:
        """Put a load on it and return every request."""
        trace = self.traces.get(plan.loads[place].trace_digest)
        return play(plan, place, endpoint, address=self.address, key=self.key, index=index,
                    restarted=self.restarted, limit_s=limit_s, trace=trace)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSource:
    """An endpoint at an address, the same for all sessions."""

    address: str
    """As the user gave it."""
    key: str
    """Sent in the Authorization header; empty: none."""
    traces: Mapping[str, Trace]
    """Digest -> trace."""

    def look(self, plan: ServePlan) -> Endpoint:
        """Return what the endpoint is; EndpointAbsent where there is none."""
        return look(self.address, model=plan.model, api=plan.api, key=self.key,
                    timeout_s=plan.timeout_s)  # fmt: skip

    @contextlib.contextmanager
    def session(self, index: int) -> Iterator[_Reached]:
        """Yield the endpoint as it is."""
        yield _Reached(address=self.address, key=self.key, restarted=False, traces=self.traces)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Local(_Reached):
    server: LocalServer

    def play(
        self, plan: ServePlan, place: int, endpoint: Endpoint, *, index: int, limit_s: float
    ) -> ServeSession:
        """Put a load on it and return every request.

        Raises:
            TargetBroken: the server died under it.
        """
        session = _Reached.play(self, plan, place, endpoint, index=index, limit_s=limit_s)
        failed = any(outcome != "ok" for outcome in session.requests.outcomes)
        # Connections fail a moment before the death is known.
        if why := self.server.died(limit_s=1.0 if failed else 0.0):
            raise TargetBroken(f"the local server died under {plan.loads[place].key}: {why}")
        return session


class LocalSource:
    """A server on this machine, started afresh for every session."""

    def __init__(self, options: LocalOptions, *, logs: Path, traces: Mapping[str, Trace]) -> None:
        """Check the options; nothing is started.

        Args:
            options: what is served.
            logs: folder that gets a line per request, a file per start.
            traces: digest -> trace.

        Raises:
            CrossgradeError: there is no such model, or an option makes no sense.
        """
        self._options = options
        self._logs = logs
        self._traces = traces
        self._starts = sum(1 for _ in logs.glob("server-*.jsonl"))
        self._fresh: LocalServer | None = None
        self._stack = contextlib.ExitStack()
        self._server()

    def __enter__(self) -> LocalSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _server(self) -> LocalServer:
        return LocalServer(self._options, log=self._logs / f"server-{self._starts}.jsonl")

    def _started(self) -> LocalServer:
        self._logs.mkdir(parents=True, exist_ok=True)
        server = self._stack.enter_context(self._server())
        self._starts += 1
        return server

    def look(self, plan: ServePlan) -> Endpoint:
        """Return what the server is; the first session goes on with it.

        Raises:
            TargetBroken: it does not start.
        """
        self._fresh = self._started()
        found = look(self._fresh.address, model=plan.model, api=plan.api, key="",
                     timeout_s=plan.timeout_s)  # fmt: skip
        return replace(found, address=plan.endpoint, facts={**found.facts, **self._fresh.facts})

    @contextlib.contextmanager
    def session(self, index: int) -> Iterator[_Local]:
        """Yield a server that has served nothing but the look at it.

        Raises:
            TargetBroken: it does not start.
        """
        server = self._fresh or self._started()
        self._fresh = None
        try:
            yield _Local(
                address=server.address, key="", restarted=True, traces=self._traces, server=server
            )
        finally:
            self._stack.close()
