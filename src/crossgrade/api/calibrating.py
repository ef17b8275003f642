"""`calibrate`: the ceilings of a device measured, kept, and found again while they hold.

Wires plans, workers, journal, chip descriptions and records together; kernel points are
`calibrating_kernels`'. Must not know how a rate follows from samples.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadOption, BadRecord, InputError
from crossgrade.values.beside import CeilingsUsed
from crossgrade.values.calibration import CEILING_SEMANTICS, Ceilings, FoundCeilings, SheetRate
from crossgrade.values.kernel_calibration import FEWEST_POINTS, MOST_POINTS, KernelCalibration

if TYPE_CHECKING:
    from crossgrade.api.bench_book import Book
    from crossgrade.measure.events import CasePlan, Event
    from crossgrade.measure.source import Source
    from crossgrade.values.bench import BenchResult
    from crossgrade.values.chip import Chip
    from crossgrade.values.record import Record

Narrate = Callable[[str], None]
BUDGET_S = 40.0
"""Time where a session costs little: it is forked, or needs no process."""
BUDGET_FRESH_S = 300.0
"""Time where every session is a new interpreter that opens the device."""
POINT_S = 6.0
"""Time for one kernel point, s, at most: most are known well enough after one or two."""
LEAST_POINT_S = 0.4
"""Less than that does not hold five sessions of the smallest kernel."""
CEILINGS_SHARE = 0.25
"""Share of a time that the user gives which the ceilings get at most beside points."""
SYSTEM = (
    "platform", "machine", "kernel", "cpu", "cpus", "governor", "turbo_off", "hypervisor",
    "amdgpu_driver", "ascend_driver", "nvidia_driver",
)  # fmt: skip
"""Facts of the environment without which a calibration does not hold, beside every setting (`$...`)
and every fact of the target. Our own code and packages that the target does not name do not count.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """What is calibrated."""

    on: str = "cpu"
    """Target."""
    budget_s: float | None = None
    """Time for all sessions, s; None: by what a session costs on the target."""
    seed: int = 0
    """Seed of inputs and of orders."""
    folder: Path | None = None
    """Where the journal and the record go; a copy of the record goes to the user's records."""
    points: int = 0
    """Kernels that are timed beside the ceilings, for the predictor; 0: none."""
    chip: str = ""
    """Described chip that the device is; empty: by its name, or as probed."""

    def check(self) -> None:
        """Refuse what makes no sense; BadOption, or UnknownChip."""
        from crossgrade.chips.loader import load_chip

        if self.chip:
            load_chip(self.chip)
        if not self.on:
            raise BadOption("nothing to calibrate", hint="--on cpu")
        if self.budget_s is not None and not 1 <= self.budget_s < 1e7:
            raise BadOption(f"--budget {self.budget_s:g}", hint="a second or more")
        if self.points and not FEWEST_POINTS <= self.points <= MOST_POINTS:
            hint = f"{FEWEST_POINTS} to {MOST_POINTS}; 60 is a good start"
            raise BadOption(f"--points {self.points}", hint=hint)
        if self.points and self.points_s < LEAST_POINT_S * self.points:
            least = LEAST_POINT_S * self.points / (1 - CEILINGS_SHARE)
            raise BadOption(f"--budget {self.budget_s:g} is too short for {self.points} points",
                            hint=f"--budget {least:.0f} or more, or none")  # fmt: skip

    @property
    def seconds(self) -> float:
        """Return the time for the ceilings, s."""
        from crossgrade.targets.registry import is_simulated

        cheap = is_simulated(self.on) or self.on.partition(":")[0] == "cpu"
        usual = BUDGET_S if cheap else BUDGET_FRESH_S
        if self.budget_s is None:
            return usual
        return min(usual, CEILINGS_SHARE * self.budget_s) if self.points else self.budget_s

    @property
    def points_s(self) -> float:
        """Return the time for all points, s."""
        if self.budget_s is None:
            return POINT_S * self.points
        return self.budget_s - self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Ceilings as they were measured, and where their record lies."""

    ceilings: Ceilings
    """What was found."""
    record: str = ""
    """File of the record; empty: none was written."""
    digest: str = ""
    """Digest of the record."""
    sheet: tuple[SheetRate | None, ...] = ()
    """What the description of the device says of each rate; None where it says nothing."""
    taken_up: int = 0
    """Sessions that an earlier, interrupted run had taken."""
    kernels: KernelCalibration | None = None
    """Kernel points and what is fitted to them; None where none were asked for."""

    @property
    def exit_code(self) -> int:
        """0 every rate is as narrow as asked, and the points are fitted; 3 anything else."""
        return 3 if self.kernels is not None and self.kernels.why else self.ceilings.exit_code


def calibrate(
    options: CalibrateOptions, *, record: bool = True, narrate: Narrate = lambda text: None
) -> Calibration:
    """Return the ceilings of a device, measured, and write their record.

    Args:
        options: which device, and how long.
        record: whether a journal and a record are written.
        narrate: told what happens.

    Raises:
        BadOption: the options make no sense.
        UnknownTarget: no target has that name.
        TargetAbsent: the target is not here.
        FolderInUse: another run is writing there.
        UnknownChip: no chip has the name that is given.
    """
    from crossgrade.api.bench_book import Book
    from crossgrade.api.benching import source_of
    from crossgrade.environment.fingerprint import fingerprint
    from crossgrade.measure.ceilings import scouts

    options.check()
    environment = fingerprint()
    first = scouts(options.on, options.seconds, options.seed, "forked")
    with ExitStack() as stack:
        book = None
        if record:
            asked = (*first, *_asked(options))
            book = stack.enter_context(
                Book.of(options.folder, asked, environment, kind="calibration")
            )
            book.open(asked)
        source, chapter = source_of((options.on,), None, stack), _Chapter(book)
        ceilings = _measured(options, first, source, chapter, narrate)
        kernels = _kernels(options, ceilings, source, chapter, narrate)
        if book is None:
            return calibration_of(ceilings, kernels)
        return _kept(ceilings, kernels, options, environment, book)


def _asked(options: CalibrateOptions) -> tuple[Mapping[str, Any], ...]:
    """Return what beside the first products tells one run from another: nothing without points, so
    that an interrupted run of an earlier version is taken up."""
    if not options.points:
        return ()
    return ({"points": options.points, "budget_s": options.points_s, "chip": options.chip},)


def _measured(
    options: CalibrateOptions, first: Sequence[CasePlan], source: Source, chapter: _Chapter,
    narrate: Narrate,
) -> Ceilings:  # fmt: skip
    """Return the ceilings: scouts, then copies and what fits of each format."""
    from crossgrade.chips.devices import chip_of_device
    from crossgrade.measure.ceilings import copies, products, rates_of, verdict_of

    seconds, seed = options.seconds, options.seed
    scouted = chapter.run(first, source, seed, narrate)
    facts = {name: value for audit in scouted[0].audits for name, value in audit.facts}
    probed, cache_bytes = _host(facts, narrate)
    rest = (
        *copies(options.on, cache_bytes, seconds, seed, "forked"),
        *products(scouted, seconds, seed, "forked"),
    )
    measurements = (*scouted, *chapter.run(rest, source, seed, narrate))
    rates = rates_of(measurements)
    return Ceilings(
        target=options.on,
        facts=facts,
        verdict=verdict_of(rates),
        rates=rates,
        sheet=chip_of_device(facts.get("device", "")),
        probed=probed,
        measurements=measurements,
        spent_s=sum(m.spent_s for m in measurements),
    )


def _kernels(
    options: CalibrateOptions, ceilings: Ceilings, source: Source, chapter: _Chapter,
    narrate: Narrate,
) -> KernelCalibration | None:  # fmt: skip
    """Return the kernel points, fitted; None where none are asked for."""
    from crossgrade.api.calibrating_kernels import fitted, measured_points
    from crossgrade.measure.ceilings import PRODUCTS

    if not options.points:
        return None
    found = measured_points(
        ceilings, ceilings.measurements[: len(PRODUCTS)], options.points, options.points_s,
        options.seed, lambda plans: chapter.run(plans, source, options.seed, narrate),
    )  # fmt: skip
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    return fitted(found, ceilings, options.chip, when, narrate)


def _host(facts: Mapping[str, str], narrate: Narrate) -> tuple[Chip | None, float]:
    """Return the probed description and the last-level cache, bytes, where the device is this CPU;
    None and 0 elsewhere."""
    from crossgrade.chips.probe import probe_cpu, read_host

    host = read_host()
    if facts.get("device") != host.model:
        return None, 0.0
    narrate("probing what numpy reaches on this CPU")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return probe_cpu(date=today, host=host), host.cache_bytes


class _Chapter:
    """A store for runs that follow each other in one book: each is given what concerns it."""

    def __init__(self, book: Book | None) -> None:
        self._book = book
        self._events: list[Event] = list(book.events()) if book else []
        self._keys: frozenset[str] = frozenset()

    def run(
        self, plans: Sequence[CasePlan], source: Source, seed: int, narrate: Narrate
    ) -> tuple[BenchResult, ...]:
        """Return the results of some plans, in their order; targets are audited once."""
        from crossgrade.measure.harness import run

        self._keys = frozenset(plan.key for plan in plans)
        found = dict(run(plans, source, store=self, seed=seed, narrate=narrate))
        return tuple(found[plan.key] for plan in plans)

    def events(self) -> Iterator[Event]:
        """Yield what is kept of these plans, and of the target."""
        return iter([e for e in self._events if getattr(e, "key", None) in {None, *self._keys}])

    def keep(self, event: Event) -> None:
        """Keep an event, in the book too."""
        if self._book is not None:
            self._book.keep(event)
        self._events.append(event)


# the record ------------------------------------------------------------------------------------
def _kept(
    ceilings: Ceilings, kernels: KernelCalibration | None, options: CalibrateOptions,
    environment: Mapping[str, str], book: Book,
) -> Calibration:  # fmt: skip
    """Write the record, and a copy among the user's records where it does not lie there."""
    from crossgrade.records.codec import load

    path = Path(book.write_record(
        "calibration", lambda: _record(ceilings, kernels, options, environment)))  # fmt: skip
    book.finish()
    record = load(path)
    if options.folder is not None:
        _copied(record)
    return replace(calibration_of(ceilings, kernels), record=str(path), digest=record.digest,
                   taken_up=book.taken_up)  # fmt: skip


