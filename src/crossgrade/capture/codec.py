"""Captures as files: a zip of one JSON header and one array per column.

Arrays are read without pickle, so a capture file cannot run code. Needs numpy, not torch. Must not
know how a capture is made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from crossgrade.errors import BadRecord, FutureSchema
from crossgrade.values.capture import CAPTURE_SCHEMA, COLUMNS, TABLES, Capture
from crossgrade.values.workload import ModelRef, Workload

_HEADER = "capture.json"
_STAMP = (1980, 1, 1, 0, 0, 0)
_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, AttributeError, KeyError,
    ValueError, TypeError,
)  # fmt: skip
"""What zipfile, json and numpy raise on damaged bytes (RuntimeError: encrypted, too deep)."""


def digest(capture: Capture) -> str:
    """Return the SHA-256 of everything that was executed: tables and columns.

    Versions and notes do not count, so two environments that dispatch the same calls from the same
    lines agree.
    """
    state = hashlib.sha256()
    state.update(json.dumps(dict(capture.tables), sort_keys=True).encode())
    for name, dtype in COLUMNS.items():
        column = np.ascontiguousarray(
            capture.columns[name], dtype=np.dtype(dtype).newbyteorder("<")
        )
        state.update(name.encode() + column.tobytes())
    return state.hexdigest()


def save(capture: Capture, path: Path) -> None:
    """Write a capture; the file appears whole or not at all, equal captures give equal files."""
    header = {
        "schema": capture.schema,
        "workload": dataclasses.asdict(capture.workload),
        "environment": dict(capture.environment),
        "tables": {name: list(rows) for name, rows in capture.tables.items()},
        "notes": list(capture.notes),
        "digest": digest(capture),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, _HEADER, json.dumps(header).encode())
            for name in COLUMNS:
                buffer = io.BytesIO()
                np.save(buffer, capture.columns[name], allow_pickle=False)
                _add(archive, f"{name}.npy", buffer.getvalue())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Capture:
    """Return a capture from its file.

    Raises:
        BadRecord: no such file, not a capture, columns missing, or contents that do not match
            the digest.
        FutureSchema: written by a newer crossgrade.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            _check_schema(header, path)
            columns = {
                name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in COLUMNS
            }
        capture, written = _from_header(header, columns), header["digest"]
    except _UNREADABLE as error:
        raise BadRecord(
            f"'{path}' is not a capture: {error}", hint="write it again with --save-captures"
        ) from error
    if digest(capture) != written:
        raise BadRecord(f"'{path}' was changed after it was written", hint="capture again")
    return capture


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_STAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def _check_schema(header: dict[str, Any], path: Path) -> None:
    if int(header["schema"]) > CAPTURE_SCHEMA:
        raise FutureSchema(
            f"'{path}' has capture schema {header['schema']}, this crossgrade reads up to "
            f"{CAPTURE_SCHEMA}",
            hint="upgrade crossgrade",
        )


def _from_header(header: dict[str, Any], columns: dict[str, Any]) -> Capture:
    workload = dict(header["workload"])
    workload["model"] = ModelRef(**workload["model"])
    workload["sizes"] = tuple((str(n), int(v)) for n, v in workload.get("sizes", ()))
    return Capture(
        schema=int(header["schema"]),
        workload=Workload(**workload),
        environment=header["environment"],
        tables={name: tuple(header["tables"][name]) for name in TABLES},
        columns=columns,
        notes=tuple(header["notes"]),
    )
