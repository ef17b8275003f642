"""`bench op`: an operator, a suite, or the operators of a captured model, measured.

Wires cases, plans, workers, journal and records together. Must not know how a number is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from crossgrade.errors import BadOption, BadSuite
from crossgrade.units import things
from crossgrade.values.bench import (
    BenchPlan,
    BenchResult,
    BenchRow,
    BenchRun,
    CacheState,
    SessionStart,
    Variant,
)
from crossgrade.values.model_case import ModelCase
from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.values.precision import DTYPES, USER_DTYPES

if TYPE_CHECKING:
    from crossgrade.api.bench_book import Book
    from crossgrade.measure.events import CasePlan
    from crossgrade.measure.source import Source

Narrate = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is to be measured, and how well."""

    op: str = ""
    """Operator of the catalogue, or a glob over them; empty with `suite` or `capture`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Sizes and choices of `op` by name; what is left out is the catalogue's default."""
    dtypes: tuple[str, ...] = ()
    """Formats of `op`, a case each; user's or torch's names. Empty: the catalogue's default."""
    on: tuple[str, ...] = ("cpu",)
    """Targets; several are interleaved, and the first is the baseline."""
    suite: Path | None = None
    """File or folder of cases, xpu-perf's or our own."""
    capture: Path | None = None
    """Capture of a model (`assess --save-captures`), whose calls are the cases."""
    only: tuple[str, ...] = ()
    """Operators of a suite, capture or glob that are wanted; empty: all."""
    most: int | None = None
    """Most cases of a suite, capture or glob, from its start; None: all."""
    budget_s: float = 30.0
    """Time per case, s."""
    half_width: float = 0.01
    """Wanted half width of the 95 % interval, as a share."""
    least_sessions: int = 8
    """Sessions without which nothing counts as measured; 5 or more."""
    cache: CacheState = "hot"
    """State of the caches."""
    start: SessionStart = "forked"
    """`fresh`: every session in a new interpreter, though it could be forked."""
    memory_bytes: float | None = None
    """Memory that a worker may use, bytes; None: no limit."""
    seed: int = 0
    """Seed of inputs and of orders."""
    folder: Path | None = None
    """Where records and the journal of the run go."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        sources = [bool(self.op), self.suite is not None, self.capture is not None]
        if sum(sources) != 1:
            raise BadOption("one of an operator, --suite and --from-capture is wanted",
                            hint="such as: crossgrade bench op gemm --on cpu")  # fmt: skip
        only_op, only_list = (self.arguments, self.dtypes), (self.only, self.most is not None)
        if not self.op and any(only_op):
            raise BadOption("sizes and --dtype are for one operator, and a suite has its own",
                            hint="leave them out, or name the operator instead")  # fmt: skip
        if self.op and not _is_glob(self.op) and any(only_list):
            raise BadOption("--only and --most are for a suite, a capture or a glob",
                            hint="leave them out with an operator")  # fmt: skip
        check_measuring(self.on, self.budget_s, self.half_width, self.least_sessions,
                        self.memory_bytes)  # fmt: skip
        if self.most is not None and self.most < 1:
            raise BadOption(f"--most {self.most}", hint="1 or more")


def check_measuring(
    on: Sequence[str], budget_s: float, half_width: float, least_sessions: int,
    memory_bytes: float | None,
) -> None:  # fmt: skip
    """Refuse what makes no sense of options that every measurement of cases has; BadOption."""
    if not on:
        raise BadOption("nothing to measure on", hint="--on cpu")
    if len(set(on)) < len(on):
        raise BadOption("a target is named twice", hint="`compare` judges two runs")
    if not 0 < budget_s < 1e7:
        raise BadOption(f"--budget {budget_s:g}", hint="seconds above 0")
    if not 1e-4 <= half_width <= 0.5:
        raise BadOption(f"--half-width {half_width:g}", hint="a share from 0.0001 to 0.5")
    if least_sessions not in (5, 8, 12, 18, 27, 40):
        raise BadOption(f"--sessions {least_sessions}", hint="5, 8, 12, 18, 27 or 40")
    if memory_bytes is not None and not 0 < memory_bytes < 1e18:
        raise BadOption(f"--memory {memory_bytes / 1e9:g}", hint="GB above 0")


def bench(
    options: BenchOptions, *, record: bool = True, narrate: Narrate = lambda text: None
) -> BenchRun:
    """Return measurements, with an interval each, and write a record of each.

    A run with a folder keeps every session as it comes; the same call takes an interrupted run up.

    Args:
        options: what and how well.
        record: whether records and a journal are written.
        narrate: told what happens.

    Raises:
        BadOption: the options make no sense.
        BadSuite: the suite cannot be read.
        UnknownTarget: no target has that name.
        TargetAbsent: a target is not here.
        FolderInUse: another run is writing there.
    """
    options.check()
    name, cases, notes = _cases(options)
    run = measured(_plans(cases, options), options, record=record, narrate=narrate)
    return replace(run, name=name, notes=notes)


class Measuring(Protocol):
    """Options of every kind of case, as far as they say how a run is done."""

    @property
    def on(self) -> tuple[str, ...]:
        """Return the targets."""

    @property
    def memory_bytes(self) -> float | None:
        """Return the memory that a worker may use, bytes; None: no limit."""

    @property
    def seed(self) -> int:
        """Return the seed of inputs and of orders."""

    @property
    def folder(self) -> Path | None:
        """Return where records and the journal of the run go."""


def measured(
    plans: Sequence[CasePlan], options: Measuring, *, record: bool, narrate: Narrate
) -> BenchRun:
    """Return the measurements of planned cases, without name and notes.

    Args:
        plans: cases under unique keys.
        options: how; all of it goes into the records as what the user gave.
        record: whether records and a journal are written.
        narrate: told what happens.

    Raises:
        CrossgradeError: TargetAbsent, FolderInUse and such.
    """
    from crossgrade.api.shares import with_beside
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.measure.harness import run

    environment = fingerprint()
    with ExitStack() as stack:
        book = _book(options, plans, environment, stack) if record else None
        models = any(isinstance(v.case, ModelCase) for p in plans for v in p.plan.variants)
        source = source_of(options.on, options.memory_bytes, stack, models=models)
        scratch = book.scratch if book else stack.enter_context(TemporaryDirectory())
        found = run(plans, source, store=book, seed=options.seed, scratch=scratch, narrate=narrate)
        rows = {row.key: row for row in _recorded(found, book, options)}
    run_ = BenchRun(
        name="",
        rows=tuple(rows[p.key] for p in plans),
        notes=(),
        folder=str(book.folder) if book else "",
        environment=environment,
        taken_up=book.taken_up if book else 0,
    )
    return with_beside(run_, narrate)


def _recorded(
    found: Iterator[tuple[str, BenchResult]], book: Book | None, options: Measuring
) -> Iterator[BenchRow]:
    """Yield each case as it becomes final, its record written."""
    for key, result in found:
        path = book.write(key, result, options) if book else ""
        yield BenchRow(key=key, result=result, record=path)
    if book is not None:
        book.finish()


def format_named(name: str) -> str:
    """Return torch's name of a format that a user named.

    Raises:
        BadOption: no format has that name.
    """
    if name in USER_DTYPES:
        return USER_DTYPES[name]
    if name in {d.name for d in DTYPES} | {"tfloat32"}:
        return name
    raise BadOption(f"--dtype {name}", hint=", ".join(USER_DTYPES))


def shapes_from_json(text: str) -> dict[str, Any]:
    """Return the arguments that `--shapes` gives as a JSON object.

    Raises:
        BadOption: it is no JSON object.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadOption(f"--shapes is no JSON: {error}", hint=_SHAPES_HINT) from error
    if not isinstance(found, dict):
        raise BadOption("--shapes is no JSON object", hint=_SHAPES_HINT)
    return found


