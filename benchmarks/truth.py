"""The figures that the truth tests assert, as a table: captured over true.

    python benchmarks/truth.py [--whole]

FLOPs against torch.utils.flop_counter and against forms written from the configuration, parameters
against published totals, stored bytes against a written form, peak memory against allocations that
PyTorch's profiler sees in a real step on the CPU. `--whole` takes whole presets where the default
takes a few of their layers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "truth"))

import test_moe_closed_form as moe
import test_parameters as parameters
import truthlib
import truthmodels
from closedforms import v4_bytes

Row = tuple[str, Callable[[], float], float]
"""What is compared, the ratio, and how far from 1 it may be."""
WRITTEN = ("encoder", "resnet", "upscaler", "transformer", "mixer")
MEMORY = ("perceptron", "transformer", "transformer_fused", "mixer", "encoder", "resnet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="whole presets; takes minutes")
    whole = parser.parse_args().whole
    print(f"{'figure':<64}{'ratio':>9}{'allowed':>10}")
    wrong = 0
    for title, ratio, allowed in rows(whole):
        try:
            value = ratio()
        except Exception as error:
            wrong += 1
            print(f"{title:<64}  {type(error).__name__}: {str(error)[:90]}", flush=True)
            continue
        wrong += abs(value - 1) > allowed
        out = "" if abs(value - 1) <= allowed else "  out"
        print(f"{title:<64}{value:>9.5f}{allowed:>9.1%}{out}", flush=True)
    print(f"{wrong} figure(s) out of their range")


def rows(whole: bool) -> Iterator[Row]:
    yield from _flops(whole)
    yield from _experts(whole)
    yield from _parameters()
    yield "stored bytes, deepseek-v4-pro / written form", _v4_ratio, 0.02
    for name in MEMORY:
        for phase in ("prefill", "train"):
            yield f"peak memory, {name} {phase} / profiler", _memory(name, phase), 0.10


def _flops(whole: bool) -> Iterator[Row]:
    asked = truthlib.workload("prefill")
    for name, make in truthmodels.DENSE.items():
        yield f"FLOPs, {name} forward / FlopCounterMode", _config(make(), asked), 1e-3
    if whole:
        for name in ("qwen3-8b", "meta-llama-3.1-405b"):
            title = f"FLOPs, whole {name} forward / FlopCounterMode"
            yield title, _config(truthmodels.preset(name), asked), 1e-3
    asked = truthlib.workload("train", batch=2)
    for name in ("gemma2", "gpt2", "mistral", "phi", "opt"):
        title = f"FLOPs, {name} forward + backward / FlopCounterMode"
        yield title, _config(truthmodels.DENSE[name](), asked, eager=True), 1e-3
    for name in WRITTEN:
        title = f"FLOPs, {name} forward + backward / FlopCounterMode"
        yield title, lambda name=name: truthlib.factory_ratio(name, asked), 1e-3


def _config(config: object, asked: object, eager: bool = False) -> Callable[[], float]:
    return lambda: truthlib.config_ratio(config, asked, eager)


def _experts(whole: bool) -> Iterator[Row]:
    for name in moe.MODELS:
        layers = {} if whole else {"num_hidden_layers": 4}
        config = truthmodels.preset(name, **layers)
        shown = name if whole else f"{name}, 4 layers,"
        yield f"FLOPs, {shown} prefill / written form", _moe(config), 0.01


def _moe(config: object) -> Callable[[], float]:
    return lambda: moe.ratio(config, 2, 256)


def _parameters() -> Iterator[Row]:
    for name, published in parameters.PUBLISHED.items():
        title = f"parameters, {name} / {published / 1e9:g} B published"
        yield title, _count(name, published), 0.015


def _count(name: str, published: float) -> Callable[[], float]:
    def ratio() -> float:
        return parameters.count(truthlib.from_config(truthmodels.preset(name))) / published

    return ratio


def _v4_ratio() -> float:
    config = truthmodels.preset("deepseek-v4-pro")
    asked = truthlib.workload("prefill", tokens=128)
    return truthlib.prepared(truthlib.from_config(config), asked).memory.weights / v4_bytes(config)


def _memory(name: str, phase: str) -> Callable[[], float]:
    return lambda: truthlib.captured_peak(name, phase) / truthlib.measured_peak(name, phase)


if __name__ == "__main__":
    main()
