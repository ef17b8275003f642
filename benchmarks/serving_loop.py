"""How fast is the serving loop, beside one that takes every step? One run, ratios.

    python benchmarks/serving_loop.py [--requests 100000] [--plain 300]

Simulates requests with drawn lengths and arrivals on one instance (prices of a made-up chip, so
nothing is captured), then fewer of them by the loop of the tests that takes step after step, and
prints seconds, steps and requests per second of both, and whether both agree where both ran.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from crossgrade.predict.serving.loop import serve
from crossgrade.predict.serving.request import Load, Policy

sys.path.insert(0, str(Path(__file__).parents[1]))


def price(decoding: int, bucket: int, chunks: tuple[tuple[int, int], ...]) -> int:
    """Return the time of a step of a made-up chip, ns."""
    read = sum(20_000 * new + new * past for new, past in chunks)
    return 3_000_000 + decoding * 20_000 + decoding * bucket * 500 + read


def load_of(many: int) -> Load:
    """Return requests that keep an instance busy."""
    rng = np.random.default_rng(0)
    return Load(prompts=rng.integers(100, 2000, many), outputs=rng.integers(16, 512, many),
                arrivals=np.cumsum(rng.exponential(2.2e7, many)).astype(np.int64))  # fmt: skip


def main() -> int:
    """Time both loops and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--plain", type=int, default=300, help="requests of the plain loop")
    given = parser.parse_args()
    for name, reserves in (("a place is given up where the cache is full", False),
                           ("prompt and output are reserved", True)):  # fmt: skip
        policy = Policy(max_running=256, max_tokens=8192, capacity=200_000, reserves=reserves)
        begun = time.perf_counter()
        found = serve(load_of(given.requests), policy, price)
        took = time.perf_counter() - begun
        print(f"{name}: {given.requests:,} requests in {took:.2f} s, {found.steps:,} steps, "
              f"{given.requests / took:,.0f} requests/s, TTFT p50 "
              f"{np.median(found.ttft_s):.2f} s, TPOT p50 {np.median(found.tpot_s) * 1e3:.1f} ms, "
              f"{found.again:,} tokens read again")  # fmt: skip
        begun = time.perf_counter()
        same = serve(load_of(given.plain), policy, price)
        mine = time.perf_counter() - begun
        begun = time.perf_counter()
        plain = plainly(load_of(given.plain), policy)
        took = time.perf_counter() - begun
        agree = same.end.tolist() == [r.end for r in plain.requests]
        print(f"  of {given.plain} requests, step by step: {took:.2f} s, {took / mine:.0f} times "
              f"as long; {'the same' if agree else 'NOT THE SAME'} to the nanosecond")  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB")
    return 0


def plainly(load: Load, policy: Policy):  # noqa: ANN201 - a class of the tests
    """Return the run of the tests' plain loop."""
    from tests.unit.predict.serving import test_loop

    test_loop.price = price
    return test_loop.Plain(load, policy).run()


if __name__ == "__main__":
    sys.exit(main())
