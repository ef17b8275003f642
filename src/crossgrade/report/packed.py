"""JSON with less repetition: columns and rows, and a table of what occurs again.

A list of objects with the same keys becomes `{"$columns": names, "$rows": cells}`. A long text, or
a list of texts, that occurs twice becomes `{"$": n}`, the n-th of `$again` at the top. Lossless
but for numbers, which keep six digits. Must not know what it packs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

DIGITS = 6
_LONG = 12
"""JSON characters from which on something is worth a place in the table."""
_HALF = re.compile("[\ud800-\udfff]")


def pack(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the packed form of a JSON object; `unpack` undoes it."""
    often = Counter(key for key in _keys(document) if len(key) >= _LONG)
    again = {key: n for n, key in enumerate(k for k, times in often.items() if times > 1)}
    packed = {name: _pack(value, again) for name, value in document.items()}
    return {"$again": [json.loads(key) for key in again], **packed}


def unpack(packed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a packed form."""
    again = packed["$again"]
    return {key: _unpack(value, again) for key, value in packed.items() if key != "$again"}


def script_json(document: Mapping[str, Any]) -> str:
    """Return packed JSON that may stand in a script element: no `<`, `>` or `&`, no line ends."""
    text = json.dumps(pack(document), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    # Half a surrogate pair is fine in JSON and cannot be written to a file.
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _key(value: Any) -> str | None:
    """Return a text, or a list of texts, as JSON; None for everything else."""
    is_list = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
    return json.dumps(value) if isinstance(value, str) or is_list else None


def _keys(value: Any) -> Iterator[str]:
    """Yield every value that may go into the table."""
    if (key := _key(value)) is not None:
        yield key
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _keys(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _keys(entry)


def _pack(value: Any, again: Mapping[str, int]) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if (key := _key(value)) in again:
        return {"$": again[key]} if key else value
    if isinstance(value, Mapping):
        return {name: _pack(entry, again) for name, entry in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > 1 and all(isinstance(entry, Mapping) and entry for entry in value):
        names = list(value[0])
        if all(list(entry) == names for entry in value):
            rows = [[_pack(entry[name], again) for name in names] for entry in value]
            return {"$columns": names, "$rows": rows}
    return [_pack(entry, again) for entry in value]


def _unpack(value: Any, again: list[Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(entry, again) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if "$" in value:
        return again[value["$"]]
    if "$columns" in value:
        names = value["$columns"]
        return [
            {name: _unpack(cell, again) for name, cell in zip(names, row, strict=True)}
            for row in value["$rows"]
        ]
    return {name: _unpack(entry, again) for name, entry in value.items()}
