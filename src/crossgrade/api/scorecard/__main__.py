"""`python -m crossgrade.api.scorecard`: score whole steps and services on public measurements.

    python -m crossgrade.api.scorecard [--data DIR] [--only CARD ...] [--write DOCS]

Reads the tables below `--data` (or $CROSSGRADE_DATA), captures the models, prints the lines as they
come, and with `--write` makes DOCS/scorecard-services.md and its .json. `--only` keeps the written
lines of the other cards. Kernels have a page of their own:
`python -m crossgrade.predict.scorecard`. Needs torch and transformers
(`pip install 'crossgrade[torch]'`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from crossgrade.api.scorecard.page import TITLES, page
from crossgrade.predict.scorecard.__main__ import scored
from crossgrade.predict.scorecard.line import Line
from crossgrade.predict.scorecard.store import dump, load

CARDS = ("served", "argonne", "ascend", "training", "neusight")
"""Modules beside this one, in the order in which they are scored."""
NAME = "scorecard-services"
"""Stem of the written files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, print, write; return the exit code."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    parser = argparse.ArgumentParser(
        prog="python -m crossgrade.api.scorecard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CROSSGRADE_DATA"),
                        help="folder of the large data sets ($CROSSGRADE_DATA)")  # fmt: skip
    parser.add_argument("--only", choices=CARDS, action="append", help="score these alone")
    parser.add_argument("--write", type=Path, help="folder of the documentation")
    given = parser.parse_args(arguments)
    if given.data is None or not Path(given.data).is_dir():
        print("error: no folder of data\nhint: --data DIR or CROSSGRADE_DATA names the folder that "
              "tools/data.toml describes", file=sys.stderr)  # fmt: skip
        return 2
    lines = scored(Path(given.data), tuple(given.only or CARDS), "crossgrade.api.scorecard")
    if given.write:
        write(lines, given.write)
    return 0


def write(lines: list[Line], docs: Path) -> None:
    """Write page and figures; cards that were not scored keep their lines."""
    kept_at = docs / f"{NAME}.json"
    fresh = {line.card for line in lines}
    kept = [x for x in load(kept_at) if x.card not in fresh] if kept_at.exists() else []
    order = list(TITLES)
    together = sorted([*lines, *kept], key=lambda x: (order.index(x.family), CARDS.index(x.card)))
    dump(together, kept_at)
    (docs / f"{NAME}.md").write_text(page(together), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
