"""What was done so far, one JSON line each, kept over a kill at any moment.

Each line is `{"sha256": ..., "entry": ...}`, with the first 16 digits of the digest of the entry's
compact JSON text. A line is on the disk before `append` returns. One process writes at a time:
hold a `crossgrade.jobs.lock.FolderLock`. Must not know what an entry means.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from crossgrade.errors import BadRecord, CannotWrite
from crossgrade.values.plain import to_json


class Journal:
    """A file of entries that only grows."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; a last line that was cut by a kill is removed.

        Raises:
            BadRecord: a whole line is broken or was changed.
            CannotWrite: the file cannot be read or written.
        """
        self.path = path
        """Where it is."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            made = not path.exists()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            if made:
                _sync_folder(path.parent)
        except OSError as error:
            raise self._cannot(error) from error
        try:
            self._end = sum(len(line) for line, _ in self._lines())
            if os.fstat(self._file).st_size > self._end:
                self._cut()
        except OSError as error:
            self.close()
            raise self._cannot(error) from error
        except BadRecord:
            self.close()
            raise

    def entries(self) -> tuple[Any, ...]:
        """Return all entries in order, JSON values as `to_json` makes them.

        Raises:
            BadRecord: a line was changed since the file was opened.
        """
        return tuple(entry for _, entry in self._lines())

    def append(self, entry: Any) -> None:
        """Add an entry; it is on the disk when this returns, or not in the file at all.

        Raises:
            CannotWrite: the disk is full, or the file cannot be written.
            TypeError, ValueError: the entry is no JSON value.
        """
        line = _line(to_json(entry))
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except BaseException as error:
            # Else the next entry would follow half a line. An interrupt comes here as well.
            with contextlib.suppress(OSError):
                self._cut()
            if isinstance(error, OSError):
                raise self._cannot(error) from error
            raise
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lines(self) -> Iterator[tuple[bytes, Any]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                yield line, self._entry(line, number)

    def _entry(self, line: bytes, number: int) -> Any:
        try:
            read = json.loads(line)
            entry = read["entry"]
            if _line(entry) == line:
                return entry
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise BadRecord(
            f"line {number} of the journal is broken or was changed",
            where=str(self.path),
            hint="restore the file, or move it away and run again",
        )

    def _cut(self) -> None:
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)

    def _cannot(self, error: OSError) -> CannotWrite:
        return CannotWrite(
            f"cannot write the journal: {error.strerror}",
            where=str(self.path),
            hint="is there space, and may the folder be written?",
        )


def _line(entry: Any) -> bytes:
    text = json.dumps(entry, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
    return f'{{"sha256":"{digest}","entry":{text}}}\n'.encode("ascii")


def _sync_folder(folder: Path) -> None:
    """Bring the name of a new file to the disk; not all systems can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
