"""The child's side: calls one generator function and sends what it yields.

It gets the job on its standard input and sends frames on what was its standard output; both are
moved away first, so that whatever a library prints goes to standard error. It never imports the
user's `__main__`. Started by `crossgrade.jobs.process`, or called in a fork of
`crossgrade.jobs.nursery`. Must not know what a job does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NoReturn

from crossgrade.jobs import ending, wire
from crossgrade.jobs.memory import MemoryLimit

_SET_PDEATHSIG: Final = 1


def main() -> NoReturn:
    """Do the one job that stands on the standard input, then end the process."""
    jobs, messages = _move_channels()
    wire.write_all(messages, wire.START)
    with os.fdopen(os.dup(jobs), "rb", buffering=0) as file:
        frame = next(wire.frames(_Whole(file)), None)
    if frame is None:  # the parent has given up
        os._exit(1)
    job = frame.body
    threading.Thread(target=_watch, args=(jobs,), daemon=True, name="parent").start()
    if job["dies_with_parent"]:
        _die_with_parent()
    with contextlib.suppress(Exception):
        faulthandler.enable(file=2)
    sys.path[:] = job["path"]
    _work(messages, job)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # No teardown of the interpreter: libraries hang or crash there, after the work is done.
    os._exit(0)


class _Whole:
    """Reads as many bytes as asked and never more: what follows belongs to the watching thread."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, count: int) -> bytes:
        """Return `count` bytes, fewer at the end."""
        parts: list[bytes] = []
        while count and (part := self.file.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _move_channels() -> tuple[int, int]:
    jobs, messages = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):
        # Else a process that the job forks and leaves behind would hold the channel open.
        os.register_at_fork(after_in_child=lambda: _close(messages))
    return jobs, messages


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _watch(jobs: int) -> None:
    """End the process as soon as the parent has closed its end, or died."""
    with contextlib.suppress(OSError):
        while os.read(jobs, 1):
            pass
    _end_group()


def _end_group() -> NoReturn:
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent: a hang in C may stop every thread."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, int(signal.SIGKILL))


def _work(messages: int, job: Mapping[str, Any]) -> None:
    limit = MemoryLimit(job["memory_bytes"])

    def send(kind: wire.FrameKind, body: Any) -> None:
        data = wire.encoded(wire.Frame(kind=kind, body=body))
        try:
            wire.write_all(messages, data)
        except OSError:  # nobody listens any more
            _end_group()

    try:
        function = _function(job["function"])
        limit.set()
        send("started", None)
        _pump(function(**job["arguments"]), send)
        ended = ending.Ended(kind="done")
    except BaseException as error:  # SystemExit of a library too
        limit.lift()
        ended = ending.of_exception(error)
        with contextlib.suppress(BaseException):
            traceback.print_exception(error)
    limit.lift()
    send("end", ended)


def _pump(given: Any, send: Callable[[wire.FrameKind, Any], None]) -> None:
    if not isinstance(given, Generator):
        raise TypeError(f"the function of a job is a generator; this one gave {type(given)}")
    with contextlib.closing(given):
        for message in given:
            try:
                send("message", message)
            except (TypeError, ValueError, RecursionError) as error:
                raise TypeError(f"a message is no JSON: {error}") from error


def _function(name: str) -> Callable[..., Any]:
    module, _, path = name.partition(":")
    if module == "__main__":
        raise ValueError(f"`{name}` stands in the user's script, which is not imported again")
    found: Any = importlib.import_module(module)
    for step in path.split("."):
        found = getattr(found, step)
    if not callable(found):
        raise TypeError(f"`{name}` is no function")
    return found  # type: ignore[no-any-return]
