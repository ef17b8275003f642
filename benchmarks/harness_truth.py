"""Does the harness tell the truth? Judged on simulated devices whose true times are known.

    python benchmarks/harness_truth.py [--section NAME ...]

Prints Markdown. Every number comes from seeded simulation in a device's own time, so it is the same
on every machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crossgrade.measure.audit import audit
from crossgrade.targets.protocol import Opening
from crossgrade.targets.simulated import FAULTS, Faults, NoiseModel, SimulatedDevice, open_simulated
from crossgrade.values.audit import TIMER_KINDS, TimerAudit, TimerKind
from crossgrade.values.operator_case import OperatorCase

ANCHOR = OperatorCase(op="gemm", dtype="float32", arguments={"m": 320, "k": 320, "n": 320})
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


SECTIONS: Mapping[str, Section] = {
    "faults": Section(title="Which check catches which lying timer", lines=lines_of_faults),
    "honest": Section(title="Honest timers on a noisy device", lines=lines_of_honest),
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
