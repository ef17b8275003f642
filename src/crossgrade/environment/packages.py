"""What became of each known package: imported in a process of its own, under a time limit.

A package that raises, crashes, hangs or ends the process is a result here, not the end of doctor.
Must not know any package.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from crossgrade.values.environment import KnownPackage, PackageState

_CHILD = Path(__file__).parent / "child.py"
DEFAULT_TIMEOUT_S = 60.0
"""Limit of one import; torch with a cold disk takes tens of seconds."""


def look_at(
    packages: Sequence[KnownPackage],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] = os.environ,
    workers: int = 2,
) -> tuple[PackageState, ...]:
    """Return the state of each package, in order.

    Args:
        packages: what to look for.
        timeout_s: limit of one import, s.
        env: environment of the processes.
        workers: how many are imported at once.
    """
    limits = _Limits(timeout_s=timeout_s, env=env)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            return tuple(pool.map(lambda p: _look_at_one(p, limits), packages))
        except BaseException:
            # An interrupt must not wait for what hangs.
            pool.shutdown(wait=False, cancel_futures=True)
            limits.end_all()
            raise


@dataclasses.dataclass(slots=True, kw_only=True)
class _Limits:
    """What every process of one look gets, and the processes that run."""

    timeout_s: float
    env: Mapping[str, str]
    running: set[subprocess.Popen[bytes]] = dataclasses.field(default_factory=set)
    over: bool = False

    def end_all(self) -> None:
        """End what runs, and let nothing start."""
        self.over = True
        for process in tuple(self.running):
            _end(process)


def _look_at_one(package: KnownPackage, limits: _Limits) -> PackageState:
    """Return the state of one package; a second try tells whose fault a failure is."""
    state = _state(package, *_ask(package, limits, {}))
    if state.status == "broken" and package.retry:
        again = _state(package, *_ask(package, limits, package.retry))
        if again.status == "installed":
            return dataclasses.replace(state, hint=package.retry_hint, facts=again.facts)
    return state


def _ask(
    package: KnownPackage, limits: _Limits, extra: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """Return the last answer of the process, and how it ended where not by itself."""
    with tempfile.TemporaryDirectory(prefix="crossgrade-doctor-") as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        wanted = {
            "name": package.name,
            "distribution": package.distribution,
            "facts": dict(package.facts or {}),
        }
        request.write_text(json.dumps(wanted), encoding="utf-8")
        # -P: a folder named like a package in the working folder is not that package.
        line = [sys.executable, "-P", str(_CHILD), str(request), str(answer)]
        ended = _run(line, limits, extra)
        told = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {}
    return told, ended


def _run(line: list[str], limits: _Limits, extra: Mapping[str, str]) -> str:
    """Run a process in a group of its own; return how it ended, empty for exit 0."""
    if limits.over:
        return "was not tried"
    process = subprocess.Popen(
        line, env={**limits.env, **extra}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    limits.running.add(process)
    try:
        code = process.wait(timeout=limits.timeout_s)
    except subprocess.TimeoutExpired:
        return f"had no end within {limits.timeout_s:g} s"
    finally:
        _end(process)
        limits.running.discard(process)
    if code < 0:
        return f"died with signal {-code} ({_signal_name(-code)})"
    return f"ended with exit code {code}" if code else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, unless it is over."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _state(package: KnownPackage, told: dict[str, Any], ended: str) -> PackageState:
    """Return the state that an answer and an ending amount to."""
    step = told.get("step")
    base = PackageState(
        name=package.name,
        status="absent",
        version=told.get("version", ""),
        purpose=package.purpose,
        facts=told.get("facts", {}),
        error="",
        hint=package.install,
        import_s=told.get("import_s"),
    )
    if step == "absent":
        return base
    if step == "imported":
        # A crash after the import came from a question about devices, not from the import.
        facts = dict(base.facts) | ({"asking for devices": ended} if ended else {})
        return dataclasses.replace(base, status="installed", hint="", facts=facts)
    error = told.get("error") or f"the import {ended or 'ended without an answer'}"
    hint = package.hint or f"install it again: {package.install}"
    return dataclasses.replace(base, status="broken", error=error, hint=hint)
