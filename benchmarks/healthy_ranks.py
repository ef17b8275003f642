"""How often `bench comm` calls a rank of a healthy group slow.

    python benchmarks/healthy_ranks.py --ranks 3 --runs 50 --budget 5

Runs a small all-reduce over gloo again and again, with nothing that slows one rank, and prints the
runs in which any rank was accused, and how high the limits were.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

from crossgrade.api import CommOptions, comm_plan
from crossgrade.measure.collectives.group import RankGroups
from crossgrade.measure.collectives.run import run_comm
from crossgrade.values.collective import SIGNALS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of one run")
    given = parser.parse_args()
    accused, sessions = 0, []
    limits: dict[str, list[float]] = {name: [] for name in SIGNALS}
    with RankGroups() as groups:
        for seed in range(given.runs):
            options = CommOptions(ranks=given.ranks, ops=("all-reduce",), sizes="64KiB",
                                  budget_s=given.budget, seed=seed)  # fmt: skip
            result = run_comm(replace(comm_plan(options), looks=(5,)), groups)
            accused += bool(result.slow)
            sessions.append(len(result.sessions))
            for report in result.signals:
                limits[report.signal] += [r.limit for r in report.readings]
            for slow in result.slow:
                print(f"run {seed}: rank {slow.rank}, {', '.join(slow.signals)}, "
                      f"{slow.ratio:.2f} above {slow.limit:.2f}")  # fmt: skip
    print(f"{accused} of {given.runs} healthy groups of {given.ranks} ranks accused; "
          f"{min(sessions)} to {max(sessions)} sessions each")  # fmt: skip
    for name, found in limits.items():
        print(f"{name}: median limit {statistics.median(found):.2f}" if found else f"{name}: -")


if __name__ == "__main__":
    main()
