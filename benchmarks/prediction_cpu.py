"""Is the predictor true of this CPU? Measures phases of small real models and prints both.

    python benchmarks/prediction_cpu.py [--budget 60] [--only TEXT ...] [--most N]

The chip is what `crossgrade chips cpu` probes through numpy, anew before each case; nothing is
fitted to a model. Times come from `crossgrade bench model`: sessions, audited timers, intervals.
Weights are random: time does not depend on them, but for the routing of experts. Prints Markdown
and asserts nothing. All cases take about an hour and up to 12 GB.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crossgrade.api import ModelOptions, bench_model, chip, predicted_for
from crossgrade.units import percent, seconds, si
from crossgrade.values.bench import ANCHOR, Interval
from crossgrade.values.chip import Chip
from crossgrade.values.evidence import Band
from crossgrade.values.model_case import ModelCase
from crossgrade.values.workload import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One case that is to be measured."""

    model: str
    """Preset."""
    phase: Phase
    """What it does."""
    tokens: int | None = None
    """Tokens; None: what the model takes."""
    context: int | None = None
    """Tokens in the cache of a decode step."""
    batch: int = 1
    """Sequences."""
    dtype: str = "fp32"
    """Format of weights and arithmetic."""
    layers: int | None = None
    """Only the first layers; None: the whole model."""

    @property
    def name(self) -> str:
        """Return it for a person."""
        cut = f"[{self.layers} layers]" if self.layers else ""
        sizes = [f"{self.tokens} new" if self.tokens else "", f"batch {self.batch}",
                 f"{self.context} cached" if self.context else ""]  # fmt: skip
        return f"{self.model}{cut} {self.phase} {self.dtype} {', '.join(filter(None, sizes))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case, measured and predicted."""

    name: str
    """What it is."""
    time_s: Interval | None
    """Measured time, s; None: there is none, see `why`."""
    band: Band | None
    """Predicted time, s; None: there is none, see `why`."""
    why: str
    """Why one of them is missing."""

    @property
    def error(self) -> float:
        """Return the factor between the time and the band's geometric middle, 1 or more."""
        assert self.time_s is not None
        assert self.band is not None
        ratio = self.time_s.value / math.sqrt(self.band.low * self.band.high)
        return max(ratio, 1 / ratio)


CASES: tuple[Wanted, ...] = (
    # one architecture in every phase, size and format
    Wanted(model="qwen3-0.6b", phase="prefill", tokens=64),
    Wanted(model="qwen3-0.6b", phase="prefill", tokens=512),
    Wanted(model="qwen3-0.6b", phase="prefill", tokens=512, dtype="bf16"),
    Wanted(model="qwen3-0.6b", phase="decode", context=64),
    Wanted(model="qwen3-0.6b", phase="decode", context=2048),
    Wanted(model="qwen3-0.6b", phase="decode", context=512, dtype="bf16"),
    Wanted(model="qwen3-0.6b", phase="decode", context=256, batch=8),
    Wanted(model="qwen3-0.6b", phase="train", tokens=64, layers=8),
    # other architectures, cut to what fits; experts are captured in bf16 only
    Wanted(model="meta-llama-3.1-8b", phase="prefill", tokens=256, layers=2),
    Wanted(model="meta-llama-3.1-8b", phase="decode", context=1024, layers=2),
    Wanted(model="meta-llama-3.1-8b", phase="decode", context=1024, layers=2, dtype="bf16"),
    Wanted(model="meta-llama-3.1-8b", phase="train", tokens=128, layers=1),
    Wanted(model="qwen3-8b", phase="prefill", tokens=128, layers=2, dtype="bf16"),
    Wanted(model="qwen3-30b-a3b", phase="prefill", tokens=128, layers=1, dtype="bf16"),
    Wanted(model="qwen3-30b-a3b", phase="decode", context=512, layers=1, dtype="bf16"),
    Wanted(model="mixtral-8x7b-v0.1", phase="prefill", tokens=64, layers=1, dtype="bf16"),
    Wanted(model="mixtral-8x7b-v0.1", phase="decode", context=512, layers=1, dtype="bf16"),
    Wanted(model="gpt-oss-20b", phase="prefill", tokens=128, layers=2, dtype="bf16"),
    Wanted(model="gpt-oss-20b", phase="decode", context=512, layers=2, dtype="bf16"),
    # encoders and vision, whole
    Wanted(model="all-minilm-l6-v2", phase="prefill", tokens=128),
    Wanted(model="all-minilm-l6-v2", phase="prefill", tokens=128, batch=16),
    Wanted(model="bert-base-uncased", phase="prefill", tokens=128),
    Wanted(model="bert-base-uncased", phase="prefill", tokens=512),
    Wanted(model="bert-large-uncased", phase="prefill", tokens=128, dtype="bf16"),
    Wanted(model="bge-m3", phase="prefill", tokens=256, layers=8),
    Wanted(model="qwen3-embedding-0.6b", phase="prefill", tokens=128),
    Wanted(model="dinov2-large", phase="prefill", layers=8),
    Wanted(model="clip-vit-large-patch14", phase="prefill", layers=8),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="only cases whose name has it; repeatable")  # fmt: skip
    parser.add_argument("--most", type=int, default=len(CASES), metavar="N")
    given = parser.parse_args()
    wanted = [w for w in CASES if not given.only or any(text in w.name for text in given.only)]
    print("| case | measured | 95 % interval | low | high | inside | / low | / high |")
    print("|---|---:|---:|---:|---:|---|---:|---:|")
    cases, chips = [], []
    for one in wanted[: given.most]:
        chips.append(chip("cpu"))
        case = compared(one, chips[-1], given.budget)
        print(row(case), flush=True)
        cases.append(case)
    print("\n".join(["", *summary(cases), *machine(chips)]))


