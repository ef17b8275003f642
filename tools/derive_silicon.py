"""Write the fitted parameters that the package ships, from the public tables they were fitted to.

    python tools/derive_silicon.py DATA [--check]

DATA is the folder of the large data sets. `--check` writes nothing and exits 1 where the shipped
file holds something else.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from crossgrade.chips.loader import load_chip
from crossgrade.predict.scorecard.sources import ascend
from crossgrade.predict.silicon.collective import Collective
from crossgrade.predict.silicon.cube import Cube
from crossgrade.predict.silicon.facts import facts_of
from crossgrade.predict.silicon.model import KernelModel
from crossgrade.predict.silicon.pooled import Batch, fit_all
from crossgrade.predict.silicon.vector import Vector
from crossgrade.values.kernel import KernelRows

TARGET = Path(__file__).parents[1] / "src/crossgrade/predict/silicon/data/ascend.json"
DIGITS = 4
"""Significant digits kept: a fit knows three."""


def family(model: KernelModel, rows: Sequence[KernelRows]) -> dict[str, object]:
    """Return one family's parameters, how many rows they come from, and their least times."""
    chip = load_chip(ascend.CHIP)
    values = fit_all(model, [Batch(rows=r, facts=facts_of(chip, r.format)) for r in rows])
    least: dict[str, float] = {}
    for r in rows:
        if r.seconds is not None:
            least[r.op] = min(least.get(r.op, math.inf), float(r.seconds.min()))
    return {
        "rows": sum(len(r) for r in rows),
        "least_s": {op: float(f"{least[op]:.{DIGITS}g}") for op in sorted(least)},
        "values": {name: float(f"{value:.{DIGITS}g}") for name, value in values.items()},
    }


def derived(data: Path) -> str:
    """Return the file's text."""
    products, moved = ascend.die(data, "matmul").rows, ascend.die(data, "vector").rows
    document = {
        "schema": 1,
        "chip": ascend.CHIP,
        "source": "Ascend/msmodeling@84fec853, Horacehxw/msModeling@39df672, reports of CANN 8.5",
        "licence": "MulanPSL-2.0",
        "families": {
            "matmul": family(Cube(), products),
            "vector": family(Vector(ops=tuple(sorted({r.op for r in moved}))), moved),
            "collective": family(Collective(), ascend.collectives(data).rows),
        },
    }
    return json.dumps(document, indent=1) + "\n"


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    text = derived(given.data)
    if given.check:
        return 0 if TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
