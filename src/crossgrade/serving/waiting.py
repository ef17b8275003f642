"""Runs a coroutine to its end from code that is not asynchronous, also inside a notebook.

A notebook has an event loop in its main thread already, and a second one there is refused: the
coroutine gets a thread of its own then. Must not know what it runs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def finished(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Return what a coroutine returns; Ctrl-C cancels it, waits for it, and is passed on."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    return _in_a_thread(work)


def _in_a_thread(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()
    begun: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()

    async def watched() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await work()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(watched()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                begun.result()()
        raise
    finally:
        thread.join()
