"""`records show`: what records of measurements say, as the command that wrote them printed it.

Must not know how a measurement is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from crossgrade.api.bench_rendering import render_bench, stored_bench
from crossgrade.api.comm import render_comm, stored_comm
from crossgrade.api.keeping import load_record, record_files
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
    files = record_files(paths)
    if len(files) > 1:
        raise BadRecord(f"{len(files)} records of collectives are shown one by one",
                        hint=f"crossgrade records show {files[0]}")  # fmt: skip
    run = stored_comm(files[0], load_record(files[0]))
    return render_comm(run, as_json=as_json, **screen)


_SHOWN: Mapping[RecordKind, Callable[[Sequence[Path], bool, Screen], str]] = {
    "bench": _bench,
    "comm": _comm,
}
"""Kind of record -> what shows files of it; the first refuses what is no measurement."""
