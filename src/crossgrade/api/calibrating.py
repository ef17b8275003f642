"""`calibrate`: the ceilings of a device measured, kept, and found again while they hold.

Wires plans, workers, journal, chip descriptions and records together. Must not know how a rate
follows from samples.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.errors import BadOption, BadRecord, InputError
from crossgrade.values.beside import CeilingsUsed
from crossgrade.values.calibration import CEILING_SEMANTICS, Ceilings, FoundCeilings, SheetRate

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

    def check(self) -> None:
        """Refuse what makes no sense; BadOption."""
        if not self.on:
            raise BadOption("nothing to calibrate", hint="--on cpu")
        if self.budget_s is not None and not 1 <= self.budget_s < 1e7:
            raise BadOption(f"--budget {self.budget_s:g}", hint="a second or more")

    @property
    def seconds(self) -> float:
        """Return the time for all sessions, s."""
        from crossgrade.targets.registry import is_simulated

        if self.budget_s is not None:
            return self.budget_s
        cheap = is_simulated(self.on) or self.on.partition(":")[0] == "cpu"
        return BUDGET_S if cheap else BUDGET_FRESH_S


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
            book = stack.enter_context(
                Book.of(options.folder, first, environment, kind="calibration")
            )
            book.open(first)
        source = source_of((options.on,), None, stack)
        ceilings = _measured(options, first, source, _Chapter(book), narrate)
        if book is None:
            return calibration_of(ceilings)
        return _kept(ceilings, options, environment, book)


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
    ceilings: Ceilings, options: CalibrateOptions, environment: Mapping[str, str], book: Book
) -> Calibration:
    """Write the record, and a copy among the user's records where it does not lie there."""
    from crossgrade.records.codec import dump, load
    from crossgrade.records.store import default_folder

    path = Path(book.write_record(
        "calibration", lambda: _record(ceilings, options, environment)))  # fmt: skip
    book.finish()
    record = load(path)
    if options.folder is not None:
        stamp = record.created.replace("-", "").replace(":", "")[:15]
        dump(record, default_folder() / f"{stamp}Z-calibration-{record.digest[:8]}.json")
    return replace(calibration_of(ceilings), record=str(path), digest=record.digest,
                   taken_up=book.taken_up)  # fmt: skip


def calibration_of(ceilings: Ceilings) -> Calibration:
    """Return ceilings with what the description of the device says of each."""
    from crossgrade.api.shares import described, sheet_rate

    chip = described(ceilings.sheet, ceilings)
    return Calibration(
        ceilings=ceilings,
        sheet=tuple(sheet_rate(chip, one.work, one.precision) for one in ceilings.rates),
    )


def stored_calibration(path: Path) -> Calibration:
    """Return the calibration that a record holds.

    Raises:
        BadRecord: the file is no record of one, or was changed.
        FutureSchema: a newer crossgrade wrote it.
    """
    record = _load(path)
    if record.kind != "calibration":
        raise BadRecord(f"'{path}' is no calibration: it is of kind {record.kind}")
    found = calibration_of(_ceilings(record))
    return replace(found, record=str(path), digest=record.digest)


def _record(
    ceilings: Ceilings, options: CalibrateOptions, environment: Mapping[str, str]
) -> Record:
    from crossgrade.api.bench_book import passed_of
    from crossgrade.records.codec import seal, to_json
    from crossgrade.values.record import Record

    now = datetime.datetime.now(datetime.UTC)
    facts = {f"{ceilings.target} {name}": value for name, value in ceilings.facts.items()}
    return seal(
        Record(
            kind="calibration",
            created=now.isoformat(timespec="seconds"),
            passed=passed_of(options),
            resolved={"on": ceilings.target, "budget_s": options.seconds, "sheet": ceilings.sheet},
            environment={**environment, **facts},
            verdict=ceilings.verdict,
            data=to_json(ceilings),
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
    for path in _calibrations(folder):
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


def _calibrations(folder: Path | None) -> list[Path]:
    """Return the files of calibrations, the newest first: their names begin with the time."""
    from crossgrade.records.store import default_folder

    place = default_folder() if folder is None else folder
    found = [*place.glob("*-calibration-*/calibration.json"), *place.glob("*-calibration-*.json")]
    return sorted(found, key=lambda path: str(path.relative_to(place)), reverse=True)


def _load(path: Path) -> Record:
    from crossgrade.records.codec import load

    return load(path)


def _ceilings(record: Record) -> Ceilings:
    from crossgrade.records.typed import from_json

    return from_json(Ceilings, record.data)


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


def _changed(record: Record, now: Mapping[str, str]) -> tuple[str, ...]:
    """Return what differs between a calibration and now."""
    before = _deciding(record.data["facts"], record.environment)
    names = sorted({*before, *now})
    return tuple(
        f"{name}: {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in names
        if before.get(name) != now.get(name)
    )
