"""The nursery's side: a process that has only imported modules, and forks one child per job.

It never computes and has no threads, so a fork of it is as good as a fresh interpreter that has
imported the same. Started by `crossgrade.jobs.forking`, with a socket as its standard input; it
ends when that is closed. Linux only. Must not know what a job does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final, NoReturn

MESSAGE_BYTES: Final = 1 << 16
"""Longest message of the nursery."""


def main() -> NoReturn:
    """Import the modules named on the command line, say so, then fork on request."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    unfit, import_s = _prepare(json.loads(sys.argv[2]))
    _say(channel, {"kind": "unfit" if unfit else "ready", "why": unfit, "import_s": import_s})
    if not unfit:
        _Nursery(channel).serve()
    os._exit(0)  # no teardown of the imported libraries; children die with this process


def _say(channel: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens: the next read ends the nursery
        channel.send(json.dumps(message).encode())


def _prepare(names: list[str]) -> tuple[str, float]:
    """Import modules; return why no child should be forked (empty: nothing), and the time, s."""
    start = time.perf_counter()
    import ctypes  # noqa: F401  a child needs it to die with the nursery

    import crossgrade.jobs.worker  # noqa: F401

    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return f"importing {name}: {type(error).__name__}: {error}"[:2000], 0.0
    import_s = time.perf_counter() - start
    gc.collect()
    gc.freeze()  # objects of the imports are not scanned in children, so their pages stay shared
    threads = _threads_after_fork()
    if threads:
        return f"importing {', '.join(names)} started {threads} thread(s)", import_s
    return "", import_s


def _threads_after_fork() -> int:
    """Return how many threads there are that a fork would lose.

    Some libraries (OpenBLAS below numpy) have threads that they end by themselves before a fork
    and start again when they compute; a fork on trial tells them apart.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(list(Path("/proc/self/task").iterdir())) - 1


class _Nursery:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._ended: dict[int, bool] = {}
        """Child -> whether its end was told; it stays a zombie until the parent has taken note."""
        self._woken, self._wake = os.pipe()
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Fork and tell ends until the parent closes the channel."""
        while True:
            ready, _, _ = select.select([self._channel.fileno(), self._woken], [], [])
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, MESSAGE_BYTES)
                self._tell_ends()
            if self._channel.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        try:
            text, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 3)
        except ConnectionError:
            return False
        if not text:
            return False
        wanted = json.loads(text)
        if wanted["kind"] == "fork":
            self._fork(wanted["id"], descriptors)
        elif self._ended.pop(wanted["pid"], None) is not None:
            os.waitpid(wanted["pid"], 0)
        return True

    def _fork(self, number: int, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            why = f"the nursery cannot fork: {error.strerror}"
            _say(self._channel, {"kind": "refused", "id": number, "why": why})
        if pid == 0:
            self._become_worker(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._ended[pid] = False
            _say(self._channel, {"kind": "forked", "id": number, "pid": pid})
            # It may have ended before it was listed.
            self._tell_ends()

    def _become_worker(self, descriptors: list[int]) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._channel.close()
            os.close(self._woken)
            os.close(self._wake)
            for standard, descriptor in enumerate(descriptors):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            from crossgrade.jobs.worker import main as work

            work()
        finally:
            os._exit(70)

    def _tell_ends(self) -> None:
        for pid in [p for p, told in self._ended.items() if not told]:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if found is None:
                continue
            self._ended[pid] = True
            code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            _say(self._channel, {"kind": "ended", "pid": pid, "code": code})
