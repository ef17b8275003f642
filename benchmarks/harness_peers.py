"""How narrow and how honest: our harness beside the rules of other tools, at equal wall time.

    python benchmarks/harness_peers.py [--experiments 60] [--seconds 3.5] [--out FILE]

Every experiment asks for the ratio of two kernels. A/A: both are the same. A/B: the second has 3 %
more rows. Each contestant gets the same wall time for the pair, in random order, on the same
machine, in one run. Printed are the width of the 95 % interval, how often an A/A interval leaves
out 1 (false positives, with Clopper and Pearson's bounds), and how often an A/B interval does
(power). A contestant is valid with at most 3 of 60 false positives.

The kernel is numpy's product of [396, 192] and [192, 192] in fp32 on one thread. The rules of
others are re-implemented from what is documented of them, except torch.utils.benchmark and pyperf,
which run themselves. Tools that give no interval get the usual one of their own samples: of means
by Welch, of medians by their asymptotic error. Ours is `crossgrade.measure` as `bench op` uses it,
on the numpy target of tests/plugin (`pip install ./tests/plugin`); the timer audit and the first
try of each kernel are made once, before.
"""

# ruff: noqa: E402  threads are set before numpy is imported
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported, here and in every process below

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossgrade.measure.events import Audited, CasePlan, ProbeRequest, Ready
from crossgrade.measure.harness import run
from crossgrade.measure.isolated import Isolated
from crossgrade.measure.student import quantile as t_quantile
from crossgrade.targets.protocol import DEFAULT_ANCHOR
from crossgrade.values.bench import BenchPlan, Variant
from crossgrade.values.operator_case import OperatorCase

ROWS, MORE_ROWS, INNER = 396, 408, 192
MOST_FALSE = 3
"""False positives of 60 with which a contestant is still valid."""
Interval = tuple[float, float, float]
"""Ratio, lower end, upper end."""
Contest = Callable[[int, int, float], Interval]
"""Rows of base, rows of candidate, seconds -> interval of the ratio."""


# kernels ---------------------------------------------------------------------------------------
def kernel(rows: int) -> Callable[[], Any]:
    """Return one call of the product."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, INNER), dtype=np.float32)
    b = rng.standard_normal((INNER, INNER), dtype=np.float32)
    return lambda: a @ b


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# intervals of two sets of samples --------------------------------------------------------------
def of_means(base: Sequence[float], cand: Sequence[float]) -> Interval:
    """Return the ratio of means with Welch's interval, by the delta method on the logarithm."""
    parts = []
    for samples in (base, cand):
        mean = statistics.fmean(samples)
        parts.append((mean, statistics.variance(samples) / len(samples) / mean**2, len(samples)))
    return _interval(math.log(parts[1][0] / parts[0][0]), parts[0][1:], parts[1][1:])


def of_medians(base: Sequence[float], cand: Sequence[float]) -> Interval:
    """Return the ratio of medians; their error from the interquartile range, as if normal."""
    parts = []
    for samples in (base, cand):
        q1, median, q3 = np.quantile(samples, [0.25, 0.5, 0.75])
        error = 1.2533 * (q3 - q1) / 1.349 / median
        parts.append((float(median), float(error**2) / len(samples), len(samples)))
    return _interval(math.log(parts[1][0] / parts[0][0]), parts[0][1:], parts[1][1:])


def _interval(log_ratio: float, a: tuple[float, int], b: tuple[float, int]) -> Interval:
    variance = a[0] + b[0]
    if variance == 0:
        return (math.exp(log_ratio),) * 3
    df = variance**2 / (a[0] ** 2 / (a[1] - 1) + b[0] ** 2 / (b[1] - 1))
    half = t_quantile(0.975, df) * math.sqrt(variance)
    return math.exp(log_ratio), math.exp(log_ratio - half), math.exp(log_ratio + half)


# contestants -----------------------------------------------------------------------------------
def welch(base: int, cand: int, seconds: float) -> Interval:
    """Mean of as many calls as fit, one arm after the other."""
    arms = []
    for rows in (base, cand):
        call, end, samples = kernel(rows), time.perf_counter() + seconds / 2, []
        call()
        while time.perf_counter() < end:
            samples.append(timed(call))
        arms.append(samples)
    return of_means(*arms)


def do_bench(base: int, cand: int, seconds: float) -> Interval:
    """Triton's rule: five calls give an estimate, 25 ms warm up, the rest is repeated; the mean."""
    arms = []
    for rows in (base, cand):
        call, begin = kernel(rows), time.perf_counter()
        call()
        estimate = sum(timed(call) for _ in range(5)) / 5
        for _ in range(max(1, int(0.025 / estimate))):
            call()
        left = seconds / 2 - (time.perf_counter() - begin)
        arms.append([timed(call) for _ in range(max(2, int(left / estimate)))])
    return of_means(*arms)


