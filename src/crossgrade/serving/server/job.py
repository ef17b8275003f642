"""The server as a job of `crossgrade.jobs`: it says once where it listens, then serves.

It ends in order on SIGTERM, and at once with the process that started it, which `jobs` sees to.
Must not know who started it.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Final

from crossgrade.errors import CannotWrite, CrossgradeError, MissingExtra

if TYPE_CHECKING:
    from crossgrade.serving.server.app import Endpoints

_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 2048
_LEAVE_S: Final = 1
"""Time in which running answers may end when the server does, s."""
_IDLE_S: Final = 600
"""How long an idle connection is kept, s: longer than a client pauses between sessions."""


def serve(
    *, model: Mapping[str, Any], sizes: Mapping[str, Any], tokenizer: str, log: str,
    trial_s: float,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield one message, `{"port", "facts"}` or `{"refused"}`, then serve until SIGTERM.

    Args:
        model: fields of `ModelSpec`.
        sizes: fields of `Sizes`; a `most_tokens` of None takes what the model allows.
        tokenizer: a tokenizer.json; empty: the stand-in.
        log: file that gets a line per request.
        trial_s: longest time of the trial run, s.
    """
    try:
        _check_installed()
        from crossgrade.serving.server.starting import started

        file = _opened(log)
        endpoints = started(model, sizes, tokenizer, trial_s, lambda line: _write(file, line))
    except CrossgradeError as error:
        yield {"refused": {"class": type(error).__name__, "message": error.message,
                           "where": error.where, "hint": error.hint}}  # fmt: skip
        return
    listening = listener()
    yield {"port": listening.getsockname()[1], "facts": dict(endpoints.facts)}
    try:
        _run(endpoints, listening)
    finally:
        endpoints.engine.stop()
        file.close()


def listener() -> socket.socket:
    """Return a socket that listens on a free port of the loopback interface."""
    # asyncio sends at once only on sockets that name their protocol; on others a first token waits
    # up to 40 ms for an acknowledgement of the head (Nagle's algorithm).
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind((_HOST, 0))
    listening.listen(_BACKLOG)
    return listening


def _check_installed() -> None:
    """Raise where a library is absent or too old.

    Raises:
        MissingExtra: names it.
    """
    from crossgrade.workloads.huggingface import load_transformers

    load_transformers()
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        from transformers import ContinuousBatchingConfig

        if not hasattr(ContinuousBatchingConfig(), "page_size"):
            raise ImportError("this transformers has no continuous batching with pages")
        if importlib.util.find_spec("psutil") is None:  # transformers asks it for memory
            raise ImportError("no module named psutil")
    except ImportError as error:
        raise MissingExtra(
            f"the local server cannot run: {error}", hint="pip install -U 'crossgrade[server]'"
        ) from error


def _opened(log: str) -> IO[str]:
    try:
        return open(log, "a", encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"cannot write the log '{log}': {error.strerror}", hint="choose another "
                          "place") from error  # fmt: skip


def _write(file: IO[str], line: str) -> None:
    file.write(line)
    file.flush()


def _run(endpoints: Endpoints, listening: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            endpoints.app(), log_level="warning", access_log=False, lifespan="off", loop="asyncio",
            http="h11", ws="none", backlog=_BACKLOG, timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_LEAVE_S, server_header=False,
            headers=[("server", f"crossgrade/{endpoints.version}")],
        )
    )  # fmt: skip
    # uvicorn raises the signal again when it is done; it must not kill the process then.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[listening])
