"""`python -m crossgrade.predict.scorecard`: score every tier on the public tables.

    python -m crossgrade.predict.scorecard [--data DIR] [--only FAMILY ...] [--write DOCS]
    python -m crossgrade.predict.scorecard --rows FILE --chip NAME [--tier T0|T1|T2]

Reads the tables below `--data` (or $CROSSGRADE_DATA), prints the lines as they come, and with
`--write` makes DOCS/scorecard.md, scorecard.json and the pictures. `--only` keeps the written
lines of the other families. `--rows` scores measured kernels of your own with the shipped
parameters instead: a CSV, or a table of aiconfigurator; see docs/howto/score-your-own-rows.md.
Needs pyarrow and scipy (`pip install 'crossgrade[scorecard]'`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from crossgrade.chips.loader import chip_from_toml, load_chip
from crossgrade.errors import CrossgradeError
from crossgrade.predict.scorecard.line import Line, Tier
from crossgrade.predict.scorecard.own import TIERS, OwnScore, own_scores
from crossgrade.predict.scorecard.page import TITLES, page, percent, picture_name
from crossgrade.predict.scorecard.pictures import draw
from crossgrade.predict.scorecard.store import dump, load
from crossgrade.predict.silicon.knowledge import shipped
from crossgrade.predict.silicon.score import Score
from crossgrade.predict.sources.brought import brought

CARDS = ("matmul", "cube", "attention", "experts", "vector", "collective")
"""Modules of `cards`, in the order in which they are scored."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, print, write; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m crossgrade.predict.scorecard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("CROSSGRADE_DATA"),
                        help="folder of the large data sets ($CROSSGRADE_DATA)")  # fmt: skip
    parser.add_argument("--only", choices=CARDS, action="append", help="score these alone")
    parser.add_argument("--write", type=Path, help="folder of the documentation")
    parser.add_argument("--rows", type=Path, help="measured kernels of your own, CSV or Parquet")
    parser.add_argument("--chip", help="what they ran on: a chip's name, or the TOML file of one")
    parser.add_argument("--tier", choices=TIERS, help="know no more than this")
    given = parser.parse_args(arguments)
    if given.rows or given.chip or given.tier:
        if not (given.rows and given.chip) or given.write or given.only:
            parser.error("--rows and --chip go together, with --tier alone beside them")
        return score_own(given.rows, given.chip, given.tier)
    if given.data is None or not Path(given.data).is_dir():
        print("error: no folder of data\nhint: --data DIR or CROSSGRADE_DATA names the folder that "
              "tools/data.toml describes", file=sys.stderr)  # fmt: skip
        return 2
    chosen = tuple(given.only or CARDS)
    lines = scored(Path(given.data), chosen)
    if given.write:
        write(lines, given.write)
    return 0


def score_own(path: Path, name: str, tier: Tier | None) -> int:
    """Print the errors of shipped parameters on somebody's kernels; return the exit code."""
    try:
        chip = chip_from_toml(Path(name)) if name.endswith(".toml") else load_chip(name)
        for found in own_scores(brought(path), chip, shipped(), tier):
            print(_printed_own(found), flush=True)
    except CrossgradeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _printed_own(found: OwnScore) -> str:
    rows = found.rows
    kind = f"{rows.family} {rows.op} {rows.format}, {rows.stack}\t{found.tier}\trows {len(rows)}"
    figures = "covered 0 %" if found.score is None else _figures(found.score)
    return f"{kind}\t{figures}\t{found.basis}"


def scored(
    data: Path, cards: Sequence[str], package: str = "crossgrade.predict.scorecard.cards"
) -> list[Line]:
    """Return the lines of some cards, which are modules of a package, printing each."""
    lines: list[Line] = []
    for name in cards:
        module = import_module(f"{package}.{name}")
        begun = time.monotonic()
        for line in module.lines(data):
            lines.append(replace(line, card=name))
            print(printed(line), flush=True)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return lines


def printed(line: Line) -> str:
    """Return a line as it is printed while scoring."""
    s = line.score
    beside = ", ".join(
        f"{a.who} {percent(a.score.mape)}" for a in line.anchors if a.score is not None
    )
    return (
        f"{line.rows_of}\t{line.chip}\t{line.tier}\t{line.split}\trows {s.rows}\t"
        f"{_figures(s)}\t{beside}"
    )


def _figures(s: Score) -> str:
    return (
        f"covered {percent(s.covered, 0)}\tMAPE {percent(s.mape)}\tmedian {percent(s.median)}\t"
        f"p90 {percent(s.p90)}\tbias {percent(s.bias, sign=True)}\t"
        f"in band {percent(s.inside, 0)}"
    )


def write(lines: list[Line], docs: Path) -> None:
    """Write page, figures and pictures; cards that were not scored keep their lines."""
    kept_at = docs / "scorecard.json"
    fresh = {line.card for line in lines}
    kept = [x for x in load(kept_at) if x.card not in fresh] if kept_at.exists() else []
    order = list(TITLES)
    together = sorted([*lines, *kept], key=lambda x: (order.index(x.family), CARDS.index(x.card)))
    dump(together, kept_at)
    (docs / "scorecard.md").write_text(page(together), encoding="utf-8")
    for family in {line.family for line in lines}:
        draw([x for x in together if x.family == family], docs / picture_name(family))


if __name__ == "__main__":
    sys.exit(main())