def _copied(record: Record) -> Path:
    """Write a record among the user's; return its path."""
    from crossgrade.records.codec import dump
    from crossgrade.records.store import default_folder

    stamp = record.created.replace("-", "").replace(":", "")[:15]
    path = default_folder() / f"{stamp}Z-calibration-{record.digest[:8]}.json"
    dump(record, path)
    return path


def calibration_of(ceilings: Ceilings, kernels: KernelCalibration | None = None) -> Calibration:
    """Return ceilings with what the description of the device says of each."""
    from crossgrade.api.shares import described, sheet_rate

    chip = described(ceilings.sheet, ceilings)
    return Calibration(
        ceilings=ceilings,
        sheet=tuple(sheet_rate(chip, one.work, one.precision) for one in ceilings.rates),
        kernels=kernels,
    )


def stored_calibration(path: Path) -> Calibration:
    """Return the calibration that a record holds.

    Raises:
        BadRecord: the file is no record of one, or was changed.
        FutureSchema: a newer crossgrade wrote it.
    """
    from crossgrade.api.calibrating_kernels import kernels_of

    record = _calibration(path)
    found = calibration_of(_ceilings(record), kernels_of(record.data))
    return replace(found, record=str(path), digest=record.digest)


def _calibration(path: Path) -> Record:
    record = _load(path)
    if record.kind != "calibration":
        raise BadRecord(f"'{path}' is no calibration: it is of kind {record.kind}")
    return record