_SHAPES_HINT = """such as --shapes '{"batch_size": 64, "dim_size": 4096}'"""


def plan_of(case: OperatorCase, options: BenchOptions) -> BenchPlan:
    """Return the plan of a case: its variants, and how long it warms up within the budget."""
    from crossgrade.targets.protocol import DEFAULT_ANCHOR

    return BenchPlan(
        variants=tuple(Variant(name=spec, target=spec, case=case) for spec in options.on),
        anchor=DEFAULT_ANCHOR,
        cache=options.cache,
        half_width=options.half_width,
        least_sessions=options.least_sessions,
        budget_s=options.budget_s,
        prime_s=min(0.5, options.budget_s / 100),
        settle_s=min(5.0, options.budget_s / 40),
        seed=options.seed,
        start=options.start,
    )


def _plans(cases: Sequence[OperatorCase], options: BenchOptions) -> tuple[CasePlan, ...]:
    from crossgrade.measure.events import CasePlan

    return tuple(CasePlan(key=case.key, plan=plan_of(case, options)) for case in cases)


def _cases(options: BenchOptions) -> tuple[str, tuple[OperatorCase, ...], tuple[str, ...]]:
    """Return name, distinct cases and notes of what is asked for."""
    if options.op and not _is_glob(options.op):
        return options.op, tuple(_named_cases(options)), ()
    name, found, notes = _listed_cases(options)
    if not found:
        raise BadSuite("there is no case in it", where=name, hint="is it the file you mean?")
    wanted = [c for c in found if not options.only or c.op in options.only]
    if not wanted:
        raise BadOption(
            f"no {' and no '.join(options.only)} in `{name}`",
            hint=f"it has {', '.join(sorted({c.op for c in found})[:20])}",
        )
    if options.most is not None and len(wanted) > options.most:
        notes = (*notes, f"--most: {things(len(wanted) - options.most, 'further case')} left out")
        wanted = wanted[: options.most]
    return name, tuple({c.key: c for c in wanted}.values()), notes


