"""`compare` and `reproduce`: two measurements judged by one test.

Must not know statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crossgrade.errors import BadOption
from crossgrade.values.bench import BenchResult

if TYPE_CHECKING:
    from crossgrade.measure.compare import Wanted
    from crossgrade.values.comparison import Comparison
    from crossgrade.values.record import Record

Reproduced = Literal["reproduced", "not-reproduced", "inconclusive"]
"""reproduced: every case is SAME. not-reproduced: one is FASTER or SLOWER. inconclusive: neither
can be said of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A record, measured again."""

    record: str
    """The record that was measured again."""
    verdict: Reproduced
    """Whether it came out the same."""
    comparison: Comparison
    """The new measurement over the old one; what differs between the environments comes first."""
    result: BenchResult
    """The new measurement."""
    new_record: str = ""
    """Its file; empty: none was written."""

    @property
    def exit_code(self) -> int:
        """0 reproduced; 1 not; 3 it cannot be said."""
        return {"reproduced": 0, "not-reproduced": 1, "inconclusive": 3}[self.verdict]


def compare_runs(
    before: Path, after: Path | None = None, *, margin: float = 0.02, basis: Wanted = "auto"
) -> Comparison:
    """Return how the records of a second run differ from those of a first.

    Args:
        before: a record, or the folder of a run.
        after: the same; None compares the variants of `before` with its baseline.
        margin: differences up to this share are taken for none.
        basis: over the anchor, times as they are, or by whether device and target are the same.

    Raises:
        BadRecord: a file is no record of a measurement, or a folder holds none.
        BadOption: two records measure different things, or the margin makes no sense.
    """
    from crossgrade.measure.compare import (
        RunPair,
        compare_many,
        compare_variants_of_all,
        pairs_of,
    )

    first = _results(before)
    if after is None:
        return compare_variants_of_all([result for _, result in first], margin=margin)
    second = _results(after)
    pairs: tuple[RunPair, ...]
    remarks: tuple[str, ...]
    if len(first) == len(second) == 1:
        # Two files are one case to whoever names them, whatever their targets are called.
        pairs, remarks = (RunPair(before=first[0][1], after=second[0][1]),), ()
    else:
        pairs, remarks = pairs_of([r for _, r in first], [r for _, r in second])
    return compare_many(
        pairs,
        margin=margin,
        basis=basis,
        environments=(_environment(first[0][0]), _environment(second[0][0])),
        remarks=remarks,
    )


def reproduce(
    path: Path,
    *,
    on: str | None = None,
    budget_s: float | None = None,
    margin: float = 0.02,
    folder: Path | None = None,
    record: bool = True,
    narrate: Callable[[str], None] = lambda text: None,
) -> Reproduction:
    """Return a record measured again here, with its plan and its seed.

    Args:
        path: the record.
        on: another target in the place of its own, where it has one variant.
        budget_s: time for it, s; None: as much as the record had.
        margin: differences up to this share are taken for none.
        folder: where the new record goes.
        record: whether one is written.
        narrate: told what happens.

    Raises:
        BadRecord: the file is no record of a measurement.
        BadOption: `on`, and the record has several variants; a number makes no sense.
        CannotWrite: the new record could not be written.
        TargetAbsent: its target is not here.
    """
    from crossgrade.api.bench_book import bench_record, write_bench_record
    from crossgrade.api.benching import source_of
    from crossgrade.api.keeping import bench_result, load_record
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.measure.compare import check_margin, compare
    from crossgrade.measure.events import CasePlan
    from crossgrade.measure.harness import run
    from crossgrade.records.store import default_folder, ready_folder

    check_margin(margin)
    if budget_s is not None and not 0 < budget_s < 1e7:
        raise BadOption(f"--budget {budget_s:g}", hint="seconds above 0")
    old = load_record(path)
    before = bench_result(old, path)
    plan = before.plan
    if on is not None:
        if len(plan.variants) > 1:
            raise BadOption(f"'{path}' times {len(plan.variants)} variants on targets of their own",
                            hint="leave out --on")  # fmt: skip
        plan = replace(plan, variants=(replace(plan.variants[0], name=on, target=on),))
    # Two runs known to 1 % each do not settle a margin of 2 %.
    plan = replace(
        plan, half_width=min(plan.half_width, margin / 4), budget_s=budget_s or plan.budget_s
    )
    with ExitStack() as stack:
        if record:  # before time is spent on what could not be written
            folder = ready_folder(folder or default_folder())
        source = source_of([v.target for v in plan.variants], None, stack)
        key = plan.variants[0].case.key
        ((_, after),) = run([CasePlan(key=key, plan=plan)], source, seed=plan.seed, narrate=narrate)
    new = bench_record(after, {"reproduce": path.name, "on": on}, fingerprint())
    found = compare(
        before, after, margin=margin, environments=(_environment(old), _environment(new))
    )
    written = write_bench_record(new, key, folder) if record else ""
    return Reproduction(
        record=str(path),
        verdict=_judged(found),
        comparison=found,
        result=after,
        new_record=written,
    )


def _judged(found: Comparison) -> Reproduced:
    if found.count("FASTER") or found.count("SLOWER"):
        return "not-reproduced"
    return "inconclusive" if found.count("INCONCLUSIVE") or not found.cases else "reproduced"


def _results(path: Path) -> Sequence[tuple[Record, BenchResult]]:
    """Return the measurements of a file, or of all records in a folder."""
    from crossgrade.api.keeping import bench_result, load_record, record_files

    records = [(file, load_record(file)) for file in record_files([path])]
    return [(record, bench_result(record, file)) for file, record in records]


def _environment(record: Record) -> Mapping[str, str]:
    return record.environment
