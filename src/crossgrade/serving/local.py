"""Starts a server of our own in a process of its own, and ends it.

It listens on the loopback interface only. Must not import torch: the process does.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from crossgrade import errors
from crossgrade.errors import BadOption, CrossgradeError, TargetBroken
from crossgrade.jobs.ending import Ended
from crossgrade.jobs.run import Job, JobRun, run
from crossgrade.values.precision import RUN_DTYPES
from crossgrade.workloads.resolve import FoundModel, find_model

_JOB: Final = "crossgrade.serving.server.job:serve"
_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """What is served, and how."""

    model: str
    """As `find_model` takes it: a preset, a folder or a config.json."""
    weights: str = ""
    """Folder of a checkpoint; empty: random values."""
    seed: int = 0
    """Seed of random values."""
    dtype: str | None = None
    """Format, one of RUN_DTYPES; None: that of the checkpoint."""
    device: str = "cpu"
    """torch's name of the device."""
    threads: int | None = None
    """Threads of torch on the host; None: as many as torch takes, one per core."""
    most_at_once: int = 8
    """Requests that run at once; others wait in order of arrival."""
    most_tokens: int | None = None
    """Longest prompt with its answer; None: what the model allows, 4096 at most."""
    chunk: int = 512
    """Most tokens of one execution: longer prompts are read in pieces beside the answers of others.
    """
    start_limit_s: float = 300.0
    """Longest time until it serves, s."""
    end_limit_s: float = 10.0
    """Longest time that it has to end in order, s."""


class LocalServer:
    """A server while a `with` block lasts; it also ends with this process, however that ends."""

    def __init__(self, options: LocalOptions, *, log: Path) -> None:
        """Check the options; nothing is started.

        Args:
            options: what is served.
            log: file that gets a line per request (`crossgrade.serving.server_log`).

        Raises:
            CrossgradeError: there is no such model, or an option makes no sense.
        """
        self.found: Final = find_model(options.model)
        """The model."""
        self.model: Final = self.found.ref.name
        """Name under which it is served."""
        self.log: Final = log
        """File with a line per request."""
        self.address = ""
        """Where it listens, such as `http://127.0.0.1:40123/v1`; empty before it is started."""
        self.facts: Mapping[str, str] = {}
        """What it says of itself; empty before it is started."""
        self._options: Final = options
        self._arguments: Final = _arguments(options, self.found, log)
        self._run: JobRun | None = None
        self._messages: Iterator[Any] = iter(())

    def __enter__(self) -> LocalServer:
        """Start it, and return it once it serves.

        Raises:
            CrossgradeError: it cannot serve the model, and says why.
            TargetBroken: its process died, or was silent for too long.
        """
        self._run = run(
            Job(function=_JOB, arguments=self._arguments, silence_s=self._options.start_limit_s)
        )
        try:
            self._messages = iter(self._run)
            self._started(next(self._messages, None), self._run)
        except BaseException:
            self._run.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it: in order, or by force where that takes too long."""
        if self._run is not None:
            self._run.end(self._options.end_limit_s)

    @property
    def pid(self) -> int:
        """Return the number of its process; 0 before it is started."""
        return self._run.pid if self._run else 0

    def died(self, limit_s: float = 0.0) -> str:
        """Return how it died, for a person; empty while it lives, and before it is started.

        Args:
            limit_s: how long to wait for its death; connections fail a moment before it is known.
        """
        if self._run is None or not self._run.gone_within(limit_s):
            return ""
        for _ in self._messages:
            pass
        with contextlib.suppress(RuntimeError):  # it was ended by us
            return _last_words(self._run.ended)
        return ""

    def _started(self, message: Any, run: JobRun) -> None:
        if message is None:
            raise TargetBroken(
                f"the local server of {self.model} did not start: {_last_words(run.ended)}",
                hint="`crossgrade doctor` says what is installed; "
                "a large model may need a longer limit",
            )
        if "refused" in message:
            raise _refusal(message["refused"])
        self.address = f"http://127.0.0.1:{message['port']}/v1"
        self.facts = message["facts"]


def _arguments(options: LocalOptions, found: FoundModel, log: Path) -> dict[str, Any]:
    """Return the arguments of the job.

    Raises:
        BadOption: an option makes no sense.
    """
    if found.config is None or "crossgrade_model" in found.config:
        raise BadOption(
            f"the local server cannot serve '{options.model}'",
            hint="pass a preset of a language model, or its folder or config.json",
        )
    if options.dtype is not None and options.dtype not in RUN_DTYPES:
        raise BadOption(f"--dtype {options.dtype}", hint=f"one of {', '.join(RUN_DTYPES)}")
    for name in ("most_at_once", "most_tokens", "chunk", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadOption(f"{name} is {value}", hint="1 or more")
    model = {
        "name": found.ref.name, "config": found.config, "weights": options.weights,
        "seed": options.seed, "dtype": options.dtype, "device": options.device,
        "threads": options.threads,
    }  # fmt: skip
    sizes = {
        "slots": options.most_at_once, "most_tokens": options.most_tokens, "chunk": options.chunk
    }  # fmt: skip
    return {
        "model": model, "sizes": sizes, "tokenizer": _tokenizer(options), "log": str(log),
        "trial_s": options.start_limit_s,
    }  # fmt: skip


def _tokenizer(options: LocalOptions) -> str:
    """Return the tokenizer.json beside the weights or the configuration; empty: there is none."""
    path = Path(options.model)
    folder = path if path.is_dir() else path.parent
    places = [Path(options.weights)] if options.weights else []
    if path.exists():
        places.append(folder)
    files = (place / "tokenizer.json" for place in places)
    return next((str(file) for file in files if file.is_file()), "")


def _last_words(ended: Ended) -> str:
    """Return how a process ended, with the last lines that it printed."""
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()][-_LINES:]
    # Folders of this machine have no place in a record.
    said = re.sub(r"(?<![\w.])(?:/[^\s/:\"',]+)+/(?=[^\s/])", "", " | ".join(lines))[:1000]
    return ended.detail + (f"; it printed: {said}" if said else "")


def _refusal(body: Mapping[str, str]) -> CrossgradeError:
    kind = getattr(errors, body["class"], TargetBroken)
    refused: CrossgradeError = kind(body["message"], where=body["where"], hint=body["hint"])
    return refused
