"""Where events come from: this process, for targets that bring their own time.

Must not know what is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from crossgrade.measure.events import (
    Event,
    ObserveRequest,
    ProbeRequest,
    ReferRequest,
    SessionRequest,
)
from crossgrade.measure.observe import observe, refer
from crossgrade.measure.workers import probe, take
from crossgrade.targets.registry import OpenTarget, open_target
from crossgrade.values.bench import SessionStart


class Source(Protocol):
    """Something that probes and takes sessions."""

    def start(self, wanted: SessionStart, forkable: bool) -> SessionStart:
        """Return how sessions are started here."""

    def probe(self, request: ProbeRequest) -> Iterator[Event]:
        """Yield audits, and for each variant whether it can run; a lost worker is an event too."""

    def refer(self, request: ReferRequest) -> Iterator[Event]:
        """Yield for each case its trusted run, or why there is none."""

    def observe(self, request: ObserveRequest) -> Iterator[Event]:
        """Yield what is seen of a variant, and whether it is absent for that."""

    def take(self, request: SessionRequest) -> Iterator[Event]:
        """Yield for each case a session or its loss."""


class InProcess:
    """Everything in this process; right for simulated targets only."""

    def __init__(self, open_: OpenTarget = open_target) -> None:
        """Open targets with `open_`."""
        self._open = open_

    def start(self, wanted: SessionStart, forkable: bool) -> SessionStart:
        """Return `in-process`."""
        return "in-process"

    def probe(self, request: ProbeRequest) -> Iterator[Event]:
        """Yield the events of a probe."""
        return probe(request, self._open)

    def refer(self, request: ReferRequest) -> Iterator[Event]:
        """Yield the trusted runs."""
        return refer(request, self._open)

    def observe(self, request: ObserveRequest) -> Iterator[Event]:
        """Yield what is seen."""
        return observe(request, self._open)

    def take(self, request: SessionRequest) -> Iterator[Event]:
        """Yield the sessions."""
        return take(request, self._open)