def fit_stored(
    path: Path, chip: str = "", *, record: bool = True, narrate: Narrate = lambda text: None
) -> Calibration:
    """Return the calibration of a record with its points fitted anew, and write it as a record.

    Nothing is measured, and the record that is read stays as it is.

    Args:
        path: record with kernel points.
        chip: described chip that the device is; empty: by its name, or as probed.
        record: whether a record is written, among the user's.
        narrate: told what happens.

    Raises:
        BadRecord: the file is no record of a calibration, or has no points.
        UnknownChip: no chip has that name.
    """
    from crossgrade.api.calibrating_kernels import KEY, fitted, kernels_of
    from crossgrade.records.codec import seal, to_json

    before = _calibration(path)
    ceilings, kernels = _ceilings(before), kernels_of(before.data)
    if kernels is None:
        raise BadRecord(f"'{path}' has no kernel points", hint="crossgrade calibrate --points 60")
    found = calibration_of(ceilings, fitted(kernels, ceilings, chip, before.created, narrate))
    if not record:
        return found
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    after = seal(replace(
        before, created=now, data={**before.data, KEY: to_json(found.kernels)},
        resolved={**before.resolved, "fitted_from": before.digest}, digest="",
    ))  # fmt: skip
    return replace(found, record=str(_copied(after)), digest=after.digest)