def compared(wanted: Wanted, described: Chip, budget_s: float) -> Case:
    """Return one case, measured through `bench model` and predicted for the probed chip."""
    options = ModelOptions(model=wanted.model, phases=(wanted.phase,), batch=wanted.batch,
                           tokens=wanted.tokens, context=wanted.context, dtype=wanted.dtype,
                           layers=wanted.layers, budget_s=budget_s)  # fmt: skip
    run = bench_model(options, record=False, narrate=lambda text: print(text, file=sys.stderr))
    result = run.rows[0].result
    case = result.plan.variants[0].case
    assert isinstance(case, ModelCase)
    found = next(v for v in result.variants if v.name != ANCHOR)
    predicted = predicted_for(case, described)
    why = [f"{found.reason}: {found.detail}" if found.time_s is None else "",
           f"{predicted.reason}: {predicted.detail}" if predicted.band is None else ""]  # fmt: skip
    return Case(name=wanted.name, time_s=found.time_s, band=predicted.band,
                why="; ".join(filter(None, why)))  # fmt: skip


def row(case: Case) -> str:
    """Return one line of the table."""
    time, band = case.time_s, case.band
    if time is None or band is None:
        return f"| {case.name} | {case.why} | | | | | | |"
    width = f"±{percent(time.half_width)}" if math.isfinite(time.half_width) else "one session"
    cells = (case.name, seconds(time.value), width, seconds(band.low), seconds(band.high),
             "yes" if band.holds(time.value) else "no", f"{time.value / band.low:.2f}",
             f"{time.value / band.high:.2f}")  # fmt: skip
    return f"| {' | '.join(cells)} |"


def summary(cases: Sequence[Case]) -> Iterator[str]:
    """Yield what holds over all cases."""
    both = [c for c in cases if c.time_s is not None and c.band is not None]
    yield f"- cases: {len(cases)}, of which {len(cases) - len(both)} have no time or no band"
    if not both:
        return
    inside = [c for c in both if c.time_s and c.band and c.band.holds(c.time_s.value)]
    yield f"- inside the band: {len(inside)} of {len(both)} ({percent(len(inside) / len(both))})"
    mean = math.exp(statistics.fmean(math.log(c.error) for c in both))
    yield f"- the band's geometric middle is off by a factor of {mean:.2f} (geometric mean)"
    worst = max(both, key=lambda c: c.error)
    yield f"- worst: {worst.name}, off by a factor of {worst.error:.2f}"
    widths = [c.band.high / c.band.low for c in both if c.band]
    yield f"- high over low: {statistics.median(widths):.2f} (median)"


def machine(chips: Sequence[Chip]) -> Iterator[str]:
    """Yield what the probe said of this machine, and how far it wandered."""
    for what, unit, values in (
        ("fp32 matmul", "FLOP/s", [p.rate.value for c in chips if (p := c.peak("matrix", "fp32"))]),
        ("copy", "B/s", [c.memory_bandwidth.value for c in chips if c.memory_bandwidth]),
    ):
        if values:
            yield (f"- probed {what}: {si(min(values), unit)} to {si(max(values), unit)} on "
                   f"{chips[0].title}")  # fmt: skip


if __name__ == "__main__":
    main()
