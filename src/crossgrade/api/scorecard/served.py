"""Lines for services: TPOT and TTFT of aiconfigurator's silicon sample, by model, chip and stack.

Each row is simulated: an instance on the row's layout with the stack's own defaults, as many users
as the row has, ten requests for each, the mean over all of them. No parameter was fitted to these
rows. What was settled with them in view: that prompts mix with decoding and the cache fills up as
each stack's documentation says, and how the dashboard's degrees are read.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossgrade.api.scorecard.desk import Desk
from crossgrade.api.scorecard.recipes import recipe
from crossgrade.api.steps import model_steps
from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.line import Anchor, Goal, Line, Tier
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.score import score
from crossgrade.predict.sources.served import ServedRow, served_rows

if TYPE_CHECKING:
    from crossgrade.predict.serving.request import Served

PRESETS: dict[str, str] = {
    "Llama-3.1-8B-Instruct": "meta-llama-3.1-8b", "Qwen3-32B": "qwen3-32b",
    "Qwen3-32B-NVFP4": "qwen3-32b", "Qwen3-235B-A22B-FP8": "qwen3-235b-a22b-fp8",
    "gpt-oss-120b": "gpt-oss-120b", "MiniMax-M2.5": "minimax-m2.5", "DeepSeek-V3": "deepseek-v3",
    "DeepSeek-R1-NVFP4": "deepseek-v3", "DeepSeek-V3.1-NVFP4": "deepseek-v3",
}  # fmt: skip
"""Last part of a row's model -> preset with the same shapes."""
ALWAYS_OWN = frozenset({"qwen3-235b-a22b-fp8", "gpt-oss-120b"})
"""Presets whose checkpoint has one format only."""
PER_USER = 10
"""Requests per user."""
GOALS = {
    "TPOT": (Goal(measure="mape", most=0.20), Goal(measure="median", most=0.13),
             Goal(measure="uncovered", most=0.05)),
    "TTFT": (Goal(measure="mape", most=0.35),),
}  # fmt: skip
AIC = {
    "TPOT": Anchor(
        who="aiconfigurator 0.12.0",
        figure="27.9 to 29.2 % mean, 19.8 % median, 74 to 94.5 % covered",
        source="own earlier run on 200 of these rows, its newest tables for all stack versions",
    ),
    "TTFT": Anchor(
        who="aiconfigurator 0.12.0", figure="52.7 to 55.9 % mean, biased by -24 to -47 %",
        source="the same run",
    ),
}  # fmt: skip
ENDS = ("mid", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row with what was predicted: name of an end -> (TPOT, TTFT), s; NaN where nothing is."""

    row: ServedRow
    tier: Tier
    predicted: dict[str, tuple[float, float]]


def lines(data: Path) -> Iterator[Line]:
    """Yield the lines of all services, the whole first.

    Args:
        data: the folder of the large data sets.
    """
    found = outcomes(list(served_rows(data)))
    yield from _lines("all services", "all", found, GOALS)
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in found:
        row = one.row
        name = f"{row.model.rpartition('/')[2]} {row.precision or 'bf16'}, {row.stack}"
        groups[name, row.chip].append(one)
    for (name, chip), some in sorted(groups.items()):
        yield from _lines(name, chip, some, {})


def _lines(
    name: str, chip: str, some: Sequence[Outcome], goals: dict[str, tuple[Goal, ...]]
) -> Iterator[Line]:
    for at, measure in enumerate(("TPOT", "TTFT")):
        mid, low, high = (np.array([o.predicted[end][at] for o in some]) for end in ENDS)
        measured = np.array([o.row.ttft_s if at else o.row.tpot_s for o in some])
        if not np.isfinite(mid).any():
            continue
        tiers = [o.tier for o in some]
        yield Line(
            family="served", rows_of=f"{measure}, {name}", chip=chip,
            tier=max(set(tiers), key=tiers.count), split="no end-to-end row is fitted to",
            score=score(mid, measured, low, high), fitted_rows=0,
            goals=goals.get(measure, ()), anchors=(AIC[measure],) if goals else (),
        )  # fmt: skip


def outcomes(rows: Sequence[ServedRow]) -> list[Outcome]:
    """Return every row with what was predicted of it."""
    by_model: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_model[_model(row)].append(i)
    found: dict[int, Outcome] = {}
    for (preset, quant), places in sorted(by_model.items(), key=str):
        print(f"{preset} {quant or ''}: {len(places)} rows", file=sys.stderr)
        desk = Desk(steps=model_steps(preset, quant))
        for i in places:
            found[i] = _outcome(desk, rows[i])
    return [found[i] for i in range(len(rows))]


def _model(row: ServedRow) -> tuple[str, str | None]:
    """Return preset and quantisation of a row."""
    preset = PRESETS[row.model.rpartition("/")[2]]
    own = "" if preset == "qwen3-32b" else "fp8"
    if preset in ALWAYS_OWN or row.precision in ("", own):
        return preset, None
    return preset, {"fp4": "nvfp4", "fp8": "fp8"}[row.precision]


def _outcome(desk: Desk, row: ServedRow) -> Outcome:
    """Return what is predicted of a row; NaN where its model has no room on its chips."""
    predicted = {}
    started = recipe(row)
    for end in ENDS:
        one = desk.instance(
            row.stack, load_chip(row.chip), row.layout, users=row.users, end=end,
            longest=row.prompt + row.output, kv=started.kv, limits=started.limits,
        )  # fmt: skip
        predicted[end] = (np.nan, np.nan)
        if one is not None:
            served = _simulated(row, one.policy, one.prices)
            predicted[end] = float(served.tpot_s.mean()), float(served.ttft_s.mean())
    fitted = any(fit.chip == row.chip for fit in shipped().fits)
    return Outcome(row=row, tier="T2" if fitted else "T1", predicted=predicted)


def _simulated(row: ServedRow, policy: object, prices: object) -> Served:
    """Return the service under the row's load."""
    from crossgrade.predict.serving.loop import serve
    from crossgrade.predict.serving.request import Load

    rng, many = np.random.default_rng(0), row.users * PER_USER
    least = 0.8 if row.ranged else 1.0
    prompts, outputs = (
        rng.integers(max(int(least * most), 1), most + 1, many) for most in (row.prompt, row.output)
    )
    load = Load(prompts=prompts, outputs=outputs, users=row.users)
    return serve(load, policy, prices)  # type: ignore[arg-type]
