"""`records`: is a record as it was written, and do its numbers follow from its samples.

Must not know how a record came to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadRecord, ChangedRecord
from crossgrade.values.record import Record, Verification

if TYPE_CHECKING:
    from crossgrade.values.bench import BenchResult

TOLERANCE = 1e-9
"""Relative difference that recomputing on another machine's floating point may make."""


def verify_records(paths: Sequence[Path]) -> tuple[Verification, ...]:
    """Return for each file, and each record of a folder, whether it may be believed.

    Raises:
        BadRecord: a file is no record at all.
        FutureSchema: a newer crossgrade wrote it.
    """
    return tuple(_verified(path) for path in record_files(paths))


def record_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files, and of each folder its records.

    Raises:
        BadRecord: a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not found:
            raise BadRecord(f"'{path}' has no records", hint="name the --out folder of a run")
        files += found
    return files


def load_record(path: Path) -> Record:
    """Return a record, in the newest layout.

    Raises:
        BadRecord: the file is no record.
        ChangedRecord: it was changed after it was written.
        FutureSchema: a newer crossgrade wrote it.
    """
    from crossgrade.records.codec import load

    return load(path)


def bench_result(record: Record, path: Path) -> BenchResult:
    """Return the measurement that a record holds.

    Raises:
        BadRecord: it holds none.
    """
    from crossgrade.records.typed import from_json
    from crossgrade.values.bench import BenchResult

    if record.kind != "bench":
        raise BadRecord(f"'{path}' is no measurement: it is of kind {record.kind}")
    return from_json(BenchResult, record.data)


def _verified(path: Path) -> Verification:
    try:
        record = load_record(path)
    except ChangedRecord as error:
        return Verification(path=str(path), kind="", state="changed", checks=(),
                            faults=(error.message,))  # fmt: skip
    checks = ["its contents match its digest"]
    faults: list[str] = []
    if record.kind == "bench":
        faults = list(_differences(record, path))
        if not faults:
            checks.append("its statistics follow from its samples")
        checks.append(_code(record))
    return Verification(
        path=str(path),
        kind=record.kind,
        state="inconsistent" if faults else "sound",
        checks=tuple(checks),
        faults=tuple(faults),
    )


def _differences(record: Record, path: Path) -> Iterator[str]:
    """Yield what differs between the stored result and what its samples give."""
    from crossgrade.measure.result import recomputed
    from crossgrade.records.codec import to_json

    stored = bench_result(record, path)
    yield from _unlike("", to_json(stored), to_json(recomputed(stored)))


def _unlike(place: str, stored: Any, found: Any) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(found, Mapping):
        for key in {**stored, **found}:
            yield from _unlike(f"{place}.{key}".lstrip("."), stored.get(key), found.get(key))
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for index, pair in enumerate(zip(stored, found, strict=True)):
            yield from _unlike(f"{place}[{index}]", *pair)
    elif not _same(stored, found):
        yield f"{place} is {stored!r}, the samples give {found!r}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
    return bool(a == b)


def _code(record: Record) -> str:
    from crossgrade.environment.fingerprint import code_digest

    version = record.environment.get("crossgrade", "unknown")
    if code_digest() == record.environment.get("code_sha256"):
        return f"it was measured by the very code that is here (crossgrade {version})"
    return f"it was measured by other code than is here (crossgrade {version})"
