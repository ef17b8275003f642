"""What a runtime's exception means: a reason of the closed list and one line for a person.

Runtimes tell by their words alone why they refuse, so the words are what is read here. Must not
know any runtime's module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from crossgrade.values.operator_case import AbsentReason, CannotRun

_NO_MEMORY = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
    "failed to allocate", "bad_alloc",
)  # fmt: skip
_NO_KERNEL = (
    "not implemented", "not_implemented", "could not run 'aten::", "not supported", "unsupported",
    "is not currently", "no kernel", "could not find an implementation", "no decompos",
    "does not support", "no conversion", "failed to export", "not been converted",
    "type error: type", "invalid scalar type",
)  # fmt: skip
_FORMAT = re.compile(
    r"'(?:Half|BFloat16|Float|Double|Bool|Byte|Char|Short|Int|Long|Complex\w+|Float[48]_\w+)'"
    r"|torch\.(?:b?float|u?int|complex|bool)\w*|\bdtypes?\b|\bdata type|\bscalar type"
    r"|\btensor\((?:b?float|u?int|bool|double)\w*\)|\belement type",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SAYS_NOTHING = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't fully")
_LIMIT = 300


def reason_of(error: BaseException) -> AbsentReason:
    """Return the reason that an exception stands for; `error` where its words do not tell."""
    if isinstance(error, CannotRun):
        return error.reason
    # A list of all the backends that have the operator may follow; it says nothing of this one.
    text = str(error)[:2000]
    low = text.lower()
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in low for words in _NO_MEMORY)
    ):
        return "out-of-memory"
    if isinstance(error, NotImplementedError) or any(words in low for words in _NO_KERNEL):
        return "unsupported-format" if _FORMAT.search(_first(text)) else "unsupported-operator"
    return "error"


def cannot_run(error: Exception, *, doing: str = "") -> CannotRun:
    """Return an exception as the result that it is, with one line of detail."""
    if isinstance(error, CannotRun):
        return error
    words = _first(str(error)) or type(error).__name__
    where = f"{doing}: " if doing else ""
    return CannotRun(reason_of(error), f"{where}{type(error).__name__}: {words}"[:_LIMIT])


def root_words(error: BaseException) -> str:
    """Return one line of the error that an exporter's error comes from: its own says only where."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_first(str(error))}"[:_LIMIT]


@contextmanager
def failing_as_result(doing: str = "") -> Iterator[None]:
    """Turn every exception of the block into CannotRun."""
    try:
        yield
    except Exception as error:
        raise cannot_run(error, doing=doing) from error


def _first(text: str) -> str:
    """Return the first line that says something; where in its source a runtime was says nothing."""
    plain = _COLOUR.sub("", text)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    telling = (line for line in lines if not line.startswith(_SAYS_NOTHING))
    return next(telling, lines[0] if lines else "")
