"""Kernel points of a calibration: measured, fitted, fitted anew, and found for the predictor.

Wires points, chip descriptions, the fit and records together. Must not know how kernels are chosen
nor how a fit works.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crossgrade.errors import BadRecord, CrossgradeError
from crossgrade.values.kernel_calibration import POINTS_SEMANTICS, KernelCalibration

if TYPE_CHECKING:
    from crossgrade.measure.events import CasePlan
    from crossgrade.predict.silicon.knowledge import Fit, Knowledge
    from crossgrade.values.bench import BenchResult
    from crossgrade.values.calibration import Ceilings
    from crossgrade.values.chip import Chip
    from crossgrade.values.record import Record

Narrate = Callable[[str], None]
Run = Callable[["Sequence[CasePlan]"], "tuple[BenchResult, ...]"]
"""Measures some plans, in their order."""
KEY: Final = "kernels"
"""Where a record of a calibration has its points; not there where none were asked for."""
INSTALL: Final = "pip install 'crossgrade[fit]'"


# measured --------------------------------------------------------------------------------------
def measured_points(
    ceilings: Ceilings, scouted: Sequence[BenchResult], count: int, budget_s: float, seed: int,
    run: Run,
) -> KernelCalibration:  # fmt: skip
    """Return the points of a device, not fitted yet.

    Args:
        ceilings: what it was seen to reach; decides which sizes fit into the time.
        scouted: the small products among its measurements.
        count: points.
        budget_s: time for all of them, s.
        seed: of inputs and of odd sizes.
        run: measures.
    """
    from crossgrade.measure.points import chosen, points_of, reach_of

    reach = reach_of(scouted, ceilings.rates)
    chapters = chosen(ceilings.target, reach, count, budget_s, seed, "forked")
    measurements = tuple(result for chapter in chapters for result in run(chapter))
    return KernelCalibration(
        wanted=count, chip="", stack=stack_of(ceilings.target, ceilings.facts),
        points=points_of(measurements), measurements=measurements,
    )  # fmt: skip


def stack_of(target: str, facts: Mapping[str, str]) -> str:
    """Return whose kernels a target runs: the compiler's where it has one, else the runtime's."""
    name = target.partition(":")[0]
    return name if "compiler" in facts else facts.get("runtime", name).split()[0].partition(":")[0]


# fitted ----------------------------------------------------------------------------------------
def fitted(
    kernels: KernelCalibration, ceilings: Ceilings, chip: str, when: str, narrate: Narrate
) -> KernelCalibration:
    """Return points with what is fitted to them, or with the reason why nothing is.

    Args:
        kernels: measured points.
        ceilings: what was measured beside them; knows the device.
        chip: name of the described chip that it is; empty: by the device's name, or as probed.
        when: date of the measurement.
        narrate: told what happens.

    Raises:
        UnknownChip: no chip has that name.
    """
    from crossgrade.api.shares import described
    from crossgrade.chips.loader import load_chip

    about = load_chip(chip) if chip else described(ceilings.sheet, ceilings)
    bare = replace(kernels, chip=about.name if about else "", scores=(), fits=(), why="")
    if about is None:
        device = ceilings.facts.get("device", ceilings.target)
        return replace(bare, why=f"no described chip is known to be `{device}`: "
                       "crossgrade calibrate --fit RECORD --chip NAME")  # fmt: skip
    if importlib.util.find_spec("scipy") is None:
        return replace(bare, why=f"scipy is not installed: {INSTALL}, then "
                       "crossgrade calibrate --fit RECORD")  # fmt: skip
    narrate(f"fitting {len(kernels.points)} points")
    return _with_fits(bare, about, _source(ceilings, when))


def _with_fits(bare: KernelCalibration, chip: Chip, source: str) -> KernelCalibration:
    from crossgrade.predict.calibration import calibrated
    from crossgrade.predict.silicon.knowledge import entries

    found = calibrated(bare.points, chip, bare.stack, source)
    why = "" if found.fits else "no kind of kernel has enough points with a time"
    return replace(bare, scores=found.scores, fits=entries(found.fits), why=why)


def _source(ceilings: Ceilings, when: str) -> str:
    facts = ceilings.facts
    return (f"calibration of {facts.get('device', ceilings.target)} through "
            f"{facts.get('runtime', ceilings.target)}, {when[:10]}")  # fmt: skip


# found again -----------------------------------------------------------------------------------
def kernels_of(data: Mapping[str, Any]) -> KernelCalibration | None:
    """Return the points of a record's data; None where it has none.

    Raises:
        BadRecord: they do not fit the description of the fields.
    """
    from crossgrade.records.typed import from_json

    return from_json(KernelCalibration, data[KEY], KEY) if KEY in data else None


def without_kernels(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's data without its points: the ceilings."""
    return {name: value for name, value in data.items() if name != KEY}


