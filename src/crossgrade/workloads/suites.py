"""Lists of operator cases out of files: xpu-perf's workloads as they are, and the own form.

xpu-perf's JSON names operators and, for each, a list of objects; every list in an object is a
choice, and an object stands for all combinations. A key such as `K.N` names several arguments whose
values belong together. A file with `cases` alone is for the operator that the file is named after.
In the forms `batch_*` lists are values, not choices. CSV has a row per case and the operator in the
column `task_name`. The own form is `{"schema": 1, "cases": [{"op", "dtype", "arguments", "seed",
"calls"}]}`. Needs no torch. Must not know how a case is built.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from crossgrade.errors import BadSuite, FutureSchema
from crossgrade.units import things
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators.formats import format_name
from crossgrade.workloads.operators.listing import operator_info

SUITE_SCHEMA: Final = 1
"""Version of the own form; a reader refuses a larger one."""
MOST_CASES: Final = 100_000
"""Largest suite that is read; xpu-perf's own workloads are some thousands of cases."""
_LARGEST_FILE = 32 << 20
_OWN_KEYS = frozenset({"op", "dtype", "arguments", "seed", "calls"})
_FORMS_HINT = "docs/reference/operators.md shows the forms of a suite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A list of operator cases."""

    name: str
    """Name of the file, the folder or the capture."""
    cases: tuple[OperatorCase, ...]
    """Distinct cases in order; `calls` counts how often each stands in the source."""
    notes: tuple[str, ...] = ()
    """What was merged, filled in or left out, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in a file something stands."""

    file: Path
    """The file."""
    op: str = ""
    """Operator, empty outside of one."""
    number: int = 0
    """Number of the object or row, 1 is the first; 0 outside of one."""

    @property
    def text(self) -> str:
        """Return it for a person."""
        words = (self.op, f"case {self.number}" if self.number else "")
        return ", ".join((str(self.file), *filter(None, words)))

    def bad(self, what: str, hint: str = _FORMS_HINT) -> NoReturn:
        """Raise BadSuite for this place."""
        raise BadSuite(what, where=self.text, hint=hint)


def read_suite(path: str | Path) -> Suite:
    """Return the cases of a file, or of all JSON and CSV files of a folder and its folders.

    Raises:
        BadSuite: it cannot be read, is no suite, or has more than 100,000 cases; says file,
            operator, case and what is wrong.
        FutureSchema: written by a newer crossgrade.
    """
    path = Path(path)
    found: list[OperatorCase] = []
    for file in _files(path):
        found += _cases(file, MOST_CASES - len(found))
    merged = _merged(found)
    name = path.resolve().name if path.is_dir() else path.stem
    return Suite(name=name, cases=merged, notes=_notes(found, merged))


def suite_document(suite: Suite) -> dict[str, Any]:
    """Return a suite in the own form, to be written as JSON; `read_suite` reads it again."""
    return {
        "schema": SUITE_SCHEMA,
        "cases": [
            {
                "op": case.op, "dtype": case.dtype, "arguments": dict(case.arguments),
                "seed": case.seed, "calls": case.calls,
            }
            for case in suite.cases
        ],
    }  # fmt: skip


def _files(path: Path) -> list[Path]:
    place = _Place(file=path)
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".csv"))
            return files or place.bad("no .json and no .csv file in this folder")
        if not path.is_file():
            place.bad("no such file or folder", hint="check the path")
    except OSError as error:
        place.bad(f"cannot be read: {error.strerror}", hint="check the path")
    if path.suffix not in (".json", ".csv"):
        place.bad("neither .json nor .csv")
    return [path]


def _cases(file: Path, most: int) -> Iterator[OperatorCase]:
    """Yield the cases of one file."""
    place = _Place(file=file)
    text = _text(place)
    if file.suffix == ".csv":
        yield from _limited(place, _csv_cases(place, text), most)
        return
    document = _json(place, text)
    if "schema" in document:
        yield from _limited(place, _own_cases(place, document), most)
    elif "cases" in document:
        yield from _xpu_perf_cases(place, {file.stem: document["cases"]}, most)
    else:
        yield from _xpu_perf_cases(place, document, most)


def _text(place: _Place) -> str:
    try:
        if place.file.stat().st_size > _LARGEST_FILE:
            place.bad("more than 32 MB", hint="is it a suite?")
        return place.file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        place.bad(f"cannot be read: {error}", hint="check the path")


