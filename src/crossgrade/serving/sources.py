"""Where an endpoint comes from: an address, or a server that is started for each session.

Must not know what is made of the requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossgrade.serving.client import look, play
from crossgrade.serving.local import LocalServer
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
        return play(
            plan, place, endpoint, address=self.address, key=self.key, index=index,
            restarted=self.restarted, limit_s=limit_s, trace=self.traces.get(plan.loads[place].trace),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSource:
    """An endpoint at an address, the same for all sessions."""

    address: str
    """As the user gave it."""
    key: str
    """Sent in the Authorization header; empty: none."""
    traces: Mapping[str, Trace]
    """Traces by name."""

    def look(self, plan: ServePlan) -> Endpoint:
        """Return what the endpoint is; EndpointAbsent where there is none."""
        return look(self.address, model=plan.model, api=plan.api, key=self.key,
                    timeout_s=plan.timeout_s)  # fmt: skip

    @contextlib.contextmanager
    def session(self, index: int) -> Iterator[_Reached]:
        """Yield the endpoint as it is."""
        yield _Reached(address=self.address, key=self.key, restarted=False, traces=self.traces)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A server on this machine, started afresh for every session."""

    model: str
    """Preset, folder or config.json."""
    dtype: str | None
    """Format of the weights; None: the checkpoint's."""
    weights: Path | None
    """Checkpoint; None: random by the seed."""
    device: str
    """Device, as torch writes it."""
    threads: int | None
    """Threads of torch; None: all cores."""
    slots: int
    """Requests that are worked on at once."""
    seed: int
    """Seed of the weights."""
    traces: Mapping[str, Trace] = field(default_factory=dict)
    """Traces by name."""
