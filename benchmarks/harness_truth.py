"""Does the harness tell the truth? Judged on simulated devices whose true times are known.

    python benchmarks/harness_truth.py [--section NAME ...]

Prints Markdown. Every number comes from seeded simulation in a device's own time, so it is the same
on every machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from crossgrade.measure.audit import audit
from crossgrade.measure.events import Audited, CasePlan, Event
from crossgrade.measure.harness import run
from crossgrade.measure.source import InProcess
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated import FAULTS, Faults, NoiseModel, SimulatedDevice, open_simulated
from crossgrade.values.audit import TIMER_KINDS, AuditReport, TimerAudit, TimerKind
from crossgrade.values.bench import BenchPlan, Variant
from crossgrade.values.operator_case import OperatorCase

ANCHOR = OperatorCase(op="gemm", dtype="float32", arguments={"m": 320, "k": 320, "n": 320})
CASE = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 100.0})
SLOWER = OperatorCase(op="gemm", dtype="float32", arguments={"sim_us": 103.0})
NOISY = NoiseModel(
    session_sd=0.03, kernel_sd=0.01, within_sd=0.02, phi=0.5, spike_rate=0.01, spike=3.0
)
"""Noise under which honest timers have to survive and lying ones still have to be caught."""
SEEDS = 20
"""Seeds per fault with noise."""
HONEST_SEEDS = 200
"""Seeds of the honest device with noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One timer under one fault."""

    kind: TimerKind
    """Which timer."""
    lies: bool
    """Whether the fault makes it lie."""
    failed: tuple[str, ...]
    """Checks that it failed."""

    @property
    def right(self) -> bool:
        """Return whether a lying timer was caught, or an honest one believed."""
        return self.lies == bool(self.failed)


def tried(timers: Sequence[TimerAudit], lies: Sequence[TimerKind]) -> list[Tried]:
    """Return each timer with what it failed."""
    return [
        Tried(
            kind=timer.kind,
            lies=timer.kind in lies,
            failed=tuple(check.name for check in timer.checks if not check.passed),
        )
        for timer in timers
    ]


def lines_of_faults() -> Iterator[str]:
    """Yield a table of faults and timers, and how many lying timers were caught."""
    yield "| fault | " + " | ".join(TIMER_KINDS) + " | chosen |"
    yield "|---" * (len(TIMER_KINDS) + 2) + "|"
    everything: list[Tried] = []
    for name, fault in FAULTS.items():
        report = audit(open_simulated(f"faulty:{name}"), ANCHOR)
        if name == "out-of-memory":
            yield (
                f"| {name} |" + " not tried |" * len(TIMER_KINDS) + f" {report.chosen or 'none'} |"
            )
            continue
        row = tried(report.timers, fault.lies)
        everything += row
        yield f"| {name} | {' | '.join(map(told, row))} | {report.chosen or 'none'} |"
    yield ""
    yield from counts("without noise", everything)
    noisy = [
        one
        for fault in FAULTS.values()
        if "out_of_memory" not in fault.faults and not fault.noise
        for seed in range(SEEDS)
        for one in tried(
            audit(
                SimulatedDevice(NOISY, Faults(**fault.faults), Opening(seed=seed, session=-1)),
                ANCHOR,
            ).timers,
            fault.lies,
        )
    ]
    yield from counts(f"with noise, {SEEDS} seeds", noisy)


def told(one: Tried) -> str:
    """Return a cell: what caught the timer, or that it survived, and whether that is right."""
    cell = f"caught by {', '.join(one.failed)}" if one.failed else "survived"
    return cell if one.right else f"**{cell}, wrongly**"


def counts(title: str, everything: Sequence[Tried]) -> Iterator[str]:
    """Yield how many lying timers were caught and how many honest ones believed."""
    lying = [one for one in everything if one.lies]
    honest = [one for one in everything if not one.lies]
    yield (
        f"- {title}: lying timers caught {sum(one.right for one in lying)} of {len(lying)}; "
        f"honest timers believed {sum(one.right for one in honest)} of {len(honest)}"
    )


def lines_of_honest() -> Iterator[str]:
    """Yield how often timers without fault are believed on a device with noise."""
    everything = [
        one
        for seed in range(HONEST_SEEDS)
        for one in tried(
            audit(SimulatedDevice(NOISY, opening=Opening(seed=seed, session=-1)), ANCHOR).timers, ()
        )
    ]
    for kind in TIMER_KINDS:
        of_kind = [one for one in everything if one.kind == kind]
        yield f"- {kind}: believed {sum(one.right for one in of_kind)} of {len(of_kind)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question to the harness."""

    title: str
    """Heading."""
    lines: Callable[[], Iterator[str]]
    """Works it out."""