def _json(place: _Place, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        place.bad(f"not JSON: {error}")
    if not isinstance(document, dict) or not document:
        place.bad("not a JSON object with operators or `cases`")
    return document


def _limited(place: _Place, cases: Iterator[OperatorCase], most: int) -> Iterator[OperatorCase]:
    for count, case in enumerate(cases, start=1):
        if count > most:
            _too_many(place, count)
        yield case


def _too_many(place: _Place, count: int) -> NoReturn:
    place.bad(
        f"more cases than the {MOST_CASES:,} that a suite may have ({count:,} here or more)",
        hint="shorten the lists, or measure in several suites",
    )


# the own form ----------------------------------------------------------------------------------
def _own_cases(place: _Place, document: Mapping[str, Any]) -> Iterator[OperatorCase]:
    schema = document["schema"]
    if isinstance(schema, int) and schema > SUITE_SCHEMA:
        raise FutureSchema(
            f"'{place.file}' has suite schema {schema}, this crossgrade reads up to {SUITE_SCHEMA}",
            hint="upgrade crossgrade",
        )
    if schema != SUITE_SCHEMA or isinstance(schema, bool):
        place.bad(f"schema {schema!r} is not {SUITE_SCHEMA}")
    for number, row in enumerate(_objects(place, document.get("cases")), start=1):
        here = replace(place, op=str(row.get("op", "")), number=number)
        if strange := sorted(set(row) - _OWN_KEYS):
            here.bad(f"no key `{strange[0]}`; a case has {', '.join(sorted(_OWN_KEYS))}")
        if not isinstance(row.get("op"), str) or not row["op"]:
            here.bad("`op` is missing; it names the operator")
        arguments = row.get("arguments", {})
        if not isinstance(arguments, dict):
            here.bad("`arguments` is not an object")
        counts = {k: _count(here, k, row.get(k, d), d) for k, d in (("seed", 0), ("calls", 1))}
        yield _case(here, row["op"], {**arguments, "dtype": row.get("dtype")}, **counts)


def _count(place: _Place, key: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 63:
        place.bad(f"`{key}` is {str(value)[:40]}, not a whole number from {least} on")
    return value


def _objects(place: _Place, rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list):
        place.bad("not a list of cases")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            replace(place, number=number).bad(f"not an object: {str(row)[:40]}")
    return rows


# xpu-perf's forms ------------------------------------------------------------------------------
def _xpu_perf_cases(
    place: _Place, document: Mapping[str, Any], most: int
) -> Iterator[OperatorCase]:
    objects = [
        (replace(place, op=op, number=number), row)
        for op, rows in document.items()
        for number, row in enumerate(_objects(replace(place, op=op), rows), start=1)
    ]
    count = sum(_combinations(here, row) for here, row in objects)
    if count > most:
        _too_many(place, count)
    for here, row in objects:
        for arguments in expanded(row):
            yield _case(here, here.op, arguments)


def _is_batch(row: Mapping[str, Any]) -> bool:
    form = row.get("arg_type", "default")
    return isinstance(form, str) and "batch" in form


def _combinations(place: _Place, row: Mapping[str, Any]) -> int:
    """Return how many cases an object stands for, and check its keys."""
    if _is_batch(row):
        return 1
    for key, value in row.items():
        names = key.split(".")
        if isinstance(value, list) and not value:
            place.bad(f"`{key}` is an empty list, so it stands for no case")
        if len(names) == 1:
            continue
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, list) or len(entry) != len(names):
                place.bad(f"`{key}` needs lists of {len(names)} values, not {str(entry)[:40]}")
    return math.prod(len(v) for v in row.values() if isinstance(v, list))


def expanded(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments of every case that an object of xpu-perf's JSON stands for.

    Lists are choices, all combinations are taken, the last key changes fastest; a key with dots
    takes its values together. In the forms `batch_*` the object is one case as it is.
    """
    if _is_batch(row):
        yield dict(row)
        return
    choices = [value if isinstance(value, list) else [value] for value in row.values()]
    for chosen in itertools.product(*choices):
        case: dict[str, Any] = {}
        for key, value in zip(row, chosen, strict=True):
            names = key.split(".")
            case.update(zip(names, value, strict=True) if len(names) > 1 else {key: value})
        yield case


def _csv_cases(place: _Place, text: str) -> Iterator[OperatorCase]:
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        place.bad(f"not CSV: {error}")
    if not rows or "task_name" not in rows[0]:
        place.bad("no column `task_name`, which names the operator")
    for number, row in enumerate(rows, start=1):
        here = replace(place, op=str(row["task_name"]), number=number)
        if None in row or not row["task_name"]:
            here.bad("more cells than columns" if None in row else "`task_name` is empty")
        cells = {k: v for k, v in row.items() if k != "task_name" and v not in (None, "")}
        yield _case(here, row["task_name"], {k: _cell(v) for k, v in cells.items()})


def _cell(text: str) -> Any:
    """Return a cell as JSON where it is JSON, else as it is; xpu-perf's True and False too."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except (ValueError, RecursionError):
        return text


# all forms -------------------------------------------------------------------------------------
def _case(
    place: _Place, op: str, arguments: dict[str, Any], *, seed: int = 0, calls: int = 1
) -> OperatorCase:
    """Return a case; its operator may be one that the catalogue does not have."""
    dtype = arguments.pop("dtype", None)
    if dtype is None:
        dtype = _implied_dtype(op)
    if not isinstance(dtype, str) or not dtype:
        place.bad(
            "`dtype` is missing" if not dtype else f"`dtype` is {str(dtype)[:40]}, not a name",
            hint="add the format of the main input, such as bfloat16",
        )
    return OperatorCase(
        op=op, dtype=format_name(dtype), arguments=arguments, seed=seed, calls=calls,
        source=place.text,
    )  # fmt: skip


def _implied_dtype(op: str) -> str:
    """Return the format that xpu-perf takes where a workload names none; empty: none."""
    try:
        return operator_info(op).implied_dtype
    except CannotRun:
        return ""


def _merged(cases: list[OperatorCase]) -> tuple[OperatorCase, ...]:
    """Return the distinct cases in order of first appearance, their calls added up."""
    found: dict[str, OperatorCase] = {}
    for case in cases:
        known = found.get(case.key)
        found[case.key] = case if known is None else replace(known, calls=known.calls + case.calls)
    return tuple(found.values())


def _notes(cases: list[OperatorCase], merged: tuple[OperatorCase, ...]) -> tuple[str, ...]:
    notes = []
    if len(cases) != len(merged):
        notes.append(f"{len(cases) - len(merged)} cases that stand there twice are merged")
    unknown: Counter[str] = Counter()
    for case in merged:
        try:
            if not case.op.startswith("aten."):
                operator_info(case.op)
        except CannotRun:
            unknown[case.op] += 1
    notes += [
        f"{things(n, 'case')} of `{op}`, which the catalogue does not have"
        for op, n in unknown.items()
    ]
    return tuple(notes)
