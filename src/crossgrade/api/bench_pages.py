"""Pages of measurements: of a run, of records, of a comparison; and what measures it again.

Must not know HTML, nor statistics.
"""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crossgrade.errors import BadRecord
from crossgrade.values.bench import BenchRun

if TYPE_CHECKING:
    from crossgrade.api.bench_models import ModelOptions
    from crossgrade.api.benching import BenchOptions
    from crossgrade.report.bench_page import BenchPage, RecordFile
    from crossgrade.values.comparison import Comparison, Difference
    from crossgrade.values.record import Record

MARGIN: Final = 0.02
"""Differences between targets up to this share are taken for none."""
_FLAGS: Final = (
    ("on", "--on"), ("phases", "--phase"), ("dtypes", "--dtype"), ("dtype", "--dtype"),
    ("batch", "--batch"), ("tokens", "--tokens"), ("context", "--context"),
    ("weights", "--weights"), ("layers", "--layers"), ("suite", "--suite"),
    ("capture", "--from-capture"), ("only", "--only"), ("most", "--most"),
    ("optimizer", "--optimizer"), ("budget_s", "--budget"), ("half_width", "--half-width"),
    ("least_sessions", "--sessions"), ("cache", "--cache"), ("seed", "--seed"),
)  # fmt: skip
"""Option of a measurement as records keep it -> its flag."""
_USUAL: Final[Mapping[str, Any]] = {"optimizer": "adamw", "cache": "hot", "seed": 0}
"""Options that are left out where they have this value."""


def bench_html(run: BenchRun, *, command: str = "", created: str = "") -> str:
    """Return one offline HTML page of a run: warnings, cases by target, samples, evidence.

    Args:
        run: what it shows.
        command: the command line that measures it again; empty: that of its records.
        created: ISO 8601 time of the page; empty: now.

    Raises:
        BadRecord: the run has no case, or a record of it cannot be read.
    """
    from crossgrade.report.bench_html import render_bench_html

    return render_bench_html(_page(run, command, created or _now()))


def stored_bench_html(paths: Sequence[Path], *, created: str = "") -> str:
    """Return the page of measurements that records hold; nothing is measured.

    Args:
        paths: records, and folders of them.
        created: ISO 8601 time of the page; empty: now.

    Raises:
        BadRecord: a file is no record of a measurement of cases.
        FutureSchema: a newer crossgrade wrote it.
    """
    from crossgrade.api.bench_rendering import stored_bench

    return bench_html(stored_bench(paths), created=created)


def comparison_html(
    found: Comparison, before: Path, after: Path | None = None, *, basis: str = "auto",
    created: str = "",
) -> str:  # fmt: skip
    """Return one offline HTML page of a comparison: what else differs, then cases.

    Args:
        found: what it shows.
        before: the record or folder that was compared.
        after: the other one; None where variants of one run were compared.
        basis: what was asked to be compared, as `compare_runs` takes it.
        created: ISO 8601 time of the page; empty: now.

    Raises:
        BadRecord: a file is no record.
    """
    from crossgrade import __version__
    from crossgrade.report.bench_html import render_comparison_html
    from crossgrade.report.bench_page import ComparisonPage

    first = _records([before])
    second = _records([after]) if after is not None else []
    names = (before.resolve().name, after.resolve().name if after is not None else "")
    asked = [] if found.margin == MARGIN else ["--margin", f"{found.margin:g}"]
    asked += [] if basis == "auto" else ["--basis", basis]
    page = ComparisonPage(
        comparison=found,
        before=tuple(_file(path, record) for path, record in first),
        after=tuple(_file(path, record) for path, record in second),
        names=names,
        environments=(first[0][1].environment, second[0][1].environment if second else {}),
        command=shlex.join(["crossgrade", "compare", *filter(None, names), *asked]),
        created=created or _now(),
        version=__version__,
    )
    return render_comparison_html(page)


