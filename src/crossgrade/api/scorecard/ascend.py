"""Lines for steps on Ascend: cases of msmodeling with their references, and published steps.

One step each, as vLLM Ascend launches it; nothing overlaps but where a
source has two batches in turn. No adapter of a model, and nothing
fitted to them. What was settled with them in view: experts on a cube as products of the active
ones, a recurrence over few tokens step by step, and the heads of keys of DeepSeek-V4's cache.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgrade.api.scorecard.whole import NONE, Times, whole_line
from crossgrade.api.steps import ModelSteps, model_steps
from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.line import Anchor, Goal, Line
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.score import score
from crossgrade.predict.sources.msmodeling import AscendCase, ascend_cases
from crossgrade.values.chip import Chip
from crossgrade.values.layout import Layout
from crossgrade.values.workload import CacheFormat

if TYPE_CHECKING:
    from crossgrade.predict.layouts.pieces import Pieces

STACK = "vllm-ascend"
PRESETS = {"GLM-4.7": "glm-4.7", "Kimi-K2.5": "kimi-k2.5", "Qwen3-30B-A3B": "qwen3-30b-a3b",
           "Qwen3-8B": "qwen3-8b", "Qwen3.5-27B": "qwen3.5-27b"}  # fmt: skip
"""Model of a case -> preset; what is not here is not covered: Wan2.2."""
QUANTS = {"W8A8": "w8a8", "W4A8": "w4a8", "": None}
_DEVICE = re.compile(r"ATLAS_800_A(\d)_(\d+)T_(\d+)G(_DIE)?")
NOMINAL = 376.0
"""What the cases call the 16-bit rate of a die of 24 cores, TFLOP/s."""
MOST_BATCH = 16
"""Sequences of a captured step; the layout's batch follows from it."""
QUOTED = Anchor(
    who="msmodeling", figure="9.4 % mean, 24.3 % at most over 22 cases, with about 20 adapters",
    source="its repository at 84fec85; its answers on these rows are in italics",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that is predicted."""

    model: str
    quant: str | None
    chip: Chip
    layout: Layout
    decodes: bool
    batch: int
    tokens: int
    context: int
    drafts: int = 0
    kv: CacheFormat | None = None
    skew: float | None = None


def lines(data: Path) -> Iterator[Line]:
    """Yield the cases together and one by one, then the published points.

    Args:
        data: the folder of the large data sets.
    """
    desk = _Desk()
    cases = list(ascend_cases(data))
    found = [desk.predicted(step) if (step := step_of(case)) else NONE for case in cases]
    measured = np.array([case.reference_s for case in cases])
    theirs = np.array([case.tensorcast_s for case in cases])
    goals = (Goal(measure="mape", most=0.09),)
    yield _line("msmodeling's cases, a step", found, measured, goals,
                (Anchor(who="TensorCast", figure="", source="", score=score(theirs, measured)),
                 QUOTED))  # fmt: skip
    for case, one in zip(cases, found, strict=True):
        if np.isfinite(one[0]):
            yield _line(f"a step, {case.name}", [one], np.array([case.reference_s]))
    yield from _published(desk)


def _published(desk: _Desk) -> Iterator[Line]:
    points = published()["points"]
    found, measured = [], []
    for point in points:
        step = step_of_point(point)
        rate = 1 + point.get("accepted", 0.0)
        low, mid, high = desk.predicted(step)
        found.append((low / rate, mid / rate, high / rate))
        measured.append(point["tpot_s"] if step.decodes else point["step_s"])
    yield _line("published steps of DeepSeek", found, np.array(measured),
                (Goal(measure="mape", most=0.25),))  # fmt: skip
    for point, one, time in zip(points, found, measured, strict=True):
        what = "TPOT" if "tpot_s" in point else "a step"
        yield _line(f"{what}, {point['name']}", [one], np.array([time]), chip=point["chip"])


def _line(
    name: str, found: list[Times], measured: np.ndarray, goals: tuple[Goal, ...] = (),
    anchors: tuple[Anchor, ...] = (), chip: str = "ascend",
) -> Line:  # fmt: skip
    return whole_line("step", name, found, measured, chip=chip, goals=goals, anchors=anchors,
                      tier="T2" if "910c" in chip else "T1")  # fmt: skip


def published() -> dict[str, Any]:
    """Return the published steps with their sources."""
    text = resources.files(__package__).joinpath("published.toml").read_text("utf-8")
    return tomllib.loads(text)


def step_of_point(point: Mapping[str, Any]) -> Step:
    """Return the step of a published point."""
    degrees = {"tp": 1, "dp": 1, "ep": 1, **point["layout"]}
    decodes = point["phase"] == "decode"
    drafts = point.get("drafts", 0)
    return Step(
        model=point["model"], quant=point.get("quant"), chip=load_chip(point["chip"]),
        layout=Layout(chips=degrees["tp"] * degrees["dp"], kind="sharded", **degrees,
                      two_batch=point.get("two_batch", False)),
        decodes=decodes, batch=point["batch"], tokens=1 + drafts if decodes else point["context"],
        context=point["context"] if decodes else 0, drafts=drafts, kv=point.get("kv"),
        skew=point.get("skew"),
    )  # fmt: skip


def step_of(case: AscendCase) -> Step | None:
    """Return the step of a case; None where its model is not here, or works on pictures."""
    preset = PRESETS.get(case.model)
    if preset is None or case.pictures:
        return None
    return Step(
        model=preset, quant=QUANTS[case.weights], chip=device(case.device), layout=case.layout,
        decodes=case.decodes, batch=case.queries, tokens=case.tokens,
        context=case.context, drafts=case.drafts,
    )  # fmt: skip


def device(name: str) -> Chip:
    """Return the chip of a device: a 910B2, or a die of a 910C with the share of cores that its
    rate says.

    Raises:
        ValueError: another device.
    """
    found = _DEVICE.fullmatch(name)
    if found is None or found[1] not in "23":
        raise ValueError(f"no chip for {name}")
    if found[1] == "2":
        return load_chip("ascend-910b2")
    die = load_chip("ascend-910c-die")
    part = float(found[2]) / 2 / NOMINAL
    if part >= 1 or die.cores is None:
        return die

    def of(constant: Any, value: float) -> Any:
        return dataclasses.replace(constant, value=value)

    peaks = tuple(dataclasses.replace(p, rate=of(p.rate, p.rate.value * part)) for p in die.peaks)
    return dataclasses.replace(die, peaks=peaks, cores=of(die.cores, round(die.cores.value * part)))


@dataclass(slots=True, kw_only=True)
class _Desk:
    """Steps of one model at a time: captured once for all layouts and batches."""

    steps: ModelSteps | None = None
    of: tuple[str, str | None] | None = None

    def predicted(self, step: Step) -> tuple[float, float, float]:
        """Return P10, P50 and P90 of a step, s."""
        from crossgrade.predict.layouts.drafts import drafted
        from crossgrade.predict.layouts.step import step_times

        print(f"{step.model} {step.quant or ''}, batch {step.batch}", file=sys.stderr)
        pieces = self._pieces(step, step.tokens)
        if step.drafts:
            pieces = drafted(pieces, self._pieces(step, 1), step.drafts)
        found = step_times(pieces, step.chip, [step.layout], [step.batch], STACK, shipped())
        return float(found.low[0]), float(found.mid[0]), float(found.high[0])

    def _pieces(self, step: Step, tokens: int) -> Pieces:
        from crossgrade.predict.layouts.pieces import pieces_of

        if self.steps is None or self.of != (step.model, step.quant):
            self.steps, self.of = model_steps(step.model, step.quant), (step.model, step.quant)
        workload = dataclasses.replace(
            self.steps.workload, phase="decode" if step.decodes else "prefill",
            batch=min(step.batch, MOST_BATCH) if step.decodes else 1, tokens=tokens,
            context=step.context, kv=step.kv, skew=step.skew,
        )  # fmt: skip
        return pieces_of(self.steps.prepare(workload), STACK)
