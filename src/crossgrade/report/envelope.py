"""The JSON document that every command prints. Must not know what the data means."""

from __future__ import annotations

import json
import re
from typing import Any

_UNSEEN = re.compile(r"[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def envelope(command: str, data: Any, *, schema: int = 1, verdict: str | None = None) -> str:
    """Return `{schema, command, verdict, data}` as text.

    Args:
        command: name of the command.
        data: JSON values; NaN and infinities are already strings.
        schema: version of the shape of `data`.
        verdict: the command's verdict, None where it has none.
    """
    body = {"schema": schema, "command": command, "verdict": verdict, "data": data}
    text = json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    # What a file of the user says must not drive the terminal that shows the document.
    return _UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)
