"""The JSON document that every command prints. Must not know what the data means."""

from __future__ import annotations

import json
from typing import Any


def envelope(command: str, data: Any, *, schema: int = 1, verdict: str | None = None) -> str:
    """Return `{schema, command, verdict, data}` as text.

    Args:
        command: name of the command.
        data: JSON values; NaN and infinities are already strings.
        schema: version of the shape of `data`.
        verdict: the command's verdict, None where it has none.
    """
    body = {"schema": schema, "command": command, "verdict": verdict, "data": data}
    return json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
