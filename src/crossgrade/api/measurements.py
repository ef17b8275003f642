"""Measured times of an assessment: records of `bench model` for the same model, phase and device.

Must not know how a record is measured, nor how an answer is shown.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import CrossgradeError
from crossgrade.units import things
from crossgrade.values.assessment import MeasuredTime, PhaseAssessment
from crossgrade.values.bench import ANCHOR, BenchResult, Interval, VariantResult
from crossgrade.values.beside import Place
from crossgrade.values.model_case import ModelCase
from crossgrade.values.workload import Phase, Workload

if TYPE_CHECKING:
    from crossgrade.values.record import Record

_MOST = 400
"""Newest records of a phase that are read."""
_HERE = "cpu"
"""Name of the chip that is this machine's processor."""
_DECIDING = ("platform", "machine", "cpu", "cpus", "hypervisor")
"""Facts of the environment without which a record is of another machine than this one."""
_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One variant of one record with a time."""

    record: Record
    path: Path
    result: BenchResult
    row: VariantResult
    target: str
    facts: Mapping[str, str]
    case: ModelCase

    @property
    def time(self) -> Interval:
        """Return its time."""
        assert self.row.time_s is not None
        return self.row.time_s

    @property
    def sessions(self) -> int:
        """Return how many sessions have a sample of it that counts."""
        from crossgrade.measure.strips import strips_of

        return sum(len(s.sessions_s) for s in strips_of(self.result) if s.variant == self.row.name)

    @property
    def narrow(self) -> bool:
        """Return whether its own time is known as well as was asked; the verdict of a record of
        several targets is about their ratios."""
        plan = self.result.plan
        return self.time.half_width <= plan.half_width and self.sessions >= plan.least_sessions


@dataclass(slots=True, kw_only=True)
class Measurements:
    """What records say of one model; they are read once per phase."""

    config: Mapping[str, Any] | None
    """Configuration of the model; None: it has none, and nothing is found."""
    dtype: str | None
    """Format that weights are held in, user's name; None: of a checkpoint that is quantised, which
    is never run as it is stored."""
    folders: Sequence[Path]
    """Where records lie."""
    environment: Mapping[str, str]
    """Facts of this machine."""
    unreadable: list[str] = field(default_factory=list)
    """Records that could not be read, and why."""
    _known: dict[Phase, list[_Found]] = field(default_factory=dict)

    def beside(
        self, phase: PhaseAssessment, workload: Workload, chip: str, *, single: bool
    ) -> tuple[tuple[MeasuredTime, ...], tuple[str, ...]]:
        """Return the measured times of a phase on a chip, and other sizes that are measured.

        Args:
            phase: what is predicted of it.
            workload: the phase with its sizes.
            chip: name of the description.
            single: whether the prediction is for one chip, as the measurement is.
        """
        # Adapters, and caches in another format than the module's, are not measured.
        if self.config is None or self.dtype is None or workload.lora_rank or workload.kv:
            return (), ()
        ours = [one for one in self._of(workload.phase) if self._on(one, chip)]
        same = [one for one in ours if self._same(one.case, workload)]
        best: dict[tuple[str, str], _Found] = {}
        for one in sorted(same, key=lambda one: not one.narrow):  # of equals the newest
            best.setdefault((one.target, one.case.weights), one)
        times = [self._time(one, phase, workload, chip, single) for one in best.values()]
        near = dict.fromkeys(_sizes(one.case) for one in ours) if not same else {}
        times.sort(key=lambda t: (t.verdict != "measured", t.time_s.value))
        return tuple(times), tuple(near)

    def _of(self, phase: Phase) -> list[_Found]:
        if phase not in self._known:
            self._known[phase] = list(self._read(phase))
        return self._known[phase]

    def _read(self, phase: Phase) -> Iterator[_Found]:
        """Yield variants of this model with a time, the newest record first."""
        from crossgrade.api.keeping import bench_result, load_record

        loaded = []
        for path, root in self._files(phase):
            try:
                record = load_record(path)
                if record.kind == "bench":
                    place = path.relative_to(root)
                    loaded.append((record, place, bench_result(record, path)))
            except CrossgradeError as error:
                self.unreadable.append(f"{path.name}: {error.message}")
        for record, path, result in sorted(loaded, key=lambda one: one[0].created, reverse=True):
            yield from self._variants(record, path, result)

    def _files(self, phase: Phase) -> list[tuple[Path, Path]]:
        """Return files that a run names as it names records of the phase, with their folder.

        The newest of them; how many are left out is told with those that cannot be read.
        """
        dated: dict[Path, tuple[float, Path]] = {}
        for folder in self.folders:
            for path in folder.glob(f"**/*-{phase}-*.json"):
                with contextlib.suppress(OSError):  # gone meanwhile
                    dated.setdefault(path, (path.stat().st_mtime, folder))
        newest = sorted(dated, key=lambda path: dated[path][0], reverse=True)
        if len(newest) > _MOST:
            self.unreadable.append(f"{len(newest) - _MOST} older records of {phase} were left out")
        return [(path, dated[path][1]) for path in newest[:_MOST]]

    def _variants(self, record: Record, path: Path, result: BenchResult) -> Iterator[_Found]:
        cases = {v.name: v for v in result.plan.variants}
        facts = {audit.target: dict(audit.facts) for audit in result.audits}
        for row in result.variants:
            if row.name == ANCHOR or row.status != "ok" or row.time_s is None:
                continue
            case, target = cases[row.name].case, cases[row.name].target
            if result.plan.cache != "hot" or not isinstance(case, ModelCase) or case.compute:
                continue
            if case.config == self.config:
                yield _Found(record=record, path=path, result=result, row=row, target=target,
                             facts=facts.get(target, {}), case=case)  # fmt: skip

    def _on(self, one: _Found, chip: str) -> bool:
        """Return whether it was measured on such a chip; of `cpu`, on this machine."""
        from crossgrade.chips.devices import chip_of_device

        if chip == _HERE:
            device = one.facts.get("device", "")
            here = all(one.record.environment.get(n) == self.environment.get(n) for n in _DECIDING)
            return here and not chip_of_device(device) and _is_host(one, self.environment)
        return chip_of_device(one.facts.get("device", "")) == chip

    def _same(self, case: ModelCase, workload: Workload) -> bool:
        asked = (workload.batch, workload.tokens, workload.context, dict(workload.sizes),
                 self.dtype)  # fmt: skip
        ran = case.workload
        has = (ran.batch, ran.tokens, ran.context, dict(ran.sizes), ran.dtype)
        trained = workload.phase != "train" or ran.optimizer == workload.optimizer
        return asked == has and trained

    def _time(
        self, one: _Found, phase: PhaseAssessment, workload: Workload, chip: str, single: bool
    ) -> MeasuredTime:
        time = one.time
        band = phase.speed.time_s if phase.speed and single else None
        place: Place | None = None
        if band is not None and band.holds(time.value):
            place = "inside"
        elif band is not None:
            place = "above" if time.value > band.high else "below"
        return MeasuredTime(
            target=one.target,
            device=one.facts.get("device", ""),
            runtime=one.facts.get("runtime", ""),
            weights=Path(one.case.weights).name if one.case.weights else "random",
            time_s=time,
            tokens_per_s=Interval(
                value=workload.items / time.value,
                low=workload.items / time.high,
                high=workload.items / time.low if time.low else math.inf,
            ),
            verdict="measured" if one.narrow else "noisy",
            sessions=one.sessions,
            place=place,
            created=one.record.created,
            record=one.path.as_posix(),
            digest=one.record.digest,
            remarks=tuple(self._remarks(one, chip)),
        )

    def _remarks(self, one: _Found, chip: str) -> Iterator[str]:
        """Yield what the record says against its numbers, and of this machine what differs."""
        yield from one.result.remarks
        if one.result.lost:
            yield f"{things(len(one.result.lost), 'session')} gave nothing"
        seen = one.result.observed.get(one.row.name)
        if seen is not None and seen.unchecked:
            yield f"its output was not compared with a trusted run: {seen.unchecked}"
        if chip == _HERE:
            before, now = one.record.environment, self.environment
            other = [f"{n} {before.get(n, 'none')}, now {now.get(n, 'none')}"
                     for n in sorted({*before} | {*now})
                     if before.get(n) != now.get(n) and _decides(n, one.facts)]  # fmt: skip
            if other:
                more = f" and {len(other) - _TOLD} more" if len(other) > _TOLD else ""
                yield f"measured with {'; '.join(other[:_TOLD])}{more}"
        yield from one.result.notes.get(one.row.name, ())


def _decides(name: str, facts: Mapping[str, str]) -> bool:
    """Return whether a fact of the environment may change a time: the system's settings, and
    packages that the target names as its own."""
    from crossgrade.api.calibrating import SYSTEM

    packages = {value.split()[0] for value in facts.values() if value}
    return name in SYSTEM or name.startswith("$") or name in {*packages, "transformers"}


def _is_host(one: _Found, environment: Mapping[str, str]) -> bool:
    """Return whether a target computes on the processor of its host, whose model is known: where
    a system only tells the kind of processor, no two can be told apart."""
    name = environment.get("cpu", "")
    known = name and name not in {environment.get("machine", ""), "arm", "aarch64", "i386"}
    return bool(known) and one.facts.get("device", "") == name


def _sizes(case: ModelCase) -> str:
    """Return the options that give a case."""
    told = [f"--batch {case.batch}", f"--tokens {case.tokens}"]
    if case.phase == "decode":
        told.append(f"--context {case.context}")
    if case.phase == "train":
        told.append(f"--optimizer {case.optimizer}")
    own = [f"--size {name}={value}" for name, value in case.sizes.items()]
    return " ".join([f"--phase {case.phase}", *told, *own, f"--dtype {case.workload.dtype}"])
