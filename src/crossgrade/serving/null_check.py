"""The client's own limit: its requests per s with a server that answers at once.

A result near that of an endpoint says that the client may have been what was measured. Must not
know the endpoint's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from crossgrade.serving.address import read_address
from crossgrade.serving.running import no_collection
from crossgrade.serving.sending import Sender, Sent, open_session
from crossgrade.values.serving import Api

USERS: Final = 16
"""Requests in flight; more of them give no more per s."""
_LASTS_S: Final = 1.0
_GUARD_S: Final = 15.0


async def null_rate(
    bodies: Sequence[bytes],
    output_tokens: Sequence[int],
    *,
    api: Api,
    clock: Callable[[], int],
    lasts_s: float = _LASTS_S,
) -> float | None:
    """Return the requests per s that this client gets out of a server that answers at once.

    The bodies are sent in turn for about `lasts_s`. None: the server did not start, or a request
    failed.
    """
    try:
        async with asyncio.timeout(_GUARD_S):
            with null_server() as where:
                return await _rate(where, bodies, output_tokens, api, clock, lasts_s)
    except (OSError, TimeoutError):
        return None


@contextlib.contextmanager
def null_server() -> Iterator[str]:
    """Give the address of a server in a process of its own; it ends with the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        server = _started(listening)
    # From here on the child alone holds the socket: if it dies, connections are refused at once.
    try:
        yield address
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.kill()
        server.wait()


def _started(listening: socket.socket) -> subprocess.Popen[bytes]:
    os.set_inheritable(listening.fileno(), True)
    script = str(Path(__file__).with_name("null_server.py"))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", script, str(listening.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listening.fileno()],
        start_new_session=True,  # Ctrl-C reaches the client alone, which ends the server
    )


async def _rate(where: str, bodies: Sequence[bytes], output_tokens: Sequence[int], api: Api,
                clock: Callable[[], int], lasts_s: float) -> float | None:  # fmt: skip
    address = read_address(where, None)
    kept: list[Sent] = []
    async with open_session(address) as session:
        sender = Sender(session, address, api, timeout_s=_GUARD_S, clock=clock)

        async def some(count: int, until_ns: float) -> None:
            turn = itertools.count()

            async def user() -> None:
                while (number := next(turn)) < count or clock() < until_ns:
                    place = number % len(bodies)
                    one = Sent(number=place, input_asked=1, output_asked=output_tokens[place])
                    kept.append(one)
                    await sender.send(one, bodies[place], f"null-{number}")

            async with asyncio.TaskGroup() as tasks:
                for _ in range(USERS):
                    tasks.create_task(user())

        await some(USERS, 0)  # starts the server, makes the connections
        kept.clear()
        with no_collection():
            begin = clock()
            await some(1, begin + lasts_s * 1e9)
            spent_ns = clock() - begin
    whole = all(one.outcome == "ok" and one.chunks == one.output_asked for one in kept)
    return len(kept) / spent_ns * 1e9 if whole and spent_ns > 0 else None
