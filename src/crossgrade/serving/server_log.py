"""What the local server writes about each request: one JSON line, written when the request ends.

A second witness of times and counts, to hold a client's numbers against. Must not import torch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossgrade.errors import BadRecord

Finish = Literal["length", "stop", "cancelled", "error"]
"""length: as many tokens as were asked for. stop: the model ended it. cancelled: the client went
away, or the server was ended. error: it was refused, or the model failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One request as the server saw it. Times are of the machine's monotonic clock, ns."""

    id: str
    """The `x-request-id` of the request, or one of the server's."""
    received_ns: int
    """When its head had been read."""
    first_ns: int | None
    """Just before the first text was handed to the socket: no client can have had it earlier."""
    last_ns: int | None
    """Just before the last text was handed to the socket."""
    prompt_tokens: int
    """Tokens of the prompt; 0 for one that was refused."""
    output_tokens: int
    """Tokens that the model gave, one that ends an answer included."""
    finish: Finish
    """How it ended."""
    status: int
    """HTTP status that was sent."""
    first_step: int | None
    """Executions of the model, counted from the start, when the first token reached the part that
    sends it; the next may have begun by then."""
    last_step: int | None
    """The same of the last token; executions are shared by requests that run at once."""

    def as_json(self) -> str:
        """Return it as one line."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")) + "\n"


def read_log(path: Path) -> tuple[LogLine, ...]:
    """Return the lines of a log in the order in which requests ended.

    A line is written just after the last byte of its answer was sent: of requests that ended a
    moment ago it may still be to come. A last line that is cut, as a killed server may leave it, is
    left out.

    Raises:
        BadRecord: the file cannot be read, or a line is not one of a log.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecord(f"cannot read the log '{path}': {error}", hint="check the path") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        try:
            found.append(LogLine(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise BadRecord(
                f"'{path}' is no log of the local server", where=f"line {number}",
                hint="pass the file that the server wrote",
            ) from error  # fmt: skip
    return tuple(found)