# intervals -------------------------------------------------------------------------------------
EXPERIMENTS = 2000
"""Whole measurements per noise model and kind of number."""
MODELS: Mapping[str, NoiseModel] = {
    "correlated": NoiseModel(session_sd=0.01, kernel_sd=0.003, within_sd=0.02, phi=0.5),
    "spikes": NoiseModel(
        session_sd=0.005, kernel_sd=0.005, within_sd=0.01, spike_rate=0.05, spike=0.5
    ),
    "sessions differ": NoiseModel(session_sd=0.02, kernel_sd=0.02, within_sd=0.01, phi=0.3),
}
"""Noise of the judged devices; the widening of intervals was tuned on none of them."""
RATIO = 1.03
"""True ratio of the two kernels."""


def lines_of_coverage() -> Iterator[str]:
    """Yield how often the interval of a whole measurement holds the truth.

    Each experiment is a run of the harness as `bench op` makes it: calibration, priming, sessions,
    looks, stopping when the interval is narrow. The timer audit is made once.
    """
    yield "| noise | number | intervals with the truth | sessions (mean) | narrow | half width |"
    yield "|---|---|---|---|---|---|"
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for model in MODELS:
            for kind in ("time", "ratio"):
                found = list(pool.map(partial(experiment, model, kind), range(EXPERIMENTS),
                                      chunksize=50))  # fmt: skip
                share = sum(e.held for e in found) / len(found)
                yield (
                    f"| {model} | {kind} | {share:.1%} of {len(found)} | "
                    f"{statistics.fmean(e.sessions for e in found):.1f} | "
                    f"{sum(e.narrow for e in found) / len(found):.0%} | "
                    f"±{statistics.median(e.half_width for e in found):.2%} |"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One whole measurement on a device whose truth is known."""

    held: bool
    """Whether the interval holds the truth."""
    sessions: int
    """Sessions it took."""
    narrow: bool
    """Whether it ended as narrow as asked."""
    half_width: float
    """Half width of the interval."""


def experiment(model: str, kind: str, seed: int) -> Experiment:
    """Return one measurement of a time, or of a ratio of two kernels."""
    noise = MODELS[model]

    def opened(spec: str, opening: Opening) -> SimulatedDevice:
        return SimulatedDevice(noise, Faults(), opening, spec=spec)

    cases = [CASE] if kind == "time" else [CASE, SLOWER]
    plan = BenchPlan(
        variants=tuple(Variant(name=f"v{i}", target="null", case=c) for i, c in enumerate(cases)),
        anchor=ANCHOR,
        budget_s=100.0,
        prime_s=0.0,
        settle_s=0.1,
        seed=seed,
    )
    keyed = [CasePlan(key="x", plan=plan)]
    ((_, found),) = run(keyed, InProcess(opened), store=_Audited(), seed=seed)
    row = found.variants[len(cases) - 1]
    interval = row.time_s if kind == "time" else row.per_baseline
    truth = opened("null", Opening()).true_time_s(CASE) if kind == "time" else RATIO
    assert interval is not None
    return Experiment(
        held=interval.low <= truth <= interval.high,
        sessions=len(found.sessions),
        narrow=found.verdict == "measured",
        half_width=interval.half_width,
    )


class _Audited:
    """A store that knows the audit of an honest device."""

    def events(self) -> Iterator[Event]:
        yield Audited(report=_honest_audit(), forkable=True)

    def keep(self, event: Event) -> None:
        pass


@cache
def _honest_audit() -> AuditReport:
    return audit(SimulatedDevice(spec="null"), ANCHOR)


SECTIONS: Mapping[str, Section] = {
    "faults": Section(title="Which check catches which lying timer", lines=lines_of_faults),
    "honest": Section(title="Honest timers on a noisy device", lines=lines_of_honest),
    "coverage": Section(title="95 % intervals of whole measurements", lines=lines_of_coverage),
}
"""Name -> section, in the order in which they are printed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--section", action="append", choices=SECTIONS, default=[])
    for name in parser.parse_args().section or SECTIONS:
        start = time.perf_counter()
        print(f"## {SECTIONS[name].title}\n")
        for line in SECTIONS[name].lines():
            print(line, flush=True)
        print()
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