def knowledge_for(
    chip: Chip, *, calibrations: Sequence[Path] = (), folder: Path | None = None
) -> Knowledge:
    """Return what is known of kernels for a chip: what ships, and calibrations of it, which rule.

    Of the user's calibrations the newest counts for each kind of kernel. One of a probed CPU counts
    on the same CPU with the same system and settings.

    Args:
        chip: the chip.
        calibrations: records that go before the user's own where they are of the chip.
        folder: where records lie; None: the user's records.

    Raises:
        BadRecord: one of those records is none of a calibration, or has no fits.
    """
    from crossgrade.api.calibrating import calibration_files
    from crossgrade.predict.silicon.knowledge import shipped
    from crossgrade.records.codec import load

    named = [calibrated_chip(path) for path in calibrations]
    fits = [fit for name, own in named if name == chip.name for fit in own]
    for path in calibration_files(folder):
        try:
            record = load(path)
            usable = _is_of(record, chip) and not _outdated(record)
            found = _fits(record, path) if usable else ()
        except CrossgradeError:
            continue
        known = {(fit.chip, fit.kind) for fit in fits}
        fits += [fit for fit in found if (fit.chip, fit.kind) not in known]
    return shipped().joined(fits)


def calibrated_chip(path: Path) -> tuple[str, tuple[Fit, ...]]:
    """Return the chip of a calibration that the user names, and its fits.

    Raises:
        BadRecord: it is none of a calibration, or has no fits.
    """
    from crossgrade.records.codec import load

    record = load(path)
    found = _fits(record, path) if record.kind == "calibration" else ()
    if not found:
        raise BadRecord(f"'{path}' has no fitted kernels",
                        hint="crossgrade calibrate --points 60 makes such a record")  # fmt: skip
    return record.data[KEY]["chip"], found


def _fits(record: Record, path: Path) -> tuple[Fit, ...]:
    from crossgrade.predict.silicon.knowledge import from_calibration

    try:
        return from_calibration(record.data)
    except (ValueError, KeyError, TypeError) as error:
        raise BadRecord(f"'{path}': its fits cannot be read: {error}") from error


def _is_of(record: Record, chip: Chip) -> bool:
    """Return whether a record has points of a chip; of a probed one, of that very processor."""
    kernels = record.data.get(KEY) if record.kind == "calibration" else None
    if not kernels or kernels["semantics"] != POINTS_SEMANTICS or kernels["chip"] != chip.name:
        return False
    return not _probed(record, chip.name) or record.data["probed"]["title"] == chip.title


def _probed(record: Record, name: str) -> bool:
    probed = record.data.get("probed")
    return probed is not None and probed["name"] == name


def _outdated(record: Record) -> bool:
    """Return whether a probed CPU has another system or other settings by now."""
    from crossgrade.api.calibrating import changed_system

    return _probed(record, record.data[KEY]["chip"]) and bool(changed_system(record))
