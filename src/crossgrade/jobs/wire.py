"""Frames between a job and the process that started it: a kind, a length, a JSON text.

Messages pass as `crossgrade.values.plain.to_json` writes them: what arrives is what a journal of
the same messages gives back, so NaN arrives as the string `NaN`, and `float()` reads it. Must not
know what is said.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from crossgrade.values.plain import to_json

FrameKind = Literal["started", "message", "end"]
"""started: the function is found and called. message: it yielded. end: how it came to an end."""
START: Final = b"\0crossgrade-job/1\n"
"""Stands before the first frame; what came before it was printed while the interpreter started."""
_HEADER: Final = struct.Struct("<2scQ")
_MARK: Final = b"cg"
_LETTERS: Final[dict[bytes, FrameKind]] = {b"s": "started", b"m": "message", b"e": "end"}
_LONGEST: Final = 1 << 34


class BrokenWire(Exception):
    """What was read is no frame, or ends in the middle of one."""


class Readable(Protocol):
    """A file that gives as many bytes as asked, fewer only at its end."""

    def read(self, count: int, /) -> bytes:
        """Return them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame."""

    kind: FrameKind
    """What it is."""
    body: Any
    """JSON value."""


def encoded(frame: Frame) -> bytes:
    """Return a frame as bytes.

    Raises:
        TypeError, ValueError, RecursionError: the body is no JSON value.
    """
    text = json.dumps(to_json(frame.body), separators=(",", ":"), allow_nan=False).encode("ascii")
    return _HEADER.pack(_MARK, frame.kind[0].encode(), len(text)) + text


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte to a file descriptor."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest[: 1 << 20]) :]


def skip_to_start(file: Readable) -> bool:
    """Read up to the start mark; return False where the file ends before it."""
    seen = b""
    while not seen.endswith(START):
        byte = file.read(1)
        if not byte:
            return False
        seen = (seen + byte)[-len(START) :]
    return True


def frames(file: Readable) -> Iterator[Frame]:
    """Yield the frames of a file up to its end.

    Raises:
        BrokenWire: something that is no frame stands there, or the last one is cut.
    """
    while head := file.read(_HEADER.size):
        if len(head) < _HEADER.size:
            raise BrokenWire("a message was cut")
        mark, letter, length = _HEADER.unpack(head)
        if mark != _MARK or letter not in _LETTERS or length > _LONGEST:
            raise BrokenWire("something else wrote into the channel of messages")
        text = file.read(length)
        if len(text) < length:
            raise BrokenWire("a message was cut")
        try:
            yield Frame(kind=_LETTERS[letter], body=json.loads(text))
        except (ValueError, RecursionError) as error:
            raise BrokenWire(f"a message is no JSON: {error}") from error
