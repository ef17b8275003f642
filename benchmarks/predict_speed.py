"""How long does a prediction take? DeepSeek-V3 whole, other chips and batches, 1,000 points.

    python benchmarks/predict_speed.py [--model deepseek-v3] [--points 1000] [--peers DIR]

Prints wall time, CPU time and peak memory of each figure; asserts nothing. Every figure has a
process of its own. The goals are those of the project, not measurements.

`--peers DIR` times two other predictors in the same run, on a point like ours (DeepSeek-V3, decode,
batch 8, 4,096 cached): aiconfigurator (`python -m venv DIR/aic`, `DIR/aic/bin/pip install
aiconfigurator`) looks its times up in tables and captures nothing; msmodeling (a checkout of
Ascend/msmodeling in DIR/msmodeling, its requirements in a venv DIR/msm) captures as we do, for
Ascend chips.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GOALS: Mapping[str, float] = {
    "capture, lower, price and trace one phase": 5.0,
    "from a shell, both phases": 10.0,
    "another chip, bounds": 0.02,
    "another chip, stack": 0.02,
    "another batch and context": 0.02,
    "sweep": 10.0,
}
"""Figure -> longest wall time that was set as a goal, s."""
MEMORY_GOAL = 0.6e9
"""Peak resident memory that was set as a goal, bytes."""
CHIPS = ("h100", "b200", "a100", "ascend-910b2", "ascend-950dt", "mi300x", "l40s", "gaudi3",
         "ascend-910c", "mi355x")  # fmt: skip
STACK = "vllm"
BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 256)
CONTEXTS = (1024, 2048, 4096, 6144, 8192, 12288, 16384, 20480, 24576, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured time."""

    name: str
    """What was done."""
    wall_s: float
    """Wall time, s."""
    cpu_s: float
    """CPU time of the process, s."""
    peak_bytes: float
    """Peak resident memory of the process so far, bytes."""
    note: str = ""
    """What belongs to it."""


class Watch:
    """Times steps of this process."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def step(self, name: str, run: Callable[[], Any], note: str = "") -> Any:
        """Run a step and keep its figure."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        spent = time.perf_counter() - wall, time.process_time() - cpu
        self.figures.append(Figure(name=name, wall_s=spent[0], cpu_s=spent[1], peak_bytes=peak(),
                                   note=note))  # fmt: skip
        return result


def peak(who: int = resource.RUSAGE_SELF) -> float:
    """Return the peak resident memory of this process, or of its ended children, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(who).ru_maxrss) * unit


def _import() -> None:
    from crossgrade.workloads.huggingface import load_transformers

    load_transformers()
    import transformers.modeling_utils  # noqa: F401

    import crossgrade.capture.run
    import crossgrade.predict.rescaling  # noqa: F401


class Desk:
    """A built model and what is done with it."""

    def __init__(self, model: str) -> None:
        from crossgrade.capture.run import CaptureSession
        from crossgrade.workloads.resolve import find_model

        self.found = find_model(model)
        self.session = CaptureSession(self.found.build(None))

    def prepared(self, phase: Any, batch: int, tokens: int, context: int) -> Any:
        """Return a phase, captured and lowered."""
        from crossgrade.predict.phase import prepare
        from crossgrade.values.workload import Workload

        return prepare(self.session.capture(Workload(
            model=self.found.ref, phase=phase, batch=batch, tokens=tokens, context=context,
            dtype=None)))  # fmt: skip


def one(model: str, phase: str) -> list[Figure]:
    """Time one phase: built, captured, lowered, priced; then on another chip."""
    from crossgrade.api import chip
    from crossgrade.predict.phase import Execution, predict
    from crossgrade.predict.silicon.knowledge import shipped
    from crossgrade.predict.stack_time import stack_time
    from crossgrade.predict.stack_tracing import trace_stack
    from crossgrade.predict.tracing import trace_phase
    from crossgrade.report.chrome_trace import render_chrome_trace
    from crossgrade.values.layout import Layout

    watch = Watch()
    watch.step("imports of torch, transformers and crossgrade", _import)
    tokens, context = (4096, 0) if phase == "prefill" else (1, 8192)
    layout, kept = Layout(chips=8), {}
    chips = [chip(name) for name in CHIPS[:2]]

    def whole() -> None:
        ready = kept["ready"] = Desk(model).prepared(phase, 1, tokens, context)
        predict(ready, chips[0], layout)
        stack_time(ready, chips[0], layout, STACK, shipped())
        execution = Execution(prepared=ready, chip=chips[0], layout=layout)
        schedules = (trace_stack(execution, STACK, shipped()), *trace_phase(execution))
        render_chrome_trace(schedules, about={})

    def stack() -> None:
        stack_time(kept["ready"], chips[1], layout, STACK, shipped())

    words = f"{phase}: building the model, bounds, P50 of {STACK}, trace of all three"
    watch.step("capture, lower, price and trace one phase", whole, words)
    watch.step("another chip, bounds", lambda: predict(kept["ready"], chips[1], layout), phase)
    watch.step("another chip, stack", stack, f"{phase}, {STACK}")
    return watch.figures


def sweep(model: str, points: int) -> list[Figure]:
    """Time a sweep over chips, batches and contexts of a decode step."""
    from crossgrade.api import chip
    from crossgrade.predict.rescaling import Rescaling
    from crossgrade.values.layout import Layout

    _import()
    watch, layout = Watch(), Layout(chips=8)
    chips = [chip(name) for name in CHIPS]
    desk = watch.step("building the model", lambda: Desk(model))

    def whole() -> Any:
        corners = [desk.prepared("decode", b, 1, c) for b in (BATCHES[0], BATCHES[-1])
                   for c in (CONTEXTS[0], CONTEXTS[-1])]  # fmt: skip
        found = Rescaling(corners, desk.prepared("decode", 16, 1, 8192))
        grid = [(b, c) for b in BATCHES for c in CONTEXTS][: max(1, points // len(chips))]
        times = [step.time_s(each, layout) for step in (found.at(b, c) for b, c in grid)
                 for each in chips]  # fmt: skip
        return found, len(times)

    found, count = watch.step("sweep", whole, "five captures in it")
    watch.figures[-1] = _noted(watch.figures[-1], f"{count} points, five captures in them")
    watch.step("another batch and context",
               lambda: found.at(24, 3000).time_s(chips[0], layout), "rescaled")  # fmt: skip
    return watch.figures


def _noted(figure: Figure, note: str) -> Figure:
    return Figure(name=figure.name, wall_s=figure.wall_s, cpu_s=figure.cpu_s,
                  peak_bytes=figure.peak_bytes, note=note)  # fmt: skip


def shell(model: str) -> list[Figure]:
    """Time the command, from a shell."""
    command = [sys.executable, "-W", "ignore", "-m", "crossgrade", "assess", model, "--on", "h100",
               "--chips", "8", "--json"]  # fmt: skip
    words = "crossgrade assess --json, bounds and stack"
    return [_command("from a shell, both phases", command, words)]


def _command(name: str, command: list[str], note: str, cwd: str | None = None) -> Figure:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=cwd)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        note = f"failed: {(done.stderr.strip().splitlines() or ['no text'])[-1][:120]}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figure(name=name, wall_s=wall, cpu_s=cpu, note=note,
                  peak_bytes=peak(resource.RUSAGE_CHILDREN))  # fmt: skip


_LOOKED_UP = """
import time
from aiconfigurator.cli.api import cli_estimate
for batch in (8, 16):
    began = time.perf_counter()
    cli_estimate("deepseek-ai/DeepSeek-V3", "h200_sxm", isl=4096, osl=256, batch_size=batch,
                 tp_size=8, moe_tp_size=1, moe_ep_size=8)
    print("point", time.perf_counter() - began)
