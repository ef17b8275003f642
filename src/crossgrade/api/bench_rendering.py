"""Measurements, verifications and lists of operators and targets as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from crossgrade.api.texts import Screen, json_text, screen_text
from crossgrade.errors import BadOption
from crossgrade.values.bench import BenchRow, BenchRun
from crossgrade.values.comparison import COMPARISON_VERDICTS
from crossgrade.values.operator_case import CannotRun

if TYPE_CHECKING:
    from crossgrade.api.calibrating import Calibration
    from crossgrade.api.comparing import Reproduction
    from crossgrade.targets.registry import TargetInfo
    from crossgrade.values.comparison import Comparison
    from crossgrade.values.record import Verification


def render_bench(
    run: BenchRun, *, as_json: bool = False, command: str = "bench op", **screen: Unpack[Screen]
) -> str:
    """Return measurements as text: JSON, tables on a screen, Markdown in a pipe."""
    if as_json:
        return json_text(command, run, run.verdict)
    from crossgrade.report.bench import bench_document

    width = screen.get("width", 120) if screen.get("terminal") else None
    return screen_text(bench_document(run, width=width), screen)


def render_calibration(
    found: Calibration, *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return a calibration as text; the JSON has every sample."""
    if as_json:
        return json_text("calibrate", found, found.ceilings.verdict)
    from crossgrade.report.calibration import calibration_document

    document = calibration_document(found.ceilings, found.sheet, found.record, found.kernels)
    return screen_text(document, screen)


def stored_bench(paths: Sequence[Path]) -> BenchRun:
    """Return the measurements that records hold, as one run.

    Raises:
        BadRecord: a file is no record of a measurement.
        FutureSchema: a newer crossgrade wrote it.
    """
    from crossgrade.api.keeping import bench_result, load_record, record_files
    from crossgrade.api.shares import with_beside

    records = [(path, load_record(path)) for path in record_files(paths)]
    rows = tuple(
        BenchRow(key=path.stem, result=bench_result(record, path), record=str(path))
        for path, record in records
    )
    run = BenchRun(
        name=paths[0].resolve().name if len(paths) == 1 else f"{len(paths)} records",
        rows=rows,
        notes=(),
        folder=str(records[0][0].parent),
        environment=records[0][1].environment,
    )
    return with_beside(run, environments={path.stem: r.environment for path, r in records})


def targets(*, look: bool = False) -> tuple[TargetInfo, ...]:
    """Return every target that has a name, and whether its runtime is installed.

    Args:
        look: whether runtimes are imported and asked for devices; it takes seconds.
    """
    from crossgrade.targets.registry import available_targets

    return available_targets(look=look)


def render_targets(
    found: Sequence[TargetInfo], *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return the list of targets as text."""
    if as_json:
        return json_text("bench targets", found)
    from crossgrade.report.targets import targets_document

    return screen_text(targets_document(found), screen)


def render_operator_list(
    *, pattern: str = "", as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return the operators of the catalogue as text; with `pattern` those whose name has it.

    Raises:
        BadOption: no name has it.
    """
    from crossgrade.workloads.operators import operator_info, operators

    found = tuple(o for o in operators() if pattern in o.name)
    if not found:
        try:
            operator_info(pattern)
        except CannotRun as cannot:
            hint = "`crossgrade bench op --list` shows all"
            raise BadOption(cannot.detail, hint=hint) from cannot
    if as_json:
        return json_text("bench op", found)
    from crossgrade.report.targets import operators_document

    return screen_text(operators_document(found), screen)


def render_verifications(
    found: Sequence[Verification], *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return what `records verify` found as text."""
    if as_json:
        sound = all(v.state == "sound" for v in found)
        return json_text("records verify", found, "sound" if sound else "unsound")
    from crossgrade.report.verification import verification_document

    return screen_text(verification_document(found), screen)


def render_comparison(
    found: Comparison,
    *,
    as_json: bool = False,
    as_comment: bool = False,
    **screen: Unpack[Screen],
) -> str:
    """Return a comparison as text; `as_comment` is Markdown for a pull request."""
    from crossgrade.report import comparison as report

    if as_json:
        worst = next((v for v in COMPARISON_VERDICTS if found.count(v)), "INCONCLUSIVE")
        return json_text("compare", found, worst)
    if as_comment:
        return report.comparison_pull_request(found)
    return screen_text(report.comparison_document(found), screen)


def render_reproduction(
    found: Reproduction, *, as_json: bool = False, **screen: Unpack[Screen]
) -> str:
    """Return a reproduction as text."""
    if as_json:
        return json_text("reproduce", found, found.verdict)
    from crossgrade.report.comparison import comparison_document
    from crossgrade.report.document import Document, Heading, Line

    head = (Heading(text=f"{Path(found.record).name}: {found.verdict}"),)
    tail = (Line(text=f"record: {found.new_record}", tone="quiet"),) if found.new_record else ()
    document = Document(blocks=(*head, *comparison_document(found.comparison).blocks[1:], *tail))
    return screen_text(document, screen)
