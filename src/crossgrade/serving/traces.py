"""Traces of requests: when each came, how long its prompt and its answer were.

Reads two published forms, and ships the beginnings of four traces (see `data/SOURCES.md`). Must not
know how requests are sent.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import IO, Final

from crossgrade.errors import BadOption, BadTrace

SHIPPED: Final = {
    "azure-code": "azure-code.csv",
    "azure-conv": "azure-conv.csv",
    "mooncake-conversation": "mooncake-conversation.jsonl",
    "mooncake-synthetic": "mooncake-synthetic.jsonl",
}
"""Name of a shipped trace -> its file in `data`."""
LONGEST_LINE: Final = 1 << 20
"""Most bytes of a line; one request of a published trace takes a few thousand."""
_AZURE: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOONCAKE: Final = ("timestamp", "input_length", "output_length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in the order in which they came; one per place of each column."""

    name: str
    """Name of a shipped trace, else of the file without its ending."""
    offsets_s: tuple[float, ...]
    """When each came, s after the first."""
    input_tokens: tuple[int, ...]
    """Tokens of its prompt."""
    output_tokens: tuple[int, ...]
    """Tokens of its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    at_s: float
    input_tokens: int
    output_tokens: int


def read_trace(name_or_path: str) -> Trace:
    """Return a shipped trace by its name, or one from a file.

    A file is a CSV with the columns TIMESTAMP (a date and time), ContextTokens and GeneratedTokens,
    as Azure publishes them, or has a JSON object per line with `timestamp` (ms), `input_length` and
    `output_length`, as Mooncake's; other columns and keys are passed over. Requests that are not in
    the order of their times are sorted; those of one time stay in the file's order.

    Raises:
        BadOption: it is neither a shipped name nor a file.
        BadTrace: the file cannot be read, or a line of it is not what the form says.
    """
    shipped = SHIPPED.get(name_or_path)
    if shipped is not None:
        source = resources.files("crossgrade.serving").joinpath("data", shipped)
        with source.open("rb") as file:
            return _read(file, name_or_path, shipped)
    path = Path(name_or_path)
    if not os.path.exists(name_or_path):  # of a name that no file can have it says no as well
        raise BadOption(
            f"no trace or file is called '{name_or_path[:200]}'",
            hint=f"shipped traces: {', '.join(SHIPPED)}",
        )
    try:
        with path.open("rb") as file:
            return _read(file, path.stem, path.name)
    except OSError as error:
        raise BadTrace(f"'{path.name}' cannot be read: {error.strerror or error}") from None


def _read(file: IO[bytes], name: str, title: str) -> Trace:
    lines = _lines(file, title)
    first = next((line for line in lines if line.text.strip()), None)
    if first is None:
        raise BadTrace(f"'{title}' is empty")
    rows = _mooncake if first.text.lstrip().startswith("{") else _azure
    found = sorted(rows(first, lines), key=lambda row: row.at_s)
    if not found:
        raise BadTrace(f"'{title}' has no requests below its first line")
    return Trace(
        name=name,
        offsets_s=tuple(row.at_s - found[0].at_s for row in found),
        input_tokens=tuple(row.input_tokens for row in found),
        output_tokens=tuple(row.output_tokens for row in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    text: str
    number: int
    title: str

    def bad(self, what: str) -> BadTrace:
        return BadTrace(f"'{self.title}' line {self.number}: {what}")


def _lines(file: IO[bytes], title: str) -> Iterator[_Line]:
    number = 0
    while True:
        number += 1
        line = _Line(text="", number=number, title=title)
        raw = file.readline(LONGEST_LINE + 1)
        if not raw:
            return
        if len(raw) > LONGEST_LINE:
            raise line.bad(f"it is longer than {LONGEST_LINE} bytes")
        if b"\0" in raw:
            raise line.bad("it holds a zero byte; is this a text file?")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise line.bad("it is no UTF-8 text") from None
        yield _Line(text=text, number=number, title=title)


def _azure(header: _Line, lines: Iterator[_Line]) -> Iterator[_Row]:
    columns = [name.strip() for name in _fields(header)]
    missing = [name for name in _AZURE if name not in columns]
    if missing:
        raise header.bad(
            f"no column {', '.join(missing)}; neither {', '.join(_AZURE)} nor JSON lines"
        )
    places = [columns.index(name) for name in _AZURE]
    for line in lines:
        if not line.text.strip():
            continue
        fields = _fields(line)
        if len(fields) <= max(places):
            raise line.bad(f"{len(fields)} fields, and the first line names {len(columns)}")
        when, prompt, answer = (fields[place].strip() for place in places)
        yield _Row(
            at_s=_time(when, line),
            input_tokens=_tokens(prompt, _AZURE[1], line),
            output_tokens=_tokens(answer, _AZURE[2], line),
        )


def _fields(line: _Line) -> list[str]:
    try:
        return next(csv.reader([line.text]), [])
    except csv.Error as error:
        raise line.bad(f"it is no line of a CSV file: {error}") from None


def _time(text: str, line: _Line) -> float:
    # A fraction of more than six digits is cut by the standard library: a tenth of a microsecond.
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise line.bad(f"TIMESTAMP `{text[:60]}` is no date and time") from None


def _mooncake(first: _Line, lines: Iterator[_Line]) -> Iterator[_Row]:
    for line in _with(first, lines):
        if not line.text.strip():
            continue
        try:
            said = json.loads(line.text)
        except (ValueError, RecursionError):
            raise line.bad("it is no JSON") from None
        if not isinstance(said, dict):
            raise line.bad("it is no JSON object")
        missing = [key for key in _MOONCAKE if key not in said]
        if missing:
            raise line.bad(f"no `{'`, `'.join(missing)}`")
        yield _Row(
            at_s=_milliseconds(said["timestamp"], line),
            input_tokens=_tokens(said["input_length"], _MOONCAKE[1], line),
            output_tokens=_tokens(said["output_length"], _MOONCAKE[2], line),
        )


def _with(first: _Line, lines: Iterator[_Line]) -> Iterator[_Line]:
    yield first
    yield from lines


def _milliseconds(value: object, line: _Line) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        at_s = _or_nan(value)
        if math.isfinite(at_s) and at_s >= 0:
            return at_s / 1000
    raise line.bad(f"timestamp `{_short(value)}` is no number of milliseconds from 0")


def _tokens(value: object, column: str, line: _Line) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if type(value) is int and 0 < value < 10**15:
        return value
    raise line.bad(f"{column} `{_short(value)}` is no number of tokens from 1")


def _short(value: object) -> str:
    try:
        return str(value)[:60]
    except ValueError:  # an int of more digits than Python prints
        return "of thousands of digits"


def _or_nan(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan
