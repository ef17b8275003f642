"""Do 95 % intervals hold in 95 % of measurements that stop as soon as they are narrow?

    python benchmarks/coverage.py [--experiments 2000] [--uncorrected] [--compare] [MODEL ...]

Makes sessions from noise models whose true time is known, runs the stopping rule over them, and
counts how often the reported interval holds the truth: of the time per call where one variant is
timed, of the ratio where there are two. Prints a row per model; asserts nothing.

The widening of the intervals was chosen on independent normal session values alone; no model
here was looked at for it. `--uncorrected` shows plain 95 % intervals instead. `--compare` counts
verdicts over pairs of runs of a variant that in truth takes as long in the second, or 5 % longer.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from crossgrade.measure import statistics
from crossgrade.measure.compare import compare
from crossgrade.measure.result import result_of
from crossgrade.measure.samples import samples_of
from crossgrade.measure.statistics import alpha_of, interval, series_of
from crossgrade.measure.stopping import done, next_rounds
from crossgrade.values.bench import BenchPlan, Session, Variant
from crossgrade.values.operator_case import OperatorCase

CASE = OperatorCase(op="gemm", dtype="float32", arguments={"m": 64, "k": 64, "n": 64})
TRUE_S = {"base": 100e-6, "cand": 103e-6, "anchor": 50e-6}
SESSION_S = 1.0
"""Cost of a session besides its blocks, s; blocks are as long as the plan says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How a machine errs; shares of the time."""

    within: float = 0.0
    """Standard deviation of a sample within a session, of each variant alone."""
    phi: float = 0.0
    """Correlation of a sample with the one before it, AR(1)."""
    between: float = 0.0
    """Standard deviation of a session's level, of each variant alone."""
    machine: float = 0.0
    """Standard deviation of a session's level that all variants share."""
    spikes: float = 0.0
    """Share of samples that take half as long again."""
    heavy: float = math.inf
    """Degrees of freedom of the noise within; 3 has heavy tails."""
    warming: float = 0.0
    """How much slower the end of a session is than its start, on average; all variants alike."""
    ageing: float = 0.0
    """How much slower each session is than the one before; all variants alike."""


MODELS = {
    "correlated": Noise(within=0.01, phi=0.5, between=0.01),
    "spikes": Noise(within=0.01, between=0.005, spikes=0.05),
    "heavy-tails": Noise(within=0.01, between=0.005, heavy=3, spikes=0.05),
    "within": Noise(within=0.03, between=0.003),
    "between": Noise(within=0.003, between=0.02),
    "warming": Noise(within=0.01, phi=0.5, between=0.01, warming=0.03),
    "shared-machine": Noise(within=0.01, phi=0.5, between=0.005, machine=0.03),
    "ageing": Noise(within=0.01, between=0.005, machine=0.01, ageing=0.001),
}
"""Name -> noise. In `ageing` a time alone has no true value, so only the ratio is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What became of the experiments of one model."""

    model: str
    variants: int
    covered: float
    """Share of intervals that hold the truth."""
    narrow: float
    """Share of experiments that ended narrow."""
    sessions: float
    """Mean number of sessions."""
    half_width: float
    """Median half width reported."""


def plan_of(variants: int, half_width: float = 0.01) -> BenchPlan:
    names = list(TRUE_S)[:variants]
    return BenchPlan(variants=tuple(Variant(name=n, target="none", case=CASE) for n in names),
                     anchor=CASE, half_width=half_width, budget_s=math.inf, rounds=24,
                     block_s=2e-3)  # fmt: skip


def session_of(
    plan: BenchPlan, noise: Noise, rng: np.random.Generator, index: int, rounds: int
) -> Session:
    """Return a session as the noise makes it."""
    names = [*(v.name for v in plan.variants), "anchor"]
    size = (rounds, len(names))
    shock = rng.standard_t(noise.heavy, size) if noise.heavy < 99 else rng.standard_normal(size)
    within = _correlated(shock, noise.phi) * noise.within
    level = rng.normal(0, noise.between, len(names)) + rng.normal(0, noise.machine)
    drift = rng.exponential(noise.warming) * np.arange(rounds) / rounds if noise.warming else 0.0
    log_s = np.log([TRUE_S[n] for n in names]) + within + level + index * noise.ageing
    log_s += np.reshape(drift, (-1, 1)) + np.log(1.5) * (rng.random(size) < noise.spikes)
    order = rng.permuted(np.tile(np.arange(len(names)), (rounds, 1)), axis=1)
    counts = np.ceil(plan.block_s / np.array([TRUE_S[n] for n in names])).astype(int)
    spans = np.take_along_axis(np.exp(log_s) * counts * 1e9, order, axis=1).ravel()
    return Session(
        index=index, start="in-process", timers=("wall-read",) * len(names),
        counts=tuple(counts.tolist()), order=tuple(order.ravel().tolist()),
        spans_ns=tuple(spans.tolist()), censored=(), steady=True, primed_s=0.0,
        spent_s=SESSION_S + float(spans.sum()) * 1e-9,
    )  # fmt: skip


def _correlated(shock: np.ndarray, phi: float) -> np.ndarray:
    """Return [rounds, variants] AR(1) noise of the same variance, stationary from the start."""
    out = shock.copy()
    for i in range(1, len(out) if phi else 0):
        out[i] = phi * out[i - 1] + math.sqrt(1 - phi * phi) * shock[i]
    return out


def experiment(plan: BenchPlan, noise: Noise, rng: np.random.Generator) -> list[Session]:
    """Return the sessions of one measurement up to where the stopping rule ends it."""
    sessions: list[Session] = []
    rounds = plan.rounds
    while True:
        sessions.append(session_of(plan, noise, rng, len(sessions), rounds))
        if done(plan, sessions, 0.0, 0.0).stop:
            return sessions
        if len(sessions) == 3 or len(sessions) in plan.looks:
            rounds = next_rounds(plan, sessions)


@cache
def truth_log(noise: Noise, variants: int) -> float:
    """Return the true value: of a ratio exactly, of a time the mean over 10,000 sessions."""
    if variants > 1:
        return math.log(TRUE_S["cand"] / TRUE_S["base"])
    plan, rng = plan_of(1), np.random.default_rng(987)
    samples = [samples_of(session_of(plan, noise, rng, 0, 24), 1) for _ in range(10_000)]
    return float(series_of(samples, plan.batch, 0).values.mean())


def score(model: str, variants: int, experiments: int = 2000, seed: int = 1) -> Score:
    """Return how often the intervals of one model hold."""
    noise, plan, rng = MODELS[model], plan_of(variants), np.random.default_rng(seed)
    truth = math.exp(truth_log(noise, variants))
    covered, counts, widths = 0, [], []
    for _ in range(experiments):
        sessions = experiment(plan, noise, rng)
        samples = [samples_of(s, variants) for s in sessions]
        series = series_of(samples, plan.batch, variants - 1, 0 if variants > 1 else None)
        found = interval(series.values, alpha_of(plan))
        covered += found.low <= truth <= found.high
        counts.append(len(sessions))
        widths.append(found.half_width)
    return Score(model=model, variants=variants, covered=covered / experiments,
                 narrow=float(np.mean(np.array(widths) <= plan.half_width)),
                 sessions=float(np.mean(counts)), half_width=float(np.median(widths)))  # fmt: skip


def scores(experiments: int = 2000, models: tuple[str, ...] = tuple(MODELS)) -> Iterator[Score]:
    """Yield the score of each model: of one time, and of a ratio."""
    for model in models:
        for variants in (1, 2):
            if variants == 2 or model != "ageing":
                yield score(model, variants, experiments)


def verdicts(model: str, factor: float, experiments: int = 300, seed: int = 1) -> Counter[str]:
    """Return how often each verdict falls on two runs of which the second takes `factor`."""
    noise, plan, rng = MODELS[model], plan_of(1), np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for _ in range(experiments):
        first, second = (experiment(plan, noise, rng) for _ in range(2))
        slowed = [_slowed(s, factor) for s in second]
        runs = [result_of(plan, (), sessions, {}, {}, 0.0) for sessions in (first, slowed)]
        found[compare(*runs).cases[0].verdict] += 1
    return found


def _slowed(session: Session, factor: float) -> Session:
    spans = (x * factor if v == 0 else x
             for v, x in zip(session.order, session.spans_ns, strict=True))  # fmt: skip
    return replace(session, spans_ns=tuple(spans))


def print_verdicts(experiments: int, models: tuple[str, ...]) -> None:
    words = ("FASTER", "SLOWER", "SAME", "INCONCLUSIVE")
    print(f"| model | truth | {' | '.join(words)} |\n|---|---:|---:|---:|---:|---:|")
    for model in models:
        for factor in (1.0, 1.05):
            found = verdicts(model, factor, experiments)
            shares = " | ".join(f"{found[w] / experiments:.1%}" for w in words)
            print(f"| {model} | {factor:g} | {shares} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--uncorrected", action="store_true")
    parser.add_argument("--compare", action="store_true")
    given = parser.parse_args()
    models = tuple(given.models) or tuple(MODELS)
    if given.compare:
        print_verdicts(given.experiments, models)
        return
    if given.uncorrected:
        statistics.ALPHA_LOOKS = statistics.ALPHA  # type: ignore[misc]
    print("| model | number | covered | ended narrow | sessions, mean | half width, median |")
    print("|---|---|---:|---:|---:|---:|")
    for s in scores(given.experiments, models):
        number = "ratio" if s.variants > 1 else "time"
        print(f"| {s.model} | {number} | {s.covered:.1%} | {s.narrow:.0%} | {s.sessions:.1f} "
              f"| {s.half_width:.2%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