"""


def peer(name: str, folder: str) -> list[Figure]:
    """Time another predictor, where it is installed."""
    at = Path(folder)
    if name == "aiconfigurator":
        command = [str(at / "aic/bin/python"), "-W", "ignore", "-c", _LOOKED_UP]
        words = "from a shell: DeepSeek-V3 on h200_sxm, tp 8, two batches"
        return [_command("aiconfigurator", command, words)]
    command = [str(at / "msm/bin/python"), "-W", "ignore", "-m", "cli.inference.text_generate",
               "tests/assets/model_config/deepseek_v3", "--num-queries", "8", "--query-length",
               "1", "--context-length", "4096", "--decode", "--device",
               "ATLAS_800_A2_376T_64G", "--num-devices", "16", "--tp-size", "16"]  # fmt: skip
    words = "from a shell: DeepSeek-V3 decode on 16 Atlas A2, one point"
    return [_command("msmodeling", command, words, cwd=str(at / "msmodeling"))]


def table(figures: list[Figure]) -> Iterator[str]:
    """Yield a line of Markdown per figure."""
    for f in figures:
        goal = f"{GOALS[f.name]:g} s" if f.name in GOALS else ""
        yield (f"| {f.name} | {f.note} | {_shown(f.wall_s)} | {_shown(f.cpu_s)} | {goal} "
               f"| {f.peak_bytes / 1e9:.2f} GB |")  # fmt: skip


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"


_PARTS: Mapping[str, Callable[..., list[Figure]]] = {
    "prefill": lambda given: one(given.model, "prefill"),
    "decode": lambda given: one(given.model, "decode"),
    "sweep": lambda given: sweep(given.model, given.points),
    "shell": lambda given: shell(given.model),
    "aiconfigurator": lambda given: peer("aiconfigurator", given.peers),
    "msmodeling": lambda given: peer("msmodeling", given.peers),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="deepseek-v3")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--peers", metavar="DIR")
    parser.add_argument("--part", choices=tuple(_PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        rows = _PARTS[given.part](given)
        print(json.dumps([{n: getattr(f, n) for n in Figure.__dataclass_fields__} for f in rows]))
        return
    parts = [p for p in _PARTS if given.peers or p not in ("aiconfigurator", "msmodeling")]
    load = os.getloadavg()[0]
    print(f"{given.model}, {os.cpu_count()} CPUs, one thread each, load {load:.1f} before; peak "
          f"memory goal {MEMORY_GOAL / 1e9:g} GB\n\n| figure | of | wall | CPU | goal | peak |\n"
          "|---|---|---:|---:|---:|---:|")  # fmt: skip
    for part in parts:
        command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--part", part]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {part} | failed: {done.stderr.strip().splitlines()[-1]} | | | | |")
            continue
        rows = [Figure(**row) for row in json.loads(done.stdout.splitlines()[-1])]
        print("\n".join(table(rows)), flush=True)


if __name__ == "__main__":
    main()
