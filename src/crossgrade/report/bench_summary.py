"""A run as the JSON that its page embeds: what follows from the samples, and not the samples.

Must not know HTML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from crossgrade.report.bench_page import BenchPage, CaseEntry, ComparisonPage, RecordFile
from crossgrade.values.bench import ANCHOR, Interval, VariantResult
from crossgrade.values.beside import Beside, Share


def bench_summary(page: BenchPage) -> dict[str, Any]:
    """Return the run, a row per case and variant; samples are in the records that are named."""
    rows = [_row(case, found) for case in page.cases
            for found in case.row.result.variants if found.name != ANCHOR]  # fmt: skip
    data = {
        "name": page.run.name,
        "measured": page.measured,
        "margin": page.margin,
        "environment": dict(page.run.environment),
        "command": page.command,
        "rows": rows,
        "records": _files(page.files),
    }
    return {"schema": 1, "command": "bench", "verdict": page.run.verdict, "data": data}


def comparison_summary(page: ComparisonPage) -> dict[str, Any]:
    """Return the comparison, a row per case."""
    found = page.comparison
    rows = [
        {
            "case": c.title, "before": c.before, "after": c.after, "verdict": c.verdict,
            "basis": c.basis, "device": c.device, "ratio": _interval(c.ratio),
            "before_s": _interval(c.before_s), "after_s": _interval(c.after_s),
            "sessions": list(c.sessions), "sessions_needed": c.sessions_needed,
            "remarks": list(c.remarks),
        }
        for c in found.cases
    ]  # fmt: skip
    data = {
        "margin": found.margin,
        "false_discovery": found.false_discovery,
        "environment": [{"key": d.key, "before": d.before, "after": d.after}
                        for d in found.environment],
        "rows": rows,
        "remarks": list(found.remarks),
        "before": _files(page.before),
        "after": _files(page.after),
    }  # fmt: skip
    return {"schema": 1, "command": "compare", "verdict": None, "data": data}


def _row(case: CaseEntry, found: VariantResult) -> dict[str, Any]:
    judged = case.judged.get(found.name)
    strip = next((s for s in case.strips if s.variant == found.name), None)
    beside = next((b for b in case.row.beside if b.variant == found.name), None)
    return {
        "case": case.title,
        "key": case.row.key,
        "on": found.name,
        "verdict": case.row.result.verdict,
        "reason": found.reason,
        "detail": found.detail,
        "time_s": _interval(found.time_s),
        "per_baseline": _interval(judged.ratio if judged else None),
        "judged": judged.verdict if judged else None,
        "per_anchor": _interval(found.per_anchor),
        "sessions_s": list(strip.sessions_s) if strip else [],
        "batch_quantiles_s": list(strip.batch_s) if strip else [],
        "censored": dict(found.censored),
        **_beside(beside),
    }


def _beside(beside: Beside | None) -> dict[str, Any]:
    band = beside.predicted.band if beside else None
    return {
        "ceiling": _share(beside.ceiling if beside else None),
        "sheet": _share(beside.sheet if beside else None),
        "predicted_s": [band.low, band.high] if band else None,
        "place": beside.place if beside else None,
    }


def _share(share: Share | None) -> float | None:
    return _finite(share.value) if share and share.value is not None else None


def _interval(interval: Interval | None) -> list[float | None] | None:
    """Return value, low and high; an end that is not known is null."""
    if interval is None:
        return None
    return [_finite(v) for v in (interval.value, interval.low, interval.high)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _files(files: tuple[RecordFile, ...]) -> list[Mapping[str, str]]:
    return [{"name": f.name, "digest": f.digest, "created": f.created} for f in files]
