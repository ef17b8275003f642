"""The parent's side of a nursery: starts it, asks it for forks, hears how they ended.

Must not know what a job does. Linux only: system libraries of macOS do not survive a fork, and
Windows has none; there jobs start fresh.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from crossgrade.jobs.nursery import MESSAGE_BYTES
from crossgrade.jobs.process import Exit, OnExit, Pipes, Tail, command, kill_group, start_alone

SUPPORTED: Final = sys.platform == "linux"
"""Whether there are nurseries here."""
_ANSWER_S: Final = 30.0
_CLOSED: Final = "the nursery was closed"


class NurseryFailed(Exception):
    """A nursery could not be started, is unfit, has died, or cannot fork."""


class Nursery:
    """A process that has imported some modules and forks children for jobs.

    What it reads when it starts (environment variables, working folder) is what children have.
    """

    def __init__(self, preload: Sequence[str], *, start_s: float = 120.0) -> None:
        """Start it and wait until it has imported the modules.

        Args:
            preload: modules to import.
            start_s: longest time that the imports may take, s.

        Raises:
            NurseryFailed: no fork here, a module cannot be imported, or importing started threads.
        """
        if not SUPPORTED:
            raise NurseryFailed(f"jobs are not forked on {sys.platform}")
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._asked: dict[int, ForkedProcess] = {}
        self._children: dict[int, ForkedProcess] = {}
        self._dead = ""
        self._closed = False
        self._start(preload)
        first = self._answer(start_s)
        if first["kind"] != "ready":
            self.close()
            raise NurseryFailed(first["why"])
        self.import_s = float(first["import_s"])
        """Time that the imports took, s (measured)."""

    def _start(self, preload: Sequence[str]) -> None:
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = own
        printed, stderr = os.pipe()
        try:
            self._process = start_alone(
                command("crossgrade.jobs.nursery", json.dumps(list(preload))),
                stdin=other.fileno(),
                stdout=stderr,
                stderr=stderr,
            )
        finally:
            other.close()
            os.close(stderr)
            self._tail = Tail(printed)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether it can fork."""
        return not self._dead and not self._closed

    def fork(self, pipes: Pipes, on_exit: OnExit) -> ForkedProcess:
        """Return a child with these pipes; `on_exit` is called when it has ended.

        Raises:
            NurseryFailed: it is dead, or it cannot fork.
        """
        with self._lock:
            if not self.alive:
                raise NurseryFailed(self._dead or _CLOSED)
            number = next(self._numbers)
            child = self._asked[number] = ForkedProcess(on_exit)
            request = json.dumps({"kind": "fork", "id": number}).encode()
            try:
                socket.send_fds(self._channel, [request], list(pipes.child))
            except OSError:
                raise NurseryFailed(self._death()) from None
            answer = self._answer(_ANSWER_S)
            # An answer to an earlier request was left here if the wait for it was interrupted.
            while answer.get("id", number) != number:
                answer = self._answer(_ANSWER_S)
            if answer["kind"] != "forked":
                raise NurseryFailed(answer["why"])
            return child

    def close(self) -> None:
        """End it with the children that are left."""
        self._closed = True
        for child in list(self._children.values()):
            child.kill()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, timeout_s: float) -> Mapping[str, Any]:
        try:
            return self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return {"kind": "unfit", "why": f"the nursery gave no answer for {timeout_s:g} s"}

    def _listen(self) -> None:
        while True:
            try:
                text = self._channel.recv(MESSAGE_BYTES)
            except OSError:
                text = b""
            if not text:
                break
            self._hear(json.loads(text))
        self._dead = self._death()
        self._channel.close()
        self._answers.put({"kind": "dead", "why": self._dead})
        for child in list(self._children.values()):
            child.orphaned(self._dead)

    def _hear(self, said: Mapping[str, Any]) -> None:
        if said["kind"] == "ended":
            child = self._children.pop(said["pid"])
            child.ended(Exit(code=said["code"]))
            # Only now may its number be given to another process.
            with contextlib.suppress(OSError):
                self._channel.send(json.dumps({"kind": "reap", "pid": said["pid"]}).encode())
            return
        if "id" in said:
            child = self._asked.pop(said["id"])
            if said["kind"] == "forked":
                child.pid = said["pid"]
                self._children[child.pid] = child
        self._answers.put(said)

    def _death(self) -> str:
        if self._closed:
            return _CLOSED
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "the nursery closed its channel"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = self._tail.text(1.0).strip().splitlines()[-1:]
        return "; ".join([f"the nursery died ({how})", *last])


class ForkedProcess:
    """A child of a nursery."""

    def __init__(self, on_exit: OnExit) -> None:
        """Stand for a child that was asked for; the nursery tells its number."""
        self.pid = 0
        """Its number; 0 until the nursery has forked it."""
        self._on_exit = on_exit
        # Reentrant, as in `FreshProcess`.
        self._lock = threading.RLock()
        self._exit: Exit | None = None
        self._gone = threading.Event()

    def kill(self) -> None:
        """Kill it with its group."""
        with self._lock:
            if self._exit is None and self.pid:
                kill_group(self.pid)

    def wait(self, timeout_s: float) -> Exit | None:
        """Return how it ended; None: it is still there."""
        self._gone.wait(timeout_s)
        return self._exit

    def ended(self, how: Exit) -> None:
        """Take note of its end; what it left behind in its group is killed."""
        with self._lock:
            kill_group(self.pid)
            self._exit = how
        self._gone.set()
        self._on_exit()

    def orphaned(self, why: str) -> None:
        """Take note that nobody can tell its end any more."""
        self.ended(Exit(code=None, why=why))
