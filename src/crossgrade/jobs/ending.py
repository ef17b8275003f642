"""How a job ended: a closed list, with what is known of the cause.

Must not know how processes are started or what a job does.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Literal

EndKind = Literal["done", "failed", "crashed", "timed-out", "out-of-memory"]
"""done: the function came to its end. failed: it raised, could not be found, or yielded what is no
JSON. crashed: its process died without a word. timed-out: it was silent for longer than allowed.
out-of-memory: an allocation failed, under a limit or not."""

_TYPES: Final = frozenset({"MemoryError", "OutOfMemoryError"})
_TEXTS: Final = (
    "out of memory", "not enough memory", "cannot allocate memory", "can't allocate memory",
    "failed to allocate memory", "bad_alloc", "bad allocation",
)  # fmt: skip
_LONGEST_TEXT: Final = 2000
_NOT_WORDS: Final = ("Fatal Python error", "Current thread", "Thread 0x", "  File ", "Extension m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended."""

    kind: EndKind
    """Which way."""
    detail: str = ""
    """What happened, for a person; empty where it is done."""
    exception: str | None = None
    """Type of the exception, such as `ValueError` or `torch.OutOfMemoryError`; None: none."""
    stderr: str = ""
    """The last 4 kB of what the process printed, stdout and stderr together."""


def of_exception(error: BaseException) -> Ended:
    """Return how a job ended that raised."""
    kind: EndKind = "out-of-memory" if any(map(_of_memory, _causes(error))) else "failed"
    name = _name(type(error))
    return Ended(kind=kind, detail=f"{name}: {_text(error)}{_place(error)}", exception=name)


def of_report(body: Mapping[str, Any]) -> Ended:
    """Return how a job ended from what its process said at the end."""
    return Ended(kind=body["kind"], detail=body["detail"], exception=body["exception"])


def of_silence(silence_s: float, *, stuck: bool) -> Ended:
    """Return the end of a job that was silent for too long; stuck: even a kill did not end it."""
    rest = "; its process was killed and is still there, held by the kernel" if stuck else ""
    return Ended(kind="timed-out", detail=f"no message for {silence_s:g} s{rest}")


def of_death(code: int | None, why: str, printed: str) -> Ended:
    """Return the end of a job whose process died without a word.

    Args:
        code: exit code, negative for the number of a signal, None where it is not known.
        why: what else is known, such as a broken message.
        printed: the last that it printed.
    """
    how = _exit(code) if code is not None or not why else ""
    said = "; ".join(filter(None, (how, why, _last_words(printed))))
    # A C++ library that finds no memory aborts; its own words are the only witness.
    if code not in (0, None) and ("bad_alloc" in printed or "MemoryError" in printed):
        return Ended(kind="out-of-memory", detail=said)
    return Ended(kind="crashed", detail=said)


def with_printed(ended: Ended, printed: str) -> Ended:
    """Return it together with the last that the process printed."""
    return dataclasses.replace(ended, stderr=printed)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _of_memory(error: BaseException) -> bool:
    if any(kind.__name__ in _TYPES for kind in type(error).__mro__):
        return True
    # "cannot allocate memory in static TLS block" is a library that cannot be loaded.
    if isinstance(error, ImportError):
        return False
    text = _text(error).lower()
    return any(words in text for words in _TEXTS)


def _name(kind: type) -> str:
    place = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return f"{place}{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except BaseException:  # the text of an exception is made by code that may fail as well
        return "(its text cannot be had)"
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _place(error: BaseException) -> str:
    step = error.__traceback__
    if step is None:
        return ""
    while step.tb_next is not None:
        step = step.tb_next
    code = step.tb_frame.f_code
    return f" ({PurePath(code.co_filename).name}:{step.tb_lineno} in {code.co_name})"


def _exit(code: int | None) -> str:
    if code is None:
        return "its process is gone"
    if code >= 0:
        return f"its process ended with exit code {code} without a word"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    died = f"its process was killed by {name}"
    if name != "SIGKILL":
        return died
    return f"{died} from outside; whether the kernel did so for want of memory cannot be known"


def _last_words(printed: str) -> str:
    for line in reversed(printed.splitlines()):
        if line.strip() and not line.startswith(_NOT_WORDS):
            return f"the last it printed: {line.strip()[:300]}"
    return ""
