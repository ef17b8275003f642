"""What stands beside measured times: shares of ceilings and data sheets, predicted bands.

Worked out when a result is shown, from its record and from a calibration and a chip description
that are named: a record stays what was measured, and a later calibration serves an older record.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crossgrade.values.bench import ANCHOR, BenchRow, BenchRun, VariantResult
from crossgrade.values.beside import Beside, BesideReason, Predicted, Share
from crossgrade.values.calibration import Ceilings, CeilingWork, FoundCeilings, SheetRate
from crossgrade.values.precision import DTYPES

if TYPE_CHECKING:
    from crossgrade.values.case import Case
    from crossgrade.values.chip import Chip

Narrate = Callable[[str], None]
_PRECISIONS = {**{d.name: d.precision for d in DTYPES}, "tfloat32": "tf32"}
"""torch's name of a format -> that of its arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is known of the device of one target."""

    found: FoundCeilings
    """Its calibration."""
    chip: Chip | None
    """Its data sheet; of a CPU what numpy reaches, as its calibration has it. None: neither."""


def with_beside(
    run: BenchRun,
    narrate: Narrate = lambda text: None,
    environments: Mapping[str, Mapping[str, str]] | None = None,
) -> BenchRun:
    """Return a run with shares and bands beside its times, and which calibrations they rest on.

    Args:
        run: measurements.
        narrate: told what takes time.
        environments: key of a row -> facts of the machine that it was measured on; None: the run's.
    """
    known: dict[tuple[object, ...], Device] = {}
    rows = []
    with contextlib.redirect_stdout(sys.stderr):  # building a model may print
        for row in run.rows:
            environment = (environments or {}).get(row.key, run.environment)
            devices = _devices(row, environment, known)
            if any(device.chip for device in devices.values()):
                narrate(f"predicting {row.result.plan.variants[0].case.title}")
            rows.append(replace(row, beside=tuple(_beside(row, devices))))
    used = tuple(dict.fromkeys(device.found.used for device in known.values()))
    return replace(run, rows=tuple(rows), ceilings=used)


def _devices(
    row: BenchRow, environment: Mapping[str, str], known: dict[tuple[object, ...], Device]
) -> dict[str, Device]:
    """Return target -> device of a row; one that was looked for already is in `known`."""
    found: dict[str, Device] = {}
    for audit in row.result.audits:
        key = (audit.target, audit.facts, tuple(sorted(environment.items())))
        if key not in known:
            known[key] = device_of(audit.target, dict(audit.facts), environment)
        found[audit.target] = known[key]
    return found


def device_of(target: str, facts: Mapping[str, str], environment: Mapping[str, str]) -> Device:
    """Return what is known of the device of a target.

    Args:
        target: its specification.
        facts: what it says of itself.
        environment: facts of the machine that it was measured on.
    """
    from crossgrade.api.calibrating import ceilings_for

    found = ceilings_for(target, facts, environment)
    return Device(found=found, chip=described(found.used.sheet, found.ceilings))


def described(sheet: str, ceilings: Ceilings | None) -> Chip | None:
    """Return the description of a device: its data sheet, else what numpy reaches on a CPU."""
    if sheet:
        from crossgrade.chips.loader import load_chip

        return load_chip(sheet)
    return ceilings.probed if ceilings else None


def sheet_rate(chip: Chip | None, work: CeilingWork, precision: str | None) -> SheetRate | None:
    """Return the rate that a description has for a kind of work; None where it has none.

    Of a format without a matrix engine the vector engine's rate is meant, never that of another
    format.
    """
    if chip is None:
        return None
    constant = chip.memory_bandwidth if work == "copy" else None
    if work == "matmul":
        peaks = [p for engine in ("matrix", "vector") for p in chip.peaks
                 if p.engine == engine and p.precision == precision]  # fmt: skip
        constant = peaks[0].rate if peaks else None
    if constant is None:
        return None
    source = chip.source(constant.source)
    return SheetRate(value=constant.value, kind=source.kind, source=source.title, url=source.url)


def _beside(row: BenchRow, devices: Mapping[str, Device]) -> Iterator[Beside]:
    plan = row.result.plan
    variants = {v.name: v for v in plan.variants}
    for found in row.result.variants:
        device = devices.get(variants[found.name].target) if found.name != ANCHOR else None
        if device is None:
            continue
        case = variants[found.name].case
        predicted = _predicted(case, found, device)
        time = found.time_s
        yield Beside(
            variant=found.name,
            ceiling=_of_ceilings(case, found, device.found),
            sheet=_of_sheet(case, found, device.chip),
            predicted=predicted,
            place=predicted.place(time.value) if time else None,
        )


def _predicted(case: Case, found: VariantResult, device: Device) -> Predicted:
    """Return the band; nothing is captured for a case without a time."""
    from crossgrade.api.predicting import predicted_for

    if found.time_s is None:
        return Predicted(chip="", band=None, reason="no-time")
    if device.chip is None:
        return Predicted(chip="", band=None, reason="no-chip")
    return predicted_for(case, device.chip)


def _of_ceilings(case: Case, row: VariantResult, found: FoundCeilings) -> Share:
    if found.ceilings is None:
        reason: BesideReason = "stale-ceilings" if found.used.stale else "no-ceilings"
        return _nothing(reason, "; ".join(found.used.stale[:3]))
    precision = _PRECISIONS.get(case.dtype)
    product = found.ceilings.rate("matmul", precision) if precision else None
    copy = found.ceilings.rate("copy")
    return _share(
        row,
        precision or "",
        product.rate.value if product and product.rate else None,
        copy.rate.value if copy and copy.rate else None,
        Share(of=f"calibration {found.used.digest[:8]}", kind="measured", compute=None,
              bandwidth=None, bound=None),
    )  # fmt: skip


def _of_sheet(case: Case, row: VariantResult, chip: Chip | None) -> Share:
    if chip is None:
        return _nothing("no-data-sheet", "")
    precision = _PRECISIONS.get(case.dtype)
    product, copy = sheet_rate(chip, "matmul", precision), sheet_rate(chip, "copy", None)
    kinds = [rate.kind for rate in (product, copy) if rate]
    return _share(
        row,
        precision or "",
        product.value if product else None,
        copy.value if copy else None,
        Share(of=chip.name, kind=kinds[0] if kinds else None, compute=None, bandwidth=None,
              bound=None),
    )  # fmt: skip


def _nothing(reason: BesideReason, detail: str) -> Share:
    return Share(of="", kind=None, compute=None, bandwidth=None, bound=None, reason=reason,
                 detail=detail)  # fmt: skip


def _share(
    row: VariantResult, precision: str, flop_per_s: float | None, bytes_per_s: float | None,
    empty: Share,
) -> Share:  # fmt: skip
    """Return the shares of two rates that a call reaches; `empty` says where these come from."""
    time = row.time_s
    if time is None or time.value <= 0:
        return replace(empty, reason="no-time")
    compute = row.flop / time.value / flop_per_s if row.flop is not None and flop_per_s else None
    bandwidth = (
        row.bytes / time.value / bytes_per_s if row.bytes is not None and bytes_per_s else None
    )
    reason: BesideReason | None = None
    if compute is None and bandwidth is None:
        unknown = row.flop is None and row.bytes is None
        reason = "no-work-count" if unknown else "no-rate"
    both = compute is not None and bandwidth is not None
    return replace(
        empty,
        compute=compute,
        bandwidth=bandwidth,
        bound=("compute" if (compute or 0) >= (bandwidth or 0) else "bandwidth") if both else None,
        precision=precision,
        reason=reason,
    )
