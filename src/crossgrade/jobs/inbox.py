"""What arrives from one process: frames in order, then the end of its channel.

Must not know how the process was started or what its messages mean.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from dataclasses import dataclass
from typing import Final, Literal

from crossgrade.jobs import wire
from crossgrade.jobs.process import Pipes

_WAITING: Final = 16
"""Messages that may lie here unread; then the child waits."""
_DRAIN_S: Final = 2.0
"""Time in which what a process said before its end arrives, s."""
# A longer wait cannot be interrupted on Windows.
_SLICE_S: Final = 0.2 if os.name == "nt" else 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """Nothing more will arrive."""

    problem: str = ""
    """What was wrong with the last that arrived; empty: nothing."""


class Inbox:
    """Frames of one process."""

    def __init__(self) -> None:
        """Make it empty."""
        self._events: queue.SimpleQueue[wire.Frame | Over | Literal["exited"]] = queue.SimpleQueue()
        self._room = threading.Semaphore(_WAITING)
        self._closed = False
        self._written = threading.Event()
        self._job: int | None = None

    def listen(self, pipes: Pipes, data: bytes) -> None:
        """Send the job, then collect what comes, in a thread."""
        self._job = pipes.job
        reading = threading.Thread(
            target=self._listen, args=(pipes.job, pipes.messages, data), daemon=True
        )
        reading.start()

    def never(self) -> None:
        """Take note that nothing will come."""
        self._events.put(Over())

    def exited(self) -> None:
        """Take note that the process has ended; what it said before is still to come."""
        self._events.put("exited")

    def next(self, timeout_s: float) -> wire.Frame | Over | None:
        """Return what came next; None: nothing for so long."""
        end = time.monotonic() + timeout_s
        exited = False
        while (left := end - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=min(left, _SLICE_S))
            except queue.Empty:
                continue
            if event == "exited":
                # Its channel ends now, unless a process that it left behind holds it open.
                exited = True
                end = min(end, time.monotonic() + _DRAIN_S)
                continue
            if isinstance(event, wire.Frame):
                self._room.release()
            return event
        return Over() if exited else None

    def close(self) -> None:
        """Close the channel to the process, and throw away what still comes."""
        self._closed = True
        self._room.release()
        job, self._job = self._job, None
        # Not below the thread that still writes to it; that one ends with the process.
        if job is not None and self._written.wait(_DRAIN_S):
            os.close(job)

    def _listen(self, job: int, messages: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it died: its end tells more
            wire.write_all(job, data)
        self._written.set()
        over = Over()
        with os.fdopen(messages, "rb", buffering=1 << 16) as file:
            try:
                if wire.skip_to_start(file):
                    for frame in wire.frames(file):
                        self._put(frame)
            except (wire.BrokenWire, OSError) as error:
                over = Over(problem=str(error))
        self._events.put(over)

    def _put(self, frame: wire.Frame) -> None:
        self._room.acquire()
        if self._closed:
            self._room.release()
            return
        self._events.put(frame)
