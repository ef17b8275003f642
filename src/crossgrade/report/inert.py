"""Text from outside, made harmless for a page before it is escaped. Must not know HTML."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def inert(text: str) -> str:
    """Return text in which nothing turns or hides: control and direction characters become `?`.

    So do halves of surrogate pairs, which no file can hold.
    """
    return _CONTROL.sub("?", text)
