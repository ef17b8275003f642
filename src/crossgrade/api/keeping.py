"""`records`: is a record as it was written, and do its numbers follow from its samples.

Must not know how a record came to be.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from crossgrade.errors import BadRecord, ChangedRecord, FutureSchema
from crossgrade.values.record import Record, RecordKind, Verification

if TYPE_CHECKING:
    from crossgrade.values.bench import BenchResult
    from crossgrade.values.calibration import Ceilings
    from crossgrade.values.collective import CommResult
    from crossgrade.values.kernel_calibration import KernelCalibration
    from crossgrade.values.serving import ServingResult

Result = TypeVar("Result")


def verify_records(paths: Sequence[Path]) -> tuple[Verification, ...]:
    """Return for each file, and each record of a folder, whether it may be believed.

    Of several files one that cannot be read is a row too.

    Raises:
        BadRecord: the only file is no record at all.
        FutureSchema: a newer crossgrade wrote the only file.
    """
    files: list[Path] = []
    for path in paths:
        try:
            files += record_files([path])
        except BadRecord:
            if len(paths) == 1:
                raise
            files.append(path)
    return (_verified(files[0]),) if len(files) == 1 else tuple(map(_row, files))


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


def comm_result(record: Record, path: Path) -> CommResult:
    """Return the collectives that a record holds.

    Raises:
        BadRecord: it holds none.
    """
    from crossgrade.records.typed import from_json
    from crossgrade.values.collective import CommResult

    if record.kind != "comm":
        raise BadRecord(f"'{path}' has no collectives: it is of kind {record.kind}")
    return from_json(CommResult, record.data)


def serving_result(record: Record, path: Path) -> ServingResult:
    """Return the load on a served model that a record holds.

    Raises:
        BadRecord: it holds none.
    """
    from crossgrade.records.typed import from_json
    from crossgrade.values.serving import ServingResult

    if record.kind != "serving":
        raise BadRecord(f"'{path}' has no load on a served model: it is of kind {record.kind}")
    return from_json(ServingResult, record.data)


def _row(path: Path) -> Verification:
    """Return what is found of one file among several."""
    try:
        return _verified(path)
    except (BadRecord, FutureSchema) as error:
        said = f"{error.message}; hint: {error.hint}" if error.hint else error.message
        return Verification(path=str(path), kind="", state="unreadable", checks=(), faults=(said,))


def _verified(path: Path) -> Verification:
    try:
        record = load_record(path)
    except ChangedRecord as error:
        return Verification(path=str(path), kind="", state="changed", checks=(),
                            faults=(error.message,))  # fmt: skip
    checks = ["its contents match its digest"]
    faults: list[str] = []
    look = _LOOKS.get(record.kind)
    if look is not None:
        faults = _faults(look(record, path))
        if not faults:
            checks.append("its statistics follow from its samples")
            checks.append("its parts do not contradict each other")
        checks.append(_code(record))
    return Verification(
        path=str(path),
        kind=record.kind,
        state="inconsistent" if faults else "sound",
        checks=tuple(checks),
        faults=tuple(faults),
    )


Looks = Sequence[Iterator[str]]


def _bench_looks(record: Record, path: Path) -> Looks:
    """Return what yields the faults of a measurement of cases."""
    from crossgrade.measure.result import recomputed
    from crossgrade.records.contradictions import contradictions

    stored = bench_result(record, path)
    return contradictions(record, stored), _differences(stored, recomputed)


def _comm_looks(record: Record, path: Path) -> Looks:
    """Return what yields the faults of a measurement of collectives."""
    from crossgrade.measure.collectives.result import comm_recomputed
    from crossgrade.records.contradictions import comm_contradictions

    stored = comm_result(record, path)
    return comm_contradictions(record, stored), _differences(stored, comm_recomputed)


def _serving_looks(record: Record, path: Path) -> Looks:
    """Return what yields the faults of a load on a served model."""
    from crossgrade.records.contradictions_serving import serving_contradictions
    from crossgrade.serving.analysis import serving_recomputed

    stored = serving_result(record, path)
    return serving_contradictions(record, stored), _differences(stored, serving_recomputed)


def _calibration_looks(record: Record, path: Path) -> Looks:
    """Return what yields the faults of a calibration: of every measurement, then of its rates."""
    from crossgrade.api.calibrating_kernels import kernels_of, without_kernels
    from crossgrade.measure.result import recomputed
    from crossgrade.records.typed import from_json
    from crossgrade.values.calibration import Ceilings

    stored, kernels = from_json(Ceilings, without_kernels(record.data)), kernels_of(record.data)
    all_ = stored.measurements + (kernels.measurements if kernels else ())
    each = (_differences(measurement, recomputed) for measurement in all_)
    return (*each, _rate_faults(record, stored), *([_point_faults(kernels)] if kernels else []))


def _point_faults(stored: KernelCalibration) -> Iterator[str]:
    """Yield what differs between kernel points and what their measurements give."""
    from crossgrade.measure.points import points_of
    from crossgrade.records.alike import unlike

    for difference in unlike(stored.points, points_of(stored.measurements), "kernels.points"):
        yield f"stored, and what the measurements give: {difference}"


def _rate_faults(record: Record, stored: Ceilings) -> Iterator[str]:
    """Yield what differs between the rates of a calibration and what its measurements give."""
    from crossgrade.measure.ceilings import rates_of, verdict_of
    from crossgrade.records.alike import unlike

    for difference in unlike(stored.rates, rates_of(stored.measurements), "rates"):
        yield f"stored, and what the measurements give: {difference}"
    if not record.verdict == stored.verdict == verdict_of(stored.rates):
        yield (f"the verdict of the record is {record.verdict}, its rates give "
               f"{verdict_of(stored.rates)}")  # fmt: skip


_LOOKS: Mapping[RecordKind, Callable[[Record, Path], Looks]] = {
    "bench": _bench_looks,
    "calibration": _calibration_looks,
    "comm": _comm_looks,
    "serving": _serving_looks,
}
"""Kind of record with samples -> what looks for faults in it."""


def _faults(looks: Looks) -> list[str]:
    """Return what is wrong with a measurement that is as it was sealed."""
    faults: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, about samples that make no sense
        for found in looks:
            try:
                faults += found
            except Exception as error:
                # Whatever samples that fit no plan make of arithmetic, it is a fault of the file.
                faults.append(f"its numbers cannot be worked out: {type(error).__name__}: {error}")
    return faults


def _differences(stored: Result, again: Callable[[Result], Result]) -> Iterator[str]:
    """Yield what differs between the stored result and what its samples give."""
    from crossgrade.records.alike import unlike

    for difference in unlike(stored, again(stored)):
        yield f"stored, and what the samples give: {difference}"


def _code(record: Record) -> str:
    from crossgrade.environment.fingerprint import code_digest

    version = record.environment.get("crossgrade", "unknown")
    if code_digest() == record.environment.get("code_sha256"):
        return f"it was measured by the very code that is here (crossgrade {version})"
    return f"it was measured by other code than is here (crossgrade {version})"