def _matching_cases(options: BenchOptions) -> Iterator[OperatorCase]:
    """Yield the operators whose name is like a glob, in the catalogue's own sizes."""
    from crossgrade.workloads.operators import default_case, operators

    if options.arguments:
        raise BadOption(f"sizes for all of `{options.op}`", hint="leave them out, or name one")
    names = [o for o in operators() if fnmatch(o.name, options.op)]
    if not names:
        raise BadOption(f"no operator is like `{options.op}`", hint="`crossgrade bench op --list`")
    wanted = tuple(map(format_named, options.dtypes))
    for info in names:
        case = replace(default_case(info.name), seed=options.seed)
        taken = [dtype for dtype in wanted if dtype in info.dtypes]
        yield from (replace(case, dtype=dtype) for dtype in taken or (case.dtype,))


def _named_cases(options: BenchOptions) -> Iterator[OperatorCase]:
    """Yield the operator that is named, in each format, with every argument filled in."""
    from crossgrade.workloads.operators import operator_info, request_of

    try:
        info = operator_info(options.op)
        given = dict(options.arguments)
        names = {name: a.name for a in info.arguments for name in (a.name, *a.aliases)}
        taken = {names.get(name, name) for name in given}
        if taken <= {*info.defaults, "arg_type"}:
            given.update({k: v for k, v in info.defaults.items() if k not in taken})
        for dtype in dict.fromkeys(map(format_named, options.dtypes or (info.default_dtype,))):
            case = OperatorCase(op=options.op, dtype=dtype, arguments=given, seed=options.seed)
            whole = request_of(case)
            form = {} if whole.form == info.forms[0] else {"arg_type": whole.form}
            yield replace(case, dtype=whole.dtype, arguments={**form, **whole.values})
    except CannotRun as cannot:
        hint = "`crossgrade bench op --list` shows operators and arguments"
        raise BadOption(cannot.detail, where=options.op, hint=hint) from cannot


def _is_glob(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _listed_cases(
    options: BenchOptions,
) -> tuple[str, Sequence[OperatorCase], tuple[str, ...]]:
    """Return name, cases and notes of a glob, a suite or a capture."""
    if options.op:
        return options.op, tuple(_matching_cases(options)), ()
    if options.suite is not None:
        from crossgrade.workloads.suites import read_suite

        suite = read_suite(options.suite)
        return suite.name, suite.cases, suite.notes
    from crossgrade.capture.codec import load
    from crossgrade.workloads.captured import capture_cases

    assert options.capture is not None
    suite = capture_cases(load(options.capture))
    return suite.name, suite.cases, suite.notes


def source_of(
    targets: Sequence[str],
    memory_bytes: float | None,
    stack: ExitStack,
    *,
    models: bool = False,
) -> Source:
    """Return what takes sessions: workers, or this process for targets with their own time.

    Raises:
        BadOption: simulated and real targets together.
    """
    from crossgrade.measure.isolated import Isolated
    from crossgrade.measure.source import InProcess
    from crossgrade.targets.protocol import MODEL_LIBRARIES
    from crossgrade.targets.registry import is_simulated, preload_of

    simulated = [is_simulated(spec) for spec in targets]
    if all(simulated):
        return InProcess()
    if any(simulated):
        raise BadOption(
            "a simulated target has a time of its own and is not interleaved with a real one",
            hint="measure them in two runs",
        )
    modules = dict.fromkeys(
        (
            "crossgrade.measure.workers",
            *(m for spec in targets for m in preload_of(spec)),
            *((MODEL_LIBRARIES,) if models else ()),
        )
    )
    isolated = Isolated(preload=tuple(modules), memory_bytes=memory_bytes)
    return stack.enter_context(isolated)


def _book(
    options: Measuring,
    plans: Sequence[CasePlan],
    environment: Mapping[str, str],
    stack: ExitStack,
) -> Book:
    from crossgrade.api.bench_book import Book

    book = stack.enter_context(Book.of(options.folder, plans, environment))
    book.open(plans)
    return book
