"""`assess`: build, capture, judge, put beside claims.

Wires the rooms together; owns no arithmetic of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.api.catalog import chip, chosen_chips
from crossgrade.api.options import AssessOptions, stored_as
from crossgrade.api.sizing import check_asked, default_phases, in_words, sized
from crossgrade.errors import BadOption, CannotWrite, CaptureError
from crossgrade.values.assessment import (
    Assessment,
    AssumptionFigure,
    ChipAssessment,
    ClaimComparison,
    ConstantFigure,
    MeasuredTime,
    PhaseAssessment,
    worst,
)
from crossgrade.values.workload import Phase, Workload

if TYPE_CHECKING:
    from crossgrade.api.measurements import Measurements
    from crossgrade.api.tables import UserTable
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import Execution, Prepared
    from crossgrade.predict.silicon.knowledge import Knowledge
    from crossgrade.values.capture import Capture
    from crossgrade.values.chip import Chip
    from crossgrade.values.evidence import Constant
    from crossgrade.workloads.built import BuiltModel
    from crossgrade.workloads.resolve import FoundModel

Narrate = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What the predicted times of one phase on one chip follow from."""

    execution: Execution
    """The phase on the chip, for the bounds of any software."""
    stack: str | None
    """The stack that is timed; None where none is."""
    knowledge: Knowledge
    """What is known of its kernels."""


def assess(
    model: str,
    options: AssessOptions,
    *,
    narrate: Narrate = lambda _: None,
    save_captures: Path | None = None,
    watch: Callable[[Timed], None] = lambda _: None,
) -> Assessment:
    """Return what a model needs, and how it would run, on every chip asked for.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chips, phases and sizes.
        narrate: gets one line per step that takes time.
        save_captures: folder that gets each capture as a file, None for no files.
        watch: gets what each predicted time follows from, by chip and phase.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured.
    """
    options.check()
    described = chosen_chips(options.on, options.chip_files, chip)
    _check_prices(options, described)
    for folder in options.measured_in:
        if not Path(folder).is_dir():
            raise BadOption(f"--measured '{folder}' is no folder")
    _check_calibrations(options, described)
    with contextlib.redirect_stdout(sys.stderr):
        # Results alone go to stdout; the user's factory may print.
        return _assess(model, options, described, narrate, save_captures, watch)


def _check_calibrations(options: AssessOptions, described: Sequence[tuple[str, Chip]]) -> None:
    """Refuse a calibration that none of the chips can use."""
    from crossgrade.api.calibrating_kernels import calibrated_chip

    asked = [described_chip.name for _, described_chip in described]
    for path in options.calibrations:
        name, _ = calibrated_chip(path)
        if name not in asked:
            raise BadOption(f"--calibration '{path}' is of {name}, which is not asked for",
                            hint=f"--on {name}")  # fmt: skip


def _foreign(options: AssessOptions, described: Sequence[tuple[str, Chip]]) -> tuple[str, ...]:
    """Return which chips the stack asked for does not run on.

    Raises:
        BadOption: none of them.
    """
    from crossgrade.predict.lowering.stack import load_stack

    if options.stack is None:
        return ()
    stack = load_stack(options.stack)
    names = [chip_.name for _, chip_ in described if not stack.runs_on(chip_.op_table)]
    if names and len(names) == len(described):
        raise BadOption(f"--stack {stack.name} does not run on {', '.join(names)}",
                        hint="leave --stack out for the usual one of each chip")  # fmt: skip
    if not names:
        return ()
    return (f"{stack.name} does not run on {', '.join(names)}: no time of it there",)


def _check_layout(options: AssessOptions, described: Sequence[tuple[str, Chip]]) -> None:
    """Refuse a layout where no serving stack is known; training needs none.

    Raises:
        BadOption: of a chip, or the stack asked for serves nobody.
    """
    from crossgrade.predict.lowering.stack import load_stack, usual_stack

    if options.layout() is None:
        return
    for _, chip_ in described:
        usual = None if options.plan() is not None else usual_stack(chip_.op_table)
        name = options.stack or usual
        if name is not None and not load_stack(name).runs_on(chip_.op_table):
            raise BadOption(f"--stack {name} does not run on {chip_.name}: no layout there",
                            hint="assess such chips apart")  # fmt: skip
        if options.plan() is None and (name is None or load_stack(name).scheduler is None):
            which = f"--stack {name}" if options.stack else f"what is known of {chip_.name}"
            raise BadOption(f"{which} does not serve: a layout has no time there",
                            hint="leave the degrees out; --chips N gives the bounds")  # fmt: skip


