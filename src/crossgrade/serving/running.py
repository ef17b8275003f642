"""A load while it runs: who sends the next request, and when; when the rest is not sent.

Must not know what a load is to measure, nor what became of earlier ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from crossgrade.serving.sending import Sent

GIVE_UP: Final = 20
"""After so many requests in a row without a connection or with an error status none follows."""
_FINE_S: Final = 0.0015
"""asyncio wakes up in whole milliseconds; the last of them the client asks again and again."""


class Sends(Protocol):
    """What a load needs of a sender."""

    async def send(self, kept: Sent, body: bytes, request_id: str) -> None:
        """Send a request and fill in what comes."""


class Run:
    """Requests of one load, sent one way or the other."""

    def __init__(self, sender: Sends, requests: Sequence[Sent], bodies: Sequence[bytes], *,
                 name: str, clock: Callable[[], int]) -> None:  # fmt: skip
        """Keep what is sent.

        Args:
            sender: sends one.
            requests: one per place, in the order in which they shall be sent; filled in.
            bodies: body of each.
            name: beginning of every request's id.
            clock: monotonic ns.
        """
        self._sender = sender
        self._requests = requests
        self._bodies = bodies
        self._name = name
        self._clock = clock
        self._failed = 0
        self.why_stopped = ""
        """Why the rest was not sent; empty: nothing stopped it."""

    def stop(self) -> None:
        """Send none of the rest: the time for sending is over."""
        self.why_stopped = self.why_stopped or "not sent: the time for sending was over"

    async def by_users(self, users: int) -> None:
        """Send with so many users, each of whom sends when the last answer has ended."""
        rest = iter(self._requests)

        async def user() -> None:
            for kept in rest:
                if self.why_stopped:
                    return
                kept.due_ns = float(self._clock())
                await self._send(kept)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(users):
                tasks.create_task(user())

    async def by_time(self, offsets_s: NDArray[np.float64], most: int | None) -> None:
        """Send each when it is due, whether or not others are answered; at most `most` at once."""
        gate: contextlib.AbstractAsyncContextManager[object] = contextlib.nullcontext()
        if most is not None:
            gate = asyncio.Semaphore(most)
        begin = float(self._clock())
        for kept, offset in zip(self._requests, offsets_s.tolist(), strict=True):
            kept.due_ns = begin + offset * 1e9

        async def one(kept: Sent) -> None:
            async with gate:
                if not self.why_stopped:
                    await self._send(kept)

        async with asyncio.TaskGroup() as tasks:
            for kept in self._requests:
                await self._until(kept.due_ns)
                if self.why_stopped:
                    return
                tasks.create_task(one(kept))

    async def _until(self, due_ns: float) -> None:
        while (left_ns := due_ns - self._clock()) > 0:
            if self.why_stopped:
                return
            await asyncio.sleep(min(1.0, max(0.0, left_ns / 1e9 - _FINE_S)))

    async def _send(self, kept: Sent) -> None:
        await self._sender.send(kept, self._bodies[kept.number], f"{self._name}-{kept.number}")
        if kept.outcome not in ("refused", "http-error"):
            self._failed = 0
            return
        self._failed += 1
        if self._failed == GIVE_UP:
            self.why_stopped = (
                f"not sent: {self._failed} requests in a row failed; {kept.outcome}: {kept.detail}"
            )


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage: it would stop the client in the middle of a stream."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
