"""Every shipped claim beside our band for its conditions: inside, below or above.

    python benchmarks/claims.py [--chip ascend-950dt]

A claim is what somebody published, not what we measured; our band is a prediction that nothing was
fitted to. Prints a line per claim and a count per model; asserts nothing.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import Counter

from crossgrade.api import chip
from crossgrade.capture.run import CaptureSession
from crossgrade.errors import CrossgradeError
from crossgrade.ledger.claims import load_claims
from crossgrade.ledger.compare import compare
from crossgrade.predict.phase import Prepared, prepare
from crossgrade.values.claim import Claim
from crossgrade.values.workload import Workload
from crossgrade.workloads.resolve import find_model


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
        step = prepared(claim.model, claim.phase, claim.batch, claim.step_tokens, claim.context)
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


@functools.lru_cache(maxsize=2)
def session_of(model: str) -> CaptureSession:
    """Return the built model."""
    return CaptureSession(find_model(model).build(None))


@functools.lru_cache(maxsize=2)
def prepared(model: str, phase: str, batch: int, tokens: int, context: int) -> Prepared:
    """Return one step, captured and lowered."""
    workload = Workload(model=find_model(model).ref, phase=phase, batch=batch, tokens=tokens,  # type: ignore[arg-type]
                        context=context, dtype=None)  # fmt: skip
    return prepare(session_of(model).capture(workload))


if __name__ == "__main__":
    sys.exit(main())
