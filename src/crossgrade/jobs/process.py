"""A started process with its three pipes: how it is started fresh, killed and waited for.

The pipes are the same for a fresh process and for a fork. Killing reaches the whole process group,
which the child leads; a descendant that left the group is not reached. Windows has no such groups:
there only the child itself is killed. Must not know what a job does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

TAIL_BYTES: Final = 4096
"""How much of what a process printed is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended."""

    code: int | None
    """Exit code, negative for the number of a signal; None where nobody could tell."""
    why: str = ""
    """What else is known."""


class Process(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Return its number; it is also that of its group."""

    def kill(self) -> None:
        """Kill it with its group; without effect after its end."""

    def wait(self, timeout_s: float) -> Exit | None:
        """Return how it ended; None: it is still there."""


@runtime_checkable
class EndsWhenAsked(Protocol):
    """A process that can be asked to end before it is killed."""

    def ask_to_end(self) -> None:
        """Send it SIGTERM; without effect after its end."""


OnExit = Callable[[], None]
"""Called once, from another thread, when the process has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """Three pipes, as file descriptors."""

    child: tuple[int, int, int]
    """The child's ends: standard input, output, error."""
    job: int
    """Where the job is written; the child ends when it is closed."""
    messages: int
    """Where its messages are read."""
    printed: int
    """Where what it prints is read."""

    @classmethod
    def made(cls) -> Pipes:
        """Return three new pipes; none is inherited by processes that others start."""
        job_read, job_write = os.pipe()
        messages_read, messages_write = os.pipe()
        printed_read, printed_write = os.pipe()
        return cls(
            child=(job_read, messages_write, printed_write),
            job=job_write,
            messages=messages_read,
            printed=printed_read,
        )

    def close_child_ends(self) -> None:
        """Close what only the child may hold, so that its end is seen."""
        for descriptor in self.child:
            os.close(descriptor)

    def close_own_ends(self) -> None:
        """Close the other ends; only where nothing was started."""
        for descriptor in (self.job, self.messages, self.printed):
            os.close(descriptor)


class Tail:
    """Reads a pipe to its end and keeps the last of it."""

    def __init__(self, descriptor: int) -> None:
        """Start reading, in a thread."""
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._thread.start()

    def _read(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(descriptor, 1 << 16):
                self._kept = (self._kept + data)[-TAIL_BYTES:]
        os.close(descriptor)

    def text(self, timeout_s: float) -> str:
        """Return the last 4 kB, once the pipe has ended or the time is over."""
        self._thread.join(timeout_s)
        return self._kept.decode("utf-8", errors="replace")


def search_path() -> list[str]:
    """Return where this process finds modules; its children look there too."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line of a new interpreter that calls `main` of a module of ours.

    It finds modules where this process finds them, and no file in the working folder can stand
    before the standard library.
    """
    boot = f"import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {module} import main"
    return [sys.executable, "-P", "-c", f"{boot}; main()", json.dumps(search_path()), *arguments]


def start_alone(
    arguments: list[str], *, stdin: int, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Return a process in a session of its own: no terminal interrupts it, and it leads a group."""
    if os.name == "nt":
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        return subprocess.Popen(
            arguments, stdin=stdin, stdout=stdout, stderr=stderr, creationflags=flags
        )
    return subprocess.Popen(
        arguments, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )


def kill_group(pid: int) -> None:
    """Kill a process and the group that it leads; it may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # a fork that does not lead its group yet
                os.kill(pid, signal.SIGKILL)


class FreshProcess:
    """A new interpreter that does one job."""

    def __init__(self, pipes: Pipes, on_exit: OnExit) -> None:
        """Start it; `on_exit` is called from a thread when it has ended."""
        stdin, stdout, stderr = pipes.child
        self._process = start_alone(
            command("crossgrade.jobs.worker"), stdin=stdin, stdout=stdout, stderr=stderr
        )
        # Reentrant: a run that is forgotten is killed by the garbage collector, in any thread.
        self._lock = threading.RLock()
        self._gone = threading.Event()
        self._on_exit = on_exit
        threading.Thread(target=self._reap, daemon=True).start()

    @property
    def pid(self) -> int:
        """Return its number."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it with its group."""
        with self._lock:  # not after it was reaped: its number may belong to another by then
            if self._gone.is_set():
                return
            if os.name == "nt":
                self._process.kill()
            else:
                kill_group(self.pid)

    def ask_to_end(self) -> None:
        """Send it SIGTERM; on Windows, which has none, it is killed."""
        with self._lock, contextlib.suppress(ProcessLookupError):  # not reaped under the lock
            if self._gone.is_set():
                return
            if sys.platform == "linux":
                os.kill(self.pid, signal.SIGTERM)
            else:
                self._process.terminate()

    def wait(self, timeout_s: float) -> Exit | None:
        """Return how it ended; None: it is still there."""
        return Exit(code=self._process.returncode) if self._gone.wait(timeout_s) else None

    def _reap(self) -> None:
        if sys.platform == "linux":
            # Look without reaping, so that what it left behind can be killed by the group.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                kill_group(self.pid)
                self._process.wait()
                self._gone.set()
        else:
            self._process.wait()
            self._gone.set()
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        self._on_exit()
