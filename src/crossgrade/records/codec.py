"""Values <-> JSON, with a version and a digest.

NaN and infinities are written as strings, because JSON has none. Must not know what a record
means.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossgrade.errors import BadRecord, CannotWrite, ChangedRecord, FutureSchema
from crossgrade.records.migrate import migrated
from crossgrade.values.plain import to_json as to_json
from crossgrade.values.record import RECORD_SCHEMA, Record


def seal(record: Record) -> Record:
    """Return the record with its digest."""
    return dataclasses.replace(record, digest=_digest(record))


def _digest(record: Record) -> str:
    body = to_json(dataclasses.replace(record, digest=""))
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def dump(record: Record, path: Path) -> None:
    """Write a record; the file appears whole or not at all.

    Raises:
        CannotWrite: the folder cannot be made or written.
    """
    try:
        _dump(record, path)
    except OSError as error:
        raise CannotWrite(
            f"cannot write the record '{path}': {error.strerror}",
            hint="--out names another folder, --no-record writes none",
        ) from error


def _dump(record: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        text = json.dumps(to_json(record), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Record:
    """Return a record from its file, in the newest layout; an older one is migrated.

    Raises:
        BadRecord: not JSON, a key is there twice, or fields are missing or unknown.
        ChangedRecord: contents that do not match the digest.
        FutureSchema: written by a newer crossgrade.
    """
    raw = _raw(path)
    schema = raw["schema"]
    if schema > RECORD_SCHEMA:
        raise FutureSchema(
            f"'{path}' has record schema {schema}, this crossgrade reads up to {RECORD_SCHEMA}",
            hint="upgrade crossgrade",
        )
    if "digest" not in raw:
        raise BadRecord(f"'{path}' is not a record", hint="name a file that crossgrade wrote")
    try:
        record = Record(**raw)
    except TypeError as error:
        raise BadRecord(
            f"'{path}' lacks or adds a field: {error}", hint="was it edited?"
        ) from error
    if record.digest != _digest(record):
        raise ChangedRecord(f"'{path}' was changed after it was written", hint="run it again")
    if schema == RECORD_SCHEMA:
        return record
    try:
        newest = migrated(raw, RECORD_SCHEMA)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRecord(
            f"'{path}' does not hold what schema {schema} says: {error}", hint="was it edited?"
        ) from error
    return seal(Record(**newest))


def _raw(path: Path) -> dict[str, Any]:
    """Return what a file holds: an object with a schema, and nothing that UTF-8 cannot say."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text, object_pairs_hook=_once)
        if type(raw["schema"]) is not int:
            raise ValueError(f"its schema is {raw['schema']!r:.40}, not a whole number")
        json.dumps(raw, ensure_ascii=False).encode()
    except OSError as error:
        raise BadRecord(
            f"'{path}' cannot be read: {error.strerror}", hint="check the path"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecord(f"'{path}' is not a record: {error}", hint="check the path") from error
    return dict(raw)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; of a key that is there twice readers differ in which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counted.most_common(1)[0][0]!r:.80} is there twice")
    return found