def _assess(
    model: str,
    options: AssessOptions,
    described: Sequence[tuple[str, Chip]],
    narrate: Narrate,
    save_captures: Path | None,
    watch: Callable[[Timed], None],
) -> Assessment:
    """Build, capture and judge; the options are checked and the chips are known."""
    from crossgrade.api.tables import user_tables

    foreign = _foreign(options, described)
    _check_layout(options, described)
    tables = user_tables(options.tables, described, narrate)
    found, built, phases = _built(model, options, narrate)
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.timeline import memory_timeline

    desk = _Desk(
        session=CaptureSession(built),
        options=options,
        model=found.ref,
        narrate=narrate,
        folder=save_captures,
        watch=watch,
        tables=tables,
        phases=phases,
        measurements=_measurements(found, built, options),
    )
    prepared = desk.prepared()
    assessed = tuple(desk.chip(passed, described_chip) for passed, described_chip in described)
    desk.tell_unasked()
    return Assessment(
        model=found.ref,
        parameters=prepared[0].memory.parameters,
        weights_format=stored_as(built.weights, options.kv),
        environment=prepared[0].capture.environment,
        notes=(*built.notes, *desk.unreadable(), *foreign),
        assumptions=_assumptions(),
        timelines=tuple(memory_timeline(p.capture, p.memory) for p in prepared),
        chips=assessed,
        verdict=worst(tuple(entry.verdict for entry in assessed)),
    )


def _built(
    model: str, options: AssessOptions, narrate: Narrate
) -> tuple[FoundModel, BuiltModel, tuple[Phase, ...]]:
    """Return where a model comes from, the model without weights, and its phases."""
    from crossgrade.workloads.resolve import find_model

    found = find_model(model)
    narrate(f"building {found.ref.name} without weights")
    built = found.build(options.weights)
    phases = options.phases or default_phases(built)
    check_asked(options, built, phases, found.ref.name)
    return found, _adapted(built, options, found.ref.name), phases


def _measurements(
    found: FoundModel, built: BuiltModel, options: AssessOptions
) -> Measurements | None:
    """Return where measured times of the model are looked for; None: nowhere."""
    if not options.measured:
        return None
    from crossgrade.api.measurements import Measurements
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.records.store import default_folder
    from crossgrade.values.precision import USER_NAMES

    stored = built.weights.base or "bfloat16"
    quantised = bool(built.weights.rules) and options.weights is None
    return Measurements(
        config=found.config,
        dtype=None if quantised else options.weights or USER_NAMES.get(stored, stored),
        folders=(default_folder(), *map(Path, options.measured_in)),
        environment=fingerprint(),
    )


def _adapted(built: BuiltModel, options: AssessOptions, name: str) -> BuiltModel:
    """Return the model with the adapters asked for."""
    if not options.lora_rank:
        return built
    from crossgrade.workloads.adapters import with_adapters

    return with_adapters(built, rank=options.lora_rank, targets=options.lora_targets, name=name)


def _check_prices(options: AssessOptions, described: Sequence[tuple[str, Chip]]) -> None:
    """Refuse a price for a chip that is not asked for."""
    known = {name for passed, chip_ in described for name in (passed, chip_.name)}
    for name in options.prices:
        if name not in known:
            raise BadOption(f"--price {name}: not among --on", hint=f"one of {sorted(known)}")


def _assumptions() -> tuple[AssumptionFigure, ...]:
    from crossgrade.predict.assumptions import assumptions

    return tuple(
        AssumptionFigure(**{f.name: getattr(row, f.name) for f in dataclasses.fields(row)})
        for row in assumptions().values()
    )


