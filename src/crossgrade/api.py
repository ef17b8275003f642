"""One function per command: the whole of what the command line can do.

Wires the rooms together; owns no arithmetic of its own. Nothing heavy is imported until a function
needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadOption, CannotWrite, CaptureError
from crossgrade.values.assessment import (
    Assessment,
    ChipAssessment,
    ClaimComparison,
    PhaseAssessment,
    worst,
)
from crossgrade.values.precision import USER_DTYPES
from crossgrade.values.workload import PHASES, Phase, Workload

if TYPE_CHECKING:
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import Prepared
    from crossgrade.values.capture import Capture
    from crossgrade.values.chip import Chip

Narrate = Callable[[str], None]

DEFAULT_TOKENS: Mapping[Phase, int] = {"prefill": 4096, "decode": 1, "train": 4096}
DEFAULT_CONTEXT: Mapping[Phase, int] = {"prefill": 0, "decode": 8192, "train": 0}
_LARGEST = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessOptions:
    """What the user asked of `assess`."""

    on: tuple[str, ...]
    """Chips, as typed."""
    phases: tuple[Phase, ...] = ()
    """Phases, in order; none given: prefill, and decode where the model has a cache."""
    batch: int | None = None
    """Sequences, None for 1."""
    tokens: int | None = None
    """Tokens per sequence, None for the phase's default."""
    context: int | None = None
    """Cached tokens, None for the phase's default."""
    dtype: str | None = None
    """Weight format, None for the checkpoint's own."""
    chips: int | None = None
    """Number of chips, None for as many as are needed."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Chip -> price of one chip per hour, in the user's currency."""

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            BadOption: names the option, the value and what is allowed.
        """
        if self.phases == ("train",) and self.context:
            raise BadOption(f"--context {self.context}: a training step caches nothing")
        for name, given in (("--on", self.on), ("--phase", self.phases)):
            if len(set(given)) < len(given):
                raise BadOption(f"{name} names one thing twice: {', '.join(given)}")
        if not self.on:
            raise BadOption("no chip given", hint="add --on ascend-950dt; repeat it to compare")
        if any(phase not in PHASES for phase in self.phases):
            raise BadOption(f"phases {self.phases!r}", hint=f"one or more of {', '.join(PHASES)}")
        sizes = (
            ("--batch", self.batch, 1),
            ("--tokens", self.tokens, 1),
            ("--context", self.context, 0),
            ("--chips", self.chips, 1),
        )
        for name, value, least in sizes:
            if value is not None and not least <= value < _LARGEST:
                raise BadOption(f"{name} {value}", hint=f"a whole number from {least} to 2^31")
        if self.dtype is not None and self.dtype not in USER_DTYPES:
            raise BadOption(f"--dtype {self.dtype}", hint=f"one of {', '.join(USER_DTYPES)}")
        for chip, price in self.prices.items():
            if not (0 < price < float("inf")):
                raise BadOption(f"--price {chip}={price}", hint="a finite amount above 0")


def models() -> tuple[str, ...]:
    """Return the names of the shipped model configurations."""
    from crossgrade.workloads.resolve import preset_names

    return preset_names()


def chips() -> tuple[str, ...]:
    """Return the names of the described chips; `cpu` means this machine's."""
    from crossgrade.chips.loader import chip_names

    return ("cpu", *chip_names())


def chip(name: str) -> Chip:
    """Return a chip's description; `cpu` is probed here and now.

    Raises:
        UnknownChip: no chip has that name or alias.
    """
    if name.lower() == "cpu":
        import datetime

        from crossgrade.chips.probe import probe_cpu

        return probe_cpu(date=datetime.datetime.now(datetime.UTC).date().isoformat())
    from crossgrade.chips.loader import load_chip

    return load_chip(name.removeprefix("virtual:"))


def assess(
    model: str,
    options: AssessOptions,
    *,
    narrate: Narrate = lambda _: None,
    save_captures: Path | None = None,
) -> Assessment:
    """Return what a model needs, and how it would run, on every chip asked for.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chips, phases and sizes.
        narrate: gets one line per step that takes time.
        save_captures: folder that gets each capture as a file, None for no files.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured.
    """
    options.check()
    described = [(name, chip(name)) for name in options.on]
    _check_prices(options, described)
    with contextlib.redirect_stdout(sys.stderr):
        # Results alone go to stdout; the user's factory may print.
        return _assess(model, options, described, narrate, save_captures)


