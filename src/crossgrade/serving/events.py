"""The events of a stream out of its bytes, as the HTML standard defines `text/event-stream`.

However the bytes are cut into reads, the events are the same; an event comes out of the read that
completes it. Must not know what an event says.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from typing import Final

LONGEST_BYTES: Final = 1 << 20
"""Longest line, and most data of one event."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class NotAStream(Exception):
    """The bytes are no stream of events that a client could keep."""


class EventReader:
    """Takes bytes as they arrive, gives the data of each event that they complete."""

    def __init__(self) -> None:
        self._rest = bytearray()
        """The line that is not complete."""
        self._data: list[bytes] = []
        """Data lines of the event that is not complete."""
        self._held = 0
        """Bytes of them."""
        self._begun = False
        self._after_return = False
        """The last byte was a carriage return: a line feed now belongs to the same line end."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that the bytes complete; several lines joined by a feed.

        Raises:
            NotAStream: a line or an event is longer than LONGEST_BYTES.
        """
        if not chunk:
            return []
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_return = chunk.endswith(b"\r") if chunk else False
        if b"\n" not in chunk and b"\r" not in chunk:
            self._rest += chunk
            self._refuse_longer(len(self._rest))
            return []
        lines = (bytes(self._rest) + chunk).splitlines(keepends=True)
        self._rest.clear()
        if not lines[-1].endswith((b"\n", b"\r")):
            self._rest += lines.pop()
            self._refuse_longer(len(self._rest))
        return self._events(lines)

    def close(self) -> list[bytes]:
        """Return the data of an event that lacks only its empty line at the end of the bytes."""
        data, self._data = self._data, []
        return [b"\n".join(data)] if data else []

    def _events(self, lines: list[bytes]) -> list[bytes]:
        found = []
        for line in lines:
            self._refuse_longer(len(line))
            line = line.rstrip(b"\r\n")
            if not self._begun:
                self._begun = True
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if not line:
                if self._data:
                    found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data, self._held = [], 0
                continue
            name, _, value = line.partition(b":")
            if name == b"data":
                value = value.removeprefix(b" ")
                self._held += len(value) + 1
                self._refuse_longer(self._held)
                self._data.append(value)
        return found

    def _refuse_longer(self, size: int) -> None:
        if size > LONGEST_BYTES:
            raise NotAStream(f"a line or an event is longer than {LONGEST_BYTES} bytes")