@dataclass(slots=True, kw_only=True)
class _Desk:
    """The work of one assessment: captures are made once and shared by all chips."""

    session: CaptureSession
    options: AssessOptions
    model: Any
    narrate: Narrate
    folder: Path | None
    watch: Callable[[Timed], None]
    tables: Sequence[UserTable]
    phases: tuple[Phase, ...] = ()
    measurements: Measurements | None = None
    _prepared: dict[Workload, Prepared] = field(default_factory=dict)
    _known: dict[str, Knowledge] = field(default_factory=dict)

    def workload(self, phase: Phase) -> Workload:
        """Return a phase with its sizes."""
        return sized(self.options, self.session.built, self.phases, phase, self.model)

    def prepared(self) -> list[Prepared]:
        """Return every phase, captured and prepared."""
        return [self.prepare(self.workload(phase)) for phase in self.phases]

    def _torch(self) -> str:
        """Return the torch version whose operators were captured."""
        return next(iter(self._prepared.values())).capture.environment["torch"]

    def prepare(self, workload: Workload) -> Prepared:
        """Return one workload, captured once."""
        if workload not in self._prepared:
            from crossgrade.predict.phase import prepare

            words = in_words(self.session.built, workload)
            self.narrate(
                f"capturing {workload.phase}: "
                + (
                    words
                    or f"batch {workload.batch}, {workload.tokens} new, {workload.context} cached"
                )
            )
            capture = self.session.capture(workload)
            if self.folder is not None:
                self._save(capture)
            self._prepared[workload] = prepare(capture)
        return self._prepared[workload]

    def _save(self, capture: Capture) -> None:
        from crossgrade.capture.codec import save

        assert self.folder is not None
        w = capture.workload
        stem = re.sub(r"[^\w.-]+", "_", w.model.name)
        own = "".join(f"-{name}{value}" for name, value in w.sizes)
        path = self.folder / f"{stem}-{w.phase}-b{w.batch}-t{w.tokens}-c{w.context}{own}.cgcap"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save(capture, path)
        except OSError as error:
            raise CannotWrite(
                f"cannot write the capture '{path}': {error.strerror}",
                hint="--save-captures names another folder",
            ) from error
        self.narrate(f"capture: {path}")

    def chip(self, passed: str, described: Chip) -> ChipAssessment:
        """Return one chip's answer."""
        from crossgrade.chips.optables import table_for
        from crossgrade.chips.validate import constants

        others = ((row.constant, row.other) for row in described.disagreements)
        table = table_for(described.op_table, self._torch())
        phases = tuple(
            self._phase(self.prepare(self.workload(phase)), described, table, passed)
            for phase in self.phases
        )
        needs = [p.memory.least_chips for p in phases]
        return ChipAssessment(
            passed=passed,
            chip=described.name,
            title=described.title,
            scope=described.scope,
            operator_table=f"{table.backend} {table.version}".strip() or "none",
            verdict=worst(tuple(p.verdict for p in phases)),
            least_chips=None if None in needs else max(n for n in needs if n is not None),
            phases=phases,
            constants=_constants(described, constants(described)),
            disagreements=_constants(described, others),
        )

    def _phase(
        self, prepared: Prepared, described: Chip, table: Any, passed: str
    ) -> PhaseAssessment:
        from crossgrade.check.assess import assess_phase, execution_of

        price = self.options.prices.get(passed, self.options.prices.get(described.name))
        result = assess_phase(
            prepared,
            described,
            table,
            chips=self.options.chips,
            price_per_hour=price,
            weights_format=self.session.built.weights.title,
            shard=self.options.shard,
            stack=self.options.stack,
            knowledge=self._knowledge(described),
            layout=self.options.layout(),
            plan=self.options.plan(),
        )
        if result.speed is not None:
            execution = execution_of(prepared, described, table, result.layout)
            stack = result.stack.stack if result.stack else None
            knowledge = self._knowledge(described)
            self.watch(Timed(execution=execution, stack=stack, knowledge=knowledge))
        return self._completed(result, prepared, described)

    def _knowledge(self, described: Chip) -> Knowledge:
        """Return what is known of kernels on a chip, looked for once."""
        if described.name not in self._known:
            from crossgrade.api.calibrating_kernels import knowledge_for
            from crossgrade.api.tables import with_tables

            found = knowledge_for(described, calibrations=self.options.calibrations)
            found = with_tables(found, described, self.tables, self.narrate)
            self._known[described.name] = found
        return self._known[described.name]

    def tell_unasked(self) -> None:
        """Tell of measured kernels that priced nothing."""
        from crossgrade.api.tables import unasked

        for known in self._known.values():
            for words in unasked(known):
                self.narrate(words)

    def _completed(
        self, result: PhaseAssessment, prepared: Prepared, described: Chip
    ) -> PhaseAssessment:
        """Return a phase with what stands beside its prediction: records and claims."""
        from crossgrade.capture.codec import digest

        workload = prepared.capture.workload
        times: tuple[MeasuredTime, ...] = ()
        near: tuple[str, ...] = ()
        if self.measurements is not None:
            single = result.layout.chips == 1
            times, near = self.measurements.beside(result, workload, described.name, single=single)
        return dataclasses.replace(
            result,
            capture_digest=digest(prepared.capture),
            sizes=dict(workload.sizes),
            inputs=in_words(self.session.built, workload),
            claims=self._claims(workload, described),
            measured=times,
            measured_near=near,
        )

    def unreadable(self) -> tuple[str, ...]:
        """Return which records could not be read."""
        lost = self.measurements.unreadable if self.measurements else []
        more = f", and of {len(lost) - 1} more" if len(lost) > 1 else ""
        return (f"no measured time was taken from a record: {lost[0]}{more}",) if lost else ()

    def _claims(self, workload: Workload, described: Chip) -> tuple[ClaimComparison, ...]:
        """Return the published result whose conditions are nearest, beside our band for them."""
        from crossgrade.ledger.claims import claims_for
        from crossgrade.ledger.compare import compare, nearest

        if self.options.weights is not None:
            return ()
        known = claims_for(self.model.name, described.name, workload.phase)
        claim = nearest(known, workload)
        if claim is None:
            return ()
        conditions = Workload(
            model=self.model,
            phase=workload.phase,
            batch=claim.batch,
            tokens=claim.step_tokens,
            context=claim.context,
            dtype=None,
        )
        try:
            prepared = self.prepare(conditions)
        except CaptureError as error:
            return (compare(claim, None, described, reason=error.message),)
        return (compare(claim, prepared, described),)


def _constants(
    described: Chip, named: Iterable[tuple[str, Constant]]
) -> tuple[ConstantFigure, ...]:
    """Return constants of a chip, each with its source."""
    rows = []
    for name, constant in named:
        source = described.source(constant.source)
        row = ConstantFigure(
            kind=source.kind,
            name=name,
            value=constant.value,
            unit=constant.unit,
            scope=constant.scope,
            source=source.title,
            url=source.url,
            date=source.date,
            note=constant.note,
        )
        rows.append(row)
    return tuple(rows)
