"""Findings about how the phase executes: host-bound, values that depend on data.

Must not know any chip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from crossgrade.predict.phase import UNRATED, Prediction, Prepared
from crossgrade.units import count, percent, seconds
from crossgrade.values.finding import Finding

_HOST_BOUND = 0.5


def execution_findings(
    prepared: Prepared, chip: str, phase: str, prediction: Prediction
) -> Iterator[Finding]:
    """Yield findings about launches and about values that a capture cannot know."""
    eager = prediction.share_by_bound_eager
    waiting = eager["launch"] + eager["host"]
    if waiting >= _HOST_BOUND and prediction.unrated_share <= UNRATED:
        yield _host_bound(chip, phase, prediction, waiting)
    if prediction.unknown_rates:
        yield _unrated(chip, phase, prediction)
    yield from _data_dependent(prepared, chip, phase)


def _unrated(chip: str, phase: str, prediction: Prediction) -> Finding:
    names = ", ".join(prediction.unknown_rates)
    share = percent(prediction.unrated_share)
    told = prediction.unrated_share > UNRATED
    return Finding(
        id="CG-F403",
        severity="warning",
        chip=chip,
        phase=phase,
        title=f"no peak is published for {names}, {share} of the matrix work: "
        + ("no time is predicted" if told else "its arithmetic counts as free"),
        place=(),
        evidence=(f"{chip}: no engine for {names} in the description",),
        hint="measure it on the chip, or add the rate in a chip file with its source",
    )


def _host_bound(chip: str, phase: str, prediction: Prediction, waiting: float) -> Finding:
    return Finding(
        id="CG-F401",
        severity="note",
        chip=chip,
        phase=phase,
        title=f"eager execution waits for launches {percent(waiting)} of the time: "
        f"{count(prediction.kernels_eager)} kernels, {count(prediction.kernels_fused)} fused",
        place=(),
        evidence=(
            f"predicted: {seconds(prediction.time_s.high)} eager, "
            f"{seconds(prediction.time_s.low)} fused+graph",
        ),
        hint="capture a graph or compile the step",
        calls=prediction.kernels_eager,
        data={
            "kernels_eager": prediction.kernels_eager,
            "kernels_fused": prediction.kernels_fused,
        },
    )


def _data_dependent(prepared: Prepared, chip: str, phase: str) -> Iterator[Finding]:
    marks = Counter(prepared.capture.columns["call_mark"].tolist())
    for mark, calls in sorted(marks.items()):
        text = prepared.capture.tables["marks"][mark]
        if not text or not _matters(prepared, mark):
            continue
        yield Finding(
            id="CG-F501",
            severity="note",
            chip=chip,
            phase=phase,
            title=f"{count(calls)} calls depend on data; assumed: {text}",
            place=_places(prepared, mark),
            evidence=("values are not computed in a capture",),
            hint="figures hold for this assumption; another outcome may launch more or less",
            calls=calls,
        )


def _matters(prepared: Prepared, mark: int) -> bool:
    """Return whether one of the marked calls touches the device."""
    capture = prepared.capture
    calls = (capture.columns["call_mark"] == mark).nonzero()[0].tolist()
    keys = {int(capture.columns["call_key"][call]) for call in calls}
    return any(m.device != "cpu" for k in keys for m in capture.key(k).inputs)


def _places(prepared: Prepared, mark: int) -> tuple[str, ...]:
    calls = (prepared.capture.columns["call_mark"] == mark).nonzero()[0].tolist()
    return tuple(dict.fromkeys(prepared.capture.place(call) for call in calls[:50]))[:3]