def adaptive_autorange(base: int, cand: int, seconds: float) -> Interval:
    """torch.utils.benchmark itself: until IQR over median is below 10 %, or the time is up."""
    from torch.utils.benchmark import Timer

    arms = []
    for rows in (base, cand):
        timer = Timer("f()", globals={"f": kernel(rows)})
        found = timer.adaptive_autorange(threshold=0.1, min_run_time=0.01, max_run_time=seconds / 2)
        arms.append(list(found.times))
    return of_medians(*arms) if min(map(len, arms)) > 2 else of_means(*arms)


def nvbench_stdrel(base: int, cand: int, seconds: float) -> Interval:
    """nvbench's default: 0.5 s at least, then std/mean below 0.5 % or no longer changing."""

    def stop(samples: list[float], noises: list[float]) -> bool:
        noises.append(float(np.std(samples) / np.mean(samples)))
        recent = noises[-64:]
        settled = len(recent) == 64 and np.ptp(recent) < 0.05 * np.mean(recent)
        return sum(samples) > 0.5 and (noises[-1] < 0.005 or bool(settled))

    return of_means(*(_until(rows, seconds / 2, stop) for rows in (base, cand)))


def nvbench_entropy(base: int, cand: int, seconds: float) -> Interval:
    """nvbench's entropy rule: the slope of the entropy over 299 samples is flat enough."""

    def stop(samples: list[float], entropies: list[float]) -> bool:
        _, counts = np.unique(np.round(samples, 9), return_counts=True)
        share = counts / counts.sum()
        entropies.append(float(-(share * np.log2(share)).sum()))
        recent = np.asarray(entropies[-299:])
        if len(recent) < 299:
            return False
        x = np.arange(len(recent))
        slope, shift = np.polyfit(x, recent, 1)
        scatter = float(((recent - recent.mean()) ** 2).sum())
        fit = 1 - float(((recent - slope * x - shift) ** 2).sum()) / scatter if scatter else 1.0
        return math.degrees(math.atan(slope)) < 0.048 and fit >= 0.36

    return of_means(*(_until(rows, seconds / 2, stop) for rows in (base, cand)))


def _until(
    rows: int, seconds: float, stop: Callable[[list[float], list[float]], bool]
) -> list[float]:
    call, samples, memory = kernel(rows), [], []
    call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(timed(call))
        if len(samples) >= 10 and stop(samples, memory):
            break
    return samples


def pyperf(base: int, cand: int, seconds: float) -> Interval:
    """pyperf itself: processes of one warm-up and three values of 0.1 s, as many as fit; pooled."""
    setup = (
        "import numpy as np; r = np.random.default_rng(0); "
        "a = r.standard_normal(({rows}, {inner}), dtype=np.float32); "
        "b = r.standard_normal(({inner}, {inner}), dtype=np.float32)"
    )
    estimate = min(timed(kernel(base)) for _ in range(3))
    loops = max(1, round(0.1 / estimate))
    arms = []
    with tempfile.TemporaryDirectory() as folder:
        for arm, rows in enumerate((base, cand)):
            end, values, cost = time.perf_counter() + seconds / 2, [], 0.0
            while not values or time.perf_counter() + cost < end:
                begin = time.perf_counter()
                file = Path(folder) / f"{arm}-{len(values)}.json"
                subprocess.run(
                    [sys.executable, "-m", "pyperf", "timeit", "--quiet", "--processes", "1",
                     "--values", "3", "--warmups", "1", "--loops", str(loops), "-o", str(file),
                     "--inherit-environ", "OMP_NUM_THREADS,OPENBLAS_NUM_THREADS",
                     "-s", setup.format(rows=rows, inner=INNER), "a @ b"],
                    check=True, capture_output=True,
                )  # fmt: skip
                runs = json.loads(file.read_text())["benchmarks"][0]["runs"]
                values += [v for r in runs for v in r.get("values", [])]
                cost = time.perf_counter() - begin
            arms.append(values)
    return of_means(*arms)


class Ours:
    """crossgrade: sessions forked from a warm parent, rounds in random order, paired ratios."""

    def __init__(self) -> None:
        """Start the parent, and audit the timers once."""
        preload = ("crossgrade.measure.workers", "crossgrade_example_target")
        self._source = Isolated(preload=preload)
        request = ProbeRequest(targets=("example",), audits=(), cases=())
        (audited,) = [e for e in self._source.probe(request) if isinstance(e, Audited)]
        self.audited = audited
        self(ROWS, ROWS, 1.0)

    def __call__(self, base: int, cand: int, seconds: float) -> Interval:
        """Return the interval of the ratio."""
        plan = BenchPlan(
            variants=tuple(
                Variant(name=arm, target="example", case=_case(rows))
                for arm, rows in (("base", base), ("cand", cand))
            ),
            anchor=DEFAULT_ANCHOR,
            half_width=1e-6,  # never reached: all of the time is used
            least_sessions=5,
            budget_s=seconds,
            prime_s=seconds / 100,
            settle_s=seconds / 40,
            seed=random.randrange(1 << 30),
        )
        store = _Known(self.audited)
        (found,) = run([CasePlan(key="x", plan=plan)], self._source, store=store)
        ratio = found[1].variants[1].per_baseline
        assert ratio is not None, found[1].why
        return ratio.value, ratio.low, ratio.high

    def close(self) -> None:
        """End the parent of sessions."""
        self._source.close()


