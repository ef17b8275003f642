"""Every shipped claim beside our band for its conditions: inside, below or above.

    python benchmarks/claims.py [--chip ascend-950dt]

A claim is what somebody published, not what we measured; our band is a prediction that nothing was
fitted to. Prints a line per claim and a count per model; asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from crossgrade.api import chip
from crossgrade.errors import CrossgradeError
from crossgrade.ledger.claims import load_claims
from crossgrade.ledger.compare import compare
from crossgrade.values.claim import Claim
from steps import step_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", help="only claims about this chip")
    given = parser.parse_args()
    print("claim chips batch context low_ms claimed_ms high_ms where")
    score: dict[str, Counter[str]] = {}
    for claim in load_claims():
        if given.chip in (None, claim.chip):
            score.setdefault(claim.model, Counter())[show(claim)] += 1
    for model, words in score.items():
        print(f"{model}: " + ", ".join(f"{n} {word}" for word, n in sorted(words.items())))
    return 0


def show(claim: Claim) -> str:
    """Print one claim; return where it lies."""
    try:
        step = step_of(claim.model, claim.phase, claim.batch, claim.step_tokens, claim.context)
    except CrossgradeError as error:
        print(f"{claim.id}: {error.message}")
        return "not compared"
    found = compare(claim, step, chip(claim.chip))
    band = found.predicted
    if band is None:
        print(f"{claim.id}: {found.remark}")
        return "not compared"
    where = "below" if claim.value < band.low else "above" if claim.value > band.high else "inside"
    print(
        f"{claim.id} {claim.chips} {claim.batch} {claim.context} {band.low * 1e3:.2f} "
        f"{claim.value * 1e3:.2f} {band.high * 1e3:.2f} {where}",
        flush=True,
    )
    return where


if __name__ == "__main__":
    sys.exit(main())
