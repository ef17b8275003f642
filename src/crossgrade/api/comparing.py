"""`compare` and `reproduce`: two measurements judged by one test.

Must not know statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from crossgrade.errors import BadOption
from crossgrade.values.bench import BenchPlan, BenchResult
from crossgrade.values.model_case import ModelCase

if TYPE_CHECKING:
    from crossgrade.measure.compare import RunPair, Wanted
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
    from crossgrade.measure.compare import compare_many, compare_variants_of_all

    first = _results(before)
    if after is None:
        return compare_variants_of_all([result for _, result in first], margin=margin)
    second = _results(after)
    pairs, remarks = _pairs([r for _, r in first], [r for _, r in second])
    return compare_many(
        pairs,
        margin=margin,
        basis=basis,
        environments=(_environment(first[0][0]), _environment(second[0][0])),
        remarks=remarks,
    )


def _pairs(
    first: Sequence[BenchResult], second: Sequence[BenchResult]
) -> tuple[tuple[RunPair, ...], tuple[str, ...]]:
    """Return what is compared with what, and remarks on what is left over."""
    from crossgrade.measure.compare import RunPair, pairs_of

    if len(first) == len(second) == 1:
        # Two files are one case to whoever names them, whatever their targets are called.
        return (RunPair(before=first[0], after=second[0]),), ()
    return pairs_of(first, second)


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

    On the same device and target times are compared over the anchor, else as they are.

    Args:
        path: the record.
        on: another target in the place of its own, where it has one variant.
        budget_s: time for it, s; None: as much as the record had.
        margin: differences up to this share are taken for none.
        folder: where the new record goes.
        record: whether one is written.
        narrate: told what happens.

    Raises:
        CrossgradeError: BadRecord, no record of a measurement; BadOption, `on` with several
            variants or a senseless number; CannotWrite, TargetAbsent.
    """
    from crossgrade.api.keeping import bench_result, load_record

    _check(margin, budget_s)
    old = load_record(path)
    before = bench_result(old, path)
    plan = _plan_again(before.plan, path, on, budget_s, margin)
    ready = _ready(folder) if record else None  # before time is spent on what cannot be written
    after = _measured(plan, narrate)
    new = _recorded(after, {"reproduce": path.name, "on": on}, ready)
    found = _compared(before, after, margin, old, new.record)
    return Reproduction(record=str(path), verdict=_judged(found), comparison=found, result=after,
                        new_record=new.path)  # fmt: skip


def _check(margin: float, budget_s: float | None) -> None:
    """Refuse numbers that make no sense; BadOption."""
    from crossgrade.measure.compare import check_margin

    check_margin(margin)
    if budget_s is not None and not 0 < budget_s < 1e7:
        raise BadOption(f"--budget {budget_s:g}", hint="seconds above 0")


def _plan_again(
    plan: BenchPlan, path: Path, on: str | None, budget_s: float | None, margin: float
) -> BenchPlan:
    """Return the plan of a record for here: its target and budget, and exact enough to judge."""
    if on is not None:
        if len(plan.variants) > 1:
            raise BadOption(f"'{path}' times {len(plan.variants)} variants on targets of their own",
                            hint="leave out --on")  # fmt: skip
        plan = replace(plan, variants=(replace(plan.variants[0], name=on, target=on),))
    # Two runs known to 1 % each do not settle a margin of 2 %.
    return replace(
        plan, half_width=min(plan.half_width, margin / 4), budget_s=budget_s or plan.budget_s
    )


def _ready(folder: Path | None) -> Path:
    from crossgrade.records.store import default_folder, ready_folder

    return ready_folder(folder or default_folder())


def _measured(plan: BenchPlan, narrate: Callable[[str], None]) -> BenchResult:
    """Return what a plan gives here."""
    from crossgrade.api.benching import source_of
    from crossgrade.measure.events import CasePlan
    from crossgrade.measure.harness import run

    case = plan.variants[0].case
    with ExitStack() as stack:
        models = isinstance(case, ModelCase)
        source = source_of([v.target for v in plan.variants], None, stack, models=models)
        scratch = stack.enter_context(TemporaryDirectory(prefix="crossgrade-"))
        ((_, result),) = run([CasePlan(key=case.key, plan=plan)], source, seed=plan.seed,
                             scratch=scratch, narrate=narrate)  # fmt: skip
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """A new record, written or not."""

    record: Record
    """What it says."""
    path: str
    """Its file; empty: none was written."""


def _recorded(result: BenchResult, passed: Mapping[str, Any], folder: Path | None) -> _Recorded:
    """Return a measurement as a record, in a file of the folder where there is one."""
    from crossgrade.api.bench_book import bench_record, write_bench_record
    from crossgrade.environment.fingerprint import fingerprint

    record = bench_record(result, passed, fingerprint())
    key = result.plan.variants[0].case.key
    path = "" if folder is None else write_bench_record(record, key, folder)
    return _Recorded(record=record, path=path)


def _compared(
    before: BenchResult, after: BenchResult, margin: float, old: Record, new: Record
) -> Comparison:
    from crossgrade.measure.compare import compare

    environments = (_environment(old), _environment(new))
    return compare(before, after, margin=margin, environments=environments)


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
