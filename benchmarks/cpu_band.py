"""Is the band for this machine's CPU true? Runs a model for real and prints both.

    python benchmarks/cpu_band.py [--model qwen3-0.6b] [--tokens 512] [--repeat 5] [--dtype bf16]

Weights are random: time does not depend on them. The CPU is probed first; nothing is fitted to the
model. Prints medians, the band, and inside or outside; asserts nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from crossgrade.api import AssessOptions, assess
from crossgrade.units import seconds
from crossgrade.workloads.resolve import find_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen3-0.6b")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"])
    given = parser.parse_args()
    measured = measure(given.model, given.tokens, given.repeat, given.dtype)
    for phase, tokens, context in (("prefill", given.tokens, 0), ("decode", 1, given.tokens)):
        answer = assess(
            given.model,
            AssessOptions(on=("cpu",), phases=(phase,), tokens=tokens, context=context,
                          dtype=given.dtype),
        )  # fmt: skip
        speed = answer.chips[0].phases[0].speed
        assert speed is not None
        band, took = speed.time_s, measured[phase]
        where = "inside" if band.holds(took) else "outside"
        print(
            f"{given.model} {given.dtype} {phase} {tokens} new, {context} cached: "
            f"measured {seconds(took)} (median of {given.repeat}), "
            f"predicted {seconds(band.low)} to {seconds(band.high)}: {where}"
        )


def measure(model: str, tokens: int, repeat: int, dtype: str) -> dict[str, float]:
    """Return median seconds of a prefill and of a decode step on this CPU."""
    built = find_model(model).build(dtype)
    module = built.module.to_empty(device="cpu").eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter.data, std=0.02)
    ids = torch.zeros((1, tokens), dtype=torch.int64)
    one = torch.zeros((1, 1), dtype=torch.int64)
    with torch.no_grad():
        cache = module(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        return {
            "prefill": median(lambda: module(input_ids=ids, logits_to_keep=1), repeat),
            "decode": median(
                lambda: module(input_ids=one, past_key_values=cache, use_cache=True), repeat
            ),
        }


def median(run: Callable[[], object], repeat: int) -> float:
    """Return the median time of `repeat` runs after one that does not count, s."""
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
