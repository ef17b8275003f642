"""The processes of a group: started together, heard together, and ended together.

The first rank that ends badly ends the group: the others have a moment to say what they saw, then
they are killed. Must not know what a rank does.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from crossgrade.jobs.ending import Ended
from crossgrade.jobs.forking import Nursery
from crossgrade.jobs.run import Job, JobRun, run

_GRACE_S: Final = 1.0
"""Time in which the ranks of a broken group say what they saw, s."""
_HUNG_SHARE: Final = 0.8
"""Share of the longest wait from which a rank that failed is taken to have waited for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEnd:
    """How a group ended."""

    rank: int | None
    """Rank that ended it; None: all ranks came to their end."""
    ended: Ended
    """How that rank ended."""
    seen: str = ""
    """What another rank saw of it."""


@dataclass(frozen=True, slots=True)
class _Said:
    rank: int
    message: Any
    ended: Ended | None


class RankProcesses:
    """Jobs that belong together; use `with`, and read `messages` to their end."""

    def __init__(self, jobs: Sequence[Job], nursery: Nursery | None, timeout_s: float) -> None:
        """Start one process per job; `timeout_s` is how long a rank waits for the others."""
        self._timeout_s = timeout_s
        self._said: queue.SimpleQueue[_Said] = queue.SimpleQueue()
        self._ends: dict[int, Ended] = {}
        self._waited_s: dict[int, float] = {}
        self._failed_ns: dict[int, float] = {}
        # Here and not in the threads: a child dies with the thread that started it.
        self._runs: list[JobRun] = [run(job, nursery=nursery) for job in jobs]
        self._threads = [
            threading.Thread(target=self._listen, args=(rank, one), daemon=True)
            for rank, one in enumerate(self._runs)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is still there."""
        for one in self._runs:
            one.close()
        for thread in self._threads:
            thread.join()

    def messages(self) -> Iterator[tuple[int, Any]]:
        """Yield rank and message as they come, until all have ended or one has ended badly."""
        while len(self._ends) < len(self._runs):
            yield from self._take(self._said.get)
            if any(ended.kind != "done" for ended in self._ends.values()):
                break

    def end(self) -> GroupEnd:
        """Return how the group ended, once `messages` are read; kills the rest of a broken one."""
        if all(e.kind == "done" for e in self._ends.values()) and len(self._ends) == len(
            self._runs
        ):
            return GroupEnd(rank=None, ended=Ended(kind="done"))
        self._hear_the_rest()
        self.close()
        return self._blamed()

    def _hear_the_rest(self) -> None:
        while len(self._ends) < len(self._runs):
            try:
                for _ in self._take(lambda: self._said.get(timeout=_GRACE_S)):
                    pass
            except queue.Empty:
                return

    def _take(self, get: Callable[[], _Said]) -> Iterator[tuple[int, Any]]:
        said = get()
        if said.ended is not None:
            self._ends[said.rank] = said.ended
        elif isinstance(said.message, dict) and "failed" in said.message:
            self._waited_s[said.rank] = float(said.message["failed"]["waited_s"])
            self._failed_ns[said.rank] = float(said.message["failed"]["at_ns"])
        else:
            yield said.rank, said.message

    def _blamed(self) -> GroupEnd:
        """Return the rank that ended the group: one that died, one that hung, or the first to fail.

        Who waits for a rank that died, failed or hangs fails as well, and may say so first; the
        host's clock, which all ranks share, tells who failed first.
        """
        bad = {rank: ended for rank, ended in self._ends.items() if ended.kind != "done"}
        died = [r for r, e in bad.items() if e.kind in ("crashed", "out-of-memory")]
        silent = [r for r in range(len(self._runs)) if r not in self._ends]
        # One that failed without a collective waited for nobody.
        first = min(bad, key=lambda rank: self._failed_ns.get(rank, -math.inf))
        hung = self._waited_s.get(first, 0.0) >= _HUNG_SHARE * self._timeout_s
        if died:
            return GroupEnd(rank=died[0], ended=bad[died[0]], seen=self._seen(bad, died[0]))
        if hung and silent:
            ended = Ended(kind="timed-out", detail=f"it kept the others waiting for "
                          f"{self._timeout_s:g} s")  # fmt: skip
            return GroupEnd(rank=silent[0], ended=ended, seen=self._seen(bad, silent[0]))
        return GroupEnd(rank=first, ended=bad[first])

    def _seen(self, bad: dict[int, Ended], besides: int) -> str:
        other = next((r for r, e in bad.items() if r != besides and e.kind == "failed"), None)
        return "" if other is None else f"rank {other} then failed: {bad[other].detail}"

    def _listen(self, rank: int, one: JobRun) -> None:
        for message in one:
            self._said.put(_Said(rank, message, None))
        self._said.put(_Said(rank, None, one.ended))
