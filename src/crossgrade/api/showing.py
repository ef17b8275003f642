"""`records show`: what records of measurements say, as the command that wrote them printed it.

Must not know how a measurement is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from crossgrade.api.bench_rendering import render_bench, render_calibration, stored_bench
from crossgrade.api.calibrating import stored_calibration
from crossgrade.api.comm import render_comm, stored_comm
from crossgrade.api.keeping import load_record, record_files
from crossgrade.api.serving import render_serving, stored_serving
from crossgrade.api.texts import Screen
from crossgrade.errors import BadRecord
from crossgrade.values.record import RecordKind


def render_stored(paths: Sequence[Path], *, as_json: bool = False, **screen: Unpack[Screen]) -> str:
    """Return the measurements of files, and of all records of folders, as text.

    Raises:
        BadRecord: a file is no record of a measurement, or they are of several kinds.
        FutureSchema: a newer crossgrade wrote it.
    """
    kinds = dict.fromkeys(load_record(path).kind for path in record_files(paths))
    if len(kinds) > 1:
        raise BadRecord(f"these are records of several kinds: {', '.join(kinds)}",
                        hint="name those of one kind")  # fmt: skip
    show = _SHOWN.get(next(iter(kinds)), _bench)
    return show(paths, as_json, screen)


def _bench(paths: Sequence[Path], as_json: bool, screen: Screen) -> str:
    return render_bench(stored_bench(paths), as_json=as_json, **screen)


def _comm(paths: Sequence[Path], as_json: bool, screen: Screen) -> str:
    file = _alone(paths, "collectives")
    return render_comm(stored_comm(file, load_record(file)), as_json=as_json, **screen)


def _calibration(paths: Sequence[Path], as_json: bool, screen: Screen) -> str:
    found = stored_calibration(_alone(paths, "calibrations"))
    return render_calibration(found, as_json=as_json, **screen)


def _serving(paths: Sequence[Path], as_json: bool, screen: Screen) -> str:
    file = _alone(paths, "endpoints")
    return render_serving(stored_serving(file, load_record(file)), as_json=as_json, **screen)


def _alone(paths: Sequence[Path], what: str) -> Path:
    """Return the only file.

    Raises:
        BadRecord: there are several.
    """
    files = record_files(paths)
    if len(files) > 1:
        raise BadRecord(f"{len(files)} records of {what} are shown one by one",
                        hint=f"crossgrade records show {files[0]}")  # fmt: skip
    return files[0]


_SHOWN: Mapping[RecordKind, Callable[[Sequence[Path], bool, Screen], str]] = {
    "bench": _bench,
    "calibration": _calibration,
    "comm": _comm,
    "serving": _serving,
}
"""Kind of record -> what shows files of it; the first refuses what is no measurement."""