def _assess(
    model: str,
    options: AssessOptions,
    described: Sequence[tuple[str, Chip]],
    narrate: Narrate,
    save_captures: Path | None,
) -> Assessment:
    """Build, capture and judge; the options are checked and the chips are known."""
    from crossgrade.workloads.resolve import find_model

    found = find_model(model)
    narrate(f"building {found.ref.name} without weights")
    built = found.build(options.dtype)
    _check_sizes(options, built.sizes, found.ref.name)
    from crossgrade.capture.run import CaptureSession

    desk = _Desk(
        session=CaptureSession(built),
        options=options,
        model=found.ref,
        narrate=narrate,
        folder=save_captures,
        phases=options.phases or _default_phases(built.sizes),
    )
    prepared = desk.prepared()
    assessed = tuple(desk.chip(passed, described_chip) for passed, described_chip in described)
    return Assessment(
        model=found.ref,
        parameters=prepared[0].memory.parameters,
        weights_format=f"{built.weights.title} ({built.weights.origin})",
        environment=prepared[0].capture.environment,
        notes=built.notes,
        assumptions=_assumptions(),
        chips=assessed,
        verdict=worst(tuple(entry.verdict for entry in assessed)),
    )


def _check_prices(options: AssessOptions, described: Sequence[tuple[str, Chip]]) -> None:
    """Refuse a price for a chip that is not asked for."""
    known = {name for passed, chip_ in described for name in (passed, chip_.name)}
    for name in options.prices:
        if name not in known:
            raise BadOption(f"--price {name}: not among --on", hint=f"one of {sorted(known)}")


def _default_phases(sizes: frozenset[str]) -> tuple[Phase, ...]:
    """Return the phases of a model whose inputs follow these sizes."""
    return ("prefill", "decode") if "context" in sizes else ("prefill",)


def _check_sizes(options: AssessOptions, sizes: frozenset[str], name: str) -> None:
    """Refuse a size that the model's own example inputs would ignore."""
    for size in ("batch", "tokens", "context"):
        value = getattr(options, size)
        if value is not None and size not in sizes:
            raise BadOption(
                f"--{size} {value}: {name} brings its own inputs",
                hint=f"give the factory a parameter named `{size}`, or leave the option out",
            )


def _assumptions() -> tuple[tuple[str, float, float, str], ...]:
    from crossgrade.predict.assumptions import assumptions

    return tuple(
        (row.name, row.optimistic, row.pessimistic, row.source) for row in assumptions().values()
    )


@dataclass(slots=True, kw_only=True)
class _Desk:
    """The work of one assessment: captures are made once and shared by all chips."""

    session: CaptureSession
    options: AssessOptions
    model: Any
    narrate: Narrate
    folder: Path | None
    phases: tuple[Phase, ...] = ()
    _prepared: dict[Workload, Prepared] = field(default_factory=dict)

    def workload(self, phase: Phase) -> Workload:
        """Return a phase with its sizes."""
        o = self.options
        batch = 1 if o.batch is None else o.batch
        tokens = o.tokens if o.tokens is not None else DEFAULT_TOKENS[phase]
        context = o.context if o.context is not None else DEFAULT_CONTEXT[phase]
        if len(self.phases) > 1 and phase == "decode":
            # With several phases, --tokens is the prompt; decode adds one token at a time.
            tokens = 1
        if phase == "train" or (len(self.phases) > 1 and phase != "decode"):
            context = 0
        sizes = self.session.built.sizes
        return Workload(
            model=self.model,
            phase=phase,
            dtype=o.dtype,
            batch=batch if "batch" in sizes else 1,
            tokens=tokens if "tokens" in sizes else 1,
            context=context if "context" in sizes else 0,
            item="tokens" if sizes & {"batch", "tokens"} else "executions",
        )

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

            self.narrate(
                f"capturing {workload.phase}: batch {workload.batch}, {workload.tokens} new, "
                f"{workload.context} cached"
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
        path = self.folder / f"{stem}-{w.phase}-b{w.batch}-t{w.tokens}-c{w.context}.cgcap"
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
            constants=_constants(described),
        )

    def _phase(
        self, prepared: Prepared, described: Chip, table: Any, passed: str
    ) -> PhaseAssessment:
        from crossgrade.check.assess import assess_phase

        price = self.options.prices.get(passed, self.options.prices.get(described.name))
        from crossgrade.capture.codec import digest

        result = assess_phase(
            prepared,
            described,
            table,
            chips=self.options.chips,
            price_per_hour=price,
            weights_format=self.session.built.weights.title,
        )
        return dataclasses.replace(
            result,
            capture_digest=digest(prepared.capture),
            claims=self._claims(prepared.capture.workload, described),
        )

    def _claims(self, workload: Workload, described: Chip) -> tuple[ClaimComparison, ...]:
        """Return the published result whose conditions are nearest, beside our band for them."""
        from crossgrade.ledger.claims import claims_for
        from crossgrade.ledger.compare import compare, nearest

        if self.options.dtype is not None:
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