class _Known:
    """A store that knows the audit, and that both kernels run."""

    def __init__(self, audited: Audited) -> None:
        self._audited = audited

    def events(self) -> Any:
        ready = [Ready(key="x", variant=v, flop=None, bytes=None) for v in ("base", "cand")]
        return iter([self._audited, *ready])

    def keep(self, event: Any) -> None:
        pass


def _case(rows: int) -> OperatorCase:
    return OperatorCase(op="gemm", dtype="float32", arguments={"m": rows, "k": INNER, "n": INNER})


# the run ---------------------------------------------------------------------------------------
def experiments(count: int, seconds: float, out: Path) -> list[dict[str, Any]]:
    """Run A/A and A/B in turns; every row is written as it comes."""
    ours = Ours()
    contests: dict[str, Contest] = {
        "crossgrade": ours,
        "mean, Welch": welch,
        "triton do_bench": do_bench,
        "torch adaptive_autorange": adaptive_autorange,
        "nvbench stdrel": nvbench_stdrel,
        "nvbench entropy": nvbench_entropy,
        "pyperf": pyperf,
    }
    rows: list[dict[str, Any]] = []
    rng = random.Random(1)
    for number in range(count):
        for kind, cand in (("A/A", ROWS), ("A/B", MORE_ROWS)):
            for name in rng.sample(sorted(contests), len(contests)):
                begin = time.perf_counter()
                ratio, low, high = contests[name](ROWS, cand, seconds)
                rows.append({"kind": kind, "who": name, "ratio": ratio, "low": low, "high": high,
                             "seconds": time.perf_counter() - begin,
                             "load": os.getloadavg()[0]})  # fmt: skip
            out.write_text("\n".join(map(json.dumps, rows)) + "\n")
        print(f"{number + 1} of {count}", file=sys.stderr, flush=True)
    ours.close()
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| contestant | interval width (median) | false positives | 95 % bounds | valid | "
        "power at +3 % | wall per experiment |",
        "|---|---|---|---|---|---|---|",
    ]
    widths: dict[str, float] = {}
    valid: dict[str, bool] = {}
    for who in dict.fromkeys(r["who"] for r in sorted(rows, key=lambda r: r["who"])):
        aa = [r for r in rows if r["who"] == who and r["kind"] == "A/A"]
        ab = [r for r in rows if r["who"] == who and r["kind"] == "A/B"]
        false = sum(not r["low"] <= 1 <= r["high"] for r in aa)
        found = sum(r["low"] > 1 for r in ab)
        low, high = clopper_pearson(false, len(aa))
        widths[who] = statistics.median((r["high"] - r["low"]) / r["ratio"] for r in aa)
        valid[who] = false * 60 <= MOST_FALSE * len(aa)
        wall = statistics.median(r["seconds"] for r in (*aa, *ab))
        lines.append(
            f"| {who} | {widths[who]:.2%} | {false} of {len(aa)} | {low:.1%} to {high:.1%} | "
            f"{'yes' if valid[who] else 'no'} | {found} of {len(ab)} | {wall:.2f} s |"
        )
    peers = [w for w in widths if w != "crossgrade"]
    ours = widths["crossgrade"]
    best = min((w for w in peers if valid[w]), key=widths.__getitem__, default=None)
    if best:
        lines += ["", f"Best valid peer: {best}; its interval is {widths[best] / ours:.2f} times "
                  "as wide as ours."]  # fmt: skip
    else:
        lines += ["", "No peer is valid. Width over ours: "
                  + ", ".join(f"{w} {widths[w] / ours:.2f}" for w in peers) + "."]  # fmt: skip
    loads = [r["load"] for r in rows]
    lines.append(f"Load average while it ran: {min(loads):.1f} to {max(loads):.1f}, "
                 f"{os.cpu_count()} CPUs.")  # fmt: skip
    return "\n".join(lines)


def clopper_pearson(hits: int, count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share."""

    def at_most(k: int, p: float) -> float:
        return sum(math.comb(count, i) * p**i * (1 - p) ** (count - i) for i in range(k + 1))

    def root(value: Callable[[float], float]) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if value(middle) > 0 else (low, middle)
        return low

    low = 0.0 if hits == 0 else root(lambda p: 0.025 - (1 - at_most(hits - 1, p)))
    high = 1.0 if hits == count else root(lambda p: at_most(hits, p) - 0.025)
    return low, high


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=3.5)
    parser.add_argument("--out", type=Path, default=Path("harness_peers.jsonl"))
    parser.add_argument("--only-table", action="store_true", help="of the rows in --out")
    options = parser.parse_args()
    if options.only_table:
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    else:
        rows = experiments(options.experiments, options.seconds, options.out)
    print(table(rows))


if __name__ == "__main__":
    main()
