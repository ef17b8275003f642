"""How long does a layout search take? From a shell, and without the capture.

    python benchmarks/layout_search.py [MODEL] [--on CHIP] [--chips N]

Prints the seconds of each part and the number of layouts and batches that were priced.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
BEGUN = time.perf_counter()

from crossgrade.api import LayoutOptions, search_layouts  # noqa: E402 - imports are timed


def main() -> int:
    """Search, and print when each part began."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="deepseek-v3")
    parser.add_argument("--on", default="h200")
    parser.add_argument("--chips", type=int, default=32)
    given = parser.parse_args()

    def narrate(words: str) -> None:
        print(f"{time.perf_counter() - BEGUN:6.1f} s  {words}", flush=True)

    options = LayoutOptions(on=given.on, chips=given.chips, ttft_s=2.0, tpot_s=0.05)
    found = search_layouts(given.model, options, narrate=narrate)
    narrate(f"{found.considered:,} layouts and batches priced; {len(found.best)} layouts meet the "
            f"aims, {len(found.front)} on the front, {len(found.rejected)} rejected")  # fmt: skip
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