def _constants(described: Chip) -> tuple[tuple[str, float, str, str], ...]:
    """Return every constant of a chip with its source in words."""
    from crossgrade.chips.validate import constants

    rows = []
    for name, constant in constants(described):
        source = described.source(constant.source)
        note = f"; {constant.note}" if constant.note else ""
        rows.append((name, constant.value, constant.unit,
                     f"{source.title}, {source.date}: {source.url}{note}"))  # fmt: skip
    return tuple(rows)


def render(
    assessment: Assessment,
    *,
    as_json: bool = False,
    everything: bool = False,
    terminal: bool = False,
    width: int = 120,
    colour: bool = False,
) -> str:
    """Return an assessment as text: JSON, terminal tables, or Markdown for pipes and files."""
    if as_json:
        import json

        from crossgrade.records.codec import to_json
        from crossgrade.values.number_kinds import NUMBER_KINDS

        data = to_json(assessment) | {"number_kinds": to_json(NUMBER_KINDS)}
        body = {"schema": 2, "command": "assess", "verdict": assessment.verdict, "data": data}
        return json.dumps(body, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    from crossgrade.report.assessment import assessment_document

    document = assessment_document(assessment, everything=everything)
    if terminal:
        from crossgrade.report.terminal import render_terminal

        return render_terminal(document, width=width, colour=colour)
    from crossgrade.report.markdown import render_markdown

    return render_markdown(document)


def _resolved(assessment: Assessment) -> dict[str, Any]:
    """Return what was used after defaults, aliases and detection."""
    return {
        "model": dataclasses.asdict(assessment.model),
        "chips": [c.chip for c in assessment.chips],
        "phases": [
            {"phase": p.phase, "batch": p.batch, "tokens": p.tokens, "context": p.context}
            for p in assessment.chips[0].phases
        ],
        "weights": assessment.weights_format,
    }


def write_record(
    model: str, options: AssessOptions, assessment: Assessment, folder: Path | None = None
) -> Path:
    """Write an assessment as a record and return its path.

    Args:
        model: what the user named.
        options: what the user asked.
        assessment: the answer.
        folder: where; None for `$CROSSGRADE_HOME/records` or the user's data folder.
    """
    import datetime
    import platform

    from crossgrade import __version__
    from crossgrade.records.codec import dump, seal, to_json
    from crossgrade.records.store import default_folder
    from crossgrade.values.record import Record

    now = datetime.datetime.now(datetime.UTC)
    record = seal(
        Record(
            kind="assessment",
            created=now.isoformat(timespec="seconds"),
            passed={"model": model, **to_json(options)},
            resolved=_resolved(assessment),
            environment={
                "crossgrade": __version__,
                "platform": platform.system(),
                "machine": platform.machine(),
                **assessment.environment,
            },
            verdict=assessment.verdict,
            data=to_json(assessment),
        )
    )
    name = re.sub(r"[^\w.-]+", "_", assessment.model.name)
    path = (
        folder or default_folder()
    ) / f"{now:%Y%m%dT%H%M%SZ}-assess-{name}-{record.digest[:8]}.json"
    dump(record, path)
    return path