def measuring_command(options: BenchOptions | ModelOptions) -> str:
    """Return the command line that measures what these options ask for; of files the name."""
    from crossgrade.api.bench_book import passed_of

    return bench_command(passed_of(options))


def bench_command(passed: Mapping[str, Any]) -> str:
    """Return the command line that measures again; empty where it is not known.

    Args:
        passed: what the user gave, as a record keeps it: of files the name.
    """
    if "reproduce" in passed:
        return shlex.join(_reproduce(passed))
    if "model" in passed:
        return shlex.join(["crossgrade", "bench", "model", str(passed["model"]), *_words(passed)])
    if "op" in passed:
        name = [str(passed["op"])] if passed["op"] else []
        return shlex.join(["crossgrade", "bench", "op", *name, *_words(passed)])
    return ""


def _reproduce(passed: Mapping[str, Any]) -> Iterator[str]:
    yield from ("crossgrade", "reproduce", str(passed["reproduce"]))
    if passed.get("on"):
        yield from ("--on", str(passed["on"]))


def _words(passed: Mapping[str, Any]) -> Iterator[str]:
    """Yield options that have another value than the usual one."""
    if passed.get("arguments"):
        yield from ("--shapes", json.dumps(passed["arguments"], separators=(",", ":")))
    for name, number in (passed.get("sizes") or {}).items():
        yield from ("--size", f"{name}={number}")
    for key, flag in _FLAGS:
        value = passed.get(key)
        several = value if isinstance(value, (list, tuple)) else [value]
        for one in several:
            if one is not None and one != _USUAL.get(key):
                yield from (flag, f"{one:g}" if isinstance(one, float) else str(one))
    if passed.get("start") == "fresh":
        yield "--fresh"
    if passed.get("memory_bytes"):
        yield from ("--memory", f"{passed['memory_bytes'] / 1e9:g}")


def _page(run: BenchRun, command: str, created: str) -> BenchPage:
    """Return what stands on the page of a run."""
    from crossgrade import __version__
    from crossgrade.measure.compare import judged_variants
    from crossgrade.measure.strips import strips_of
    from crossgrade.report.bench_page import BenchPage, CaseEntry

    if not run.rows:
        raise BadRecord("there is no case to show", hint="name records of `bench op`")
    judged = judged_variants([row.result for row in run.rows], margin=MARGIN)
    found = {row.record: record for row in run.rows if row.record
             for _, record in _records([Path(row.record)])}  # fmt: skip
    cases = tuple(
        CaseEntry(
            row=row,
            judged=differs,
            strips=strips_of(row.result),
            file=_file(Path(row.record), found[row.record]) if row.record else None,
        )
        for row, differs in zip(run.rows, judged, strict=True)
    )
    passed = {bench_command(record.passed) for record in found.values()}
    return BenchPage(
        run=run,
        cases=cases,
        margin=MARGIN,
        command=command or (passed.pop() if len(passed) == 1 else ""),
        created=created,
        version=__version__,
        differences=_differences([record.environment for record in found.values()]),
    )


def _differences(environments: Sequence[Mapping[str, str]]) -> tuple[Difference, ...]:
    """Return facts that are not the same in all records, the first against one that differs.

    Facts of targets count only between records that both have that target.
    """
    from crossgrade.measure.software import differences

    found: dict[str, Difference] = {}
    for other in environments[1:]:
        for d in differences(environments[0], other):
            if " " not in d.key or (d.before and d.after):
                found.setdefault(d.key, d)
    return tuple(found.values())


def _records(paths: Sequence[Path]) -> list[tuple[Path, Record]]:
    from crossgrade.api.keeping import load_record, record_files

    return [(path, load_record(path)) for path in record_files(paths)]


def _file(path: Path, record: Record) -> RecordFile:
    from crossgrade.report.bench_page import RecordFile

    return RecordFile(name=path.name, digest=record.digest, created=record.created)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
