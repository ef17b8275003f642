"""Runs a job in a process of its own: what it says, and how it ended.

Nothing that a job does (crash, hang, exit, garbage) raises here: it is told by `JobRun.ended`.
Must not know what a job does.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal

from crossgrade.jobs import ending, memory, wire
from crossgrade.jobs.ending import Ended
from crossgrade.jobs.forking import ForkedProcess, Nursery, NurseryFailed
from crossgrade.jobs.inbox import Inbox, Over
from crossgrade.jobs.process import (
    EndsWhenAsked,
    Exit,
    FreshProcess,
    Pipes,
    Process,
    Tail,
    search_path,
)

JobStart = Literal["fresh", "forked"]
"""fresh: a new interpreter. forked: from a nursery."""
_GRACE_S: Final = 5.0
"""Longest wait for the end of a process that was killed or has said that it ends, s."""
_PRINTED_S: Final = 1.0
"""Longest wait for what an ended process printed, s; one that it left behind may print on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A function to call in a process of its own."""

    function: str
    """`module:function`, a generator function; never of `__main__`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Its keyword arguments; JSON values (NaN arrives as the string `NaN`)."""
    silence_s: float
    """Longest time without a message, s. The start with its imports has as much; time in which
    nobody waits for a message does not count."""
    memory_bytes: int | None = None
    """Private memory that it may take beyond its imports, bytes; None: no limit."""


class JobRun:
    """A job that runs: iterate over its messages, then see how it `ended`.

    The process is killed when the iteration is left early, on `close()`, at the end of a `with`
    block, when this object is forgotten, and when this process ends. An exception in the body of
    the loop keeps object and iteration alive in its traceback: use `with`.
    """

    def __init__(self, job: Job, process: Process, inbox: Inbox, tail: Tail | None) -> None:
        """Take over a process that was started; use `run`."""
        self.start: JobStart = "forked" if isinstance(process, ForkedProcess) else "fresh"
        """How the process was started."""
        self.pid = process.pid
        """Number of the process; 0: it could not be started."""
        self.memory_limited = job.memory_bytes is not None and memory.SUPPORTED
        """Whether a limit of its memory is in force."""
        self._silence_s = job.silence_s
        self._process = process
        self._inbox = inbox
        self._tail = tail
        self._ended: Ended | None = None
        self._stop = weakref.finalize(self, _stop, process, inbox, os.getpid())

    @property
    def ended(self) -> Ended:
        """Return how it ended.

        Raises:
            RuntimeError: not all of its messages were read.
        """
        if self._ended is None:
            raise RuntimeError("it is not known how the job ended: not all messages were read")
        return self._ended

    def __iter__(self) -> Iterator[Any]:
        """Yield its messages, JSON values, as they come."""
        if not self._stop.alive:
            return
        try:
            ended = yield from self._messages()
            self._ended = ending.with_printed(ended, self._printed())
        finally:
            self.close()

    def close(self) -> None:
        """Kill the process where it is still there, and wait for its end."""
        if self._stop.alive:
            self._stop()
            self._process.wait(_GRACE_S)

    def end(self, grace_s: float) -> None:
        """Ask the process to end, and kill it where it is still there after `grace_s` s.

        A job that serves ends in order so; its last messages are not read.
        """
        if self._stop.alive and isinstance(self._process, EndsWhenAsked):
            self._process.ask_to_end()
            self._process.wait(grace_s)
        self.close()

    def gone_within(self, limit_s: float) -> bool:
        """Return whether the process has ended, or does within the limit."""
        return self._process.wait(limit_s) is not None

    def __enter__(self) -> JobRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _messages(self) -> Generator[Any, None, Ended]:
        while True:
            event = self._inbox.next(self._silence_s)
            if event is None:
                return self._silent()
            if isinstance(event, Over):
                return self._died(event)
            if event.kind == "message":
                yield event.body
            elif event.kind == "end":
                # It ends by itself now; its output is whole only after that.
                if self._process.wait(_GRACE_S) is None:
                    self._process.kill()
                return ending.of_report(event.body)

    def _silent(self) -> Ended:
        self._process.kill()
        stuck = self._process.wait(_GRACE_S) is None
        return ending.of_silence(self._silence_s, stuck=stuck)

    def _died(self, over: Over) -> Ended:
        how = self._process.wait(_GRACE_S)
        if how is None:
            self._process.kill()
            how = Exit(code=None, why="it closed its channel of messages and went on")
        why = "; ".join(filter(None, (over.problem, how.why)))
        return ending.of_death(how.code, why, self._printed())

    def _printed(self) -> str:
        return self._tail.text(_PRINTED_S) if self._tail else ""


class _NeverStarted:
    """Stands for a process that could not be started."""

    def __init__(self, why: str) -> None:
        self.pid = 0
        self._exit = Exit(code=None, why=f"it could not be started: {why}")

    def kill(self) -> None:
        """Do nothing."""

    def wait(self, timeout_s: float) -> Exit | None:
        """Return why it could not be started."""
        return self._exit


def run(job: Job, *, nursery: Nursery | None = None) -> JobRun:
    """Return the job, started: fresh, or forked from a nursery.

    Where the process cannot be started, or the nursery is dead, the job ends as `crashed`.

    Raises:
        TypeError, ValueError: the arguments of the job are no JSON values.
    """
    data = _order(job, forked=nursery is not None)
    pipes = Pipes.made()
    inbox = Inbox()
    try:
        process: Process = (
            nursery.fork(pipes, inbox.exited) if nursery else FreshProcess(pipes, inbox.exited)
        )
    except (NurseryFailed, OSError) as error:
        pipes.close_own_ends()
        inbox.never()
        return JobRun(job, _NeverStarted(str(error)), inbox, None)
    except BaseException:
        pipes.close_own_ends()
        raise
    finally:
        pipes.close_child_ends()
    inbox.listen(pipes, data)
    return JobRun(job, process, inbox, Tail(pipes.printed))


def _order(job: Job, *, forked: bool) -> bytes:
    # The kernel's "parent" is the thread that started the child: one that may end before the job
    # would take the child along. A nursery has one thread.
    lasting = forked or threading.current_thread() is threading.main_thread()
    body = {
        "function": job.function,
        "arguments": job.arguments,
        "memory_bytes": job.memory_bytes,
        "path": search_path(),
        "dies_with_parent": lasting,
    }
    return wire.encoded(wire.Frame(kind="message", body=body))


def _stop(process: Process, inbox: Inbox, owner: int) -> None:
    if os.getpid() != owner:  # a fork of this process has a copy of the run, and no right to it
        return
    process.kill()
    inbox.close()