def _record(
    ceilings: Ceilings, kernels: KernelCalibration | None, options: CalibrateOptions,
    environment: Mapping[str, str],
) -> Record:  # fmt: skip
    from crossgrade.api.bench_book import passed_of
    from crossgrade.api.calibrating_kernels import KEY
    from crossgrade.records.codec import seal, to_json
    from crossgrade.values.record import Record

    now = datetime.datetime.now(datetime.UTC)
    facts = {f"{ceilings.target} {name}": value for name, value in ceilings.facts.items()}
    data, resolved = to_json(ceilings), {"on": ceilings.target, "budget_s": options.seconds,
                                         "sheet": ceilings.sheet}  # fmt: skip
    if kernels is not None:
        data = {**data, KEY: to_json(kernels)}
        resolved = {**resolved, "points_s": options.points_s, "chip": kernels.chip}
    return seal(
        Record(
            kind="calibration",
            created=now.isoformat(timespec="seconds"),
            passed=passed_of(options),
            resolved=resolved,
            environment={**environment, **facts},
            verdict=ceilings.verdict,
            data=data,
        )
    )


# found again -----------------------------------------------------------------------------------
def ceilings_for(
    target: str,
    facts: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> FoundCeilings:
    """Return the newest calibration that holds for a device, or why there is none.

    It holds where everything that the target says of itself, the system, its drivers and the
    settings are the same. One that does not is not used, and what differs is told.

    Args:
        target: specification of the target.
        facts: what the target says of itself now, as in its timer audit.
        environment: facts of the machine; None: of this one, now.
        folder: where records lie; None: the user's records.
    """
    from crossgrade.chips.devices import chip_of_device
    from crossgrade.environment.fingerprint import fingerprint

    now = _deciding(facts, fingerprint() if environment is None else environment)
    device = facts.get("device", "")
    about = CeilingsUsed(target=target, device=device, sheet=chip_of_device(device))
    for path in calibration_files(folder):
        try:
            record = _load(path)
            if not _same_device(record, target, device):
                continue
            changed = _changed(record, now)
            ceilings = None if changed else _ceilings(record)
        except InputError as error:
            lost = (*about.unreadable, f"{path.name}: {error.message}")
            about = replace(about, unreadable=lost)
            continue
        if ceilings is not None:
            return FoundCeilings(used=_held(about, record, path), ceilings=ceilings)
        if not about.stale:
            about = replace(about, created=record.created, stale=changed)
    return FoundCeilings(used=about, ceilings=None)


def _held(about: CeilingsUsed, record: Record, path: Path) -> CeilingsUsed:
    """Return what is known of a calibration that holds."""
    return replace(about, digest=record.digest, path=str(path), created=record.created, stale=())


def calibration_files(folder: Path | None) -> list[Path]:
    """Return the files of calibrations, the newest first: their names begin with the time."""
    from crossgrade.records.store import default_folder

    place = default_folder() if folder is None else folder
    found = [*place.glob("*-calibration-*/calibration.json"), *place.glob("*-calibration-*.json")]
    return sorted(found, key=lambda path: str(path.relative_to(place)), reverse=True)


def _load(path: Path) -> Record:
    from crossgrade.records.codec import load

    return load(path)


def _ceilings(record: Record) -> Ceilings:
    from crossgrade.api.calibrating_kernels import without_kernels
    from crossgrade.records.typed import from_json

    return from_json(Ceilings, without_kernels(record.data))


def _same_device(record: Record, target: str, device: str) -> bool:
    """Return whether a record is a calibration of a device of that name through that runtime."""
    data = record.data
    return (
        record.kind == "calibration"
        and data["semantics"] == CEILING_SEMANTICS
        and data["target"].partition(":")[0] == target.partition(":")[0]
        and data["facts"].get("device", "") == device
    )


def _deciding(facts: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what has to be the same for a calibration to hold."""
    system = {k: v for k, v in environment.items() if k in SYSTEM or k.startswith("$")}
    return {**system, **facts}


def changed_system(record: Record) -> tuple[str, ...]:
    """Return what differs of system, drivers and settings between a calibration and now."""
    from crossgrade.environment.fingerprint import fingerprint

    return _changed(record, _deciding(record.data["facts"], fingerprint()))


def _changed(record: Record, now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what differs between a calibration and now."""
    before = _deciding(record.data["facts"], record.environment)
    names = sorted({*before, *now})
    return tuple(
        f"{name}: {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in names
        if before.get(name) != now.get(name)
    )
