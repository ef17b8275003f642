"""An assessment as a file for people or programs: HTML, Markdown, SARIF; and what changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.api.options import DEGREES, AssessOptions
from crossgrade.errors import BadRecord

if TYPE_CHECKING:
    from crossgrade.values.assessment import Assessment
    from crossgrade.values.change import Changes
    from crossgrade.values.derivation import Derivation
    from crossgrade.values.record import Record


def command_line(model: str, options: AssessOptions) -> str:
    """Return the command that asks the same."""
    repeated: tuple[tuple[str, Iterable[str]], ...] = (
        ("--on", options.on),
        ("--chip-file", map(str, options.chip_files)),
        ("--phase", options.phases),
        ("--size", (f"{size}={number}" for size, number in options.sizes.items())),
        ("--lora-targets", filter(None, [",".join(options.lora_targets)])),
        ("--price", (f"{chip}={price:g}/h" for chip, price in options.prices.items())),
        ("--calibration", (path.name for path in options.calibrations)),
        ("--table", (f"{chip}={path.name}" for chip, path in options.tables)),
        ("--measured", (Path(folder).resolve().name for folder in options.measured_in)),
    )
    words = ["crossgrade", "assess", model]
    words += [word for name, values in repeated for value in values for word in (name, value)]
    usual = AssessOptions(on=())
    for name in ("batch", "tokens", "context", "dtype", "quant", "kv", "chips", *DEGREES,
                 "skew", "redundant", "optimizer", "lora_rank", "shard", "micro_batch",
                 "interleave", "recompute", "offload", "products", "stack"):  # fmt: skip
        value = getattr(options, name)
        if value != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--sequence-parallel"] if options.sequence_parallel else []
    words += ["--two-batch-overlap"] if options.two_batch_overlap else []
    words += [] if options.overlap else ["--no-overlap"]
    words += [] if options.measured else ["--no-measured"]
    return shlex.join(words)


def number_named(number: str) -> tuple[str, str]:
    """Return phase and name of a number such as `decode.time`, before any work.

    Raises:
        BadOption: there is no such phase or number.
    """
    from crossgrade.predict.derivation import number_named as named

    return named(number)


def derivations(assessment: Assessment, number: str) -> Sequence[Derivation]:
    """Return the arithmetic of one number, such as `decode.time`, on every chip.

    Raises:
        BadOption: no such number, or it is not known for any chip.
    """
    from crossgrade.predict.derivation import derivations as derived

    return derived(assessment, number)


def earlier_record(path: Path) -> Record:
    """Return a record to compare with.

    Raises:
        BadRecord: the file is not a record of an assessment, or was edited.
        FutureSchema: it was written by a newer crossgrade.
    """
    from crossgrade.records.codec import load

    record = load(path)
    if record.kind != "assessment":
        raise BadRecord(f"'{path}' is a record of `{record.kind}`", hint="name one of `assess`")
    return record


def compare(assessment: Assessment, earlier: Record) -> Changes:
    """Return what changed since an earlier record of an assessment."""
    from crossgrade.records.changes import changes
    from crossgrade.records.codec import to_json

    return changes(earlier, to_json(assessment))


def report(kind: str, assessment: Assessment, command: str, changes: Changes | None = None) -> str:
    """Return a report as text.

    Args:
        kind: `html`, `markdown` or `sarif`.
        assessment: what it shows.
        command: the command line that gives it again.
        changes: what differs from an earlier record.
    """
    if kind == "sarif":
        return sarif_report(assessment)
    if kind == "markdown":
        return markdown_report(assessment, command=command, changes=changes)
    import datetime

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return html_report(assessment, command=command, created=now, changes=changes)


def markdown_report(assessment: Assessment, *, command: str, changes: Changes | None = None) -> str:
    """Return a report that fits a comment of a pull request."""
    from crossgrade.report.pull_request import render_pull_request

    return render_pull_request(assessment, command=command, changes=changes)


def html_report(
    assessment: Assessment,
    *,
    command: str,
    created: str,
    changes: Changes | None = None,
) -> str:
    """Return one offline HTML page.

    Args:
        assessment: what it shows.
        command: the command line that gives it again.
        created: ISO 8601 time.
        changes: what differs from an earlier record.
    """
    from crossgrade import __version__
    from crossgrade.api.rendering import document
    from crossgrade.report.html import render_html
    from crossgrade.report.page import Page

    page = Page(
        assessment=assessment,
        document=document(assessment, changes=changes),
        command=command,
        created=created,
        version=__version__,
        changes=changes,
    )
    return render_html(page)


def sarif_report(assessment: Assessment) -> str:
    """Return every finding as a SARIF 2.1.0 log."""
    from crossgrade import __version__
    from crossgrade.explain.pages import pages
    from crossgrade.report.sarif import render_sarif

    rules = {page.code: page for page in pages() if page.kind == "finding"}
    return render_sarif(assessment, version=__version__, rules=rules)
